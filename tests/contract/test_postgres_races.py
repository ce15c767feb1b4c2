"""Races on PostgreSQL, run by real processes on real connections: one winner, whoever comes when.

Some of these are deterministic: one transaction is held open between its writes and its commit, and the other
is seen waiting by the server itself.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from holdfast.kernel.amounts import Budget
from holdfast.kernel.commit import Applied, Change
from holdfast.kernel.errors import OurBug
from holdfast.kernel.model import State
from holdfast.store.postgres import PostgresStore
from holdfast.store.postgres_batch import PostgresBatch
from tests.contract.acts import Acts, applied, digest, rejected
from tests.contract.postgres_server import Postgres, server

__all__ = ["server"]

ROOT = Path(__file__).resolve().parents[2]
GATE = 4711
LIMIT_S = 60
RACERS = 4
NO_MUTANT = "the planted defects of the harness run on virtual ports; here the locks themselves are taken away"


@pytest.fixture
def place(server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


def contender(place: Postgres, batches: list[list[Change]], *planted: str) -> subprocess.Popen[str]:
    """A process that stands at the gate."""
    command = [
        sys.executable,
        "-m",
        "tests.contract.postgres_racer",
        place.dsn,
        place.schema,
        str(GATE),
        *planted,
    ]
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child.stdin.write(msgspec.json.encode(batches).decode() + "\n")
    child.stdin.flush()
    return child


def race(place: Postgres, entries: list[list[list[Change]]]) -> list[dict[str, Any]]:
    """Let one process a list of batches start at the same moment; what each was told."""
    with psycopg.connect(place.dsn, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        children = [contender(place, batches) for batches in entries]
        try:
            for child in children:
                assert child.stdout.readline() == "ready\n"
            gate.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
            return [msgspec.json.decode(child.communicate(timeout=LIMIT_S)[0]) for child in children]
        finally:
            for child in children:
                child.kill()
                child.wait()


def parts(told: list[dict[str, Any]], batch: int) -> list[str]:
    """What each contender was told in one batch of one change; the empty text is a yes."""
    return [one["verdicts"][batch][0]["part"] for one in told]


async def admitted(store: PostgresStore, acts: Acts, *numbers: int) -> None:
    """A run with admitted effects."""
    changes = [acts.begin()]
    for n in numbers:
        changes += [acts.propose(n), acts.admit(n)]
    assert all(isinstance(verdict, Applied) for verdict in await store.commit_all(changes))


def worker(place: Postgres, number: int, **more: Any) -> Acts:
    """The acts of one of several workers on the first run."""
    return Acts(now_ms=place.clock.wall_ms, me=f"worker-{number}", **more)


# -- many processes, one winner -----------------------------------------------------------------------------


@pytest.mark.req("1.4a", mutant=None, reason=NO_MUTANT)
async def test_of_many_processes_claiming_one_effect_exactly_one_wins(place: Postgres) -> None:
    """Four processes claim the same ten effects: each has one winner, and the lease carries its token."""
    store, numbers = place.open(), range(10)
    await admitted(store, worker(place, 0), *numbers)
    told = race(place, [[[worker(place, racer).claim(n)] for n in numbers] for racer in range(RACERS)])
    for n in numbers:
        assert sorted(parts(told, n)) == ["", "state", "state", "state"]
        winner = parts(told, n).index("")
        view = (await store.read(worker(place, 0).id(n))).effect
        assert (view.holder, view.token) == (f"worker-{winner}", told[winner]["verdicts"][n][0]["token"])
        kinds = [entry.kind for entry in store.entries(view.run) if entry.effect == view.id]
        assert kinds == ["proposed", "admitted", "claimed"]
    store.verify()


@pytest.mark.req("1.4a", mutant=None, reason=NO_MUTANT)
async def test_of_many_processes_claiming_one_resource_exactly_one_wins(place: Postgres) -> None:
    """Four processes claim four effects on one resource that never had a lease: one gets it, three are told
    so.
    """
    store = place.open()
    runs = [worker(place, n, name=f"run{n}") for n in range(RACERS)]
    for acts in runs:
        await admitted(store, acts, 1)
    claims = [
        msgspec.structs.replace(claim, guard=msgspec.structs.replace(claim.guard, resource="order:one"))
        for claim in (acts.claim(1) for acts in runs)
    ]
    told = race(place, [[[claim]] for claim in claims])
    assert sorted(parts(told, 0)) == ["", "resource", "resource", "resource"]
    states = [(await store.read(acts.id(1))).effect.state for acts in runs]
    assert sorted(states) == [State.ADMITTED, State.ADMITTED, State.ADMITTED, State.CLAIMED]


@pytest.mark.req("2.6c", mutant=None, reason=NO_MUTANT)
async def test_of_many_dispatchers_holding_one_approval_exactly_one_dispatches(place: Postgres) -> None:
    """Four processes dispatch four effects of four runs on one granted approval: it is spent once, by the
    winner.
    """
    store = place.open()
    asked = worker(place, 0, name="asked")
    for change in (asked.begin(), asked.propose(1), asked.ask(1), asked.grant(1), asked.admit_asked(1)):
        applied_or_run = await store.commit(change)
        assert isinstance(applied_or_run, Applied)
    approval = (await store.read(asked.id(1))).effect.approval
    runs = [worker(place, n, name=f"run{n}") for n in range(RACERS)]
    for acts in runs:
        await admitted(store, acts, 1)
    told = race(place, [[[acts.leave(1, approval=approval, digest=digest("bytes 1"))]] for acts in runs])
    assert sorted(parts(told, 0)) == ["", "approval", "approval", "approval"]
    winner = runs[parts(told, 0).index("")]
    assert store.approval(approval).spent_by == f"at_{winner.id(1)[3:]}.1"


async def test_of_many_processes_on_the_last_of_a_budget_no_more_pass_than_fit(place: Postgres) -> None:
    """Four processes dispatch eight effects of a run that may have three: three leave, three are debited."""
    store = place.open()
    budget = Budget(effects=3)
    await admitted(store, worker(place, 0, budget=budget), *range(8))
    told = race(
        place,
        [[[worker(place, racer).leave(n, budget=True)] for n in (2 * racer, 2 * racer + 1)] for racer in range(RACERS)],
    )
    every = parts(told, 0) + parts(told, 1)
    assert (every.count(""), every.count("budget")) == (3, 5)
    assert (await store.run_row(worker(place, 0).run.id)).spent.effects == 3


@pytest.mark.req("1.2b", mutant=None, reason=NO_MUTANT)
async def test_one_purpose_begun_by_many_processes_is_one_run_and_one_effect(place: Postgres) -> None:
    """Four processes begin the same run and propose the same effect: one row each, and three are told that it
    exists.
    """
    acts = worker(place, 0)
    place.open()
    told = race(place, [[[acts.begin()], [acts.propose(1)]] for _ in range(RACERS)])
    for batch in (0, 1):
        assert sorted(parts(told, batch)) == ["", "exists", "exists", "exists"]
    assert len(await place.open().run_effects(acts.run.id)) == 1


async def test_workers_that_touch_the_same_rows_in_opposite_orders_do_not_block_each_other(
    place: Postgres,
) -> None:
    """Batches that name the same rows forwards and backwards end without one being planned anew."""
    store = place.open()
    runs = [worker(place, 0, name=f"run{n}") for n in range(3)]
    for acts in runs:
        await admitted(store, acts, 1)

    def batch(racer: int) -> list[Change]:
        changes = [acts.change(1, acts.draft(1, "escalated", escalated=True)) for acts in runs]
        return changes if racer % 2 else changes[::-1]

    told = race(place, [[batch(racer) for _ in range(15)] for racer in range(RACERS)])
    assert [one["redone"] for one in told] == [0] * RACERS
    assert {verdict["part"] for one in told for verdicts in one["verdicts"] for verdict in verdicts} == {""}
    for acts in runs:
        assert (await store.read(acts.id(1))).effect.version == 2 + 15 * RACERS
        store.verify()


async def test_tokens_rise_on_each_resource_across_processes(place: Postgres) -> None:
    """Processes that take and free one resource in turn get tokens that rise in the order in which they had
    it.
    """
    store = place.open()
    acts = worker(place, 0)
    await admitted(store, acts, 1)
    again = [[acts.claim(1)], [acts.change(1, acts.draft(1, "released"), states=(State.CLAIMED,))]]
    told = race(place, [again * 6 for _ in range(3)])
    given = [v["token"] for one in told for batch in one["verdicts"][::2] for v in batch if v["token"]]
    claimed = [entry.token for entry in store.entries(acts.run.id) if entry.kind == "claimed"]
    assert claimed == sorted(set(claimed))
    assert sorted(given) == claimed


# -- one transaction held open ------------------------------------------------------------------------------


class Held:
    """Stops one store between its locks and its writes, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: PostgresStore) -> None:
        self.written = threading.Event()
        self.go = threading.Event()
        write = PostgresBatch._write

        def wait_and_write(batch: PostgresBatch, *rest: Any) -> Any:
            if batch._db is writing(store):
                self.written.set()
                assert self.go.wait(LIMIT_S)
            return write(batch, *rest)

        monkeypatch.setattr(PostgresBatch, "_write", wait_and_write)


