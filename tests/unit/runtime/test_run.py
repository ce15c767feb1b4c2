"""A run as its user holds it: what a call comes to, what a driven planner comes to, and what is told when."""

from __future__ import annotations

import asyncio

import pytest

import holdfast as hf
from holdfast.kernel.answers import Accepted, Ack, CannotTell, Differs, Doubt, Happened, Holds, Refusal
from holdfast.kernel.model import Effect, State
from tests.unit.runtime.rig import REFUND, START_MS, Rig, Wanted

LOST = Doubt("lost_reply", "the connection closed")
IN_1 = Wanted("refund", invoice="in_1")


async def test_what_is_told_is_on_disk() -> None:
    """Whoever is told is told of what is on disk; when a call returns, a crash of its worker loses nothing of it."""
    rig = Rig()
    ahead = []

    async def hears(view: Effect) -> None:
        rig.ears.told.append(view)
        ahead.extend([view.state] if rig.store.durable.effects.get(view.id) != view else [])

    rig.ears.tell = hears
    outcome = await (await rig.run()).call(IN_1)
    rig.store.crash("w1")
    assert outcome == hf.Verified({"id": 1}, rig.effects()[0].id)
    assert rig.effects()[0].state is State.VERIFIED
    assert [view.state for view in rig.ears.told] == [State.VERIFIED]
    assert ahead == []


@pytest.mark.req("1.2c", mutant=None, reason="the same repeat is explored with planted defects in tests/harness")
async def test_a_repeat_is_answered_from_the_first() -> None:
    """A planner that repeats itself, at once or later, sends nothing more."""
    rig = Rig()
    run = await rig.run()
    first = await run.call(IN_1)
    told = await asyncio.gather(*(run.call(IN_1) for _ in range(3)))
    assert told == [first] * 3
    assert len(rig.outside.sent) == 1


async def test_a_second_identical_effect_is_asked_for_with_a_reason() -> None:
    """With `again` it is another effect with another key; without, it never is."""
    rig = Rig()
    run = await rig.run()
    await run.call(IN_1)
    await run.call(IN_1, again="the customer was charged twice")
    assert len({request.key for request in rig.outside.sent}) == 2


@pytest.mark.req("1.2c", mutant="reused-silently")
async def test_the_outsides_no_is_failed_and_may_be_asked_anew() -> None:
    """A refusal by the outside is proof; the next call is the next generation, with a new key."""
    rig = Rig()
    rig.outside.replies = [Refusal("declined"), Ack(1)]
    run = await rig.run()
    assert await run.call(IN_1) == hf.Failed("declined", rig.effects()[0].id)
    assert isinstance(await run.call(IN_1), hf.Verified)
    assert len({request.key for request in rig.outside.sent}) == 2


@pytest.mark.req("1.1e", mutant="retry-without-key")
async def test_impatience_gets_unknown_and_sends_nothing() -> None:
    """Who does not want to wait is told Unknown with who moves next; nothing is sent again for that."""
    rig = Rig()
    rig.outside.replies, rig.outside.found = [LOST], [CannotTell("later")]
    outcome = await (await rig.run()).call(IN_1, patience=0)
    assert isinstance(outcome, hf.Unknown)
    assert (outcome.owner, outcome.next) == ("runtime", "reconcile")
    assert len(rig.outside.sent) == 1


@pytest.mark.req("1.1d", mutant="unknown-as-failed")
async def test_a_caller_that_stops_listening_leaves_an_unknown() -> None:
    """A cancelled call whose tool is at work is recorded as a doubt, on disk, and not as a failure."""
    rig = Rig()
    run = await rig.run()
    at_work = asyncio.Event()

    async def works_on(request: object) -> Ack:
        at_work.set()
        await asyncio.Event().wait()
        return Ack(1)

    rig.outside.replies = [works_on]
    task = asyncio.create_task(run.call(IN_1))
    await at_work.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [view.state for view in rig.effects()] == [State.UNKNOWN]
    assert rig.effects()[0].cause.startswith("caller_timeout")


class Claims:
    """Calls, and claims in the same breath that it is done."""

    def __init__(self, says: str, *calls: hf.Proposed) -> None:
        self.says, self.calls = says, calls

    async def propose(self, view: hf.View) -> hf.Answer:
        return hf.Answer(calls=self.calls, done=True, says=self.says)


@pytest.mark.req("2.5b", mutant="verified-unread")
async def test_a_difference_outside_is_unconfirmed_and_never_done() -> None:
    """Acknowledged, and not so outside: the run ends blocked, whatever the planner says."""
    rig = Rig()
    rig.outside.checked = [Differs("nothing listed")]
    run = await rig.run()
    report = await run.drive(Claims("all done", hf.Proposed("refund", {"invoice": "in_1"})))
    assert isinstance(report.outcomes[0], hf.Committed)
    assert report.outcomes[0].note.startswith("unconfirmed")
    assert (report.state, report.says) == ("blocked", "all done")
    assert "is unconfirmed: differs: nothing listed" in report.reason


