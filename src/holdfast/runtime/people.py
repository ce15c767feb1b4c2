"""What a named human may record: approve, refuse, attest, abandon, halt, lift. Each with who says so, and why.

Promises: nobody decides on what they proposed, and no planner on anything; a yes is for exactly the request's digest
while it is open; a yes that was said alone in an emergency is owed a review by somebody else; only an unknown or
pending effect can be attested, only an unknown one abandoned, and neither without a reason; attested is never verified.
A decision on a request is signed with the key that the store has on record for that person; for the other acts the
name is what the caller vouches for.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.gate.asking import proposers
from holdfast.gate.signing import Signer
from holdfast.kernel.authority import BREAK_GLASS, counted, enough, spelled
from holdfast.kernel.canon import decode
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Approver
from holdfast.kernel.errors import (
    ApprovalInvalid,
    ApproverIsProposer,
    BadValue,
    HoldfastError,
    NotAllowedNow,
    NotAnApprover,
    ReasonMissing,
)
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Decision, Effect, State
from holdfast.kernel.ports import Seen
from holdfast.kernel.statement import act, answer
from holdfast.runtime.approvers import SCOPE, planners

RUNTIME_NEXT = {"owner": "runtime", "next": "admit"}
REVIEWED = "reviewed:"
"""The scope of the fact that says whether a yes in an emergency was looked at afterwards: ``no``, then ``yes``."""
SCOPES = ("tenant", "tool", "run", "principal", "queue")


class Desk(Protocol):
    """What a human's decision needs of a store: one read, one durable commit."""

    def read_now(self, effect: str) -> Seen: ...
    def commit_now(self, change: Change) -> Verdict: ...
    def approval(self, approval: str) -> Approval | None: ...
    def document(self, kind: str, key: str) -> AnyDocument | None: ...
    def fact(self, scope: str) -> Fact | None: ...
    def now_ms(self) -> int: ...


def approve(desk: Desk, request: str, *, signer: Signer, reason: str = "", break_glass: bool = False) -> Effect:
    """Record a signed yes. The effect goes on when its quorum is met; dispatch checks everything again.

    With ``break_glass`` a member of that group says yes alone, in an emergency, with a reason; it is reviewed later.
    One name in two spellings is one person: the letters' case, blanks and look-alike forms of a letter do not count.
    Raises ApprovalInvalid, ApproverIsProposer, NotAnApprover, ReasonMissing.
    """
    return _decide(desk, request, signer, yes=True, reason=reason, break_glass=break_glass)


def refuse(desk: Desk, request: str, *, signer: Signer, reason: str) -> Effect:
    """Record a signed no; one is enough."""
    return _decide(desk, request, signer, yes=False, reason=reason)


def revoke(desk: Desk, request: str, *, signer: Signer, reason: str) -> Effect:
    """Take an approval back before it is used: nothing is dispatched on it, and no new request is raised by itself."""
    approval, view = _asked(desk, request)
    if approval.state not in ("open", "granted") or view.approval != request:
        raise ApprovalInvalid(effect=view.id, approval=request, why=f"the request is {approval.state}")
    if not reason.strip():
        raise ReasonMissing(effect=view.id, asked="revoke")
    person = registered(desk, signer, view.id)
    body: dict[str, Any] = {"who": person.name, "evidence": signed_act(signer, "revocation", request, reason)}
    if view.state is State.WAITING:
        body |= {"declined": True, "reason": f"{person.name} took the approval back: {reason}", **RUNTIME_NEXT}
    return _done(desk, view, "revoke", _owned(view, "revoked", person.name, body))