def writing(store: PostgresStore) -> Any:
    """The connection by which a store writes."""
    return store._writer._link._session.db


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


def waiting(place: Postgres, store: PostgresStore) -> bool:
    """Whether the server says that this store's writer waits for a lock."""
    query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    return bool(place.admin.execute(query, (writing(store).info.backend_pid,)).fetchone()[0])


async def test_a_claim_waits_for_the_claim_before_it_and_then_loses(place, monkeypatch) -> None:
    """While one claim is written and not committed, another of its effect waits; then it sees the state."""
    one, two = place.open("first"), place.open("second")
    await admitted(one, worker(place, 1), 1)
    held = Held(monkeypatch, one)
    first = asyncio.create_task(one.commit(worker(place, 1).claim(1)))
    await until(held.written.is_set)
    second = asyncio.create_task(two.commit(worker(place, 2).claim(1)))
    await until(lambda: waiting(place, two))
    held.go.set()
    assert applied(await first).holder == "worker-1"
    assert rejected(await second) == "state"


@pytest.mark.req("2.5c", mutant=None, reason=NO_MUTANT)
async def test_a_halt_waits_for_the_dispatch_before_it_and_stops_all_after_it(place, monkeypatch) -> None:
    """A halt is recorded only after a dispatch that already looked; what looks afterwards does not leave."""
    one, two = place.open("first"), place.open("second")
    acts = worker(place, 1)
    await admitted(one, acts, 1, 2)
    epochs = (await one.read(acts.id(1))).epochs
    held = Held(monkeypatch, one)
    dispatch = asyncio.create_task(one.commit(acts.leave(1, epochs=epochs)))
    await until(held.written.is_set)
    halt = asyncio.create_task(two.commit(acts.fact("halt:store", raised=True)))
    await until(lambda: waiting(place, two))
    assert not halt.done()
    held.go.set()
    assert applied(await dispatch).state is State.DISPATCHED
    assert isinstance(await halt, Applied)
    assert rejected(await one.commit(acts.leave(2, epochs=epochs))) == "halt"


