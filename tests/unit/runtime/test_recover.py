"""Recovery: what is open and due here is taken up, whoever held it, and nothing that a call is carrying."""

from __future__ import annotations

import pytest

from holdfast.kernel.answers import Absent, Doubt, Happened
from holdfast.kernel.model import State
from holdfast.kernel.outcomes import Unknown, Verified
from tests.unit.runtime.rig import CANNOT_TELL, REFUND, Rig, Wanted

LOST = Doubt("lost_reply", "the connection closed")


async def in_doubt(rig: Rig, me: str = "w1") -> str:
    """An effect that this worker sent and lost the reply of; nobody waits for it any more."""
    rig.outside.replies = [LOST]
    rig.outside.found = [CANNOT_TELL]
    outcome = await (await rig.run(me)).call(Wanted("refund", invoice="in_1"), patience=0)
    assert isinstance(outcome, Unknown)
    return outcome.effect


async def test_recovery_goes_on_under_a_lease_of_its_own() -> None:
    """Between two probes it waits for the contract's pause and not for the lease that it took itself to run out."""
    rig = Rig()
    effect = await in_doubt(rig)
    recoverer, asked, began_ms = rig.recoverer(), len(rig.outside.asked), rig.clock.ms
    rig.outside.found = [CANNOT_TELL, CANNOT_TELL, Happened({"id": 7})]
    for _ in range(6):
        still_open = await recoverer.round()
        if not still_open:
            break
        await rig.clock.until(still_open[0].due_ms)
    [view] = rig.effects()
    assert (view.id, view.state, view.value) == (effect, State.VERIFIED, {"id": 7})
    assert len(rig.outside.asked) == asked + 3
    assert rig.clock.ms - began_ms < REFUND.lease_ms


async def test_recovery_leaves_alone_what_a_call_is_carrying() -> None:
    """An effect that is driven in this process is neither probed nor sent by recovery beside it."""
    rig = Rig()
    effect = await in_doubt(rig)
    await rig.clock.until(rig.effects()[0].due_ms)
    asked = len(rig.outside.asked)
    rig.carried["w1"].add(effect)
    await rig.recoverer().round()
    assert len(rig.outside.asked) == asked
    rig.carried["w1"].discard(effect)
    await rig.recoverer().round()
    assert len(rig.outside.asked) == asked + 1


async def test_what_a_dead_worker_sent_becomes_unknown_and_is_asked_about() -> None:
    """The orphan is unknown under a new token first, then found by its probe; it is not sent again."""
    rig = Rig()
    run = await rig.run("w1")

    async def dies(request: object) -> Doubt:
        rig.graves.names.add("w1")
        raise KeyboardInterrupt

    rig.outside.replies = [dies]
    try:
        await run.call(Wanted("refund", invoice="in_1"))
    except KeyboardInterrupt:
        rig.store.crash("w1")
    assert [view.state for view in rig.effects()] == [State.DISPATCHED]
    first = rig.effects()[0].token
    rig.outside.found = [Happened({"id": 3})]
    await rig.recoverer("w2").round()
    rig.store.flush()
    [view] = rig.effects()
    assert (view.state, view.value, len(rig.outside.sent)) == (State.VERIFIED, {"id": 3}, 1)
    assert [body["cause"].split(":")[0] for body in rig.notes("unknown")] == ["died"]
    assert view.token > first


async def test_what_a_living_worker_holds_is_not_touched_before_its_lease_runs_out() -> None:
    """Another process at work is no orphan; when its lease is over, it is."""
    rig = Rig()
    run = await rig.run("w1")

    async def pauses(request: object) -> Doubt:
        rig.store.flush()
        await rig.recoverer("w2").round()
        assert [view.state for view in rig.effects()] == [State.DISPATCHED]
        rig.clock.ms = rig.effects()[0].lease_until_ms + 1
        rig.outside.found = [Happened({"id": 4})]
        await rig.recoverer("w2").round()
        rig.store.flush()
        assert [view.state for view in rig.effects()] == [State.VERIFIED]
        return LOST

    rig.outside.replies = [pauses]
    outcome = await run.call(Wanted("refund", invoice="in_1"))
    assert outcome == Verified({"id": 4}, rig.effects()[0].id)
    assert [body["cause"].split(":")[0] for body in rig.notes("unknown")] == ["lost_lease"]
    assert [(body["offered"], body["reply"]["kind"]) for body in rig.notes("late")] == [(1, "doubt")]


@pytest.mark.req("1.1c", mutant="not-found-is-final")
async def test_an_absence_is_final_only_when_its_sender_is_dead_and_nothing_can_land_any_more() -> None:
    """Not found is not *did not happen* while the sender lives; proved dead and past the bound, it is sent anew."""
    rig = Rig()
    await in_doubt(rig)
    rig.outside.found = [Absent()]
    for _ in range(3):
        await rig.clock.until(rig.effects()[0].due_ms)
        await rig.recoverer("w1").round()
        rig.store.flush()
        assert [view.state for view in rig.effects()] == [State.UNKNOWN]
    rig.graves.names.add("w1")
    for _ in range(6):
        await rig.clock.until(rig.effects()[0].due_ms)
        await rig.recoverer("w2").round()
        rig.store.flush()
        if rig.effects()[0].state is not State.UNKNOWN:
            break
    first = min(rig.effects(), key=lambda view: view.generation)
    assert first.state is State.FAILED
    assert "proved dead" in first.basis
    assert rig.clock.ms >= first.dead_since_ms + REFUND.lands_within_ms


async def test_an_effect_of_a_tool_that_is_not_here_is_left_for_whoever_has_it() -> None:
    """A worker without the tool neither fails on it nor touches it."""
    rig = Rig()
    await in_doubt(rig)
    rig.clock.ms += REFUND.lease_ms + 1
    before = rig.effects()
    rig.contracts = {}
    still_open = await rig.recoverer("w2").round()
    assert [view.id for view in still_open] == [view.id for view in before]
    assert rig.effects() == before
