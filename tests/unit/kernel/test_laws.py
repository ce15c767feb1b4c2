"""Each law over events made by hand: the good course holds, and each way of going wrong breaks this law alone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel import identity as names
from holdfast.kernel.amounts import Budget, Money, Spent
from holdfast.kernel.documents import Approver, Grant
from holdfast.kernel.laws import blind, judge
from holdfast.kernel.laws.events import (
    Asked,
    AtRest,
    Changed,
    Event,
    Evidence,
    Heard,
    Idle,
    Left,
    Recorded,
    Shown,
    ToldTo,
    TurnedAway,
)
from holdfast.kernel.model import Approval, Effect, EffectClass, Run, State
from tests.unit.kernel.records import APPROVAL, CONTRACT, EFFECT, NOW_MS, RUN, sent, yes

SECRET = b"a secret of these tests"
PAY = replace(CONTRACT, has_probe=True, has_verify=True, identity=("order",), volatile=("noted",))
KEYED = replace(PAY, name="keyed", keyed_ms=60_000)
BARE = replace(CONTRACT, name="bare", no_probe="nobody answers")
TRUSTED = replace(PAY, name="trusted", only_from_trusted=("order",))
TOOLS = {c.name: c for c in (PAY, KEYED, BARE, TRUSTED)}

CLAIMED = replace(EFFECT, state=State.CLAIMED, answer="allow", holder="w1", token=3, lease_until_ms=NOW_MS)
SENT = sent(NOW_MS, state=State.DISPATCHED, answer="allow", holder="w1")
UNKNOWN = replace(SENT, state=State.UNKNOWN)
GRANT = Grant(
    id="gr_1", holder="agent", tools=("pay",), resources=("*",), environments=("*",), classes=(EffectClass.READ,)
)
ANN = Approver(id="ann", name="ann", key_id="key of ann", public_key="")


def said(*events: Event) -> dict[str, str]:
    """What each law answers of these, those that hold or cannot tell left out."""
    verdicts = judge(events, TOOLS, SECRET)
    assert [verdict.law for verdict in verdicts] == [f"L{n}" for n in range(1, 15)]
    assert {v.law for v in verdicts if v.answer == "cannot tell"} <= set(blind())
    return {verdict.law: verdict.why for verdict in verdicts if verdict.answer == "broken"}


def entry(kind: str, was: Effect | None, view: Effect, by: str = "w1", at_ms: int = NOW_MS, **more: Any) -> Recorded:
    """One entry about an effect, under its run."""
    return Recorded(kind, at_ms, by, was, view, **({"run": RUN} | more))


def heard(what: str, answer: str, view: Effect = SENT) -> Heard:
    """An answer that reached the holder."""
    return Heard(view.id, what, view.token, answer)


def dispatched(was: Effect = CLAIMED, view: Effect = SENT, **more: Any) -> Recorded:
    """A dispatch commit."""
    return entry("dispatched", was, view, **more)


def became(state: State, was: Effect = SENT, **more: Any) -> tuple[Effect, Effect]:
    """A record before and after it took a state."""
    return was, replace(was, state=state, **more)


def approved(tool: str = "pay") -> tuple[Effect, Effect, Approval]:
    """A claimed and a dispatched effect under a yes of Ann that is good for exactly them."""
    view = replace(SENT, answer="ask", approval="ap_1", args={"order": "A"}, tool=tool)
    bare = replace(APPROVAL, decisions=(yes("ann"),), state="spent", spent_by="at_1.1", expires_ms=NOW_MS)
    digest = names.approval_digest(
        SECRET,
        nonce=bare.nonce,
        tool=view.tool,
        contract=view.contract,
        args=view.args,
        environment=view.environment,
        resource=view.resource,
        fingerprint=bare.fingerprint,
        expects=bare.expects,
        policy=bare.policy,
        generation=view.generation,
    )
    return replace(CLAIMED, answer="ask", approval="ap_1"), view, replace(bare, digest=digest)


def by_yes(approval: Approval | None = None, tool: str = "pay", **more: Any) -> Recorded:
    """A dispatch under Ann's yes, with something else about it than it should be."""
    was, view, good = approved(tool)
    around = {"approval": approval or good, "approvers": (ANN,)}
    return dispatched(was, replace(view, **more.pop("view", {})), **(around | more))


