"""Sagas of a run: opened once, refused where they differ, stopped by a halt, closed with their run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import holdfast as hf
from examples.travel import providers
from examples.travel.tools import TOOLS, book, send
from holdfast.kernel.documents import Saga, digest_of
from holdfast.kernel.errors import BadSaga, RunStopped, SagaDiffers, SagaNotAtHand
from holdfast.runtime import people
from holdfast.runtime.saga import people as words
from tests import approving

POLICY = Path(__file__).resolve().parents[3] / "examples/travel/policy.cedar"
OWNER = "travel desk"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and providers that are all up."""
    monkeypatch.setenv("TRAVEL_BOOKS", str(tmp_path / "books.db"))
    monkeypatch.setenv("TRAVEL_DOWN", "")
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


ASKS = """
@id("payments-ask") permit (principal, action == Action::"send", resource) when { context.approved };
@id("bookings-pass") permit (principal, action in [Action::"book", Action::"cancel"], resource);
"""


def steps(**more: object) -> list[hf.Step]:
    """A room, and a payment that is made from what it gave."""
    return [
        hf.Step("room", book(what="room", trip="t"), tell=("hotel",)),
        hf.Step("pay", lambda done: send(what="payment", trip=done["room"]["id"]), kind="irreversible", **more),  # type: ignore[arg-type]
    ]


def within(
    place: Path, what: Callable[[hf.App, hf.RunHandle], Awaitable[object]], policy: Path | str = POLICY
) -> object:
    """Do something in the run of one purpose, in an application of its own."""

    async def go() -> object:
        async with hf.open(f"sqlite:{place}/s.db", tools=TOOLS, policy=policy, environment="prod") as app:
            run = await app.begin(hf.Intent(goal="travel", purpose="trip", principal="agent"))
            return await what(app, run)

    return asyncio.run(go())


@pytest.mark.req("1.9a", mutant="saga-differs-unseen")
def test_other_steps_under_a_recorded_name_are_refused_with_the_difference(place: Path) -> None:
    """What is recorded stands, nothing of the other is sent, and the same steps give the same report again."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        first = await run.saga("trip", steps(), owner=OWNER)
        with pytest.raises(SagaDiffers, match="step pay: tell"):
            await run.saga("trip", steps(tell=("bank",)), owner=OWNER)
        seq = (await app.store.run_row(run.id)).seq
        again = await run.saga("trip", steps(), owner=OWNER)
        assert (again.state, again.outcomes.keys()) == (first.state, first.outcomes.keys())
        assert (await app.store.run_row(run.id)).seq == seq
        assert (await run.saga("trip")).state == "completed"
        with pytest.raises(SagaNotAtHand, match="not recorded"):
            await run.saga("tour")

    within(place, work)
    assert providers.lines() == ["room t", "payment room-t"]


def test_two_sagas_of_one_run_with_the_same_steps_are_two_pieces_of_work(place: Path) -> None:
    """What a step is for is named by its saga: another saga's same step is an effect of its own."""

    async def work(_: hf.App, run: hf.RunHandle) -> None:
        one = await run.saga("one", steps()[:1])
        two = await run.saga("two", steps()[:1])
        assert one.record is not None
        assert two.record is not None
        assert one.record.steps[0].effect != two.record.steps[0].effect

    within(place, work)
    assert providers.lines() == ["room t", "room t"]


def test_a_wrong_saga_is_not_begun_at_all(place: Path) -> None:
    """What is wrong is said before anything is recorded."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        with pytest.raises(BadSaga, match="it is called compensable"):
            await run.saga("trip", [hf.Step("pay", send(what="payment", trip="t"))])
        assert app.store.documents("saga") == []

    within(place, work)


def test_a_halt_stops_a_saga_before_its_next_step_and_a_lift_lets_it_go_on(place: Path) -> None:
    """While everything is halted nothing is made and nothing is turned back."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        people.halt(app.store, "store", who="ann", reason="look first")
        report = await run.saga("trip", steps(), owner=OWNER)
        assert report.state == "stopped"
        assert "look first" in report.why
        assert providers.lines() == []
        people.lift(app.store, "store", who="ann", reason="looked")
        assert (await run.saga("trip", steps(), owner=OWNER)).state == "completed"

    within(place, work)


