"""A server that goes away: restarted, killed, cut off in a commit, full, silent. Nothing is lost or doubled.

What took place outside is judged by a console on the server itself, and not by what the store says.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast.kernel.commit import Applied
from holdfast.kernel.errors import HoldfastError, StoreAway, StoreBusy, StoreFailed, StoreReadOnly
from holdfast.store import postgres_writer
from holdfast.store.postgres import PostgresStore, open_postgres
from holdfast.store.postgres_batch import PostgresBatch
from tests.contract.acts import Acts, applied
from tests.contract.postgres_trouble import OwnServer, Way, own_server, settle

NOW_MS = 1_800_000_000_000
SCHEMA = "holdfast"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server that the tests of this module may kill."""
    with tempfile.TemporaryDirectory(prefix="holdfast-own-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with own_server(Path(folder)) as server:
            yield server


@pytest.fixture
def way(own: OwnServer) -> Iterator[Way]:
    """A way to it, and an empty database behind."""
    with own.admin() as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    with tempfile.TemporaryDirectory(prefix="holdfast-way-") as folder:
        led = Way(Path(folder), own.socket)
        yield led
        led.close()


@pytest.fixture
def store(way: Way, tmp_path: Path) -> Iterator[PostgresStore]:
    """A store that reaches the server by that way."""
    opened = open_postgres(way.dsn, state_dir=tmp_path, lock_ms=2_000, outage_ms=15_000)
    yield opened
    opened.close_now()


async def begun(store: PostgresStore, name: str = "1") -> Acts:
    """A run with one effect that was admitted."""
    acts = Acts(now_ms=NOW_MS, name=name)
    for change in (acts.begin(), acts.propose(1), acts.admit(1)):
        assert isinstance(await store.commit(change), Applied)
    return acts


def kinds(own: OwnServer, acts: Acts) -> list[str]:
    """What the server itself has of a run, in order."""
    query = f"SELECT kind FROM {SCHEMA}.entries WHERE run = %s ORDER BY pos"
    with own.admin() as admin:
        return [kind for (kind,) in admin.execute(query, (acts.run.id,))]


@pytest.mark.req("1.4a", mutant=None, reason="a real server is shut down and started again")
async def test_a_server_that_is_started_again_is_found_again(own: OwnServer, store: PostgresStore) -> None:
    """After a restart the next look and the next commit go through, over a new connection."""
    acts = await begun(store)
    own.stop()
    own.start()
    assert (await store.read(acts.id(1))).effect.state.value == "admitted"
    assert applied(await store.commit(acts.claim(1))).holder == acts.me
    assert store.run(acts.run.id).seq == 4
    assert store.count()["links"] == 2
    assert store.verify().entries == 4


@pytest.mark.req("1.1b", mutant=None, reason="a real server is killed")
async def test_a_server_that_is_killed_under_load_loses_nothing_that_was_answered(
    own: OwnServer, store: PostgresStore
) -> None:
    """Twenty runs go on while the postmaster is killed and started: each is recorded once, all answered yes."""
    runs = [Acts(now_ms=NOW_MS, name=f"run{n}") for n in range(20)]

    async def life(acts: Acts) -> None:
        await store.commit(acts.begin())
        for n in range(6):
            assert isinstance(await store.commit(acts.propose(n)), Applied)
            assert isinstance(await store.commit(acts.admit(n)), Applied)

    lives = asyncio.gather(*(life(acts) for acts in runs))
    while store.count()["changes"] < 40:
        await asyncio.sleep(0.001)
    own.kill()
    await asyncio.to_thread(own.start)
    await lives
    for acts in runs:
        assert kinds(own, acts) == ["intent", *("proposed", "admitted") * 6]
    assert store.verify().entries == 20 * 13


def between(monkeypatch: pytest.MonkeyPatch, store: PostgresStore, act: Any) -> list[int]:
    """Do something once, when a transaction has its locks and before its commit leaves; how often it came there."""
    write, times = PostgresBatch._write, list[int]()

    def first(batch: PostgresBatch, *rest: Any) -> Any:
        if batch._db is store._writer._link._session.db:
            times.append(1)
            if len(times) == 1:
                act()
        return write(batch, *rest)

    monkeypatch.setattr(PostgresBatch, "_write", first)
    return times


@pytest.mark.req("1.1b", mutant="every-broken-commit-is-taken-for-lost")
async def test_a_commit_whose_answer_was_lost_is_known_to_have_taken_place(own, way, store, monkeypatch) -> None:
    """Cut off after the server committed and before it could say so: the caller gets its yes, for one entry."""
    acts = await begun(store)
    told = store.count()["changes"]

    def lose_the_answer() -> None:
        way.mute = True

        def cut() -> None:
            settle(lambda: kinds(own, acts)[-1] == "claimed")
            way.mute = False
            way.cut()

        threading.Thread(target=cut, daemon=True).start()

    times = between(monkeypatch, store, lose_the_answer)
    assert applied(await store.commit(acts.claim(1))).holder == acts.me
    assert len(times) == 1
    assert kinds(own, acts) == ["intent", "proposed", "admitted", "claimed"]
    assert store.count()["changes"] == told + 1
    assert applied(await store.commit(acts.propose(2)))


@pytest.mark.req("1.1b", mutant="every-broken-commit-is-taken-for-done")
async def test_a_commit_that_never_arrived_is_made_again(own, way, store, monkeypatch) -> None:
    """Cut off before the commit was sent: it is known not to have taken place, and is made on the next connection."""
    acts = await begun(store)

    times = between(monkeypatch, store, way.cut)
    assert applied(await store.commit(acts.claim(1))).holder == acts.me
    assert len(times) == 2
    assert kinds(own, acts) == ["intent", "proposed", "admitted", "claimed"]


async def test_what_nobody_can_know_is_said_and_the_store_goes_on(own, way, store, monkeypatch) -> None:
    """Where the mark of a broken commit is gone, its caller is told that nobody knows; the next change is recorded."""
    acts = await begun(store)

    def cut() -> None:
        way.mute = True

        def forget() -> None:
            settle(lambda: kinds(own, acts)[-1] == "claimed")
            with own.admin() as admin:
                admin.execute(f"DELETE FROM {SCHEMA}.landing")
            way.mute = False
            way.cut()

        threading.Thread(target=forget, daemon=True).start()

    between(monkeypatch, store, cut)
    with pytest.raises(StoreFailed) as unknown:
        await store.commit(acts.claim(1))
    assert "nobody can say" in unknown.value.message
    assert applied(await store.commit(acts.propose(2)))
    assert store.verify().entries == 5


async def test_a_connection_that_falls_silent_is_given_up(own, way, store, monkeypatch) -> None:
    """A way that swallows everything is noticed after a bound, and what was under way is made anew, once."""
    acts = await begun(store)
    monkeypatch.setattr(postgres_writer, "SILENCE_S", -5.0)  # a statement's bound is 6 s here; the silence one more
    way.mute = True
    claim = asyncio.create_task(store.commit(acts.claim(1)))

    def heal() -> None:
        settle(lambda: store._writer._link._session is None or store.count()["links"] > 1)
        way.mute = False

    await asyncio.to_thread(heal)
    assert applied(await claim).holder == acts.me
    assert kinds(own, acts) == ["intent", "proposed", "admitted", "claimed"]


async def test_a_question_that_is_never_answered_is_asked_anew(way, store) -> None:
    """A way that swallows what the server says to a reader is noticed after a bound, and the question is put again."""
    acts = await begun(store)
    broken = store._books.raw
    broken.limit_s = store._looks._books.raw.limit_s = 0.5
    way.mute = True
    looked = asyncio.create_task(asyncio.to_thread(store.run, acts.run.id))
    asked = asyncio.create_task(store.run_row(acts.run.id))

    def heal() -> None:
        settle(lambda: broken.closed or broken.broken)
        way.mute = False

    await asyncio.to_thread(heal)
    async with asyncio.timeout(60):
        assert (await looked).id == (await asked).id == acts.run.id
    assert store._books.raw is not broken


async def test_an_outage_that_is_too_long_is_an_error_and_then_over(own, way, tmp_path) -> None:
    """Every caller that waits is told within the bound; once the server is back the same store goes on."""
    store = open_postgres(way.dsn, state_dir=tmp_path, lock_ms=2_000, outage_ms=300)
    try:
        acts = await begun(store)
        own.stop()
        told = await asyncio.gather(*(store.commit(acts.propose(n)) for n in range(2, 6)), return_exceptions=True)
        assert [type(error) for error in told] == [StoreAway] * 4
        with pytest.raises(HoldfastError):
            await store.read(acts.id(1))
        own.start()
        assert applied(await store.commit(acts.propose(2)))
        assert kinds(own, acts) == ["intent", "proposed", "admitted", "proposed"]
    finally:
        store.close_now()


async def test_a_server_without_a_connection_to_spare_is_waited_for(own, way, store) -> None:
    """Cut off while somebody else has every connection: the commit waits until one is free."""
    acts = await begun(store)
    with own.admin() as admin:
        most = int(admin.execute("SELECT current_setting('max_connections')").fetchone()[0])
    own_connections: list[psycopg.Connection[Any]] = []
    way.cut()
    with pytest.raises(psycopg.OperationalError):
        for _ in range(most + 1):
            own_connections.append(psycopg.connect(own.dsn, autocommit=True))  # noqa: PERF401  # one of them fails
    try:
        claim = asyncio.create_task(store.commit(acts.claim(1)))
        await asyncio.sleep(0.2)
        assert not claim.done()
    finally:
        for connection in own_connections:
            connection.close()
    assert applied(await claim).holder == acts.me


async def test_what_a_role_would_have_statements_take_is_not_ours(own, way, tmp_path) -> None:
    """A role whose statements may take a millisecond keeps a ledger; one whose transactions only read does not."""
    with own.admin() as admin:
        admin.execute("ALTER ROLE postgres SET statement_timeout = '1ms'")
    try:
        store = open_postgres(way.dsn, state_dir=tmp_path)
        acts = await begun(store)
        assert (await store.read(acts.id(1))).effect.state.value == "admitted"
        store.close_now()
        with own.admin() as admin:
            admin.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
        with pytest.raises(StoreReadOnly):
            open_postgres(way.dsn, state_dir=tmp_path)
    finally:
        with own.admin() as admin:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER ROLE postgres RESET ALL")


async def test_more_than_the_queue_holds_waits_and_is_then_told(own, store, monkeypatch) -> None:
    """Behind a batch that does not end no more than a bound wait for it; who finds no room is told so."""
    acts = await begun(store)
    go = threading.Event()

    between(monkeypatch, store, lambda: go.wait(30))
    store._writer._most_queued = 3
    held = asyncio.create_task(store.commit(acts.claim(1)))
    await asyncio.sleep(0.05)
    queued = [asyncio.create_task(store.commit(acts.propose(n))) for n in (2, 3, 4)]
    await asyncio.sleep(0.05)
    with pytest.raises(StoreBusy) as full:
        await store.commit(acts.propose(5))
    assert "3 changes of this process" in full.value.message
    go.set()
    for task in (held, *queued):
        assert isinstance(await task, Applied)
    assert kinds(own, acts).count("proposed") == 4