GOOD = approved()[2]
LATE_RUN = replace(RUN, deadline_ms=NOW_MS + 1_300)
ALIKE = {"order": "A", "amount": 5, "noted": 1}
MET = replace(SENT, args=ALIKE)

CASES: dict[str, tuple[tuple[Event, ...], str]] = {
    "L1 sent after it was recorded": ((dispatched(), Left("ef_1", "k", 3, 1, NOW_MS, SENT)), ""),
    "L1 sent and nothing is on disk": ((Left("ef_1", "k", 3, 1, NOW_MS, None),), "L1"),
    "L1 sent under another token": ((Left("ef_1", "k", 4, 1, NOW_MS, SENT),), "L1"),
    "L1 sent as another attempt": ((Left("ef_1", "k", 3, 2, NOW_MS, SENT),), "L1"),
    "L1 dispatched without a run": ((dispatched(run=None),), "L1"),
    "L1 dispatched undecided": ((dispatched(replace(CLAIMED, answer="")),), "L1"),
    "L2 one change": ((Changed("k", 3, "r", NOW_MS, SENT),), ""),
    "L2 two changes of two identities": (
        (Changed("k", 3, "r", NOW_MS, SENT), Changed("l", 4, "r", NOW_MS, replace(SENT, identity="i2"))),
        "",
    ),
    "L2 two changes under one key": ((Changed("k", 3, "r", NOW_MS, SENT), Changed("k", 3, "r", NOW_MS, SENT)), "L2"),
    "L2 two generations": (
        (Changed("k", 3, "r", NOW_MS, SENT), Changed("l", 4, "r", NOW_MS, replace(SENT, generation=2))),
        "L2",
    ),
    "L2 a bare tool is sent once": ((Left("ef_1", "k", 3, 1, NOW_MS, replace(SENT, tool="bare")),), ""),
    "L2 a bare tool is sent twice": (2 * (Left("ef_1", "k", 3, 1, NOW_MS, replace(SENT, tool="bare")),), "L2"),
    "L2 a keyed tool is sent twice": (2 * (Left("ef_1", "k", 3, 1, NOW_MS, replace(SENT, tool="keyed")),), ""),
    "L3 committed on an acknowledgement": (
        (heard("reply", "ack"), entry("committed", *became(State.COMMITTED))),
        "",
    ),
    "L3 committed per item": ((heard("reply", "items"), entry("committed", *became(State.COMMITTED))), ""),
    "L3 committed on a doubt": ((heard("reply", "doubt"), entry("committed", *became(State.COMMITTED))), "L3"),
    "L3 committed on nothing": ((entry("committed", *became(State.COMMITTED)),), "L3"),
    "L3 committed on an answer to another token": (
        (Heard("ef_1", "reply", 2, "ack"), entry("committed", *became(State.COMMITTED))),
        "L3",
    ),
    "L3 committed on an answer about another effect": (
        (Heard("ef_2", "reply", 3, "ack"), entry("committed", *became(State.COMMITTED))),
        "L3",
    ),
    "L3 the last answer counts": (
        (heard("reply", "ack"), heard("reply", "doubt"), entry("committed", *became(State.COMMITTED))),
        "L3",
    ),
    "L3 failed on a no": ((heard("reply", "refusal"), entry("failed", *became(State.FAILED))), ""),
    "L3 failed as nothing left": ((heard("reply", "never_left"), entry("failed", *became(State.FAILED))), ""),
    "L3 failed on a doubt": ((heard("reply", "doubt"), entry("failed", *became(State.FAILED))), "L3"),
    "L3 failed on somebody's word": ((entry("failed", *became(State.FAILED, attested_by="ann")),), ""),
    "L3 unknown and found": (
        (heard("probe", "happened"), entry("committed", *became(State.COMMITTED, UNKNOWN))),
        "",
    ),
    "L3 unknown and not found": (
        (heard("probe", "absent"), entry("committed", *became(State.COMMITTED, UNKNOWN))),
        "L3",
    ),
    "L3 unknown and a late yes": (
        (entry("committed", *became(State.COMMITTED, replace(UNKNOWN, late_seen=True))),),
        "",
    ),
    "L3 unknown and finally absent": (
        (heard("probe", "absent"), entry("failed", *became(State.FAILED, UNKNOWN, basis="dead"))),
        "",
    ),
    "L3 unknown and absent on no ground": (
        (heard("probe", "absent"), entry("failed", *became(State.FAILED, UNKNOWN))),
        "L3",
    ),
    "L3 unknown and nobody can tell": (
        (heard("probe", "cannot_tell"), entry("failed", *became(State.FAILED, UNKNOWN, basis="dead"))),
        "L3",
    ),
    "L3 unknown and given up by nobody": ((entry("abandoned", *became(State.ABANDONED, UNKNOWN)),), "L3"),
    "L3 unknown and given up": ((entry("abandoned", *became(State.ABANDONED, UNKNOWN, attested_by="ann")),), ""),
    "L3 unknown and sent again under its key": (
        (
            entry(
                "dispatched",
                replace(UNKNOWN, tool="keyed"),
                sent(NOW_MS, NOW_MS, state=State.DISPATCHED, tool="keyed", answer="allow", holder="w1"),
            ),
        ),
        "",
    ),
    "L3 unknown and sent again without a key": (
        (
            entry(
                "dispatched",
                UNKNOWN,
                sent(NOW_MS, NOW_MS, state=State.DISPATCHED, answer="allow", holder="w1"),
            ),
        ),
        "L3",
    ),
    "L4 refused and dispatched": ((dispatched(view=replace(SENT, answer="refuse")),), "L4"),
    "L4 the last of a budget": (
        (dispatched(run=replace(RUN, budget=Budget(effects=1), spent=Spent(effects=1))),),
        "",
    ),
    "L4 more than the budget": (
        (dispatched(run=replace(RUN, budget=Budget(effects=1), spent=Spent(effects=2))),),
        "L4",
    ),
    "L4 more money than the budget": (
        (
            dispatched(
                run=replace(RUN, budget=Budget(cost=Money(minor=5, currency="EUR")), spent=Spent(cost=(("EUR", 6),)))
            ),
        ),
        "L4",
    ),
    "L4 all the money of the budget": (
        (
            dispatched(
                run=replace(RUN, budget=Budget(cost=Money(minor=5, currency="EUR")), spent=Spent(cost=(("EUR", 5),)))
            ),
        ),
        "",
    ),
    "L4 under another policy": ((dispatched(in_force="p2", ruled="p1"),), "L4"),
    "L4 under the policy in force": ((dispatched(in_force="p2", ruled="p2"),), ""),
    "L4 under a grant": ((dispatched(grants=(replace(GRANT, expires_ms=NOW_MS),)),), ""),
    "L4 under a grant too late": ((dispatched(grants=(replace(GRANT, expires_ms=NOW_MS - 1),)),), "L4"),
    "L4 under a grant of other tools": ((dispatched(grants=(replace(GRANT, tools=("mail",)),)),), "L4"),
    "L4 under a grant of all tools": ((dispatched(grants=(replace(GRANT, tools=("*",)),)),), ""),
    "L4 under a grant that is not recorded": ((dispatched(grants=(None,)),), "L4"),
    "L5 under a yes to its last instant": ((by_yes(),), ""),
    "L5 under a yes that is over": ((by_yes(at_ms=NOW_MS + 1),), "L5"),
    "L5 under a yes that was over by an earlier entry": (
        (entry("claimed", replace(CLAIMED, holder=""), CLAIMED, at_ms=NOW_MS + 1), by_yes()),
        "L5",
    ),
    "L5 twice under one yes": ((by_yes(), by_yes()), "L5"),
    "L5 again under its key and its yes": (
        (
            by_yes(),
            by_yes(view={"attempts": sent(NOW_MS, NOW_MS).attempts}, approvers=()),
        ),
        "",
    ),
    "L5 again under its key, whatever moved since": (
        (
            by_yes(),
            by_yes(view={"attempts": sent(NOW_MS, NOW_MS).attempts, "fingerprint": "moved"}),
        ),
        "",
    ),
    "L5 under a yes that was taken back": (
        (entry("revoked", approved()[0], approved()[0], by="ann"), by_yes()),
        "L5",
    ),
    "L5 under a yes of who proposed it": ((by_yes(replace(GOOD, proposer="ann")),), "L5"),
    "L5 under too few": ((by_yes(replace(GOOD, quorum=2)),), "L5"),
    "L5 under a yes for another": ((by_yes(replace(GOOD, effect="ef_2")),), "L5"),
    "L5 under a yes for other bytes": ((by_yes(view={"args": {"order": "B"}}),), "L5"),
    "L5 under a yes for another state": ((by_yes(view={"fingerprint": "moved"}),), "L5"),
    "L5 under a key that was revoked": ((by_yes(approvers=(replace(ANN, revoked_ms=1),)),), "L5"),
    "L5 under a key that has expired": ((by_yes(approvers=(replace(ANN, expires_ms=NOW_MS - 1),)),), "L5"),
    "L5 under a key to its last instant": ((by_yes(approvers=(replace(ANN, expires_ms=NOW_MS),)),), ""),
    "L5 spent by another": ((by_yes(replace(GOOD, spent_by="at_9.1")),), "L5"),
    "L5 alone in an emergency": (
        (by_yes(replace(GOOD, quorum=1, decisions=(yes("ann", break_glass=True),))),),
        "",
    ),
    "L5 to be asked about, and sent": (
        (dispatched(replace(CLAIMED, answer="ask"), replace(SENT, answer="ask")),),
        "L4 L5",
    ),
    "L6 by its holder": ((entry("unknown", SENT, UNKNOWN), entry("probed", UNKNOWN, UNKNOWN)), ""),
    "L6 by another": ((entry("probed", UNKNOWN, UNKNOWN, by="w2"),), "L6"),
    "L6 by another, on somebody's word": (
        (entry("failed", UNKNOWN, replace(UNKNOWN, state=State.FAILED, attested_by="ann"), by="ann"),),
        "",
    ),
    "L6 claimed while it was held": (
        (entry("claimed", CLAIMED, replace(CLAIMED, holder="w2", token=4), by="w2"),),
        "L6",
    ),
    "L6 a token that goes back": ((entry("taken", UNKNOWN, replace(UNKNOWN, token=2)),), "L6"),
    "L6 a change under the highest token": ((Changed("k", 3, "r", NOW_MS, SENT, 3),), ""),
    "L6 a change under an older token": ((Changed("k", 3, "r", NOW_MS, SENT, 4),), "L6"),
    "L6 a token shown that is on disk": ((Shown("ef_1", 3, SENT),), ""),
    "L6 a token shown that is not on disk": ((Shown("ef_1", 4, SENT),), "L6"),
    "L6 a token shown of what is not on disk": ((Shown("ef_1", 4, None),), "L6"),
    "L6 the present holder turned away": (
        (TurnedAway(3, 4, NOW_MS, replace(SENT, lease_until_ms=NOW_MS)),),
        "L6",
    ),
    "L6 a holder turned away after its lease": (
        (TurnedAway(3, 4, NOW_MS, replace(SENT, lease_until_ms=NOW_MS - 1)),),
        "",
    ),
    "L6 a former holder turned away": ((TurnedAway(2, 4, NOW_MS, replace(SENT, lease_until_ms=NOW_MS)),), ""),
    "L7 while halted": ((dispatched(halted="everything is halted"),), "L7"),
    "L7 under a stopped run": ((dispatched(run=replace(RUN, state="stopped")),), "L7"),
    "L7 in time": ((dispatched(run=LATE_RUN),), ""),
    "L7 in the time kept for verification": ((dispatched(run=LATE_RUN, at_ms=NOW_MS + 1),), "L7"),
    "L7 past the deadline": ((dispatched(run=LATE_RUN, at_ms=NOW_MS + 1_301),), "L7"),
    "L8 a change of nobody": ((Changed("k", 3, "r", NOW_MS, None),), "L8"),
    "L8 a change of what was never sent": ((Changed("k", 3, "r", NOW_MS, CLAIMED),), "L8"),
    "L8 a chain that holds": ((Evidence("ru_1", ""),), ""),
    "L8 a chain that does not": ((Evidence("ru_1", "entry 3 is not what its hash says"),), "L8"),
    "L11 trusted arguments, and somebody was asked": ((by_yes(tool="trusted"),), ""),
    "L11 trusted arguments, and nobody was asked": ((dispatched(view=replace(SENT, tool="trusted")),), "L11"),
    "L12 verified as a read held": (
        (heard("verify", "holds"), entry("verified", *became(State.VERIFIED))),
        "",
    ),
    "L12 verified as a read held once": (
        (heard("verify", "holds"), heard("verify", "differs"), entry("verified", *became(State.VERIFIED))),
        "L12",
    ),
    "L12 verified by a read under another token": (
        (Heard("ef_1", "verify", 2, "holds"), entry("verified", *became(State.VERIFIED))),
        "L12",
    ),
    "L12 verified by a probe": ((heard("probe", "holds"), entry("verified", *became(State.VERIFIED))), "L12"),
    "L12 verified on somebody's word": (
        (heard("verify", "holds"), entry("verified", *became(State.VERIFIED, attested_by="ann"))),
        "L12",
    ),
    "L12 told as it is on disk": ((ToldTo(SENT, SENT),), ""),
    "L12 told before it is on disk": ((ToldTo(replace(SENT, version=8), SENT),), "L12"),
    "L12 told and nothing is on disk": ((ToldTo(SENT, None),), "L12"),
    "L13 at rest with an owner": ((AtRest((replace(UNKNOWN, owner="ops", next="attest", due_ms=1),)),), ""),
    "L13 at rest without an owner": ((AtRest((replace(UNKNOWN, next="attest", due_ms=1),)),), "L13"),
    "L13 at rest without a next act": ((AtRest((replace(UNKNOWN, owner="ops", due_ms=1),)),), "L13"),
    "L13 at rest without a time": ((AtRest((replace(UNKNOWN, owner="ops", next="attest"),)),), "L13"),
    "L13 due, and nothing changed": ((Idle("ef_1", "verify"),), "L13"),
    "L14 the same call": ((Asked("errand", "pay", ALIKE | {"noted": 2}, MET),), ""),
    "L14 another amount": ((Asked("errand", "pay", ALIKE | {"amount": 6}, MET),), "L14"),
    "L14 another amount, turned away": ((Asked("errand", "pay", ALIKE | {"amount": 6}, None, MET),), ""),
    "L14 another order": ((Asked("errand", "pay", ALIKE | {"order": "B"}, MET),), "L14"),
    "L14 another order, turned away": ((Asked("errand", "pay", ALIKE | {"order": "B"}, None, MET),), "L14"),
    "L14 another purpose": ((Asked("another", "pay", ALIKE, MET),), "L14"),
    "L14 another tool": ((Asked("errand", "bare", ALIKE, MET),), "L14"),
    "L14 in the place of another order": (
        (
            entry("proposed", None, replace(EFFECT, id="ef_0", args={"order": "B"})),
            Asked("errand", "pay", ALIKE, replace(MET, previous="ef_0")),
        ),
        "L14",
    ),
    "L14 in the place of the same order": (
        (
            entry("proposed", None, replace(EFFECT, id="ef_0", args={"order": "A"})),
            Asked("errand", "pay", ALIKE, replace(MET, previous="ef_0")),
        ),
        "",
    ),
    "L14 nothing was met": ((Asked("errand", "pay", ALIKE, None),), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_law_is_broken_by_what_it_forbids_and_by_nothing_else(case: str) -> None:
    """One course a case: the laws that it breaks are exactly those that are named."""
    events, expected = CASES[case]
    assert " ".join(said(*events)) == expected


def test_a_broken_law_says_what_was_seen() -> None:
    """The reason names the effect, and by how much something was late."""
    late = said(dispatched(run=replace(RUN, deadline_ms=NOW_MS), at_ms=NOW_MS + 7))
    assert late["L7"] == "ef_1 was dispatched 7 ms past its deadline"
    inside = said(dispatched(run=LATE_RUN, at_ms=NOW_MS + 7))
    assert inside["L7"] == "ef_1 was dispatched 7 ms inside the time kept for verification"
    over = said(dispatched(grants=(replace(GRANT, expires_ms=NOW_MS - 7),)))
    assert over["L4"] == "ef_1 was dispatched 7 ms after the grant gr_1 had expired"


def test_reads_may_use_all_the_time_before_a_deadline() -> None:
    """No time is kept for verifying what changes nothing."""
    reads = {"pay": replace(PAY, effect=EffectClass.READ)}
    run: Run = LATE_RUN
    (verdict,) = (v for v in judge([dispatched(run=run, at_ms=NOW_MS + 1)], reads, SECRET) if v.law == "L7")
    assert verdict.answer == "holds"


def test_a_law_that_was_broken_stays_so_and_the_others_go_on() -> None:
    """Over a whole log each law answers once, whatever came of the others."""
    assert set(said(Idle("ef_1", "verify"), AtRest(()), Evidence("ru_1", "torn"))) == {"L8", "L13"}
