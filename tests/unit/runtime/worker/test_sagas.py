"""Sagas among workers: taken up when their program is gone, woken by a person's word, ended with their run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

import holdfast as hf
from examples.travel import providers
from examples.travel.tools import TOOLS, book, send
from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.documents import Saga
from holdfast.kernel.errors import RunHeld
from holdfast.report.worker import workers_page
from holdfast.runtime.planner import Scripted
from holdfast.runtime.saga import people as words
from holdfast.runtime.worker.listing import workers
from tests.unit.runtime.worker.floor import ALL, job, until

OWNER = "travel desk"
TRIP = hf.Intent(goal="travel", purpose="trip", principal="agent")


class Said(NamedTuple):
    """A person's word."""

    who: str = "ann"
    vouched_by: str = "the test"
    reason: str = "looked at it"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and providers that are all up."""
    monkeypatch.setenv("TRAVEL_BOOKS", str(tmp_path / "books.db"))
    monkeypatch.setenv("TRAVEL_DOWN", "")
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def opened(place: Path, environment: str = "prod") -> hf.App:
    """One more application on the store."""
    return hf.open(f"sqlite:{place}/s.db", tools=TOOLS, policy=ALL, environment=environment)


def steps(trip: str = "t") -> list[hf.Step]:
    """A room, a payment, a message, all of them data."""
    return [
        hf.Step("room", book(what="room", trip=trip), tell=("hotel",)),
        hf.Step("pay", send(what="payment", trip=trip), kind="irreversible", tell=("bank",)),
        hf.Step("mail", send(what="mail", trip=trip), kind="irreversible", tell=("clerk",), tries=2),
    ]


def saga(app: hf.App) -> Saga:
    """The one saga as it is recorded."""
    (found,) = app.store.documents("saga")
    assert isinstance(found, Saga)
    return found


async def state(app: hf.App, run: str) -> str:
    """The run's state and reason."""
    row = await app.store.run_row(run)
    assert row is not None
    return f"{row.state}: {row.reason}"


class Stuck:
    """A maker of calls that waits in another process's place: the program hangs between two steps."""

    def __init__(self, app: hf.App, monkeypatch: pytest.MonkeyPatch) -> None:
        """The application's bodies wait at the payment until the gate opens."""
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        honest = app.ports.body.send

        async def send(request: Any) -> Any:
            if request.args.get("what") == "payment":
                self.entered.set()
                await self.gate.wait()
            return await honest(request)

        monkeypatch.setattr(app.ports.body, "send", send)


@pytest.mark.req("1.9b", mutant="saga-without-a-job")
async def test_a_worker_finds_a_saga_whose_program_is_gone_and_ends_it_and_its_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program hangs in the payment past its lease: a worker ends the saga, once a step, and the program is told."""
    async with opened(place) as program, opened(place) as other:
        stuck = Stuck(program, monkeypatch)
        run = await program.begin(TRIP)
        carried = asyncio.create_task(run.saga("trip", steps(), owner=OWNER, ends=True))
        await stuck.entered.wait()
        row = program.store.document("worker", program.holding.heart.id)
        await program.store.commit(Change(run=STORE_RUN_ID, documents=(replace(row, lease_ms=-1),)))
        shift = other.shift(lambda: Scripted([]))
        task = asyncio.create_task(shift.work())
        await until(lambda: job(other, run.id).holder == shift.id)
        stuck.gate.set()
        report = await carried
        await until(lambda: job(other, run.id).state == "done")
        shift.drain("the test is over")
        worked = await task
        assert (worked.drives, worked.done, worked.taken_over, worked.lost) == (1, 1, 1, 0)
        assert saga(other).state == "completed"
        assert (await state(other, run.id)).startswith("done: saga trip is completed")
    assert report.state in ("waiting", "completed")
    assert sorted(providers.lines()) == ["mail t", "payment t", "room t"]


@pytest.mark.req("1.9b", mutant="saga-without-a-job")
async def test_a_saga_of_a_queued_run_claims_its_job(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a program carries the saga of a submitted run no worker takes it; then it is driven by its planner."""
    async with opened(place) as program, opened(place) as other:
        stuck = Stuck(program, monkeypatch)
        run = (await program.submit(TRIP)).unwrap()
        carried = asyncio.create_task(run.saga("trip", steps(), owner=OWNER))
        await stuck.entered.wait()
        assert (job(other, run.id).state, job(other, run.id).holder) == ("claimed", program.holding.heart.id)
        listed = workers_page(workers(other.store), other.store.now_ms(), limit=5)
        assert "nothing from the queue" in "".join(span.text for line in listed.lines for span in line)
        assert (await other.work(lambda: Scripted([]), stays="drain")).drives == 0
        with pytest.raises(RunHeld):
            await (await other.resume(run.id)).saga("trip")
        stuck.gate.set()
        assert (await carried).state == "completed"
        assert job(other, run.id).state == "queued"
        worked = await other.work(lambda: Scripted([hf.Answer(done=True)]), stays="empty")
        assert (worked.drives, worked.done) == (1, 1)
        assert (await state(other, run.id)).startswith("done")