async def test_a_driven_run_is_done_when_every_effect_ended_as_agreed() -> None:
    """Two calls, both verified: done, with both outcomes in order, and each turn recorded before it was acted on."""
    rig = Rig()
    run = await rig.run()
    turns = [hf.Proposed("refund", {"invoice": f"in_{n}"}) for n in range(2)]
    report = await run.drive(hf.Scripted(turns))
    assert (report.state, report.steps) == ("done", 3)
    assert [type(outcome).__name__ for outcome in report.outcomes] == ["Verified", "Verified"]
    assert rig.store.durable.runs[run.id].state == "done"


async def test_a_driven_run_stops_at_an_unknown() -> None:
    """The planner does not get to carry on over a doubt."""
    rig = Rig()
    rig.outside.replies = [LOST]
    run = await rig.run()
    turns = [hf.Proposed("bare", {"invoice": f"in_{n}"}) for n in range(2)]
    report = await run.drive(hf.Scripted(turns))
    assert report.state == "blocked"
    assert len(report.outcomes) == len(rig.outside.sent) == 1


async def test_a_driven_run_waits_for_a_person() -> None:
    """A call that is asked about ends the drive as waiting, and names whom for."""
    rig = Rig()
    rig.gate.answer = "ask"
    report = await (await rig.run()).drive(hf.Scripted([hf.Proposed("refund", {"invoice": "in_1"})]))
    assert report.state == "waiting"
    assert "approval by billing" in report.reason
    assert rig.outside.sent == []


async def test_a_run_is_driven_within_its_steps() -> None:
    """A planner that never ends is ended by the budget of steps."""
    rig = Rig()
    run = await rig.run(budget=hf.Budget(steps=2))
    turns = [hf.Proposed("refund", {"invoice": f"in_{n}"}) for n in range(5)]
    report = await run.drive(hf.Scripted(turns))
    assert (report.state, report.steps, len(report.outcomes)) == ("blocked", 2, 2)


async def test_a_long_operation_waits_until_it_is_done() -> None:
    """Accepted outside: pending, asked about, and verified when the probe finds it."""
    rig = Rig()
    rig.outside.replies = [Accepted("op_1")]
    rig.outside.found = [CannotTell("pending"), CannotTell("pending"), Happened({"id": 9})]
    outcome = await (await rig.run()).call(IN_1)
    assert outcome == hf.Verified({"id": 9}, rig.effects()[0].id)
    assert {question.operation for question in rig.outside.asked} == {"op_1"}
    assert len(rig.outside.sent) == 1


async def test_what_the_planner_saw_is_recorded_without_its_content() -> None:
    """An item has a digest, a source and a kind; the text itself stays outside the log."""
    rig = Rig()
    run = await rig.run()
    item = await run.saw("mailbox:42", "please refund at once", kind="untrusted", fresh_for="1h")
    await run.call(IN_1, cites=[item])
    [body] = rig.notes("item")
    assert body == {
        "item": item.id,
        "source": "mailbox:42",
        "kind": "untrusted",
        "digest": item.digest,
        "fresh_for_ms": 3_600_000,
        "seen_ms": START_MS,
    }
    assert rig.effects()[0].cites == (item.id,)


@pytest.mark.parametrize("state", [State.PENDING, State.UNKNOWN, State.COMMITTED])
async def test_a_caller_hears_of_what_another_process_settles_while_it_waits(state: State) -> None:
    """Held by another worker: the caller looks again and again, and does not sleep until that lease is over."""
    rig = Rig()
    first = await rig.run("w1")
    rig.outside.replies = {
        State.PENDING: [Accepted("op_1")],
        State.UNKNOWN: [LOST],
        State.COMMITTED: [Ack({"id": 9})],
    }[state]
    rig.outside.found = [CannotTell("not yet")]
    rig.outside.checked = [CannotTell("not yet")]
    await first.call(IN_1, patience=0)
    second = await rig.run("w2")
    [view] = rig.effects()
    assert (view.state, view.holder) == (state, "w1")
    began_ms, waits = rig.clock.ms, iter(range(100))

    async def meanwhile(at_ms: int) -> None:
        rig.clock.ms = max(rig.clock.ms, at_ms)
        if next(waits) == 2:
            rig.outside.found, rig.outside.checked = [Happened({"id": 9})], [Holds()]
            rig.clock.ms = max(rig.clock.ms, rig.effects()[0].due_ms)
            await rig.recoverer("w1").round()
            rig.store.flush()

    rig.clock.until = meanwhile
    outcome = await second.call(IN_1, patience=2_000)
    assert isinstance(outcome, hf.Verified)
    assert rig.clock.ms - began_ms < REFUND.lease_ms