@pytest.mark.req("1.9c", mutant=None, reason="what a run that takes nothing more leaves; telling is mutated elsewhere")
def test_a_run_that_ended_leaves_its_saga_with_what_stands_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is cancelled between two steps: the room stands, its owner moves, and everybody concerned is told."""
    monkeypatch.setenv("TRAVEL_DOWN", "payment")

    async def work(_: hf.App, run: hf.RunHandle) -> None:
        def broken(done: object) -> hf.Call:
            raise LookupError("no such card")

        declared = [*steps()[:1], hf.Step("pay", broken, kind="irreversible")]
        held = await run.saga("trip", declared, owner=OWNER)
        assert (held.state, held.owner) == ("held", OWNER)
        assert "no such card" in held.why
        await run.stop("the customer called")
        report = await run.saga("trip", declared, owner=OWNER)
        assert (report.state, report.owner) == ("partly compensated", OWNER)
        assert report.reached == "there: room; not begun: pay"
        assert {one["who"] for one in report.told} == {"hotel", OWNER}
        with pytest.raises(RunStopped):
            await run.saga("another", steps())

    within(place, work)
    assert providers.stands("t") == ["room"]


def test_what_somebody_undid_by_hand_is_not_offset_twice(place: Path) -> None:
    """A person undoes the room while the saga is held: it turns back, meets that, and cancels nothing more."""

    async def work(_: hf.App, run: hf.RunHandle) -> None:
        def pays(done: object) -> hf.Call:
            raise LookupError("no card yet")

        declared = [*steps()[:1], hf.Step("pay", pays, kind="irreversible")]
        held = await run.saga("trip", declared, owner=OWNER)
        assert held.record is not None
        await run.undo(held.record.steps[0].effect, reason="not wanted")
        report = await run.saga("trip", declared, owner=OWNER)
        assert report.state == "compensated"
        assert any("was compensated by" in one["what"] for one in report.told)

    within(place, work)
    assert providers.lines() == ["room t", "cancellation room-t"]


def test_each_move_is_one_commit_with_the_digest_that_its_entry_names(place: Path) -> None:
    """Every version of the saga is named by an entry next to the one that explains it, and the last one is on disk."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        report = await run.saga("trip", steps())
        (saga,) = app.store.documents("saga")
        assert isinstance(saga, Saga)
        assert saga == report.record
        entries = app.store.entries(run.id)
        named = [e for e in entries if e.kind == "document" and b"saga:" in (e.body or b"")]
        moves = [e for e in entries if e.kind == "saga"]
        assert [e.pos for e in named] == [e.pos + 1 for e in moves]
        assert digest_of(saga).encode() in (named[-1].body or b"")

    within(place, work)


def test_the_synchronous_face_carries_the_same_saga(place: Path) -> None:
    """A program without a loop gets the same report, and goes on with what the other face began."""
    with hf.open(f"sqlite:{place}/s.db", tools=TOOLS, policy=POLICY, environment="prod") as app:
        run = app.begin(hf.Intent(goal="travel", purpose="trip", principal="agent"))
        report = run.saga(hf.Saga("trip", steps(), OWNER))
        assert report.state == "completed"
        assert report.outcomes["pay"].unwrap() == {"id": "payment-room-t"}
    assert within(place, lambda _, run: run.saga("trip", steps(), owner=OWNER)).ended  # type: ignore[attr-defined]


class Word(NamedTuple):
    """What a person says."""

    who: str = "ann"
    vouched_by: str = "test"
    reason: str = "paid in cash"


def test_a_step_whose_call_cannot_be_made_past_the_boundary_has_an_exit(place: Path) -> None:
    """The mail cannot be written, the payment not be taken back: a person takes the mail for done, and it ends."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        declared = [*steps(), hf.Step("mail", lambda done: done["nowhere"], kind="irreversible")]  # type: ignore[arg-type,return-value]
        held = await run.saga("trip", declared, owner=OWNER)
        assert (held.state, held.reached) == ("held", "there: room, pay; not begun: mail")
        with pytest.raises(SagaNotAtHand, match="boundary is passed"):
            words.turn_back(app.store, held.saga, Word())
        words.accept(app.store, held.saga, Word(), "mail")
        report = await run.saga("trip", declared, owner=OWNER)
        assert report.state == "completed"
        assert "on somebody's word: mail (ann: paid in cash)" in report.why

    within(place, work)
    assert providers.lines() == ["room t", "payment room-t"]


def test_a_held_saga_turns_back_on_a_persons_word_before_its_boundary(place: Path) -> None:
    """The payment's call cannot be made; a person turns it back, and the room is cancelled."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        declared = [*steps()[:1], hf.Step("pay", lambda done: done["nowhere"], kind="irreversible")]  # type: ignore[arg-type,return-value]
        held = await run.saga("trip", declared, owner=OWNER)
        words.turn_back(app.store, held.saga, Word())
        assert (await run.saga("trip")).state == "compensated"

    within(place, work)
    assert providers.stands("t") == []


def test_a_step_that_a_person_is_asked_about_waits_and_goes_on_with_their_yes(place: Path) -> None:
    """Nothing after it is sent meanwhile; said yes to, the same call completes the saga."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        waits = await run.saga("trip", steps(), owner=OWNER)
        assert (waits.state, waits.reached) == ("waiting", "there: room; waiting: pay")
        request = waits.outcomes["pay"]
        assert isinstance(request, hf.Waiting)
        approving.approve(app.store, request.request, "alice")
        assert (await run.saga("trip", steps(), owner=OWNER)).state == "completed"

    within(place, work, ASKS)


@pytest.mark.parametrize("tries", [1, 5])
def test_a_persons_no_is_not_asked_about_once_more(place: Path, tries: int) -> None:
    """Said no to, the payment is not proposed anew however many tries it has; the room is cancelled."""

    async def work(app: hf.App, run: hf.RunHandle) -> None:
        waits = await run.saga("trip", steps(tries=tries), owner=OWNER)
        approving.refuse(app.store, waits.outcomes["pay"].request, "alice", "not this month")  # type: ignore[attr-defined]
        report = await run.saga("trip", steps(tries=tries), owner=OWNER)
        assert report.state == "compensated"
        assert any("not this month" in one["what"] for one in report.told)
        assert app.store.approvals("open") == []

    within(place, work, ASKS)
    assert providers.lines() == ["room t", "cancellation room-t"]
