"""What a named human records: with a name, with a reason, on what is really open; and what it is never taken for."""

from __future__ import annotations

import pytest

import holdfast as hf
from holdfast.kernel.answers import Doubt
from holdfast.kernel.errors import ApprovalInvalid, ApproverIsProposer, NotAllowedNow, ReasonMissing
from holdfast.kernel.model import State
from holdfast.runtime import people
from tests import approving
from tests.unit.runtime.rig import Rig, Wanted

LOST = Doubt("lost_reply", "the connection closed")


async def asked(rig: Rig) -> str:
    """A request that waits for a person."""
    rig.gate.answer = "ask"
    outcome = await (await rig.run()).call(Wanted("refund", invoice="in_1"))
    assert isinstance(outcome, hf.Waiting)
    return outcome.request


async def unknown(rig: Rig) -> str:
    """A bare effect in doubt, which only a person can end."""
    rig.outside.replies = [LOST]
    outcome = await (await rig.run()).call(Wanted("bare", invoice="in_1"))
    assert isinstance(outcome, hf.Unknown)
    return outcome.effect


@pytest.mark.req("2.6a", mutant="approval-reused")
async def test_a_yes_lets_the_effect_go_on_once() -> None:
    """Approved by somebody else, it is sent once, and the approval is spent."""
    rig = Rig()
    request = await asked(rig)
    view = approving.approve(rig.store.face("cli"), request, "alice")
    outcome = await (await rig.run()).carry(view.id, 1_000)
    assert isinstance(outcome, hf.Verified)
    assert len(rig.outside.sent) == 1
    assert rig.store.durable.approvals[request].state == "spent"
    with pytest.raises(ApprovalInvalid):
        approving.approve(rig.store.face("cli"), request, "bob")


@pytest.mark.req("2.6a", mutant="own-approval")
async def test_nobody_approves_what_they_proposed() -> None:
    """The principal of the run cannot say yes to its own call."""
    rig = Rig()
    request = await asked(rig)
    with pytest.raises(ApproverIsProposer):
        approving.approve(rig.store.face("cli"), request, "agent")
    assert rig.effects()[0].state is State.WAITING


async def test_a_no_needs_a_reason_and_ends_it() -> None:
    """Without a reason nothing is recorded; with one the effect is refused and nothing is sent."""
    rig = Rig()
    request = await asked(rig)
    with pytest.raises(ReasonMissing):
        approving.refuse(rig.store.face("cli"), request, "alice", " ")
    view = approving.refuse(rig.store.face("cli"), request, "alice", "a duplicate")
    outcome = await (await rig.run()).carry(view.id, 1_000)
    assert isinstance(outcome, hf.Refused)
    assert outcome.reason == "alice said no: a duplicate"
    assert rig.outside.sent == []


async def test_an_expired_request_takes_no_yes() -> None:
    """After its time a request is refused by the store's clock, whatever the approver's page still shows."""
    rig = Rig()
    request = await asked(rig)
    rig.clock.ms = rig.store.durable.approvals[request].expires_ms + 1
    with pytest.raises(ApprovalInvalid):
        approving.approve(rig.store.face("cli"), request, "alice")


@pytest.mark.req("1.1c", "1.1e", mutant=None, reason="a missing reason is an argument, nothing to plant")
@pytest.mark.parametrize("act", ["attest", "abandon"])
@pytest.mark.parametrize(("who", "reason"), [("alice", ""), ("alice", "  "), ("", "I looked")])
async def test_no_human_closes_an_unknown_without_a_name_and_a_reason(act: str, who: str, reason: str) -> None:
    """Attest and abandon refuse to record anything without both; the effect stays unknown."""
    rig = Rig()
    effect = await unknown(rig)
    with pytest.raises(ReasonMissing):
        if act == "attest":
            people.attest(rig.store.face("cli"), effect, who=who, happened=True, reason=reason)
        else:
            people.abandon(rig.store.face("cli"), effect, who=who, reason=reason)
    assert rig.effects()[0].state is State.UNKNOWN


@pytest.mark.req("1.1c", mutant=None, reason="the state table has no such move; nothing to plant")
async def test_attested_is_never_verified() -> None:
    """A person's word makes it committed, names the person, and says that nobody verified it."""
    rig = Rig()
    effect = await unknown(rig)
    people.attest(rig.store.face("cli"), effect, who="alice", happened=True, reason="on the statement", value=7)
    outcome = await (await rig.run()).call(Wanted("bare", invoice="in_1"))
    assert outcome == hf.Committed(7, effect, "attested by alice, never verified")
    assert len(rig.outside.sent) == 1


async def test_attested_absent_gives_the_budget_back_and_the_next_call_is_a_new_generation() -> None:
    """A person says that it did not happen: the same wish is decided and sent anew, under another key."""
    rig = Rig()
    run = await rig.run(budget=hf.Budget(effects=1))
    rig.outside.replies = [LOST]
    first = await run.call(Wanted("bare", invoice="in_1"))
    assert isinstance(first, hf.Unknown)
    people.attest(rig.store.face("cli"), first.effect, who="alice", happened=False, reason="not on the statement")
    await rig.recoverer().round()
    await run.call(Wanted("bare", invoice="in_1"))
    keys = [request.key for request in rig.outside.sent]
    assert len(keys) == len(set(keys)) == 2


async def test_an_abandoned_effect_still_counts_as_spent_and_is_not_sent_again() -> None:
    """Giving up says nothing about the world: budget and key stay used."""
    rig = Rig()
    effect = await unknown(rig)
    people.abandon(rig.store.face("cli"), effect, who="alice", reason="the vendor is gone")
    run = await rig.run()
    outcome = await run.call(Wanted("bare", invoice="in_1"))
    assert isinstance(outcome, hf.Unknown)
    assert outcome.owner == "alice"
    assert len(rig.outside.sent) == 1
    assert rig.store.durable.runs[run.id].spent.effects == 1


async def test_only_a_doubt_can_be_attested() -> None:
    """What is known already is not a person's to state."""
    rig = Rig()
    outcome = await (await rig.run()).call(Wanted("refund", invoice="in_1"))
    assert isinstance(outcome, hf.Verified)
    with pytest.raises(NotAllowedNow):
        people.attest(rig.store.face("cli"), outcome.effect, who="alice", happened=False, reason="no")


@pytest.mark.parametrize("scope", ["store", "tool:refund", "principal:agent", "tenant:main"])
async def test_after_a_halt_nothing_is_dispatched_until_it_is_lifted(scope: str) -> None:
    """A raised halt refuses the call; a lifted one lets the next generation through."""
    rig = Rig()
    run = await rig.run()
    people.halt(rig.store.face("cli"), scope, who="alice", reason="look first")
    halted = await run.call(Wanted("refund", invoice="in_1"))
    assert isinstance(halted, hf.Refused)
    assert "look first" in halted.reason
    assert rig.outside.sent == []
    people.lift(rig.store.face("cli"), scope, who="alice", reason="looked")
    assert isinstance(await run.call(Wanted("refund", invoice="in_1")), hf.Verified)
    with pytest.raises(ReasonMissing):
        people.halt(rig.store.face("cli"), scope, who="alice", reason="")
