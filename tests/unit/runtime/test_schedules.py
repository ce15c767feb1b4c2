"""Schedules: every slot begins one run, whoever looks, however often, and whatever happened to the clock meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast.kernel.documents import Schedule
from holdfast.kernel.errors import BadPurpose, BadValue, ReasonMissing
from holdfast.runtime import schedules
from holdfast.runtime.begin import OwnIntent
from holdfast.runtime.cancel import cancel
from holdfast.runtime.clerk import Clerk
from holdfast.runtime.queue_slots import DAY_MS
from holdfast.runtime.schedules import Terms, decided, declare, due_slots, key, purpose_of, replacing, sweep
from holdfast.store.memory import MemoryStore
from tests.unit.runtime.worker.floor import Charges, Floor

HOUR_MS = 3_600_000
START_MS = 1_774_224_000_000  # 2026-03-23 00:00 UTC, a Monday


class Hall:
    """Several workers over one store in memory, with a clock that a test moves."""

    def __init__(self) -> None:
        """Nothing is scheduled."""
        self.ms = START_MS
        self.jumped = 0
        self.store: Any = MemoryStore(lambda: self.ms).face("w")
        self.store.clock_jumped_ms = lambda: self.jumped

    def worker(self, limits: hf.Limits | None = None) -> Any:
        """One more worker's desk."""
        return Clerk(self.store, me="w", environment="prod", tenant="default", limits=limits)

    async def add(self, cron: str = "0 7 * * *", zone: str = "UTC", **terms: Any) -> Schedule:
        """A schedule of the morning report."""
        wanted = hf.Intent(goal="report", purpose="report", principal="ann")
        return await declare(self.worker(), self.store, "report", wanted, cron, zone, Terms(**terms), who="ann")

    def now(self) -> Schedule:
        """It, as it is recorded."""
        found = self.store.document("schedule", key("default", "prod", "report"))
        assert isinstance(found, Schedule)
        return found

    def put(self, schedule: Schedule) -> None:
        """As somebody else writes it."""
        verdict = self.store.commit_now(replacing(self.now(), schedule, "ann", "changed"))
        assert type(verdict).__name__ == "Applied"

    def purposes(self) -> list[str]:
        """What was begun, in order."""
        return [run.purpose for run in self.store.books.runs.values() if run.id != "ru_store"]


async def test_a_slot_begins_one_run_with_its_job_on_the_terms_of_the_schedule() -> None:
    """At its time, and not before, a slot begins a queued run whose purpose names it; the schedule goes on."""
    hall = Hall()
    await hall.add(priority=7, work_class="reports", planner="clerk", owner="ops")
    early = await sweep(hall.worker(), hall.store)
    hall.ms += 7 * HOUR_MS
    begun = await sweep(hall.worker(), hall.store)
    again = await sweep(hall.worker(), hall.store)
    [job] = hall.store.documents("job")
    assert (early.begun, again.begun) == ((), ())
    assert begun.begun == (job.id,)
    assert hall.purposes() == ["holdfast:schedule/report @ 2026-03-23T07:00Z"]
    assert (job.priority, job.work, job.planner, job.owner, job.state) == (7, "reports", "clerk", "ops", "queued")
    assert hall.now().next_ms == START_MS + DAY_MS + 7 * HOUR_MS


@pytest.mark.req("1.6b", mutant="slot-apart")
async def test_eight_workers_at_one_slot_begin_it_once() -> None:
    """Eight sweeps at the same instant begin one run, and the schedule moves on by one slot."""
    hall = Hall()
    await hall.add()
    hall.ms += 7 * HOUR_MS
    time = hall.store.time

    async def slow() -> int:
        await asyncio.sleep(0.001)  # so that all of them have looked before one of them commits
        return await time()

    hall.store.time = slow
    swept = await asyncio.gather(*(sweep(hall.worker(), hall.store) for _ in range(8)))
    assert sum(len(one.begun) for one in swept) == 1
    assert len(hall.purposes()) == 1


@pytest.mark.req("1.6b", mutant="slot-apart")
@pytest.mark.parametrize("commits", [0, 1])
async def test_a_worker_that_is_killed_at_a_slot_leaves_it_begun_once_or_not_at_all(commits: int) -> None:
    """Killed before or after its commit, run and step of the schedule are there together; the next sweep is right."""
    hall = Hall()
    await hall.add()
    hall.ms += 7 * HOUR_MS
    commit, made = hall.store.commit, []

    async def killed(change: Any) -> Any:
        if len(made) == commits:
            raise asyncio.CancelledError
        made.append(change)
        return await commit(change)

    hall.store.commit = killed
    if commits:
        assert (await sweep(hall.worker(), hall.store)).begun
    else:
        with pytest.raises(asyncio.CancelledError):
            await sweep(hall.worker(), hall.store)
    hall.store.commit = commit
    moved = hall.now().next_ms > hall.ms
    assert moved == bool(hall.purposes()), "the run of a slot and the step of its schedule are one commit"
    await sweep(hall.worker(), hall.store)
    assert len(hall.purposes()) == 1


