"""Workers claim, drive, give back, take over and drain; the outside's own books judge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast.effect import reconcile
from holdfast.kernel.canon import decode
from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.errors import BadValue, RunHeld
from holdfast.runtime import people
from holdfast.runtime.worker.listing import workers
from tests.unit.runtime.worker.floor import ALL, Charges, Floor, Raises, job, submitted, until


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    """One floor a test."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return Floor(tmp_path)


async def expire(app, worker: str) -> None:
    """Let a worker's lease be over, as a pause would, without waiting for it."""
    row = app.store.document("worker", worker)
    await app.store.commit(Change(run=STORE_RUN_ID, documents=(replace(row, lease_ms=-1),)))


@pytest.mark.req("1.4a", mutant="claim-without-comparison")
async def test_several_workers_drive_each_queued_run_once(floor: Floor) -> None:
    """Four workers on twenty runs: each run has one change outside and one drive, and no worker is left with any."""
    async with floor.open() as a, floor.open() as b, floor.open() as c, floor.open() as d:
        runs = [await submitted(a, f"o{n}") for n in range(20)]
        async with asyncio.timeout(10):
            shifts = await asyncio.gather(*(app.work(Charges, stays="empty", at_once=3) for app in (a, b, c, d)))
        assert sorted(floor.books.values()) == [1] * 20
        assert [job(a, run).state for run in runs] == ["done"] * 20
        assert sum(shift.done for shift in shifts) == 20
        drives = [sum(e.kind == "drive" for e in a.store.entries(run)) for run in runs]
        assert drives == [1] * 20
        assert a.store.lanes("job") == {}


@pytest.mark.req("1.4a", "1.4c", mutant="drive-without-token")
async def test_a_worker_whose_run_was_taken_over_changes_nothing_more_and_is_recorded(floor: Floor) -> None:
    """The slow worker's outcome is kept, its next act is refused with both tokens, and the other one ends the run."""
    async with floor.open() as slow, floor.open() as quick:
        run = await submitted(slow, "o1")
        floor.gate.clear()
        first = slow.shift(Charges)
        task = asyncio.create_task(first.work())
        await floor.entered.wait()
        before = job(slow, run)
        await expire(slow, first.id)
        second = quick.shift(Charges, stays="empty")
        done = asyncio.create_task(second.work())
        await until(lambda: job(quick, run).holder == second.id)
        floor.gate.set()
        assert (await done).taken_over == 1
        first.drain("the test is over")
        assert (await task).lost == 1
        assert job(slow, run).state == "done"
        assert list(floor.books.values()) == [1]
        late = [decode(e.body) for e in slow.store.entries(run) if e.kind == "late" and not e.effect]
        assert len(late) == 1
        assert (late[0]["offered"], late[0]["offered_by"]) == (before.token, first.id)
        assert late[0]["current"] > before.token
        shown = {one.row.id: one for one in workers(slow.store)}
        assert [one.said["offered"] for one in shown[first.id].refused] == [before.token]


@pytest.mark.req("1.4b", mutant="truth-refused-with-the-run")
async def test_what_happened_outside_is_recorded_by_whoever_lost_the_run(floor: Floor) -> None:
    """The body of a worker that lost the run acknowledges: the effect is committed on its word, under its own token."""
    async with floor.open() as slow:
        run = await submitted(slow, "o1")
        floor.gate.clear()
        first = slow.shift(Charges)
        task = asyncio.create_task(first.work())
        await floor.entered.wait()
        taken = replace(job(slow, run), holder="wo_other", token=-1)
        await slow.store.commit(Change(run=run, documents=(taken,)))
        floor.gate.set()
        await until(lambda: slow.store.effects(run=run)[0].state.value == "committed")
        first.drain("the test is over")
        assert (await task).lost == 1
        assert job(slow, run).holder == "wo_other"


@pytest.mark.req("1.6b", mutant=None, reason="the count of tries is planted among the moves of jobs")
async def test_a_planner_that_raises_makes_a_dead_letter_with_an_owner_and_holds_up_nobody(floor: Floor) -> None:
    """Each raise is a try with a pause; the others' runs are done, and the last try leaves a dead letter."""
    async with floor.open() as app:
        bad = await submitted(app, "bad", planner="bad", owner="anna")
        await app.store.commit(Change(run=bad, documents=(replace(job(app, bad), most_tries=1),)))
        good = await submitted(app, "good")
        await app.work({"": Charges, "bad": Raises}, stays="empty")
        assert (job(app, bad).state, job(app, bad).owner) == ("dead", "anna")
        assert job(app, good).state == "done"


