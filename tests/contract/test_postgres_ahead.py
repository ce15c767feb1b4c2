"""What a worker plans on its beliefs on PostgreSQL: unseen until it is on disk, and judged there by what is so.

Each test lets another worker, the clock or the server move what a plan was made on, and looks at what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import TakenBack
from holdfast.kernel.guard import Guard
from holdfast.kernel.model import State
from holdfast.store import postgres_ahead, postgres_believed
from holdfast.store.postgres import PostgresStore
from tests.contract.acts import LEASE_MS, Acts, applied, digest, rejected
from tests.contract.postgres_server import Postgres, server

__all__ = ["server"]

NO_MUTANT = "the defect is put into the database itself, in the test"
NO_HALT = (("halt:store", 0),)


@pytest.fixture
def place(server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen stays believed for as long as a test takes on a busy machine."""
    for module in (postgres_believed, postgres_ahead):
        monkeypatch.setattr(module, "FRESH_S", 3_600.0)


@pytest.fixture
def acts(place: Postgres) -> Acts:
    """The acts of one worker, at the time of the server."""
    return Acts(now_ms=place.clock.wall_ms)


async def proposed(store: PostgresStore, acts: Acts, n: int, **more: object) -> None:
    """Asked for, then proposed and admitted, as the engine does."""
    assert await store.latest(acts.body(n)["identity"]) is None
    applied(await store.later(acts.propose(n, **more)))
    applied(await store.later(acts.admit(n)))


async def warmed(store: PostgresStore, acts: Acts) -> None:
    """A run, and an effect through all of its life: words, facts and tokens are known from here on."""
    await store.commit(acts.begin())
    for n in (1, 2):
        await proposed(store, acts, n)
        token = applied(await store.later(acts.claim(n))).token
        token = applied(await store.commit(acts.dispatch(n, token, epochs=NO_HALT, released=True))).token
        applied(await store.later(acts.acknowledge(n, token)))
        applied(await store.later(acts.verify(n, token)))
        await store.flush()


@pytest.mark.req("1.1b", mutant=None, reason=NO_MUTANT)
async def test_what_is_planned_is_seen_by_others_only_once_it_is_on_disk(place: Postgres, acts: Acts) -> None:
    """Its own worker reads a plan at once; another one and its disk know nothing of it before the flush."""
    store, other = place.open("first"), place.open("second")
    await warmed(store, acts)
    before = store.count()
    await proposed(store, acts, 3)
    assert (await store.read(acts.id(3))).effect.state is State.ADMITTED
    assert (await other.read(acts.id(3))).effect is None
    assert [view.id for view in await store.run_effects(acts.run.id)] == [acts.id(n) for n in (1, 2, 3)]
    await store.flush()
    assert (await other.read(acts.id(3))).effect.state is State.ADMITTED
    assert store.count()["ahead"] == before["ahead"] + 1
    assert store.count()["turned"] == before["turned"]
    other.verify()


@pytest.mark.req("1.6b", mutant=None, reason=NO_MUTANT)
async def test_a_halt_that_came_between_plan_and_commit_stops_the_sending(place: Postgres, acts: Acts) -> None:
    """What this worker has not heard of is judged where it commits: nothing is dispatched after the halt."""
    store, other = place.open("first"), place.open("second")
    await warmed(store, acts)
    await proposed(store, acts, 3)
    token = applied(await store.later(acts.claim(3))).token
    await other.commit(acts.fact("halt:store", raised=True))
    assert rejected(await store.commit(acts.dispatch(3, token, epochs=NO_HALT))) in ("halt", "token")
    assert (await other.read(acts.id(3))).effect.state is State.CLAIMED
    other.verify()


async def test_a_yes_that_is_no_after_all_is_told_to_the_task_that_asked(place: Postgres, acts: Acts) -> None:
    """A proposal of a run that another worker had ended is not recorded, and its flush says so once."""
    store, other = place.open("first"), place.open("second")
    await warmed(store, acts)
    await proposed(store, acts, 3)
    note = Note(kind="stopped", by="carol", body={"reason": "enough"})
    ended = Change(run=acts.run.id, guard=Guard(run_open=acts.run.id), notes=(note,), ends=("stopped", "enough"))
    await other.commit(ended)
    with pytest.raises(TakenBack, match="the run is stopped"):
        await store.flush()
    await store.flush()
    assert (await store.read(acts.id(3))).effect is None
    other.verify()


