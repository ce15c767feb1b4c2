"""Queued work where its carrier is at its worst; the outside's own books say how often each thing was done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.errors import StoreBusy
from holdfast.runtime import jobs
from holdfast.runtime.cancel import cancel
from holdfast.runtime.planner import View
from holdfast.runtime.worker.delivery import deliver
from tests.unit.runtime.worker.floor import ALL, Charges, Floor, Raises, job

LIMITS = hf.Limits(runs=hf.Runs(tries=3, owner="billing"))


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    """One floor a test, where pauses are short."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(jobs, "BACK_OFF_MS", 1)
    return Floor(tmp_path)


def opened(floor: Floor) -> hf.App:
    """An application of the test's environment, with three tries a job."""
    return hf.open(floor.url, tools=[floor.tool()], policy=ALL, environment="prod", limits=LIMITS)


def intent(purpose: str, principal: str = "shop", **terms: Any) -> hf.Intent:
    """One order."""
    return hf.Intent(goal="charge", purpose=purpose, principal=principal, **terms)


async def asked(app: hf.App, purpose: str, principal: str = "shop", deadline: str | None = None, **how: Any) -> str:
    """The reference of one submitted order."""
    return (await app.submit(intent(purpose, principal, deadline=deadline), **how)).unwrap().id


class Broker:
    """Carries references, and does to them what brokers do: twice, late, out of order, or not at all."""

    def __init__(self, seed: int, *, loses: float) -> None:
        """The seed says what happens to which."""
        self._chance, self._loses = random.Random(seed), loses
        self._kept: list[str] = []

    def put(self, reference: str) -> None:
        """One message, kept one to three times, or lost."""
        if self._chance.random() >= self._loses:
            self._kept += [reference] * self._chance.randint(1, 3)

    async def bring(self, *apps: hf.App) -> list[str]:
        """Everything that is kept, in any order, to any consumer, some at once; what each came to."""
        self._chance.shuffle(self._kept)
        came = await asyncio.gather(*(deliver(self._chance.choice(apps), ref, Charges) for ref in self._kept))
        return [one.what for one in came]


def drives(app: hf.App, run: str) -> int:
    """How often a run was driven."""
    return sum(entry.kind == "drive" for entry in app.store.entries(run))


class Steps:
    """Two orders, one after the other, by a planner that remembers nothing of what was done before it was made."""

    def __init__(self, *, dies: bool) -> None:
        """``dies``: its process is ended between the two."""
        self.dies, self.said = dies, 0

    async def propose(self, view: View) -> hf.Answer:
        """The next order of its own count, whatever the record says was done."""
        self.said += 1
        if self.said == 2 and self.dies:
            raise asyncio.CancelledError
        if self.said == 3:
            return hf.Answer(done=True, says="both")
        return hf.Answer(calls=(hf.Proposed("charge", {"order": f"{view.purpose}/{self.said}"}),))


@pytest.mark.req("1.6b", "1.6a", mutant="reference-is-enough")
async def test_what_a_broker_duplicates_reorders_and_loses_is_done_once(floor: Floor) -> None:
    """Thirty references through a broker at its worst to two consumers; a worker finds the rest; each is done once."""
    async with opened(floor) as one, opened(floor) as other:
        broker = Broker(7, loses=0.3)
        runs = [await asked(one, f"o{n}") for n in range(30)]
        for run in runs:
            broker.put(run)
        came = await broker.bring(one, other) + await broker.bring(one, other)
        done_by_broker = floor.books.total()
        async with asyncio.timeout(20):
            await one.work(Charges, stays="empty")
        assert [job(one, run).state for run in runs] == ["done"] * 30
        assert {drives(one, run) for run in runs} == {1}
    assert {"driven", "over"} <= set(came) <= {"driven", "over", "held"}
    assert 0 < done_by_broker < 30
    assert sorted(floor.books.values()) == [1] * 30


