"""Going on with a run: what it stood on is looked at again before anything else, and what lapsed is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast as hf
from holdfast.effect.admit import Proposal, propose
from holdfast.kernel.answers import Ack, Doubt
from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.documents import Grant
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import EffectClass, State, Yields
from holdfast.kernel.ports import Request
from holdfast.report.resumption import resumption_lines
from holdfast.runtime import people
from holdfast.runtime.drive import step
from holdfast.runtime.planner import Answer, Proposed
from holdfast.runtime.resume import Resumption, revalidated
from holdfast.runtime.run import RunHandle
from tests.approving import approve, key_of, register
from tests.unit.runtime.rig import BARE, LOOKUP, REFUND, Rig, Wanted

LOOK = msgspec.structs.replace(LOOKUP, name="look", yields=Yields(source="bank", fresh_for_ms=60_000))
IN_1 = Wanted("refund", invoice="in_1")
READ_1 = Wanted("look", invoice="in_1")


def rig() -> Rig:
    """A rig whose read yields an item that is fresh for a minute."""
    return Rig(REFUND, BARE, LOOK)


async def taken_up(rig: Rig, run: RunHandle, me: str = "w2") -> Resumption:
    """What another worker finds when it goes on with the run."""
    rig.store.flush()
    other = await rig.run(me)
    assert other.id == run.id
    return await revalidated(other, rig.ports(me), rig.store.face(me))


def lapsed(found: Resumption, part: str) -> list[str]:
    """Why points of one part no longer hold."""
    return [point.why for point in found.of(part) if not point.holds]


@pytest.mark.req("2.9b", mutant="resume-trusts")
async def test_resume_finds_stale_items_before_anything_else() -> None:
    """The stale item is named with its source, the fresh one holds; the entry is on disk, and nothing was sent."""
    one = rig()
    run = await one.run()
    old = await run.saw("calendar", "free", fresh_for="1m")
    one.clock.ms += 60_001
    new = await run.saw("mailbox", "hello", fresh_for="1h")
    found = await taken_up(one, run)
    assert {p.id: p.holds for p in found.of("item")} == {old.id: False, new.id: True}
    assert "read calendar again" in lapsed(found, "item")[0]
    [entry] = one.notes("resumed")
    assert [point["id"] for point in entry["lapsed"]] == [old.id]
    assert one.outside.sent == []


@pytest.mark.req("2.9b", mutant="resume-trusts")
async def test_resume_looks_at_leases_and_open_effects() -> None:
    """An effect that a dead worker was sending is in doubt, and its lease is a dead one's; a living one still holds."""
    one = rig()

    async def dies(request: Request) -> Any:
        raise KeyboardInterrupt

    one.outside.replies = [dies]
    run = await one.run()
    with pytest.raises(KeyboardInterrupt):
        await run.call(IN_1)
    alive = await taken_up(one, run)
    assert [p.holds for p in alive.of("lease")] == [True]
    one.graves.names.add("w1")
    found = await taken_up(one, run, "w3")
    assert "is dead" in lapsed(found, "lease")[0]
    [effect] = found.of("effect")
    assert (effect.holds, effect.why.startswith("dispatched")) == (False, True)
    one.graves.names.clear()
    one.clock.ms += 100_000
    assert "ran out" in lapsed(await taken_up(one, run, "w4"), "lease")[0]