def review(desk: Desk, request: str, *, signer: Signer, reason: str) -> Approval:
    """Look at a yes that was said alone in an emergency, as somebody else, and say what you found.

    It changes nothing about the effect. Raises ApprovalInvalid, NotAnApprover, ReasonMissing.
    """
    approval, view = _asked(desk, request)
    if not reason.strip():
        raise ReasonMissing(effect=view.id, asked="review")
    person = registered(desk, signer, view.id)
    broke = [d.who for d in approval.decisions if d.yes and d.break_glass]
    if not broke:
        raise ApprovalInvalid(effect=view.id, approval=request, why="nobody said yes to it in an emergency")
    if not desk_owes(desk, request):
        raise ApprovalInvalid(effect=view.id, approval=request, why="it was reviewed already")
    if person.id in {spelled(name) for name in (*broke, *proposers(desk.read_now(view.id)))}:
        why = "they proposed it or said yes to it, and a review is somebody else's"
        raise NotAnApprover(effect=view.id, name=person.name, why=why)
    fact = Fact(scope=REVIEWED + request, value="yes", by=person.name, reason=reason)
    body = {"approval": request, "effect": view.id, "evidence": signed_act(signer, "review", request, reason)}
    note = Note(kind="reviewed", by=person.name, body=body)
    desk.commit_now(Change(run=view.run, facts=(fact,), notes=(note,)))
    return approval


def desk_owes(desk: Desk, request: str) -> bool:
    """Whether a yes in an emergency was said to this request and nobody else has looked at it since."""
    fact = desk.fact(REVIEWED + request)
    return fact is not None and fact.value == "no"


def owed(facts: list[Fact]) -> list[Fact]:
    """Of all facts of a store those that say: a yes in an emergency waits for its review. ``scope`` ends in its id."""
    return [fact for fact in facts if fact.scope.startswith(REVIEWED) and fact.value == "no"]


def not_as_shown(approval: Approval, present: str) -> str:
    """What of the target is not as the request shows it, in words; empty if it is. ``present``: its state as read now.

    A yes to a state that is gone would be refused when it is used; it is better not said. So all of a quorum saw one.
    """
    if not approval.fingerprint or present == approval.fingerprint:
        return ""
    if present.startswith("!"):
        return f"the state of its target cannot be read: {present[1:].strip()}"
    names = moved(approval.fingerprint, present)
    return "its target is not as the request shows it" + (f": {', '.join(names)}" if names else "")


def moved(then: str, now: str) -> list[str]:
    """Which members of two states differ, by name; empty where they are no objects."""
    try:
        before, after = decode(then.encode()), decode(now.encode())
    except (HoldfastError, ValueError):
        return []
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def _asked(desk: Desk, request: str) -> tuple[Approval, Effect]:
    approval = desk.approval(request)
    if approval is None:
        raise ApprovalInvalid(effect="", approval=request, why="it is not recorded")
    return approval, view_of(desk, approval.effect)


def registered(desk: Desk, signer: Signer, effect: str) -> Approver:
    """The person whose key this is, while it is good. Raises NotAnApprover."""
    person = desk.document("approver", spelled(signer.name))
    if not isinstance(person, Approver):
        raise NotAnApprover(effect=effect, name=signer.name, why="nobody of that name is registered")
    if person.key_id != signer.key_id:
        raise NotAnApprover(effect=effect, name=signer.name, why=f"the key registered for them is {person.key_id}")
    if not person.holds("", desk.now_ms()):
        raise NotAnApprover(effect=effect, name=signer.name, why="their key was revoked or has expired")
    return person


def signed_act(signer: Signer, kind: str, subject: str, reason: str) -> dict[str, str]:
    """What an entry keeps of a person's act besides a decision: who, under which key, and the signature."""
    message = act(kind, subject, signer.name, signer.key_id, {"reason": reason})
    return {"key": signer.key_id, "signature": signer.sign(message), "said": reason}