async def test_a_dispatch_waits_for_the_halt_before_it_and_does_not_leave(place, monkeypatch) -> None:
    """A dispatch that meets a halt being recorded waits for it and is rejected."""
    one, two = place.open("first"), place.open("second")
    acts = worker(place, 1)
    await admitted(one, acts, 1)
    epochs = (await one.read(acts.id(1))).epochs
    held = Held(monkeypatch, one)
    halt = asyncio.create_task(one.commit(acts.fact("halt:store", raised=True)))
    await until(held.written.is_set)
    dispatch = asyncio.create_task(two.commit(acts.leave(1, epochs=epochs)))
    await until(lambda: waiting(place, two))
    held.go.set()
    assert isinstance(await halt, Applied)
    assert rejected(await dispatch) == "halt"


def without(place: Postgres, name: str, text: str = "") -> None:
    """One of the functions that a commit calls, without this text of it, or without doing anything."""
    named = place.admin.execute(
        "SELECT oid FROM pg_proc WHERE proname = %s AND pronamespace = %s::regnamespace", (name, place.schema)
    ).fetchone()
    (made,) = place.admin.execute("SELECT pg_get_functiondef(%s)", named).fetchone()
    if text:
        assert text in made
        made = made.replace(text, "")
    else:
        made = made[: made.index("DECLARE")] + "BEGIN END $function$"
    place.admin.execute(made)