@pytest.mark.req("2.9b", mutant="resume-trusts")
async def test_resume_looks_at_requests_and_yeses() -> None:
    """A yes whose key was revoked since, and a request that expired, are good for nothing any more."""
    one = rig()
    one.gate.answer = "ask"
    run = await one.run()
    waiting = await run.call(IN_1, patience=0)
    assert isinstance(waiting, hf.Waiting)
    face = one.store.face("people")
    assert [p.holds for p in (await taken_up(one, run)).of("approval")] == [True]
    register(face, "ann", groups=("billing",))
    approve(face, waiting.request, "ann")
    assert [p.holds for p in (await taken_up(one, run)).of("approval")] == [True]
    person = face.document("approver", "ann")
    assert person is not None
    gone = msgspec.structs.replace(person, revoked_ms=one.clock.ms)
    await face.commit(Change(run=STORE_RUN_ID, documents=(gone,)))
    assert "too few" in lapsed(await taken_up(one, run), "approval")[0]
    await face.commit(Change(run=STORE_RUN_ID, documents=(person,)))
    one.clock.ms += 2_000_000
    assert "expired" in lapsed(await taken_up(one, run), "approval")[0]
    assert one.outside.sent == []


async def test_resume_says_that_a_yes_was_taken_back() -> None:
    """A person revoked it while nobody drove the run."""
    one = rig()
    one.gate.answer = "ask"
    run = await one.run()
    waiting = await run.call(IN_1, patience=0)
    assert isinstance(waiting, hf.Waiting)
    face = one.store.face("people")
    approve(face, waiting.request, "ann")
    people.revoke(face, waiting.request, signer=key_of("ann"), reason="wrong customer")
    assert lapsed(await taken_up(one, run), "approval") == ["it is revoked"]


@pytest.mark.req("2.9b", mutant="resume-trusts")
async def test_resume_looks_at_the_deadline() -> None:
    """How much is left of it, and by how much it has passed."""
    one = rig()
    run = await one.run(deadline="10m")
    assert [p.holds for p in (await taken_up(one, run)).of("deadline")] == [True]
    one.clock.ms += 600_001
    assert lapsed(await taken_up(one, run), "deadline") == ["it passed 1 ms ago"]


@pytest.mark.req("2.9b", mutant="resume-trusts")
async def test_resume_looks_at_grants() -> None:
    """Expired, revoked and unrecorded grants of the run are each named."""
    one = rig()
    run = await one.run()
    face = one.store.face("grants")
    classes = tuple(EffectClass)
    everything: dict[str, Any] = dict.fromkeys(("tools", "resources", "environments"), ("*",))
    soon = Grant(id="gr_1", holder="agent", classes=classes, expires_ms=one.clock.ms + 1_000, **everything)
    taken = Grant(id="gr_2", holder="agent", classes=classes, **everything)
    good = Grant(id="gr_3", holder="agent", classes=classes, **everything)
    fact = Fact(scope="revoke:grant:gr_2", raised=True, by="ann", reason="left the team")
    await face.commit(Change(run=STORE_RUN_ID, documents=(soon, taken, good), facts=(fact,)))
    books = one.store.current
    row = msgspec.structs.replace(books.runs[run.id], grants=("gr_1", "gr_2", "gr_3", "gr_4"))
    one.store.durable = one.store.current = books._replace(runs={**books.runs, run.id: row})
    one.clock.ms += 1_001
    found = await taken_up(one, run)
    assert {p.id: p.why for p in found.of("grant")} == {
        "gr_1": "it expired 1 ms ago",
        "gr_2": "ann revoked it: left the team",
        "gr_3": "",
        "gr_4": "it is not recorded",
    }


@pytest.mark.req("2.9b", mutant="resume-trusts")
async def test_resume_looks_at_policy_and_contracts() -> None:
    """An effect that waits was decided under a policy, and for a contract, that are not those of now."""
    one = rig()
    one.gate.answer = "ask"
    run = await one.run()
    await run.call(IN_1, patience=0)
    face = one.store.face("rules")
    await face.commit(Change(run=STORE_RUN_ID, facts=(Fact(scope="policy:prod", value="p1"),)))
    assert (await taken_up(one, run)).lapsed == ()
    await face.commit(Change(run=STORE_RUN_ID, facts=(Fact(scope="policy:prod", value="p2"),)))
    one.contracts["refund"] = msgspec.structs.replace(REFUND, version="v2")
    found = await taken_up(one, run)
    assert {p.part for p in found.lapsed} == {"policy", "contract", "approval"}
    del one.contracts["refund"]
    assert lapsed(await taken_up(one, run), "contract") == ["its tool is not registered here"]