def _decide(desk: Desk, request: str, signer: Signer, *, yes: bool, reason: str, break_glass: bool = False) -> Effect:
    fact = desk.fact(SCOPE)
    epoch = fact.epoch if fact is not None else 0
    approval, view = _asked(desk, request)
    seen = desk.read_now(approval.effect)
    if (not yes or break_glass) and not reason.strip():
        raise ReasonMissing(effect=view.id, asked="break the glass" if yes else "refuse")
    if yes and spelled(signer.name) in {spelled(name) for name in proposers(seen)}:
        raise ApproverIsProposer(effect=view.id, name=signer.name)
    person = registered(desk, signer, view.id)
    if run := planners(desk).get(person.id):
        why = f"that is what the planner of run {run} is called, and no planner decides"
        raise NotAnApprover(effect=view.id, name=person.name, why=why)
    group = BREAK_GLASS if break_glass else approval.group
    if not person.holds(group, seen.now_ms):
        why = f"the request asks {group}, and they speak for {', '.join(person.groups) or 'no group'}"
        raise NotAnApprover(effect=view.id, name=person.name, why=why)
    if said_already(person, approval):
        raise ApprovalInvalid(effect=view.id, approval=request, why=f"{person.name} has already said yes")
    if approval.state != "open" or view.approval != request or view.state is not State.WAITING:
        raise ApprovalInvalid(effect=view.id, approval=request, why=f"the request is {approval.state}")
    if seen.now_ms > approval.expires_ms:
        raise ApprovalInvalid(effect=view.id, approval=request, why="the request expired")
    said = Decision(
        who=person.name, yes=yes, at_ms=seen.now_ms, key_id=person.key_id, reason=reason, break_glass=break_glass
    )
    said = replace(said, signature=signer.sign(answer(approval, said)))
    body: dict[str, Any] = {"who": person.name, "digest": approval.digest, "decision": to_builtins(said)}
    if yes:
        decided = replace(approval, decisions=(*approval.decisions, said))
        met = enough(decided, counted(decided, desk, seen.now_ms))
        body |= {"quorum_met": met, **(RUNTIME_NEXT if met else {})}
    else:
        body |= {"declined": True, "reason": f"{person.name} said no: {reason}", **RUNTIME_NEXT}
    kind = "granted" if yes else "declined"
    guard = Guard(
        effect=view.id, states=(State.WAITING,), version=view.version, not_after=_ends(approval, person, desk),
        epochs=((SCOPE, epoch),),
    )  # fmt: skip
    facts = (Fact(scope=REVIEWED + request, value="no", by=person.name, reason=reason),) if break_glass else ()
    change = Change(run=view.run, guard=guard, drafts=(_draft(view, kind, person.name, body),), facts=facts)
    return _done(desk, view, kind, change)


def said_already(person: Approver, approval: Approval) -> bool:
    """Whether this person, under whatever spelling, has said yes to a request with the key they have now."""
    return any(d.yes and spelled(d.who) == person.id and d.key_id == person.key_id for d in approval.decisions)


def _ends(approval: Approval, person: Approver, desk: Desk) -> tuple[tuple[str, int], ...]:
    """The instants past which what is said here would be judged otherwise: the request's end, and those of the keys."""
    before = (desk.document("approver", spelled(decision.who)) for decision in approval.decisions)
    keys = [p.expires_ms for p in (person, *before) if isinstance(p, Approver) and p.expires_ms > desk.now_ms()]
    return (("approval", approval.expires_ms), *(("key", end_ms) for end_ms in keys))


def attest(desk: Desk, effect: str, *, who: str, happened: bool, reason: str, value: Any = None) -> Effect:
    """A named human states what an unknown effect did. Recorded as attested, never as verified."""
    view = view_of(desk, effect)
    _need(view, "attest", who, reason, (State.UNKNOWN, State.PENDING))
    body: dict[str, Any] = {"attested_by": who, "reason": reason, "basis": "attested"}
    if happened:
        kind, body["value"] = "committed", value
    else:
        kind, body["cause"], body["unsettled"] = "failed", f"attested by {who}: {reason}", "refund"
    return _done(desk, view, "attest", _owned(view, kind, who, body))


def abandon(desk: Desk, effect: str, *, who: str, reason: str) -> Effect:
    """A named human gives up on an unknown effect; it still counts as spent, and its key is never reused."""
    view = view_of(desk, effect)
    _need(view, "abandon", who, reason, (State.UNKNOWN,))
    return _done(desk, view, "abandon", _owned(view, "abandoned", who, {"attested_by": who, "reason": reason}))


