"""What a named human may record: approve, refuse, attest, abandon, halt, lift. Each with who says so, and why.

Promises: nobody decides on what they proposed; a yes is for exactly the request's digest while it is open; only an
unknown or pending effect can be attested, only an unknown one abandoned, and neither without a reason; attested is
never verified. Identity is what the caller vouches for (``vouched_by``); signatures come with approver keys.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Protocol

from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.errors import ApprovalInvalid, ApproverIsProposer, BadValue, NotAllowedNow, ReasonMissing
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Effect, State
from holdfast.kernel.ports import Seen

RUNTIME_NEXT = {"owner": "runtime", "next": "admit"}
STORE_RUN_ID = "ru_store"
SCOPES = ("tenant", "tool", "run", "principal")


class Desk(Protocol):
    """What a human's decision needs of a store: one read, one durable commit."""

    def read_now(self, effect: str) -> Seen: ...
    def commit_now(self, change: Change) -> Verdict: ...
    def approval(self, approval: str) -> Approval | None: ...


def approve(desk: Desk, request: str, *, who: str, vouched_by: str, reason: str = "") -> Effect:
    """Record a yes. The effect goes on when its quorum is met; dispatch checks everything again.

    One name in two spellings is one person: the letters' case, blanks and look-alike forms of a letter do not count.
    """
    return _decide(desk, request, "granted", who, vouched_by, reason)


def refuse(desk: Desk, request: str, *, who: str, vouched_by: str, reason: str) -> Effect:
    """Record a no; one is enough."""
    return _decide(desk, request, "declined", who, vouched_by, reason)


def _decide(desk: Desk, request: str, kind: str, who: str, vouched_by: str, reason: str) -> Effect:
    approval = desk.approval(request)
    if approval is None:
        raise ApprovalInvalid(effect="", approval=request, why="it is not recorded")
    view = _view(desk, approval.effect)
    seen = desk.read_now(approval.effect)
    if kind == "declined" and not reason.strip():
        raise ReasonMissing(effect=view.id, asked="refuse")
    if not who.strip():
        raise ReasonMissing(effect=view.id, asked="approve")
    if kind == "granted" and _same(who) == _same(approval.proposer):
        raise ApproverIsProposer(effect=view.id, name=who)
    if _same(who) in {_same(name) for name in approval.yes}:
        raise ApprovalInvalid(effect=view.id, approval=request, why=f"{who} has already said yes")
    if approval.state != "open" or view.approval != request or view.state is not State.WAITING:
        raise ApprovalInvalid(effect=view.id, approval=request, why=f"the request is {approval.state}")
    if seen.now_ms > approval.expires_ms:
        raise ApprovalInvalid(effect=view.id, approval=request, why="the request expired")
    body: dict[str, Any] = {"who": who, "digest": approval.digest, "note": f"vouched for by {vouched_by}"}
    if kind == "granted":
        met = len({*approval.yes, who}) >= approval.quorum
        body |= {"quorum_met": met, **(RUNTIME_NEXT if met else {})}
        if reason:
            body["evidence"] = reason
    else:
        body |= {"declined": True, "reason": f"{who} said no: {reason}", **RUNTIME_NEXT}
    guard = Guard(
        effect=view.id, states=(State.WAITING,), version=view.version, not_after=(("approval", approval.expires_ms),)
    )
    return _done(desk, view, kind, Change(run=view.run, guard=guard, drafts=(_draft(view, kind, who, body),)))


def _same(name: str) -> str:
    """A name without what two spellings of it may differ in: NFKC, case, blanks and what is not drawn at all."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(char for char in folded if char.isprintable() and not char.isspace())


def attest(desk: Desk, effect: str, *, who: str, happened: bool, reason: str, value: Any = None) -> Effect:
    """A named human states what an unknown effect did. Recorded as attested, never as verified."""
    view = _view(desk, effect)
    _need(view, "attest", who, reason, (State.UNKNOWN, State.PENDING))
    body: dict[str, Any] = {"attested_by": who, "reason": reason, "basis": "attested"}
    if happened:
        kind, body["value"] = "committed", value
    else:
        kind, body["cause"], body["unsettled"] = "failed", f"attested by {who}: {reason}", "refund"
    return _done(desk, view, "attest", _owned(view, kind, who, body))


def abandon(desk: Desk, effect: str, *, who: str, reason: str) -> Effect:
    """A named human gives up on an unknown effect; it still counts as spent, and its key is never reused."""
    view = _view(desk, effect)
    _need(view, "abandon", who, reason, (State.UNKNOWN,))
    return _done(desk, view, "abandon", _owned(view, "abandoned", who, {"attested_by": who, "reason": reason}))


def halt(desk: Desk, scope: str, *, who: str, reason: str) -> None:
    """Raise the halt of a scope (``store``, ``run:…``, ``tool:…``, ``principal:…``, ``tenant:…``): nothing leaves.

    Raises BadValue for any other scope: a halt that stops nothing must not look like one that does.
    """
    kind, colon, name = scope.partition(":")
    if scope != "store" and (kind not in SCOPES or not colon or not name):
        why = f"a halt is of store, or of {', '.join(f'{known}:NAME' for known in SCOPES)}"
        raise BadValue(path="scope", why=why, value_type="str")
    _set_halt(desk, scope, who, reason, raised=True)


def lift(desk: Desk, scope: str, *, who: str, reason: str) -> None:
    """Lift a halt. What was checked before it was raised is checked again."""
    _set_halt(desk, scope, who, reason, raised=False)


def _set_halt(desk: Desk, scope: str, who: str, reason: str, *, raised: bool) -> None:
    word = "halt" if raised else "lift"
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=scope, asked=word)
    fact = Fact(scope=f"halt:{scope}", raised=raised, by=who, reason=reason)
    note = Note(kind=word, by=who, body={"scope": scope, "reason": reason})
    desk.commit_now(Change(run=STORE_RUN_ID, facts=(fact,), notes=(note,)))


def _view(desk: Desk, effect: str) -> Effect:
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