@pytest.mark.req("2.9b", mutant="assumptions-are-believed")
async def test_resume_reads_every_assumption_again_and_ends_a_run_that_rests_on_nothing() -> None:
    """Still so: the run goes on. Not so any more: it ends there, before any write, with what was assumed."""
    one = rig()
    one.outside.replies = [Ack("on"), Ack("on"), Ack("off"), Ack({"id": 1})]
    run = await one.run()
    assumed = await run.assume("the flag is on", READ_1, equals="on", fresh_for="1h")
    good = await taken_up(one, run)
    assert [(p.id, p.holds) for p in good.of("assumption")] == [(assumed.id, True)]
    assert len(one.outside.sent) == 2, "it is read again although it is still fresh"
    one.clock.ms += 1
    found = await taken_up(one, run)
    assert "invalid assumption: the flag is on" in found.stopped
    assert [(p.id, p.holds) for p in found.of("assumption")] == [(assumed.id, False)]
    assert isinstance(await run.call(IN_1), hf.Stopped)
    assert [request.tool for request in one.outside.sent] == ["look"] * 3


async def test_an_assumption_that_cannot_be_read_is_not_known_to_hold() -> None:
    """The read comes to nothing: the point does not hold, says why, and the run is not ended for it."""
    one = rig()
    one.outside.replies = [Ack("on"), Doubt("lost_reply", "the line went dead")]
    run = await one.run()
    await run.assume("the flag is on", READ_1)
    one.clock.ms += 1
    found = await taken_up(one, run)
    assert found.stopped == ""
    assert "could not be read again" in lapsed(found, "assumption")[0]


async def test_a_blocked_run_is_looked_over_without_reading_anything() -> None:
    """Its stale items are named; nothing is read under it before somebody drives it on."""
    one = rig()
    one.outside.replies = [Ack("on")]
    run = await one.run()
    await run.assume("the flag is on", READ_1)
    old = await run.saw("calendar", "free", fresh_for="1m")
    await run.stop("for now", state="blocked")
    one.clock.ms += 60_001
    other = RunHandle(run._desk, run.record)
    found = await revalidated(other, one.ports("w1"), one.store.face("w1"))
    assert old.id in {p.id for p in found.of("item") if not p.holds}
    assert [p.holds for p in found.of("assumption")] == [True]
    assert len(one.outside.sent) == 1
    assert len(one.notes("resumed")) == 1


@pytest.mark.req("2.9b", mutant="freshness-at-proposal-only")
@pytest.mark.parametrize("state", [State.WAITING, State.ADMITTED])
async def test_what_was_left_on_stale_items_is_refused_at_its_dispatch(state: State) -> None:
    """Waiting or admitted from before: whoever takes it up refuses it, names the source, and sends nothing."""
    one = rig()
    run = await one.run()
    seen = await run.saw("calendar", "free", fresh_for="1m")
    if state is State.WAITING:
        one.gate.answer = "ask"
        waiting = await run.call(IN_1, cites=[seen], patience=0)
        assert isinstance(waiting, hf.Waiting)
        one.gate.answer = "allow"
        one.clock.ms += 60_001
        approve(one.store.face("people"), waiting.request, "ann")
    else:
        proposal = Proposal(
            run=run.record, tool="refund", args=IN_1.args, resource="invoice:in_1", cites=(seen.id,), by="agent"
        )
        effect = await propose(one.ports(), proposal)
        await step(one.ports(), effect)  # admitted; then its worker is gone
        one.store.flush()
        assert [e.state for e in one.effects()] == [State.ADMITTED]
        one.clock.ms += 60_001
    found = await taken_up(one, run)
    assert lapsed(found, "item")
    await one.recoverer("w2").round()
    cited = one.effects()
    assert [(e.state, e.rules) for e in cited] == [(State.REFUSED, ("builtin:item",))]
    assert "read calendar again" in cited[0].reason
    assert one.outside.sent == []