@pytest.mark.req("1.6b", mutant="slot-is-a-time")
async def test_a_schedule_that_was_put_back_begins_no_slot_again() -> None:
    """With its next slot moved back, as after a restore, the slot's run is found, also when it is done by then."""
    hall = Hall()
    await hall.add()
    before = hall.now()
    hall.ms += 7 * HOUR_MS
    [run] = (await sweep(hall.worker(), hall.store)).begun
    slot = OwnIntent(goal="x", purpose="holdfast:schedule/report @ 2026-03-23T07:00Z", principal="ann")
    handle = (await hall.worker().submit(slot)).run
    row = hall.store.books.runs[run]
    hall.store.books.runs[run] = replace(row, state="done")
    hall.put(replace(before, again_ms=1))
    assert handle.id == run
    assert (await sweep(hall.worker(), hall.store)).begun == ()
    assert len(hall.purposes()) == 1
    assert hall.now().next_ms > hall.ms


@pytest.mark.req("1.6b", mutant="own-purpose-for-all")
async def test_nobody_takes_a_slot_before_it_is_begun() -> None:
    """Its purpose is refused to whoever begins, submits or schedules, however it is spelt; the slot is begun."""
    hall = Hall()
    await hall.add()
    slot = purpose_of(hall.now(), hall.now().next_ms)
    for purpose in (slot, f"  {slot} ", slot.replace("holdfast:", "Holdfast:"), "holdfast:drift/dr_1"):
        wanted = hf.Intent(goal="report", purpose=purpose, principal="ann")
        with pytest.raises(BadPurpose, match="begins by itself"):
            await hall.worker().submit(wanted)
        with pytest.raises(BadPurpose, match="begins by itself"):
            await hall.worker().begin(wanted)
        with pytest.raises(BadPurpose, match="begins by itself"):
            await declare(hall.worker(), hall.store, "other", wanted, "0 7 * * *", "UTC", Terms())
    hall.ms += 7 * HOUR_MS
    assert len((await sweep(hall.worker(), hall.store)).begun) == 1
    assert hall.purposes() == [slot]


@pytest.mark.parametrize(
    ("terms", "slots"),
    [
        ({"misses": "last"}, ["27"]),
        ({"misses": "all", "most": 3}, ["25", "26", "27"]),
        ({"misses": "all"}, ["23", "24", "25", "26", "27"]),
        ({"misses": "none"}, []),
    ],
)
@pytest.mark.req("1.6b", mutant="misses-unbounded")
async def test_slots_that_nobody_was_there_for_are_made_up_for_as_agreed(terms: Any, slots: list[str]) -> None:
    """After five days without a worker: the last, the newest of all within the bound, or none; others are counted."""
    hall = Hall()
    await hall.add(**terms)
    hall.ms += 5 * DAY_MS - HOUR_MS
    await sweep(hall.worker(), hall.store)
    assert hall.purposes() == [f"holdfast:schedule/report @ 2026-03-{day}T07:00Z" for day in slots]
    assert hall.now().next_ms == START_MS + 5 * DAY_MS + 7 * HOUR_MS
    assert bool(hall.now().passed) == (len(slots) < 5)
    hall.ms += 8 * HOUR_MS + 30_000
    hall.put(replace(hall.now(), next_ms=hall.ms - 30_000))
    await sweep(hall.worker(), hall.store)
    assert len(hall.purposes()) == len(slots) + 1, "one that is looked at in time is begun in any case"


async def test_a_slot_on_time_is_begun_also_where_missed_ones_are_not() -> None:
    """With misses="none" a slot that is looked at within a minute is begun."""
    hall = Hall()
    await hall.add(misses="none")
    hall.ms += 7 * HOUR_MS + 20_000
    assert len((await sweep(hall.worker(), hall.store)).begun) == 1


async def test_a_clock_that_jumped_begins_nothing_until_somebody_looked() -> None:
    """While the store's clock is not trusted no slot is due; a clock that went back begins no slot again."""
    hall = Hall()
    await hall.add("0 * * * *")
    hall.ms += HOUR_MS
    await sweep(hall.worker(), hall.store)
    hall.ms, hall.jumped = hall.ms + 3_650 * DAY_MS, 3_650 * DAY_MS
    assert (await sweep(hall.worker(), hall.store)).begun == ()
    hall.ms, hall.jumped = START_MS + HOUR_MS // 2, 0
    assert (await sweep(hall.worker(), hall.store)).begun == ()
    assert len(hall.purposes()) == 1


async def test_a_schedule_that_was_paused_a_moment_ago_begins_nothing() -> None:
    """Paused between a worker's look and its commit, the slot is not begun; resumed, what was missed is passed over."""
    hall = Hall()
    read = await hall.add()
    hall.ms += 7 * HOUR_MS
    hall.put(decided(hall.now(), "pause", who="ann", reason="holidays", now_ms=hall.ms))
    runs, _ = await schedules._slots(hall.worker(), hall.store, read)
    assert runs == []
    hall.ms += 3 * DAY_MS
    resumed = decided(hall.now(), "resume", who="ann", reason="back", now_ms=hall.ms)
    hall.put(resumed)
    assert (await sweep(hall.worker(), hall.store)).begun == ()
    assert hall.purposes() == []
    assert resumed.next_ms == START_MS + 4 * DAY_MS + 7 * HOUR_MS


