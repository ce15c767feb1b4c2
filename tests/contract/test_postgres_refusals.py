"""What the PostgreSQL store and its schema refuse: servers that forget, clients that bypass it, secrets in
errors.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.errors import (
    BadConfig,
    BadValue,
    HoldfastError,
    MigrationChanged,
    NotOpen,
    SchemaFromFuture,
    StoreBusy,
    StoreFailed,
)
from holdfast.kernel.model import State
from holdfast.store.postgres import PostgresStore, open_postgres
from tests.contract.acts import Acts, applied, rejected
from tests.contract.postgres_server import Postgres, server

__all__ = ["server"]

JUMP_MS = 601_000


@pytest.fixture
def place(server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


async def living(place: Postgres, acts: Acts) -> PostgresStore:
    """A store with a dispatched effect, a lease, a spent approval and a fact."""
    store = place.open()
    for change in (acts.begin(), acts.propose(1), acts.ask(1), acts.grant(1), acts.admit_asked(1)):
        assert isinstance(await store.commit(change), Applied)
    ask = acts.ask(1).asks[0]
    applied(await store.commit(acts.leave(1, approval=ask.id, digest=ask.digest)))
    assert isinstance(await store.commit(acts.fact("policy:test", value="p1")), Applied)
    return store


# -- servers that forget ------------------------------------------------------------------------------------


@contextlib.contextmanager
def server_setting(place: Postgres, name: str, value: str) -> Iterator[None]:
    """Change a setting of the whole server for a moment."""

    def is_now() -> str:
        with psycopg.connect(place.dsn, autocommit=True) as fresh:
            return str(fresh.execute("SELECT current_setting(%s)", (name,)).fetchone()[0])

    def settle(wanted: str) -> None:
        place.admin.execute("SELECT pg_reload_conf()")
        for _ in range(1_000):
            if is_now() == wanted:
                return
        raise AssertionError(f"{name} did not become {wanted}")

    before = is_now()
    place.admin.execute(f"ALTER SYSTEM SET {name} = {value}")
    try:
        settle(value)
        yield
    finally:
        place.admin.execute(f"ALTER SYSTEM RESET {name}")
        settle(before)


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_commits_is_refused(place: Postgres, name: str) -> None:
    """With the setting off no store opens, and the error names the setting."""
    with server_setting(place, name, "off"), pytest.raises(BadConfig) as refused:
        open_postgres(place.dsn, schema=place.schema)
    assert refused.value.key == name
    assert open_postgres(place.dsn, schema=place.schema).close_now() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("synchronous_commit", "off"), ("default_transaction_isolation", "read\\ uncommitted")],
)
def test_a_session_whose_commits_mean_less_is_refused(place: Postgres, name: str, value: str) -> None:
    """A role or connection string that weakens commits or isolation is refused by the name of the setting."""
    dsn = psycopg.conninfo.make_conninfo(place.dsn, options=f"-c {name}={value}")
    with pytest.raises(BadConfig) as refused:
        open_postgres(dsn, schema=place.schema)
    assert refused.value.key == name


async def test_fsync_turned_off_while_the_store_is_open_stops_each_commit(place: Postgres, acts: Acts) -> None:
    """The writer looks at every commit: none is recorded for as long as the server may forget it."""
    store = await living(place, acts)
    before = len(store.entries(acts.run.id))
    # A session takes a new setting over with one of its next statements.
    with server_setting(place, "fsync", "off"):
        with pytest.raises(StoreFailed):
            for _ in range(100):
                await store.commit(acts.propose(1))
        with pytest.raises(StoreFailed):
            await store.commit(acts.propose(2))
    assert len(store.entries(acts.run.id)) == before


async def test_a_stricter_default_isolation_changes_nothing(place: Postgres, acts: Acts) -> None:
    """The store states its own level, so that waiting for a lock never turns into an error."""
    dsn = psycopg.conninfo.make_conninfo(place.dsn, options="-c default_transaction_isolation=serializable")
    store = open_postgres(dsn, schema=place.schema + "_strict")
    try:
        assert isinstance(await store.commit(acts.begin()), Applied)
        assert store.count()["redone"] == 0
    finally:
        await store.close()
        place.admin.execute(f"DROP SCHEMA {place.schema}_strict CASCADE")


async def test_a_lock_that_is_held_for_too_long_is_busy_and_not_a_stop(place: Postgres, acts: Acts) -> None:
    """A commit that cannot get its rows within its bound says so, records nothing, and the store goes on."""
    await living(place, acts)
    store = open_postgres(place.dsn, schema=place.schema, lock_ms=50)
    try:
        with place.raw() as other:
            other.execute("BEGIN")
            other.execute("SELECT 1 FROM effect FOR UPDATE")
            with pytest.raises(StoreBusy):
                await store.commit(acts.change(1, acts.draft(1, "unknown", cause="died")))
            other.execute("ROLLBACK")
        assert applied(await store.commit(acts.change(1, acts.draft(1, "unknown", cause="died"))))
    finally:
        await store.close()


# -- opening ------------------------------------------------------------------------------------------------


def test_a_schema_from_the_future_is_not_opened(place: Postgres) -> None:
    """A store that a newer version migrated is left alone."""
    place.open()
    with place.raw() as client:
        client.execute(
            "INSERT INTO migration SELECT max(number) + 1, 'later', repeat('0', 64), 0, max(number) + 1 FROM migration"
        )
    with pytest.raises(SchemaFromFuture):
        open_postgres(place.dsn, schema=place.schema)


def test_a_changed_migration_is_not_opened(place: Postgres) -> None:
    """A migration whose text is not the one that was applied is refused."""
    place.open()
    with place.raw() as client:
        client.execute("ALTER TABLE migration DISABLE TRIGGER USER")
        client.execute("UPDATE migration SET sha256 = repeat('0', 64)")
    with pytest.raises(MigrationChanged):
        open_postgres(place.dsn, schema=place.schema)


def test_without_the_driver_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where psycopg is missing the error names the extra, and nothing else of holdfast needs it."""
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadConfig) as missing:
        open_postgres("postgresql://localhost/ledger")
    assert "holdfast[postgres]" in missing.value.message


SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://ledger:{SECRET}@127.0.0.1:1/ledger",
        f"host=127.0.0.1 port=1 user=ledger password={SECRET}",
        f"host=127.0.0.1 password='{SECRET}",
        f"{SECRET}",
        f"postgresql://ledger:{SECRET}@[127.0.0.1/ledger",
    ],
)
def test_no_error_shows_the_connection_string(dsn: str) -> None:
    """A server that is not there and a string that cannot be read are reported without the password, also in
    causes.
    """
    with pytest.raises(HoldfastError) as refused:
        open_postgres(dsn)
    error: BaseException | None = refused.value
    assert SECRET not in str(refused.value.to_json())
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize("schema", ["", 'x"; DROP TABLE run; --', "Capital", "a" * 64])
def test_a_schema_name_that_is_no_plain_name_is_refused(place: Postgres, schema: str) -> None:
    """The one name that becomes part of a statement is checked before it does."""
    with pytest.raises(BadConfig) as refused:
        open_postgres(place.dsn, schema=schema)
    assert refused.value.key == "schema"


# -- the store itself ---------------------------------------------------------------------------------------


@pytest.mark.req("1.4e", mutant=None, reason="the release is tried without a name and without a record")
async def test_only_a_recorded_release_ends_restored_mode(place: Postgres, acts: Acts) -> None:
    """Restored, nothing guarded leaves; a bare change of the mode is refused; a named human's release is
    recorded.
    """
    store = place.open()
    for change in (acts.begin(), acts.propose(1), acts.admit(1)):
        await store.commit(change)
    store.restore("a standby without the tail took over")
    assert rejected(await store.commit(acts.leave(1, released=True))) == "restored"
    with place.raw() as client, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        client.execute("UPDATE meta SET mode = 'normal'")
    with pytest.raises(BadValue):
        store.release("carol", " ")
    store.release("carol", "asked the bank about every open effect")
    assert applied(await store.commit(acts.leave(1, released=True))).state is State.DISPATCHED
    assert [(entry.kind, entry.by) for entry in store.entries("ru_store")] == [
        ("restored", "store"),
        ("store_released", "carol"),
    ]


@pytest.mark.parametrize("by_ms", [JUMP_MS, -JUMP_MS])
async def test_a_server_clock_that_jumps_stops_dispatches_until_it_is_accepted(
    place: Postgres, acts: Acts, by_ms: int
) -> None:
    """After a jump either way nothing is dispatched; other changes are; a human's word lets it go on."""
    store = place.open()
    for change in (acts.begin(), acts.propose(1), acts.admit(1)):
        await store.commit(change)
    place.clock.wall_ms += by_ms
    assert rejected(await store.commit(acts.leave(1))) == "clock"
    assert isinstance(await store.commit(Change(run=acts.run.id, notes=(Note(kind="item", by="p"),))), Applied)
    assert store.accept_clock("carol", "looked at the clock on the wall") == by_ms
    assert applied(await store.commit(acts.leave(1))).state is State.DISPATCHED


async def test_text_that_postgresql_cannot_hold_is_refused_and_the_store_goes_on(place: Postgres, acts: Acts) -> None:
    """A zero character in a name is refused by name of the value; in arguments it is kept, since they are
    JSON.
    """
    store = place.open()
    await store.commit(acts.begin())
    with pytest.raises(BadValue):
        await store.commit(acts.propose(1, resource="order:\0"))
    view = applied(await store.commit(acts.propose(2, args={"note": "zero \0 inside"})))
    kept = (await store.read(view.id)).effect
    assert msgspec.to_builtins(kept) == msgspec.to_builtins(view)
    assert store.verify().bodies == 2


async def test_a_rejected_change_leaves_no_row_behind(place: Postgres, acts: Acts) -> None:
    """A claim that is refused leaves no lease."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    assert rejected(await store.commit(acts.claim(1))) == "state"
    with place.raw() as client:
        assert client.execute("SELECT count(*) FROM lease").fetchone() == (0,)


async def test_one_batch_is_one_transaction_with_a_verdict_each(place: Postgres, acts: Acts) -> None:
    """Begin, propose, admit, claim and dispatch in one batch: all stand, and the chain verifies."""
    store = place.open()
    life = [acts.begin(), acts.propose(1), acts.admit(1), acts.leave(1), acts.claim(1), acts.propose(1)]
    verdicts = await store.commit_all(life)
    assert [getattr(verdict, "part", "") for verdict in verdicts] == ["", "", "", "", "state", "exists"]
    token = verdicts[3].effect.token
    done = await store.commit_all([acts.acknowledge(1, token), acts.verify(1, token)])
    assert applied(done[1]).state is State.VERIFIED
    assert store.verify().entries == 7
    with place.raw() as client:
        assert client.execute("SELECT effect, token FROM lease").fetchall() == []


async def test_a_closed_store_says_that_it_is_closed(place: Postgres, acts: Acts) -> None:
    """After closing, reads and commits raise NotOpen; closing twice is nothing."""
    store = place.open()
    await store.close()
    await store.close()
    with pytest.raises(NotOpen):
        await store.commit(acts.begin())
    with pytest.raises(NotOpen):
        await store.read(acts.id(1))