# ------------------------------------------------------------------------------------------- in an application

POLICY = '@id("all") permit (principal, action, resource);'


@hf.tool(effect="read", resource="flag:{name}", yields=hf.yields(fresh_for="0ms", source="flags"))
def flag(fx: hf.Fx, *, name: str) -> str:
    """The value of a flag."""
    return Path(name).read_text()


@hf.tool(
    effect="irreversible", resource="note:{text}", identity=("text",), owner="ops", no_probe="a file", lands_within="1s"
)
def jot(fx: hf.Fx, *, text: str) -> str:
    """Write a note down."""
    return text


@pytest.mark.req("2.9a", mutant="resume-trusts")
async def test_a_run_is_gone_on_with_from_the_store_alone(tmp_path: Path) -> None:
    """Another application finds the run by its purpose, looks it over first, and its planner sees what was seen."""
    url, value = f"sqlite:{tmp_path / 'h.db'}", tmp_path / "flag"
    value.write_text("on")
    intent = hf.Intent(goal="note it", purpose="p-1", principal="agent")
    async with hf.open(url, tools=[flag, jot], policy=POLICY, sources=["calendar"]) as app:
        run = await app.begin(intent)
        assert run.resumption is None
        assert (await app.begin(intent)).resumption is None, "known here already: nothing was gone on with"
        await run.saw("calendar", "free", fresh_for="0ms", keep=True)
        await run.assume("the flag is on", flag(name=str(value)), equals="on")
    os.utime(value)

    class Asking:
        views: list[hf.View] = []

        async def propose(self, view: hf.View) -> Answer:
            self.views.append(view)
            return Answer(calls=(Proposed("jot", {"text": "x"}),)) if view.step == 0 else Answer(done=True, says="ok")

    async with hf.open(url, tools=[flag, jot], policy=POLICY) as app:
        again = await app.begin(intent)
        assert again.id == run.id
        assert again.resumption is not None
        assert [p.part for p in again.resumption.lapsed if p.part == "item"]
        assert [p.holds for p in again.resumption.of("assumption")] == [True]
        report = await again.drive(Asking())
        assert report.state == "done", report.reason
        by_source = {glimpse.source: glimpse for glimpse in Asking.views[0].items if glimpse.source == "calendar"}
        assert (by_source["calendar"].stale, by_source["calendar"].content) == (True, "free")
        lines = ["".join(s.text for s in line) for line in resumption_lines(again.resumption)]
        assert any("calendar again" in line for line in lines)
        kinds = [entry.kind for entry in app.store.entries(run.id)]
        assert "resumed" in kinds


@pytest.mark.req("2.9b", mutant="assumptions-are-believed")
async def test_app_resume_ends_a_run_whose_assumption_is_gone(tmp_path: Path) -> None:
    """The file says off now: nothing can be called in the run any more."""
    url, value = f"sqlite:{tmp_path / 'h.db'}", tmp_path / "flag"
    value.write_text("on")
    intent = hf.Intent(goal="note it", purpose="p-1", principal="agent")
    async with hf.open(url, tools=[flag, jot], policy=POLICY) as app:
        run = await app.begin(intent)
        await run.assume("the flag is on", flag(name=str(value)))
    value.write_text("off")
    async with hf.open(url, tools=[flag, jot], policy=POLICY) as app:
        again = await app.resume(run.id)
        assert again.resumption is not None
        assert "invalid assumption: the flag is on" in again.resumption.stopped
        assert isinstance(await again.call(jot(text="x")), hf.Stopped)
        row = app.store.run(run.id)
        assert row is not None
        assert (row.state, row.reason) == ("blocked", again.resumption.stopped)