@pytest.mark.req("1.4a", mutant="versions-ignored")
async def test_a_worker_that_lacks_the_version_in_force_takes_nothing_and_says_so(floor: Floor) -> None:
    """A changed contract that nobody accepted: its worker claims no run, and its row names the tool."""
    async with floor.open() as old:
        run = await submitted(old, "o1")
        async with floor.open(words="Charge one order, differently.") as new:
            shift = new.shift(Charges)
            task = asyncio.create_task(shift.work())
            await asyncio.sleep(0.2)
            [row] = [one.row for one in workers(new.store) if one.row.id == shift.id]
            assert [lack.partition(":")[0] for lack in row.lacks] == ["charge"]
            assert job(old, run).state == "queued"
            shift.drain("the test is over")
            worked = await task
        assert worked.drives == 0
        assert (await old.work(Charges, stays="empty")).done == 1


@pytest.mark.req("1.4a", mutant="drain-keeps-its-claims")
async def test_a_drain_gives_back_at_once_and_counts_no_try(floor: Floor) -> None:
    """A worker asked to end in the middle of a run lets it go: the run is queued, due now, and untried."""
    async with floor.open() as app:
        run = await submitted(app, "o1")
        floor.gate.clear()
        shift = app.shift(Charges, grace_s=0.05)
        task = asyncio.create_task(shift.work())
        await floor.entered.wait()
        shift.drain("a deploy")
        await task
        now = job(app, run)
        assert (now.state, now.holder, now.tries) == ("queued", "", 0)
        assert now.not_before_ms <= app.store.now_ms()
        floor.gate.set()


async def test_a_program_does_not_drive_what_a_worker_drives(floor: Floor) -> None:
    """``run.drive`` claims the run's job, and says who has it while another worker that is there does."""
    async with floor.open() as worker, floor.open() as program:
        run = await submitted(worker, "o1")
        floor.gate.clear()
        shift = worker.shift(Charges)
        task = asyncio.create_task(shift.work())
        await floor.entered.wait()
        handle = program.handle(program.store.run(run))
        with pytest.raises(RunHeld, match=shift.id):
            await handle.drive(Charges())
        floor.gate.set()
        await until(lambda: job(worker, run).state == "done")
        shift.drain("the test is over")
        await task
        other = await submitted(program, "o2")
        report = await program.handle(program.store.run(other)).drive(Charges())
        assert (report.state, job(program, other).state) == ("done", "done")


@pytest.mark.parametrize("lease_ms", [0, 299, 3_600_001, True, 30_000.0])
async def test_a_lease_that_nobody_could_wait_for_is_refused(floor: Floor, lease_ms: int) -> None:
    """Between 300 ms and an hour, as a whole number: what lies beyond claims nothing."""
    async with floor.open() as app:
        with pytest.raises(BadValue, match="300 ms to 3600000 ms"):
            app.shift(Charges, lease_ms=lease_ms)
        assert app.shift(Charges, lease_ms=3_600_000).worked().drives == 0


@pytest.mark.req("1.4c", mutant="recovery-past-the-driver")
async def test_a_worker_sends_nothing_anew_for_a_run_that_another_drives(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply was lost, and the run is another's by now: the keyed resend is left to that one, until it is gone."""
    sent: list[str] = []

    @hf.tool(effect="idempotent", resource="order:{order}", identity=("order",), keyed="24h", owner="ops",
             no_probe="its outside keeps keys", timeout="10s")  # fmt: skip
    async def charge(fx: hf.Fx, *, order: str) -> dict[str, str]:
        """Charge one order."""
        sent.append(fx.key)
        if len(sent) == 1:
            raise ConnectionError("the reply was lost")
        return {"order": order}

    def opened() -> hf.App:
        return hf.open(floor.url, tools=[charge], policy=ALL, environment="prod", recover=False)

    async with opened() as stale, opened() as driving:
        run = await submitted(stale, "o1")
        with monkeypatch.context() as not_yet:
            not_yet.setattr(reconcile, "_resend", AsyncMock(return_value=None))
            outcome = await (await stale.resume(run)).call(charge(order="o1"), patience=0)
        assert isinstance(outcome, hf.Unknown)
        held = await driving.holding.claim(job(driving, run))
        assert held is not None
        await until(lambda: stale.store.now_ms() > stale.store.effects(run=run)[0].due_ms)
        await stale.recover()
        assert len(sent) == 1
        await expire(stale, driving.holding.heart.id)
        await stale.recover()
        assert sent == [sent[0]] * 2
        assert stale.store.effects(run=run)[0].state == "committed"


@pytest.mark.req("2.5a", mutant="halt-of-a-queue-unheard")
async def test_a_halted_class_of_work_is_claimed_by_nobody_until_it_is_lifted(floor: Floor) -> None:
    """Halted from a terminal, its runs stay due; those of another class are driven; lifted, they are."""
    async with floor.open() as app:
        letters = await submitted(app, "o1", work_class="mail")
        others = await submitted(app, "o2", work_class="parcels")
        people.halt(app.store, "queue:mail", who="ann", reason="the printer is broken")
        assert (await app.work(Charges, stays="drain")).done == 1
        assert (job(app, letters).state, job(app, others).state) == ("queued", "done")
        people.lift(app.store, "queue:mail", who="ann", reason="it prints again")
        assert (await app.work(Charges, stays="empty")).done == 1
        assert job(app, letters).state == "done"