async def test_without_the_lock_on_names_a_dispatch_slips_past_a_halt(place, monkeypatch) -> None:
    """The test above sees the lock: with that one statement taken away the dispatch does not wait, and
    leaves.
    """
    one, two = place.open("first"), place.open("second")
    acts = worker(place, 1)
    await admitted(one, acts, 1)
    epochs = (await one.read(acts.id(1))).epochs
    without(place, "lock_names")
    held = Held(monkeypatch, one)
    halt = asyncio.create_task(one.commit(acts.fact("halt:store", raised=True)))
    await until(held.written.is_set)
    assert applied(await two.commit(acts.leave(1, epochs=epochs))).state is State.DISPATCHED
    held.go.set()
    assert isinstance(await halt, Applied)


async def test_without_row_locks_the_second_line_still_lets_only_one_claim_pass(place, monkeypatch) -> None:
    """With the row locks taken away the claim that writes later is undone by the database: nothing of it stands."""
    one, two = place.open("first"), place.open("second")
    acts = worker(place, 1)
    await admitted(one, acts, 1)
    await two.commit(acts.begin())
    without(place, "lock_names")
    without(place, "hold", " FOR UPDATE")
    held = Held(monkeypatch, one)
    first = asyncio.create_task(one.commit(acts.claim(1)))
    await until(held.written.is_set)
    assert applied(await two.commit(worker(place, 2).claim(1))).holder == "worker-2"
    held.go.set()
    with pytest.raises(OurBug):
        await first
    assert [entry.kind for entry in one.entries(acts.run.id)][-2:] == ["admitted", "claimed"]
    one.verify()


async def test_workers_on_different_runs_do_not_wait_for_each_other(place, monkeypatch) -> None:
    """While one worker's claim is not committed, another's on another run and resource goes through, with a
    higher token.
    """
    one, two = place.open("first"), place.open("second")
    mine, theirs = worker(place, 1, name="mine"), worker(place, 2, name="theirs")
    await admitted(one, mine, 1)
    await admitted(two, theirs, 1)
    epochs = (await one.read(mine.id(1))).epochs[:1]
    held = Held(monkeypatch, one)
    first = asyncio.create_task(one.commit(mine.leave(1, epochs=epochs, released=True)))
    await until(held.written.is_set)
    later = applied(await two.commit(theirs.leave(1, epochs=epochs, released=True)))
    assert not first.done()
    held.go.set()
    assert applied(await first).token < later.token


@pytest.mark.req("1.1b", mutant=None, reason="a real process is killed between its writes and its commit")
async def test_a_worker_killed_before_its_commit_leaves_nothing_and_blocks_nobody(place: Postgres) -> None:
    """A process that is killed with everything written and nothing committed leaves no entry, and the next
    one claims.
    """
    store = place.open()
    await admitted(store, worker(place, 0), 1)
    before = len(store.entries(worker(place, 0).run.id))
    child = contender(place, [[worker(place, 7).claim(1)]], "hang")
    try:
        assert child.stdout.readline() == "ready\n"
        assert child.stdout.readline() == "holding\n"
        claim = asyncio.create_task(store.commit(worker(place, 0).claim(1)))
        await until(lambda: waiting(place, store))
    finally:
        child.kill()
        child.wait()
    assert applied(await claim).holder == "worker-0"
    kinds = [entry.kind for entry in store.entries(worker(place, 0).run.id)]
    assert kinds[before:] == ["claimed"]


async def test_a_caller_that_is_cancelled_does_not_cut_its_transaction(place, monkeypatch) -> None:
    """A change whose caller went away between writes and commit is recorded whole, and the next caller is
    served.
    """
    store = place.open()
    acts = worker(place, 1)
    await admitted(store, acts, 1, 2)
    held = Held(monkeypatch, store)
    task = asyncio.create_task(store.commit(acts.claim(1)))
    await until(held.written.is_set)
    task.cancel()
    held.go.set()
    assert applied(await store.commit(acts.claim(2))).state is State.CLAIMED
    assert (await store.read(acts.id(1))).effect.state is State.CLAIMED
    assert task.cancelled()