async def test_a_slot_without_room_waits_and_is_begun_when_there_is_some() -> None:
    """Where the bounds of runs leave no place the slot is submitted again later, and neither lost nor doubled."""
    hall = Hall()
    await hall.add(misses="all")
    limits = hf.Limits(runs=hf.Runs(most=1, retry_after="1m"))
    hall.ms += 7 * HOUR_MS
    await sweep(hall.worker(limits), hall.store)
    hall.ms += DAY_MS
    full = await sweep(hall.worker(limits), hall.store)
    waits = hall.now()
    none = await sweep(hall.worker(limits), hall.store)
    [first] = [run for run in hall.store.books.runs.values() if run.id != "ru_store"]
    cancel(hall.store, first.id, who="ann", vouched_by="test", reason="not wanted")
    hall.ms += 60_000
    begun = await sweep(hall.worker(limits), hall.store)
    assert (full.begun, none.begun) == ((), ())
    assert waits.again_ms == START_MS + DAY_MS + 7 * HOUR_MS + 60_000
    assert waits.next_ms == START_MS + DAY_MS + 7 * HOUR_MS
    assert len(begun.begun) == 1
    assert hall.purposes()[-1] == "holdfast:schedule/report @ 2026-03-24T07:00Z"


async def test_saying_it_again_changes_nothing_and_keeps_what_a_person_decided() -> None:
    """The same declaration writes nothing; another calendar moves the next slot; a paused one stays paused."""
    hall = Hall()
    first = await hall.add()
    entries = len(hall.store.books.entries)
    assert await hall.add() == hall.now() == replace(first)
    assert len(hall.store.books.entries) == entries
    hall.put(decided(hall.now(), "pause", who="ann", reason="holidays", now_ms=hall.ms))
    await hall.add("30 8 * * *")
    assert (hall.now().state, hall.now().next_ms) == ("paused", START_MS + 8 * HOUR_MS + HOUR_MS // 2)


async def test_what_makes_no_sense_is_refused_and_a_decision_needs_a_name_and_a_reason() -> None:
    """A name, a bound, a calendar or a purpose that is none is refused, and nothing is recorded."""
    hall = Hall()
    for bad in ({"misses": "some"}, {"most": 0}, {"most": 10_000}):
        with pytest.raises(BadValue):
            await hall.add(**bad)
    with pytest.raises(BadValue):
        await hall.add("never")
    with pytest.raises(BadValue):
        key("default", "prod", "a/b")
    with pytest.raises(BadPurpose):
        wanted = hf.Intent(goal="x", purpose=" ", principal="ann")
        await declare(hall.worker(), hall.store, "r", wanted, "0 7 * * *", "UTC", Terms())
    assert hall.store.documents("schedule") == []
    known = await hall.add()
    with pytest.raises(ReasonMissing):
        decided(known, "pause", who="ann", reason="", now_ms=hall.ms)
    ended = decided(known, "end", who="ann", reason="not needed", now_ms=hall.ms)
    with pytest.raises(BadValue):
        decided(ended, "resume", who="ann", reason="needed", now_ms=hall.ms)
    assert ended.place is None


def test_which_slots_are_due_is_a_matter_of_the_schedule_and_the_time_alone() -> None:
    """The same schedule at the same time has the same slots due, whoever asks."""
    one = Schedule(id="default/prod/x", cron="0 7 * * *", next_ms=START_MS + 7 * HOUR_MS, misses="all", most=2)
    assert due_slots(one, START_MS) == ([], True)
    assert due_slots(one, START_MS + 10 * DAY_MS) == due_slots(one, START_MS + 10 * DAY_MS)
    assert len(due_slots(one, START_MS + 10 * DAY_MS)[0]) == 2


async def test_a_worker_begins_and_drives_what_is_scheduled(tmp_path: Path) -> None:
    """A worker at work takes up the slot of a schedule by itself, and the outside sees its change once."""
    floor = Floor(tmp_path)
    async with floor.open() as app:
        wanted = hf.Intent(goal="charge", purpose="charge", principal="shop")
        made = await app.schedule("charge", cron="* * * * *", intent=wanted)
        now_ms = app.store.now_ms()
        change = replacing(made, replace(made, next_ms=now_ms - now_ms % 60_000), "test", "earlier")
        assert type(await app.store.commit(change)).__name__ == "Applied"
        shift = app.shift(Charges())
        task = asyncio.create_task(shift.work())
        async with asyncio.timeout(20):
            while not any(job.state == "done" for job in app.store.documents("job")):
                await asyncio.sleep(0.02)
        shift.drain("the test is over")
        await task
    assert floor.books
    assert all(count == 1 for count in floor.books.values())
