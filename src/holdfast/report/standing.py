"""How an effect stands: what is known, what is not, what is safe to do now, what is not, and who moves next.

One pure function over the record (and, where it is at hand, its contract and request). Promises that *safe*
names only what record or runtime make safe: looking is; repeating where a key or a proof makes it so.
Does not decide anything: each advice is checked again by whoever carries it out.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.kernel.finality import no_resend
from holdfast.kernel.model import BEFORE_DISPATCH, Approval, Contract, Effect, State
from holdfast.kernel.outcomes import proposals
from holdfast.report.text import escaped, framed, seen_from, when


class Standing(NamedTuple):
    """Five answers, each a list of sentences. Texts of others in them are escaped and framed."""

    known: tuple[str, ...]
    not_known: tuple[str, ...]
    safe: tuple[str, ...]
    not_safe: tuple[str, ...]
    next: str


SENDABLE = BEFORE_DISPATCH | {State.UNKNOWN}
"""States from which an attempt could still be sent."""

NOTHING_LEFT = "nothing has left for the outside"
BY_HAND = "making the change by hand: a later approval or worker would make it a second time"
ANEW = "asking for it under a new purpose or with again=: that is another key, and the outside may change twice"
SAME_PURPOSE = "proposing the same call under the same purpose: it is answered from this record"


def standing(
    view: Effect,
    now_ms: int,
    *,
    approval: Approval | None = None,
    contract: Contract | None = None,
    halted: str = "",
) -> Standing:
    """Where this effect stands at ``now_ms`` (the store's time); ``halted``: why nothing is sent now."""
    stands = _stands(view, now_ms, approval, contract)
    if halted and view.state in SENDABLE:
        return stands._replace(known=(*stands.known, f"nothing is sent now: {framed(halted)}"))
    return stands


def _stands(view: Effect, now_ms: int, approval: Approval | None, contract: Contract | None) -> Standing:
    match view.state:
        case State.PROPOSED | State.ADMITTED | State.CLAIMED:
            return _before(view, now_ms)
        case State.WAITING:
            return _put_off(view, now_ms) if view.schedulings else _waiting(view, now_ms, approval)
        case State.DISPATCHED:
            return _in_flight(view, now_ms)
        case State.PENDING | State.UNKNOWN:
            return _in_doubt(view, now_ms, contract)
        case State.COMMITTED | State.VERIFIED | State.UNCONFIRMED | State.COMPENSATED:
            return _happened(view, now_ms)
        case State.FAILED:
            return _failed(view)
        case State.ABANDONED:
            return _abandoned(view)
        case _:
            return _refused(view)


BASES = {
    "acknowledged": "the outside acknowledged it",
    "acknowledged per item": "the outside acknowledged it, item by item",
    "probe": "a probe found it outside",
    "late reply": "a reply that came late said so",
}


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _before(view: Effect, now_ms: int) -> Standing:
    known = [f"{view.state.value} since {when(view.moved_ms)}; {NOTHING_LEFT}"]
    if view.holder:
        last = seen_from(view.lease_until_ms, now_ms)
        known.append(f"{escaped(view.holder)} holds it under token {view.token}; the lease ends {last}")
    if view.cause:
        known.append(f"before that: {framed(view.cause)}")
    moves = {
        State.PROPOSED: "a worker asks the policy",
        State.ADMITTED: "a worker claims it",
        State.CLAIMED: "its holder checks everything again and sends it",
    }
    return Standing(
        known=tuple(known),
        not_known=("whether it will be sent: everything is checked again just before",),
        safe=("leaving it to the workers", SAME_PURPOSE, f"stopping: holdfast run show {view.run}"),
        not_safe=(BY_HAND,),
        next=moves[view.state],
    )


def _put_off(view: Effect, now_ms: int) -> Standing:
    """It waits for room: whose turn it is, and when it is looked at again."""
    code = escaped(str(view.admission.get("code", "")))
    return Standing(
        known=(
            f"waiting since {when(view.moved_ms)} for room in {escaped(str(view.admission.get('work', '')))}: {code}",
            f"put off {view.schedulings} time(s); {NOTHING_LEFT}",
        ),
        not_known=("when there is room for it",),
        safe=(
            "holdfast status",
            f"holdfast run cancel {view.run} --as NAME --reason TEXT",
            "leaving it: it is looked at again in its time, and refused if there is no room before its deadline",
        ),
        not_safe=(BY_HAND,),
        next=f"the runtime looks for room at {when(view.due_ms)} ({seen_from(view.due_ms, now_ms)})",
    )


def _waiting(view: Effect, now_ms: int, approval: Approval | None) -> Standing:
    known = [f"waiting since {when(view.moved_ms)}; {NOTHING_LEFT}"]
    until_ms = approval.expires_ms if approval is not None else view.due_ms
    if view.declined:
        known.append(f"somebody said no: {framed(view.reason)}")
    if approval is not None:
        said = ", ".join(escaped(name) for name in approval.yes) or "nobody"
        known.append(f"request {approval.id}: yes from {said}, {approval.quorum} needed")
        known.append(f"it expires {when(until_ms)} ({seen_from(until_ms, now_ms)})")
    if view.quorum_met or view.declined or now_ms > until_ms:
        return _answered(view, tuple(known))
    request = view.approval or view.id
    return Standing(
        known=tuple(known),
        not_known=(
            "what the answer will be",
            "whether its target is still as it was: it is read again before sending",
        ),
        safe=(
            f"holdfast approval show {request}",
            f"holdfast approve {request} --as NAME",
            f'holdfast refuse {request} --as NAME --reason "…"',
            "leaving it: without an answer in time it is refused, and nothing is sent",
        ),
        not_safe=(BY_HAND,),
        next=f"{escaped(view.owner) or 'an approver'} approves or refuses, until {when(until_ms)}",
    )


def _answered(view: Effect, known: tuple[str, ...]) -> Standing:
    """A waiting effect that somebody, or time, has answered and no worker has taken up yet."""
    if view.quorum_met and not view.declined:
        not_known = "whether it will be sent: everything is checked again, and its target read again, just before"
        goes_on = "a worker takes it up: the yes is there"
    else:
        not_known = "nothing: it will not be sent"
        goes_on = "a worker records the refusal: somebody said no, or the request expired"
    return Standing(
        known=known,
        not_known=(not_known,),
        safe=("leaving it to the workers",),
        not_safe=(BY_HAND,),
        next=goes_on,
    )


def _in_flight(view: Effect, now_ms: int) -> Standing:
    last, over = view.attempts[-1], seen_from(view.lease_until_ms, now_ms)
    return Standing(
        known=(
            f"attempt {last.number} was committed {when(last.at_ms)} under token {last.token}",
            f"its bytes leave before {when(last.send_by_ms)} or not at all",
            "it counts as spent",
        ),
        not_known=("whether the outside was changed: nothing that came back is recorded",),
        safe=(
            "leaving it to its holder or, after the lease, to recovery",
            f"holdfast effect reconcile {view.id}",
            SAME_PURPOSE,
        ),
        not_safe=(ANEW, "making the change by hand"),
        next=f"{escaped(view.holder)} records what came back; its lease ends {over}",
    )


def _in_doubt(view: Effect, now_ms: int, contract: Contract | None) -> Standing:
    last = view.attempts[-1]
    known = [
        f"sent {_times(len(view.attempts))} under one key, last {when(last.at_ms)}",
        f"the reason for the doubt: {framed(view.cause)}" if view.cause else "the reason for the doubt was not given",
        "it counts as spent",
    ]
    not_known = ["whether the outside was changed"]
    if view.state is State.PENDING:
        known[1] = f"the outside accepted a long operation and calls it {framed(view.operation)}"
        not_known = ["whether that operation will be done"]
    if view.probes:
        known.append(f"asked {_times(view.probes)} so far; no answer settled it")
    if view.absent_ms:
        known.append(f"not found outside since {when(view.absent_ms)}, which alone does not prove that it cannot land")
    if view.late_seen:
        known.append("a late reply says that it happened; the next round of reconcile takes it as evidence")
    # Escalated without a single question: its tool cannot be asked.
    mute = view.escalated and not view.probes
    safe = [
        *(() if mute else (f"holdfast effect probe {view.id}   (asks, changes nothing)",)),
        f"holdfast effect reconcile {view.id}   {_means(view, contract, now_ms)}",
    ]
    decide = f'holdfast effect attest {view.id} --happened (or --did-not-happen) --as NAME --reason "what you saw"'
    safe.append(decide)
    return Standing(
        known=tuple(known),
        not_known=tuple(not_known),
        safe=(*safe, SAME_PURPOSE),
        not_safe=(
            ANEW,
            "making the change by hand before it is known",
            "taking silence, or one search that found nothing, for a no",
        ),
        next=_mover(view, now_ms),
    )


def _means(view: Effect, contract: Contract | None, now_ms: int) -> str:
    """What reconcile may do; as exactly as the contract at hand allows."""
    if view.state is State.PENDING:
        return "(asks how far the operation is; never sends it again)"
    if contract is None:
        return "(asks; sends again only under the same key, while the contract says that it is honoured)"
    asks = "asks" if contract.has_probe else "has no probe to ask"
    why_not = no_resend(contract, view, now_ms)
    if why_not:
        return f"({asks}; does not send again: {why_not})"
    return f"({asks}; may send again under the same key, which the outside takes once)"


def _mover(view: Effect, now_ms: int) -> str:
    if view.escalated:
        due = f", expected by {when(view.due_ms)} ({seen_from(view.due_ms, now_ms)})" if view.due_ms else ""
        return f"{escaped(view.owner)}: {escaped(view.next)}{due}"
    due = f", {seen_from(view.due_ms, now_ms)}" if view.due_ms > now_ms else ", due now"
    return f"{escaped(view.owner) or 'the runtime'}: {escaped(view.next) or 'reconcile'}{due}"


def _happened(view: Effect, now_ms: int) -> Standing:
    known = [f"it happened: {BASES.get(view.basis, escaped(view.basis) or 'acknowledged')}"]
    if view.attested_by:
        known = [f"{escaped(view.attested_by)} attests that it happened: {framed(view.reason)}"]
    not_known: list[str] = []
    next_ = "nobody: it has ended"
    if view.state is State.VERIFIED:
        known.append(f"an independent read held at {when(view.verified_ms)}")
        not_known.append("whether the world still holds it now: verified is at that time")
    elif view.state is State.COMPENSATED:
        known.append(f"it was offset by {view.compensated_by}")
    elif view.state is State.UNCONFIRMED:
        known.append(f"the agreed verification did not hold: {framed(view.differs)}")
        not_known.append("which of the two is right: what the outside acknowledged, or what the read saw")
        next_ = _mover(view, now_ms) if view.next else f"{escaped(view.owner) or 'its owner'} looks at the world"
    elif view.next == "verify":
        not_known.append("whether the world holds what was intended: the agreed verification has not held yet")
        next_ = _mover(view, now_ms)
    else:
        why = (
            "an attested outcome is never verified" if view.attested_by else "no verification is declared for its tool"
        )
        not_known.append(f"whether the world holds what was intended: {why}")
    return Standing(
        known=tuple(known),
        not_known=tuple(not_known) or ("nothing about its outcome",),
        safe=(SAME_PURPOSE, f"holdfast evidence show {view.id}"),
        not_safe=("asking for it under a new purpose or with again=, unless a second change is what is wanted",),
        next=next_,
    )


def _failed(view: Effect) -> Standing:
    proof = escaped(view.basis) or "it is proved"
    if view.attested_by:
        proof = f"{escaped(view.attested_by)} attests it: {framed(view.reason)}"
    successor = (
        f"holdfast effect show {view.successor}"
        if view.successor
        else "proposing it again: it is decided afresh, under the next key"
    )
    due = "a worker settles its budget" if view.unsettled else "nobody: it has ended"
    return Standing(
        known=(f"it did not happen: {proof}", f"why: {framed(view.cause)}"),
        not_known=("nothing about its outcome",),
        safe=(successor,),
        not_safe=("taking it for a refusal: it was allowed, and sent or about to be",),
        next=f"effect {view.successor} goes on" if view.successor else due,
    )


def _abandoned(view: Effect) -> Standing:
    return Standing(
        known=(
            f"sent {_times(len(view.attempts))}",
            f"{escaped(view.attested_by)} gave up on it: {framed(view.reason)}",
            "it counts as spent, and its key is never used again",
        ),
        not_known=("whether the outside was changed; nobody looks for it any more",),
        safe=("looking at the outside",),
        not_safe=(ANEW, "taking it for something that did not happen"),
        next="nobody: it has ended",
    )


def _refused(view: Effect) -> Standing:
    rules = ", ".join(escaped(rule) for rule in view.rules) or "none named"
    known = [f"{view.state.value} {when(view.moved_ms)}; {NOTHING_LEFT}"]
    by_rules = f" (rules: {rules})" if view.state is State.REFUSED else ""
    known.append(f"why: {framed(view.reason)}{by_rules}")
    goes_on = f"effect {view.successor} goes on" if view.successor else "nobody: it has ended"
    if "again" in view.unsettled and not view.successor:
        goes_on = "a worker proposes it anew, to be decided afresh"
    again = f"holdfast effect show {view.successor}" if view.successor else "proposing it again: it is decided afresh"
    calls, not_done = proposals(view)
    short = f", which leaves undone: {framed(not_done)}" if not_done else ""
    instead = [f"proposing {escaped(calls[0]['tool'])} instead{short}"] if calls else []
    if len(calls) > 1:
        instead = [f"proposing it in {len(calls)} smaller calls{short}"]
    return Standing(
        known=tuple(known),
        not_known=("nothing: it was not sent",),
        safe=(*instead, again),
        not_safe=("making the change by hand to get around the rule",) if view.state is State.REFUSED else (BY_HAND,),
        next=goes_on,
    )
