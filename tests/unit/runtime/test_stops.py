"""The runtime stops a run on ten grounds, whatever its planner wants, and what it leaves is on record."""

from __future__ import annotations

from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.answers import Differs, Doubt
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Item
from holdfast.kernel.errors import BadValue, ReasonMissing, RunStopped
from holdfast.kernel.model import State
from holdfast.kernel.ports import Request
from holdfast.runtime import people
from holdfast.runtime.cancel import cancel
from holdfast.runtime.planner import Answer, Made, Proposed, View
from holdfast.runtime.stops import Course, Ground, Tolerance, unheld
from holdfast.runtime.view import Noted
from tests.unit.runtime.rig import REFUND, Rig

LOST = Doubt("lost_reply", "the connection closed")


class Planner:
    """Answers by a function of how often it was asked; keeps count."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, 0

    async def propose(self, view: View) -> Answer:
        self.asked += 1
        made = self.answer(self.asked)
        return made if isinstance(made, Answer) else Answer(calls=(Proposed("refund", {"invoice": made}),))


def anew(number: int) -> str:
    """Another invoice each time."""
    return f"in_{number}"


async def driven(rig: Rig, planner: Planner, steps: int = 20, **terms: Any) -> tuple[Any, Any]:
    """A run under these terms, driven until it rests."""
    run = await rig.run(**terms)
    return run, await run.drive(planner, max_steps=steps)


@pytest.mark.req("2.5a", mutant="never-stops")
@pytest.mark.parametrize(
    ("budget", "code"),
    [
        (hf.Budget(steps=2), "spent-steps"),
        (hf.Budget(tokens=10), "spent-tokens"),
    ],
    ids=["steps", "tokens"],
)
async def test_what_a_planner_may_use_up_is_bounded(budget: hf.Budget, code: str) -> None:
    """When steps or tokens are spent the planner is not asked again, and the report says which."""
    rig = Rig()
    made = Made(by="m", input_tokens=10, output_tokens=5)
    planner = Planner(lambda n: Answer(calls=(Proposed("refund", {"invoice": anew(n)}),), made=made))
    run, report = await driven(rig, planner, budget=budget)
    assert (report.state, report.stop.code) == ("blocked", code)
    asked = planner.asked
    again = await run.drive(planner)
    assert (again.stop.code, planner.asked) == (code, asked)


@pytest.mark.req("2.5a", mutant="outcomes-stop-nothing")
async def test_a_spent_budget_of_effects_stops_and_an_unknown_counts_as_spent() -> None:
    """One effect is allowed and its outcome is in doubt: the next is refused, and the run stops for it."""
    rig = Rig()
    rig.contracts["bare"] = hf_replace(rig.contracts["bare"], independent=True)
    rig.outside.replies = [LOST]
    planner = Planner(lambda n: Answer(calls=(Proposed("bare", {"invoice": anew(n)}),)))
    _, report = await driven(rig, planner, budget=hf.Budget(effects=1))
    assert (report.state, report.stop.code) == ("blocked", "spent-effects")
    assert len(rig.outside.sent) == 1
    assert report.stop.record.left == {"effects": 0}


@pytest.mark.req("2.5a", mutant="unknown-is-refunded")
async def test_an_unknown_counts_as_spent() -> None:
    """A doubt gives nothing back: of one effect that may be sent none is left."""
    rig = Rig()
    rig.outside.replies = [LOST]
    planner = Planner(lambda n: Answer(calls=(Proposed("bare", {"invoice": anew(n)}),)))
    run, report = await driven(rig, planner, budget=hf.Budget(effects=1))
    assert report.stop.code == "ambiguous-result"
    assert rig.store.durable.runs[run.id].spent.effects == 1
    assert report.stop.record.left["effects"] == 0


@pytest.mark.req("2.5a", mutant="never-stops")
async def test_time_that_has_run_out_stops_before_anything_is_asked() -> None:
    """Past its deadline a run asks its planner nothing."""
    rig = Rig()
    run = await rig.run(deadline="1m")
    rig.clock.ms += 60_001
    planner = Planner(anew)
    report = await run.drive(planner)
    assert (report.stop.code, planner.asked) == ("spent-time", 0)
    assert report.late_ms == 1
    assert rig.store.durable.runs[run.id].late_ms == 1


@pytest.mark.req("2.5a", mutant="never-stops")
async def test_the_same_call_again_and_again_stops() -> None:
    """A planner that goes round in circles is stopped, and stays stopped until a person says otherwise."""
    rig = Rig()
    planner = Planner(lambda n: "in_1")
    run, report = await driven(rig, planner)
    assert (report.state, report.stop.code) == ("blocked", "repetition")
    assert len(rig.outside.sent) == 1
    asked = planner.asked
    assert (await run.drive(planner)).stop.code == "repetition"
    assert planner.asked == asked
    with pytest.raises(ReasonMissing):
        await run.unblock(who="ann", reason=" ")
    await run.unblock(who="ann", reason="it may look once more")
    await run.drive(planner, max_steps=1)
    assert planner.asked == asked + 1


@pytest.mark.req("2.5a", mutant="never-stops")
async def test_steps_that_change_nothing_stop() -> None:
    """Every answer is another call that is refused: nothing comes of it, and it ends."""
    rig = Rig()
    rig.gate.answer = "refuse"
    planner = Planner(anew)
    _, report = await driven(rig, planner, steps=60)
    assert (report.state, report.stop.code) == ("blocked", "no-progress")
    assert planner.asked < 20


@pytest.mark.req("2.5a", mutant="outcomes-stop-nothing")
async def test_a_doubt_stops_before_its_siblings_are_sent() -> None:
    """Two calls in one answer, the first in doubt: the second is not sent, and the stop names the first."""
    rig = Rig()
    rig.outside.replies = [LOST]
    both = tuple(Proposed("bare", {"invoice": name}) for name in ("in_1", "in_2"))
    run, report = await driven(rig, Planner(lambda n: Answer(calls=both)))
    assert (report.state, report.stop.code) == ("blocked", "ambiguous-result")
    assert len(rig.outside.sent) == 1
    assert report.stop.effect == rig.effects()[0].id
    assert rig.store.durable.runs[run.id].state == "blocked"


@pytest.mark.req("2.5a", mutant="outcomes-stop-nothing")
async def test_a_failed_verification_stops() -> None:
    """An independent read differs: the planner is not asked what it thinks of that."""
    rig = Rig()
    rig.outside.checked = [Differs("nothing listed")]
    planner = Planner(anew)
    _, report = await driven(rig, planner)
    assert (report.stop.code, planner.asked) == ("failed-verification", 1)


@pytest.mark.req("2.5b", mutant="weaker-check-is-done")
async def test_a_weaker_check_never_stands_in_for_the_agreed_one() -> None:
    """Acknowledged is not verified, and attested is not either: done is claimed, and the run ends blocked."""
    rig = Rig()
    rig.outside.replies = [LOST]
    run = await rig.run()
    planner = Planner(lambda n: Answer(calls=(Proposed("bare", {"invoice": "in_1"}),), done=True, says="done"))
    assert (await run.drive(planner)).stop.code == "ambiguous-result"
    view = rig.effects()[0]
    people.attest(rig.store.face("cli"), view.id, who="ann", happened=True, reason="I saw it")
    report = await run.drive(planner)
    assert (report.state, report.stop.code) == ("blocked", "failed-verification")
    assert rig.effects()[0].state is State.COMMITTED


@pytest.mark.req("2.5a", mutant="outcomes-stop-nothing")
async def test_an_expired_approval_stops() -> None:
    """Nobody answers in time: the run is stopped for it, and a person may let it go on past it."""
    rig = Rig()
    rig.gate.answer = "ask"
    planner = Planner(anew)
    run, report = await driven(rig, planner)
    assert report.state == "waiting"
    rig.clock.ms += 3_600_000
    report = await run.drive(planner)
    assert (report.state, report.stop.code) == ("blocked", "expired-approval")
    assert rig.outside.sent == []


@pytest.mark.req("2.5a", mutant="never-stops")
@pytest.mark.parametrize("scope", ["store", "run:{run}", "principal:agent", "tenant:main"])
async def test_a_halt_stops_a_run_until_it_is_lifted(scope: str) -> None:
    """A halt over the run stops it before its planner is asked; after the lift it is driven on."""
    rig = Rig()
    run = await rig.run()
    place = scope.format(run=run.id)
    people.halt(rig.store.face("cli"), place, who="ann", reason="look first")
    call = Answer(calls=(Proposed("refund", {"invoice": "in_1"}),))
    planner = Planner(lambda n: Answer(done=True) if n > 1 else call)
    report = await run.drive(planner)
    assert (report.stop.code, planner.asked, rig.outside.sent) == ("human-halt", 0, [])
    assert report.stop.record.unblocks[0].startswith(f"holdfast halt lift {place}")
    people.lift(rig.store.face("cli"), place, who="ann", reason="looked")
    assert (await run.drive(planner)).state == "done"


@pytest.mark.req("2.5a", mutant="outcomes-stop-nothing")
async def test_a_lease_that_another_worker_took_ends_this_drive_and_not_the_run() -> None:
    """While the body is at work its lease runs out and another takes the effect over: this drive stops."""
    rig = Rig()
    taken: list[Any] = []

    async def slow(request: Request) -> Any:
        rig.clock.ms += REFUND.lease_ms + 1
        taken.append(await rig.recoverer("w2").round())
        return LOST

    rig.outside.replies = [slow, LOST]
    run, report = await driven(rig, Planner(anew))
    assert taken
    assert report.state == "blocked"
    assert report.stop.code == "lost-lease"
    assert report.stop.effect == rig.effects()[0].id
    assert rig.store.durable.runs[run.id].state == "open"


@pytest.mark.req("2.5a", mutant="never-stops")
def test_calls_outside_of_what_was_granted_stop_after_a_few() -> None:
    """The third call that a grant refuses is a ground; two are not."""
    from holdfast.runtime import stops

    course = Course()
    for number in range(3):
        body = {"calls": [{"tool": "refund", "args": {"invoice": f"in_{number}"}}]}
        told = {"call": 0, "outcome": "refused", "effect": f"ef_{number}", "rules": ["builtin:grant"]}
        before = stops.stop_of(stops.Seen(run=a_run(), now_ms=0), course)
        assert before is None
        course.fold([Noted(0, "step", 0, "planner", body), Noted(0, "told", 0, "runtime", told)])
    stop = stops.stop_of(stops.Seen(run=a_run(), now_ms=0), course, Tolerance())
    assert stop is not None
    assert stop.code is Ground.SCOPE


def test_an_assumption_holds_while_the_reading_that_counts_has_its_digest() -> None:
    """Same digest: it holds. Another, or a contradiction: it does not, and the words say which."""
    holds = Item(id="ru_1/it_a", run="ru_1", item="observed", source="crm", digest="d1", about="x", must_hold="d1")
    assert unheld([holds]) == ""
    newer = Item(id="ru_1/it_b", run="ru_1", item="observed", source="crm", digest="d2", about="x")
    outranked = hf_replace(holds, outranked_by="it_b")
    assert "is not so any more" in unheld([outranked, newer])
    assert "contradicts" in unheld([hf_replace(holds, conflicts=("it_c",))])


@pytest.mark.req("2.5a", mutant="never-stops")
async def test_an_assumption_that_no_longer_holds_stops_before_anything_is_asked() -> None:
    """What the run rests on reads otherwise now: its planner is not asked, and nothing is sent."""
    rig = Rig()
    run = await rig.run()
    item = Item(id=f"{run.id}/it_a", run=run.id, item="observed", source="crm", digest="d2", about="x", must_hold="d1")
    rig.store.face("cli").commit_now(Change(run=run.id, documents=(item,), notes=(Note(kind="item", by="ann"),)))
    planner = Planner(anew)
    report = await run.drive(planner)
    assert (report.stop.code, planner.asked, rig.outside.sent) == ("invalid-assumption", 0, [])


@pytest.mark.req("2.5c", mutant="stop-record-is-empty")
async def test_the_record_of_a_stop_lists_what_is_open_held_asked_and_left() -> None:
    """One effect in doubt: what is known and not known of it, its lease, the budget, and commands that move it."""
    rig = Rig()
    rig.outside.replies = [LOST]
    planner = Planner(lambda n: Answer(calls=(Proposed("bare", {"invoice": "in_1"}),)))
    run, report = await driven(rig, planner, budget=hf.Budget(effects=3, steps=9), deadline="1h")
    (left,) = report.stop.record.open
    view = rig.effects()[0]
    assert (left.effect, left.state) == (view.id, "unknown")
    assert "attempt 1 was committed" in left.known
    assert left.unknown == f"whether {view.resource} was changed"
    assert f'holdfast effect attest {view.id} --happened --as NAME --reason "…"' in left.unblocks
    assert report.stop.record.left["effects"] == 2
    assert report.stop.record.left["steps"] == 8
    (note,) = rig.notes("blocked")
    assert note["stop"]["code"] == "ambiguous-result"
    assert note["stop"]["open"][0]["effect"] == view.id
    assert run.id in "".join(report.stop.record.unblocks)


@pytest.mark.req("2.5c", mutant="stop-leaves-it-open")
async def test_after_a_stop_nothing_is_dispatched() -> None:
    """A blocked run takes no call, by hand or by a second handle, until it is driven on."""
    rig = Rig()
    rig.outside.checked = [Differs("nothing listed")]
    run, report = await driven(rig, Planner(anew))
    assert report.state == "blocked"
    sent = len(rig.outside.sent)
    for handle in (run, await rig.run("w2")):
        assert handle.id == run.id
        outcome = await handle.propose("refund", {"invoice": "in_other"})
        assert isinstance(outcome, hf.Stopped)
    assert len(rig.outside.sent) == sent


async def test_a_blocked_run_can_be_cancelled_and_then_does_not_go_on() -> None:
    """A named person ends it for good; it cannot be extended or unblocked after that."""
    rig = Rig()
    rig.outside.replies = [LOST]
    planner = Planner(lambda n: Answer(calls=(Proposed("bare", {"invoice": "in_1"}),)))
    run, _ = await driven(rig, planner)
    cancel(rig.store.face("cli"), run.id, who="ann", vouched_by="test", reason="enough")
    assert rig.store.durable.runs[run.id].state == "stopped"
    assert rig.notes("stopped")[0]["stop"]["open"][0]["state"] == "unknown"
    with pytest.raises(RunStopped):
        await run.unblock(who="ann", reason="no")
    assert (await run.drive(planner)).state == "blocked"


@pytest.mark.parametrize("minor", [-1, 1.5, True])
async def test_negative_and_inexact_costs_are_refused(minor: Any) -> None:
    """A cost that is not a whole, non-negative number of minor units is refused before anything is recorded."""
    with pytest.raises(BadValue):
        hf.money(minor, "EUR")
    with pytest.raises(BadValue):
        hf.Budget(cost=500)  # type: ignore[arg-type]


def a_run() -> Any:
    """A run without bounds."""
    from holdfast.kernel.model import Principal, Run

    who = Principal(name="agent")
    return Run(id="ru_1", tenant="main", environment="prod", intent="in_1", purpose="p", goal="g", principal=who)


def hf_replace(record: Any, **changes: Any) -> Any:
    """A record with other fields."""
    from msgspec.structs import replace

    return replace(record, **changes)