@pytest.mark.req("1.6a", mutant=None, reason=NO_MUTANT)
@pytest.mark.parametrize("fenced", [True, False])
async def test_a_token_of_an_old_stock_takes_no_resource_that_was_had_since(
    place: Postgres, acts: Acts, *, fenced: bool
) -> None:
    """Tokens of one resource rise whoever drew them first; without what the server keeps of them they would not."""
    store, other, theirs = place.open("first"), place.open("second"), Acts(now_ms=acts.now_ms, name="2", me="worker-2")
    if not fenced:
        place.admin.execute(f"DROP TRIGGER lease_is_let_go ON {place.schema}.lease".encode())
    await warmed(store, acts)
    await other.commit(theirs.begin())
    applied(await other.commit(theirs.propose(1, resource="order:shared")))
    applied(await other.commit(theirs.admit(1)))
    claim = theirs.change(1, theirs.claimed(1), states=(State.ADMITTED,), resource="order:shared")
    later = applied(await other.commit(claim)).token
    await other.commit(theirs.dispatch(1, later))
    await other.commit(theirs.acknowledge(1, later))
    await other.commit(theirs.verify(1, later))

    await proposed(store, acts, 3, resource="order:shared")
    claim = acts.change(3, acts.claimed(3), states=(State.ADMITTED,), resource="order:shared")
    assert applied(await store.later(claim)).token < later, "it came from the stock"
    await store.flush()
    assert ((await other.read(acts.id(3))).effect.token > later) is fenced
    other.verify()


async def test_a_plan_on_another_head_of_its_run_is_not_written(place: Postgres, acts: Acts) -> None:
    """As many entries with another hash are not the run that was planned on: its chain holds all the same."""
    store = place.open("first")
    await warmed(store, acts)
    known = store._ahead._memory.known
    known.runs[acts.run.id] = replace(known.runs[acts.run.id], head=digest("another head"))
    await proposed(store, acts, 3)
    before = store.count()["turned"]
    await store.flush()
    assert store.count()["turned"] == before + 1
    assert (await store.read(acts.id(3))).effect.state is State.ADMITTED
    store.verify()


async def test_a_guard_that_ran_out_between_plan_and_commit_is_judged_anew(place: Postgres, acts: Acts) -> None:
    """A lease that held when it was planned on and is over at the commit sends nothing."""
    store = place.open("first")
    await warmed(store, acts)
    await proposed(store, acts, 3)
    token = applied(await store.later(acts.claim(3))).token
    sending = asyncio.ensure_future(store.commit(acts.dispatch(3, token)))
    await asyncio.sleep(0)  # it is planned
    place.clock.wall_ms += LEASE_MS + 1
    assert rejected(await sending) in ("lease", "token")
    assert (await store.read(acts.id(3))).effect.state is State.CLAIMED
    store.verify()


async def test_what_is_about_to_run_out_is_not_planned(place: Postgres, acts: Acts) -> None:
    """A claim whose lease ends in a moment waits for rows that are held."""
    store = place.open("first")
    await warmed(store, acts)
    await proposed(store, acts, 3)
    token = applied(await store.later(acts.claim(3, acts.now_ms + 100))).token
    await store.flush()
    before = store.count()
    assert applied(await store.commit(acts.dispatch(3, token))).state is State.DISPATCHED
    assert store.count()["ahead"] == before["ahead"]


async def test_a_plan_whose_connection_broke_is_committed_on_the_next_one(place: Postgres, acts: Acts) -> None:
    """The server ends the connection under a plan: it is judged anew and recorded once, and tokens are drawn anew."""
    store, other = place.open("first"), place.open("second")
    await warmed(store, acts)
    await proposed(store, acts, 3)
    session = store._writer._link.ready()
    place.admin.execute("SELECT pg_terminate_backend(%s, 5000)", (session.pid,))
    await store.flush()
    assert (await other.read(acts.id(3))).effect.state is State.ADMITTED
    kinds = [entry.kind for entry in other.entries(acts.id(3))]
    assert kinds == ["proposed", "admitted"]
    other.verify()
