"""Decisions that outlived their world: a yes, and what an agent had read before it was killed (W2, W3)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import holdfast as hf
from holdfast.kernel.answers import Ack
from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.documents import Approver
from holdfast.kernel.model import State, Yields
from holdfast.kernel.ports import Question
from holdfast.runtime.planner import Answer, Proposed, View
from holdfast.runtime.resume import revalidated
from tests.approving import approve
from tests.unit.runtime.rig import LOOKUP, REFUND, Outside, Rig, Wanted

STATED = msgspec.structs.replace(REFUND, has_state=True)
LOOK = msgspec.structs.replace(
    LOOKUP, name="look", yields=Yields(source="bank", about="invoice:{invoice}/refunded", fresh_for_ms=60_000)
)
IN_1 = Wanted("refund", invoice="in_1")


class World(Outside):
    """An outside whose target looks like this."""

    looks = '{"refunded":0}'

    async def state(self, question: Question) -> str:
        return self.looks


async def person(rig: Rig, **changed: Any) -> None:
    """Ann as she is registered from now on."""
    face = rig.store.face("people")
    ann = face.document("approver", "ann")
    assert isinstance(ann, Approver)
    await face.commit(Change(run=STORE_RUN_ID, documents=(msgspec.structs.replace(ann, **changed),)))


@pytest.mark.req("W2", mutant="approvals-outlive")
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("state", "the target changed"),
        ("time", "expired"),
        ("policy", "the policy changed"),
        ("key", "too few"),
        ("group", "too few"),
    ],
)
async def test_a_yes_that_outlived_its_world_is_refused_and_asked_anew(what: str, why: str) -> None:
    """Nothing is sent, the reason says what is not so any more, and a new request waits for a person."""
    rig = Rig(STATED)
    rig.outside = World()
    rig.gate.answer = "ask"
    run = await rig.run()
    waiting = await run.call(IN_1, patience=0)
    assert isinstance(waiting, hf.Waiting)
    approve(rig.store.face("people"), waiting.request, "ann")
    match what:
        case "state":
            rig.outside.looks = '{"refunded":1200}'
        case "time":
            rig.clock.ms += 10_000_000
        case "policy":
            rig.gate.policy = "p2"
        case "key":
            await person(rig, revoked_ms=rig.clock.ms)
        case "group":
            await person(rig, groups=("shipping",))
    refused = await run.carry(waiting.effect, 0)
    assert isinstance(refused, hf.Refused)
    assert why in refused.reason
    assert rig.outside.sent == []
    states = {effect.id: effect.state for effect in rig.effects()}
    assert states[refused.successor] is State.WAITING


class Resuming:
    """Reads, and refunds on what it read; goes on with what it had read before, as an agent of old context does."""

    def __init__(self, *, stops_after: int = 99) -> None:
        self.views: list[View] = []
        self.stops_after = stops_after

    async def propose(self, view: View) -> Answer:
        self.views.append(view)
        if len(self.views) > self.stops_after:
            raise KeyboardInterrupt
        items = [item for item in view.items if item.source == "bank"]
        tried = [told for told in view.told if told.tool == "refund"]
        read = Answer(calls=(Proposed("look", {"invoice": "in_1"}),))
        if not items:
            return read
        if not tried:
            return self._refund(items[0].id)
        if items[-1].stale:
            return read
        if items[-1].content["refunded"] or tried[-1].outcome != "refused":
            return Answer(done=True, says="done")
        return self._refund(items[-1].id)

    def _refund(self, item: str) -> Answer:
        return Answer(calls=(Proposed("refund", {"invoice": "in_1"}, cites=(item,)),))


@pytest.mark.req("W3", mutant="reads-are-never-renewed")
@pytest.mark.req("2.9a", mutant="reads-are-never-renewed")
@pytest.mark.parametrize(("refunded", "writes"), [(0, 1), (1200, 0)])
async def test_an_agent_that_resumes_from_old_context_reads_again_and_then_writes_rightly(
    refunded: int, writes: int
) -> None:
    """Killed between reading and writing: gone on with, its old item is stale, and what it does rests on a new read."""
    rig = Rig(REFUND, LOOK)
    rig.outside.replies = [Ack({"refunded": 0}), Ack({"refunded": refunded}), Ack({"id": 1})]
    run = await rig.run()
    with pytest.raises(KeyboardInterrupt):
        await run.drive(Resuming(stops_after=1))
    rig.store.flush()
    rig.clock.ms += 60_001
    there = await rig.run("w2")
    found = await revalidated(there, rig.ports("w2"), rig.store.face("w2"))
    assert [point.holds for point in found.of("item")] == [False]
    assert [request.tool for request in rig.outside.sent] == ["look"], "found before anything was sent"
    planner = Resuming()
    report = await there.drive(planner)
    assert report.state == "done", report.reason
    assert planner.views[0].items[0].stale
    first = report.outcomes[0]
    assert isinstance(first, hf.Refused)
    assert "read bank again" in first.reason
    assert [request.tool for request in rig.outside.sent] == ["look", "look"] + ["refund"] * writes


@pytest.mark.req("W3", mutant="freshness-at-proposal-only")
async def test_what_a_killed_agent_had_proposed_on_old_context_is_not_sent() -> None:
    """It had proposed, and was asked to wait; the item went stale, the yes came: refused, and nothing is sent."""
    rig = Rig(REFUND, LOOK)
    rig.gate.answer = "allow"
    run = await rig.run()
    read = await run.call(Wanted("look", invoice="in_1"))
    assert isinstance(read, hf.Committed)
    rig.gate.answer = "ask"
    waiting = await run.call(IN_1, cites=[read.item], patience=0)
    assert isinstance(waiting, hf.Waiting)
    rig.clock.ms += 60_001
    approve(rig.store.face("people"), waiting.request, "ann")
    await rig.recoverer("w2").round()
    view = next(effect for effect in rig.effects() if effect.tool == "refund")
    assert (view.state, view.rules) == (State.REFUSED, ("builtin:item",))
    assert [request.tool for request in rig.outside.sent] == ["look"]