@pytest.mark.req("1.6b", "1.6a", mutant="late-goes-on")
async def test_what_comes_late_is_not_done_and_has_an_owner(floor: Floor) -> None:
    """Past its deadline, cancelled, superseded or early when it comes: nothing is done; the late one has an owner."""
    async with opened(floor) as app:
        late = await asked(app, "late", deadline="1ms")
        ended = await asked(app, "cancelled")
        cancel(app.store, ended, who="ann", vouched_by="x", reason="not wanted")
        old = await asked(app, "first")
        new = await asked(app, "second", supersedes="first")
        early = await asked(app, "tomorrow", not_before="1h")
        await asyncio.sleep(0.01)
        came = {name: (await deliver(app, run, Charges)).what
                for name, run in {"late": late, "ended": ended, "old": old, "early": early}.items()}  # fmt: skip
        assert floor.books.total() == 0
        assert (job(app, late).state, job(app, late).owner, app.store.run(late).state) == ("dead", "billing", "blocked")
        assert (await deliver(app, new, Charges)).what == "driven"
        for other in ("ru_0123", "", "ru_\x00", "\ud800", "ru_" + "0" * 5_000, new.upper(), f"{new}\n"):
            brought = await deliver(app, other, Charges)
            assert (brought.what, len(brought.why) < 100) == ("unknown", True)
    assert came == {"late": "late", "ended": "over", "old": "over", "early": "early"}
    assert floor.books.total() == 1


@pytest.mark.req("1.6b", mutant="tries-uncounted")
async def test_a_poison_item_is_tried_a_bounded_number_of_times_and_the_others_go_on(floor: Floor) -> None:
    """It is driven as often as it may be, then a dead letter of its owner, however often it is brought after that."""
    async with opened(floor) as app:
        poison = await asked(app, "poison", planner="bad")
        good = [await asked(app, f"o{n}") for n in range(5)]
        async with asyncio.timeout(10):
            await app.work({"": Charges, "bad": Raises}, stays="empty", at_once=1, look_ms=5)
        again = [(await deliver(app, poison, {"": Charges, "bad": Raises})).what for _ in range(3)]
        letter = job(app, poison)
        assert [job(app, run).state for run in good] == ["done"] * 5
    assert (letter.state, letter.owner, letter.tries) == ("dead", "billing", 3)
    assert again == ["dead"] * 3
    assert sorted(floor.books.values()) == [1] * 5


@pytest.mark.req("1.6b", mutant="each-drive-anew")
async def test_what_a_consumer_did_before_it_died_is_not_done_again(floor: Floor) -> None:
    """A consumer that dies between two effects leaves one; whoever drives the run on does the other, and only that."""
    async with opened(floor) as one, opened(floor) as other:
        run = await asked(one, "two")
        with pytest.raises(asyncio.CancelledError):
            await deliver(one, run, lambda: Steps(dies=True))
        assert floor.books.total() == 1
        await other.resume(run)
        async with asyncio.timeout(10):
            await other.work(lambda: Steps(dies=False), stays="empty", look_ms=5)
        assert job(other, run).state == "done"
    assert sorted(floor.books.values()) == [1, 1]


@pytest.mark.req("1.6b", mutant="acknowledged-apart")
@pytest.mark.parametrize("lost", ["the answer", "the commit"])
async def test_an_end_is_acknowledged_in_its_own_commit(floor: Floor, lost: str) -> None:
    """Whether the last commit or its answer is lost: the run and its job say the same, and nothing is done twice."""
    async with opened(floor) as one, opened(floor) as other:
        run = await asked(one, "o1")
        inner = one.store.commit

        async def cut(change: Any) -> Any:
            if change.ends is None or change.run != run:
                return await inner(change)
            if lost == "the answer":
                await inner(change)
            raise ConnectionError("cut off")

        one.store.commit = cut
        with pytest.raises(ConnectionError):
            await deliver(one, run, Charges)
        one.store.commit = inner
        row, now = other.store.run(run), job(other, run)
        assert (row.state, now.state) == (("done", "done") if lost == "the answer" else ("open", "queued"))
        async with asyncio.timeout(10):
            await other.work(Charges, stays="empty", look_ms=5)
        assert (await deliver(other, run, Charges)).what == "over"
        assert (other.store.run(run).state, job(other, run).state) == ("done", "done")
    assert list(floor.books.values()) == [1]