@pytest.mark.parametrize(
    ("down", "ends", "reached"),
    [("", True, "done"), ("payment", True, "stopped"), ("", False, "open"), ("payment", False, "open")],
)
@pytest.mark.req("1.9c", mutant="saga-leaves-its-run-open")
async def test_a_run_ends_with_its_saga_where_that_was_declared(
    place: Path, monkeypatch: pytest.MonkeyPatch, down: str, ends: bool, reached: str
) -> None:
    """Done only where it is completed, stopped where it is compensated; else it stays open, and its job is over."""
    monkeypatch.setenv("TRAVEL_DOWN", down)
    async with opened(place) as app:
        run = await app.begin(TRIP)
        report = await run.saga("trip", steps(), owner=OWNER, ends=ends)
        assert report.state == ("compensated" if down else "completed")
        assert (await state(app, run.id)).partition(":")[0] == reached, await state(app, run.id)
        assert job(app, run.id).state in ("done", "dropped")
        assert app.store.lanes("job") == {}


@pytest.mark.req("1.9c", mutant="saga-word-wakes-nobody")
async def test_a_persons_word_lets_a_worker_go_on_and_an_accepted_end_ends_the_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partly compensated, its job waits for a person; retried, a worker goes on; accepted, the run is stopped."""
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    async with opened(place) as app, opened(place) as other:
        run = await app.begin(TRIP)
        assert (await run.saga("trip", steps(), owner=OWNER, ends=True)).state == "partly compensated"
        assert (job(app, run.id).state, job(app, run.id).waits) == ("queued", "saga")
        shift = other.shift(lambda: Scripted([]), sweep_ms=20)
        task = asyncio.create_task(shift.work())
        words.retry(app.store, f"{run.id}/trip", Said())
        await until(lambda: sum(e.kind == "drive_ended" for e in app.store.entries(run.id)) >= 2 or task.done())
        assert (saga(app).steps[2].tried, saga(app).state) == (4, "partly compensated")
        monkeypatch.setenv("TRAVEL_DOWN", "")
        words.accept(app.store, f"{run.id}/trip", Said())
        assert (await state(app, run.id)).startswith("stopped: saga trip is partly compensated, and accepted by ann")
        await until(lambda: job(app, run.id).state in ("done", "dropped"))
        shift.drain("the test is over")
        assert (await task).lost == 0
    assert providers.lines() == ["room t", "payment t"]


@pytest.mark.req("1.9c", mutant="saga-tells-the-old-failure")
async def test_a_retry_tells_nobody_the_failure_that_they_were_told_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the end that needs a person the clerk is told of what is new alone: that it is there now."""
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    async with opened(place) as app:
        run = await app.begin(TRIP)
        before = await run.saga("trip", steps(), owner=OWNER)
        failed = saga(app).steps[2].effect
        assert any(failed in one["what"] for one in before.told)
        words.retry(app.store, f"{run.id}/trip", Said())
        assert saga(app).why == ""
        monkeypatch.setenv("TRAVEL_DOWN", "")
        after = await run.saga("trip", steps(), owner=OWNER)
        assert after.state == "completed"
        news = [one["what"] for one in after.told[len(before.told) :]]
        assert news
        assert not [what for what in news if failed in what], news


async def test_a_saga_is_a_planner_of_queued_runs_and_they_end_with_it(place: Path) -> None:
    """Submitted by reference; a worker that knows the saga by that name makes it of the run, and ends the run."""

    def trip(run: hf.RunHandle) -> hf.Saga:
        return hf.Saga("trip", steps(run.record.purpose), OWNER)

    async with opened(place) as app:
        run = (await app.submit(TRIP, planner="saga:trip")).unwrap()
        worked = await app.work({"saga:trip": trip}, stays="empty")
        assert (worked.drives, worked.done) == (1, 1)
        assert (await state(app, run.id)).startswith("done: saga trip is completed")
    assert providers.lines() == ["room trip", "payment trip", "mail trip"]


async def test_a_worker_takes_no_run_of_another_environment(place: Path) -> None:
    """What was submitted for production waits for a worker of production."""
    async with opened(place) as app:
        run = (await app.submit(TRIP, planner="saga:trip")).unwrap()
        async with opened(place, environment="dev") as dev:
            assert (await dev.work({"saga:trip": hf.Saga("trip", steps())}, stays="drain")).drives == 0
        assert job(app, run.id).state == "queued"
    assert providers.lines() == []


async def test_what_a_worker_gives_back_is_not_lost(place: Path) -> None:
    """A run that waits for a person is given back, and the worker says so at its end."""
    asks = '@id("asks") permit(principal, action, resource) when { context.approved };'
    async with hf.open(f"sqlite:{place}/s.db", tools=TOOLS, policy=asks, environment="prod") as app:
        (await app.submit(TRIP, planner="saga:trip")).unwrap()
        worked = await app.work({"saga:trip": hf.Saga("trip", steps(), OWNER)}, stays="empty")
        assert (worked.drives, worked.done, worked.ended, worked.given_back, worked.lost) == (1, 0, 0, 1, 0)