def halt(desk: Desk, scope: str, *, who: str, reason: str) -> None:
    """Raise the halt of a scope (``store``, ``run:…``, ``tool:…``, ``principal:…``, ``tenant:…``): nothing leaves. Of
    ``queue:…``, a class of work: no queued run of it is claimed.

    Raises BadValue for any other scope: a halt that stops nothing must not look like one that does.
    """
    kind, colon, name = scope.partition(":")
    if scope != "store" and (kind not in SCOPES or not colon or not name):
        why = f"a halt is of everything (store), or of {', '.join(f'{known}:NAME' for known in SCOPES)}"
        raise BadValue(path="scope", why=why, value_type="str")
    _set_halt(desk, scope, who, reason, raised=True)


def lift(desk: Desk, scope: str, *, who: str, reason: str, signer: Signer | None = None) -> None:
    """Lift a halt. What was checked before it was raised is checked again.

    Where approvers are registered the lift is signed by one of them, who is then the one who lifts; a name alone lifts
    only in a store that knows no approvers. Raises BadValue where nothing is halted, NotAnApprover, ReasonMissing,
    NotAllowedNow where it was halted anew meanwhile.
    """
    fact = desk.fact(f"halt:{scope}")
    if fact is None or not fact.raised:
        raise BadValue(path="scope", why=f"{scope} is not halted", value_type="str")
    known = desk.fact("approvers") is not None
    if known and signer is None:
        why = "approvers are registered here, so a lift is signed with the key of one of them"
        raise NotAnApprover(effect=f"halt of {scope}", name=who, why=why)
    evidence: dict[str, str] = {}
    if signer is not None:
        person = registered(desk, signer, f"halt of {scope}")
        who, evidence = person.name, signed_act(signer, "lift", scope, reason)
    # Another that was raised in between is not this one: whoever lifts it has looked at it first.
    guard = Guard(in_force=((f"halt:{scope}", fact.value),))
    _set_halt(desk, scope, who, reason, raised=False, evidence=evidence, guard=guard)


def _set_halt(
    desk: Desk,
    scope: str,
    who: str,
    reason: str,
    *,
    raised: bool,
    evidence: dict[str, str] | None = None,
    guard: Guard | None = None,
) -> None:
    word = "halt" if raised else "lift"
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=scope, asked=word)
    which = f"{desk.now_ms()} {who}: {reason}" if raised else ""
    fact = Fact(scope=f"halt:{scope}", raised=raised, value=which, by=who, reason=reason)
    body: dict[str, Any] = {"scope": scope, "reason": reason} | ({"evidence": evidence} if evidence else {})
    notes = (Note(kind=word, by=who, body=body),)
    verdict = desk.commit_now(Change(run=STORE_RUN_ID, guard=guard or Guard(), facts=(fact,), notes=notes))
    if isinstance(verdict, Rejected):
        state = f"halted anew meanwhile ({verdict.why})"
        raise NotAllowedNow(effect=f"halt of {scope}", state=state, asked="lift", allowed=("look again",))


def view_of(desk: Desk, effect: str) -> Effect:
    """An effect as it is recorded. Raises NotAllowedNow where it is not."""
    view = desk.read_now(effect).effect
    if view is None:
        raise NotAllowedNow(effect=effect, state="not recorded", asked="this", allowed=())
    return view


def _need(view: Effect, asked: str, who: str, reason: str, states: tuple[State, ...]) -> None:
    if view.state not in states:
        allowed = tuple(s.value for s in states)
        raise NotAllowedNow(effect=view.id, state=view.state.value, asked=asked, allowed=allowed)
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=view.id, asked=asked)


def _draft(view: Effect, kind: str, who: str, body: dict[str, Any]) -> Draft:
    return Draft(effect=view.id, kind=kind, by=who, body=body)


def _owned(view: Effect, kind: str, who: str, body: dict[str, Any]) -> Change:
    guard = Guard(effect=view.id, states=(view.state,), version=view.version)
    return Change(run=view.run, guard=guard, drafts=(_draft(view, kind, who, body),))


def _done(desk: Desk, view: Effect, asked: str, change: Change) -> Effect:
    verdict = desk.commit_now(change)
    if isinstance(verdict, Rejected):
        state = verdict.effect.state.value if verdict.effect is not None else view.state.value
        raise NotAllowedNow(effect=view.id, state=f"{state} ({verdict.why})", asked=asked, allowed=("look again",))
    assert verdict.effect is not None
    return verdict.effect