async def test_who_got_no_answer_to_a_submission_submits_again_and_there_is_one_run(floor: Floor) -> None:
    """The commit arrived and its answer did not, or neither did: said again it is one run, done once."""
    async with opened(floor) as app:
        inner, arrives = app.store.commit, [False, True]

        async def cut(change: Any) -> Any:
            if change.opens is None:
                return await inner(change)
            if arrives.pop(0):
                await inner(change)
            raise StoreBusy(store="it", waited_ms=1, holder="")

        while arrives:
            app.store.commit = cut
            with pytest.raises(StoreBusy):
                await asked(app, "o1")
            app.store.commit = inner
        first, second = await asked(app, "o1"), await asked(app, "o1")
        async with asyncio.timeout(10):
            await app.work(Charges, stays="empty")
        assert len(app.store.runs()) == len(app.store.documents("job")) == 1
    assert first == second
    assert list(floor.books.values()) == [1]


@pytest.mark.req("1.6b", mutant="first-come")
async def test_a_wanted_run_does_not_stand_behind_a_thousand_that_came_before_it(floor: Floor) -> None:
    """Behind cancelled, superseded, later, lower and another's runs, the one that counts is first or second."""
    order: list[str] = []

    class Sees(Charges):
        """Notes whose turn it is."""

        async def propose(self, view: View) -> hf.Answer:
            """As it is, with a note."""
            if not view.told:
                order.append(view.purpose)
            return await super().propose(view)

    async with opened(floor) as app:
        await asyncio.gather(
            *(asked(app, f"later {n}", not_before="1h", priority=9) for n in range(300)),
            *(asked(app, f"low {n}", priority=-5) for n in range(300)),
            *(asked(app, f"flood {n}", "mallory") for n in range(300)),
            *(asked(app, f"gone {n}", priority=9) for n in range(100)),
        )
        gone = [f"gone {n}" for n in range(100)]
        newest = await asked(app, "newest", priority=9, supersedes=gone)
        cancel(app.store, newest, who="ann", vouched_by="x", reason="not wanted")
        wanted = await asked(app, "wanted", "alice")
        shift = app.shift(Sees, at_once=1)
        task = asyncio.create_task(shift.work())
        async with asyncio.timeout(20):
            while job(app, wanted).state != "done":  # the store is no event
                await asyncio.sleep(0.005)
        shift.drain("the one that counts is done")
        await task
    assert "wanted" in order[:2]


@pytest.mark.req("1.6b", mutant="first-come")
async def test_who_floods_the_queue_waits_behind_itself(floor: Floor) -> None:
    """Of two principals each gets every second turn while both wait, however much one of them asked for before."""
    turns: list[str] = []

    class Sees(Charges):
        """Notes whose turn it is."""

        async def propose(self, view: View) -> hf.Answer:
            """As it is, with a note."""
            if not view.told:
                turns.append(view.purpose.split()[0])
            return await super().propose(view)

    async with opened(floor) as app:
        for n in range(40):
            await asked(app, f"mallory {n}", "mallory")
        for n in range(5):
            await asked(app, f"alice {n}", "alice")
        async with asyncio.timeout(20):
            await app.work(Sees, stays="empty", at_once=1)
    assert turns[:10].count("alice") == 5
    assert len(turns) == 45


async def test_of_one_principal_and_priority_the_first_submitted_is_first(floor: Floor) -> None:
    """Ten runs that ask for no time are driven in the order in which they were submitted."""
    turns: list[str] = []

    class Sees(Charges):
        """Notes whose turn it is."""

        async def propose(self, view: View) -> hf.Answer:
            """As it is, with a note."""
            if not view.told:
                turns.append(view.purpose)
            return await super().propose(view)

    async with opened(floor) as app:
        asked_for = [f"o{n}" for n in range(10)]
        for purpose in asked_for:
            await asked(app, purpose)
            await asyncio.sleep(0.002)  # of one instant of the store's clock none is the first
        async with asyncio.timeout(20):
            await app.work(Sees, stays="empty", at_once=1)
    assert turns == asked_for
