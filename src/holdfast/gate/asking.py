"""Asking a human, and the stops that need no rule: what the gate does around the policy.

Pure: builds the request that binds a yes to exactly these bytes on exactly this state, and names the reason why an
effect may not go on at all (halt, deadline, a tool that is gone).
"""

from __future__ import annotations

from msgspec.structs import replace

from holdfast.gate.signing import good
from holdfast.kernel import identity as names
from holdfast.kernel.authority import counted, enough, spelled
from holdfast.kernel.canon import keyed
from holdfast.kernel.commit import Change
from holdfast.kernel.deadlines import too_late
from holdfast.kernel.documents import AnyDocument, Approver
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Contract, Effect, State
from holdfast.kernel.ports import Ruling, Seen
from holdfast.kernel.standin import holds_stand_in
from holdfast.kernel.statement import answer, content_of


def stop_reason(seen: Seen, contract: Contract | None) -> str:
    """Why nothing may be dispatched for this effect now, in words; empty if nothing stops it."""
    view, run = seen.effect, seen.run
    if view is None or run is None:
        return "its record or its run is missing"
    if seen.halted:
        return seen.halted
    if contract is None:
        return f"the tool {view.tool} is not registered here"
    if run.state != "open":
        return f"the run is {run.state}"
    if holds_stand_in(view.args):
        return "its arguments hold a stand-in where a value was redacted, and nobody is sent that"
    return too_late(run.deadline_ms, contract, seen.now_ms)


def expects(contract: Contract) -> str:
    """What verification will follow, as an approver is told and as the approval binds it."""
    return f"{contract.name}.verify" if contract.has_verify else "acknowledgement only"


def digest_of(secret: bytes, view: Effect, approval: Approval) -> str:
    """The digest an approval must carry to be good for this effect as it is recorded now."""
    return names.approval_digest(
        secret,
        nonce=approval.nonce,
        tool=view.tool,
        contract=view.contract,
        args=view.args,
        environment=view.environment,
        resource=view.resource,
        fingerprint=approval.fingerprint,
        expects=approval.expects,
        policy=approval.policy,
        generation=view.generation,
    )


def proposers(seen: Seen) -> tuple[str, ...]:
    """Who is behind a proposal and says no yes to it: its principal, and the holders of the grants it came under.

    A grant that a run gave on, to a unit of its work or a run under it, was that run's principal's to give.
    """
    view, run, approval = seen.effect, seen.run, seen.approval
    names = [view.principal if view is not None else "", approval.proposer if approval is not None else ""]
    names += [run.principal.name if run is not None else "", *(grant.holder for grant in seen.grants)]
    names += [grant.by for grant in seen.grants if grant.run]
    return tuple(dict.fromkeys(name for name in names if name))


def unsound(seen: Seen) -> str:
    """Why the answers to a request do not carry a dispatch, in words; empty if they do.

    Signatures are checked here over the record as it is now: a row that somebody edited speaks for nobody. Whether keys
    and groups still hold is judged once more by the store, in the commit.
    """
    view, approval = seen.effect, seen.approval
    assert view is not None
    assert approval is not None
    if approval.effect != view.id or approval.content != content_of(view, approval):
        return "the request is not the one that was shown"
    known = {person.id: person for person in seen.approvers}
    for decision in approval.decisions:
        person = known.get(spelled(decision.who))
        if person is None:
            return f"{decision.who} is not on record, under whose name an answer was given"
        # What a replaced key signed cannot be checked any more, and is not counted below: its person may answer anew.
        if person.key_id == decision.key_id and not good(
            person.public_key, answer(approval, decision), decision.signature
        ):
            return f"the signature of {decision.who} is not over this request"
    yes = [d for d in approval.decisions if d.yes]
    if len(yes) < len(approval.decisions):
        return "somebody said no"
    behind = {spelled(name) for name in proposers(seen)}
    if own := [d.who for d in yes if spelled(d.who) in behind]:
        return f"{own[0]} said yes to what they proposed"
    counts = counted(approval, _Known(seen.approvers), seen.now_ms)
    if not enough(approval, counts):
        gone = ", ".join(d.who for d in yes if d not in counts)
        return f"too few of those who said yes still may (not {gone or 'anybody'}: a key or a membership has ended)"
    return ""


class _Known:
    """The people around one request, as documents."""

    def __init__(self, people: tuple[Approver, ...]) -> None:
        self._people = {person.id: person for person in people}

    def document(self, kind: str, key: str) -> AnyDocument | None:
        return self._people.get(key) if kind == "approver" else None


def ask_for(
    secret: bytes, me: str, view: Effect, contract: Contract, ruling: Ruling, fingerprint: str, now_ms: int
) -> Change:
    """The change that files a request and lets the effect wait for its answer."""
    number = view.version
    approval = Approval(
        id=names.approval_id(view.id, number),
        effect=view.id,
        run=view.run,
        digest="",
        nonce=keyed(secret, "nonce", f"{view.id}:{number}:{now_ms}".encode())[:32],
        environment=view.environment,
        generation=view.generation,
        policy=ruling.policy,
        contract=view.contract,
        fingerprint=fingerprint,
        fingerprint_ms=now_ms,
        expects=expects(contract),
        group=ruling.group,
        quorum=ruling.quorum,
        asked_ms=now_ms,
        expires_ms=now_ms + ruling.expires_ms,
        proposer=view.principal,
        reason=ruling.reason,
    )
    approval = replace(approval, digest=digest_of(secret, view, approval), content=content_of(view, approval))
    body = {
        "answer": "ask",
        "rules": list(ruling.rules),
        "reason": ruling.reason,
        "policy": ruling.policy,
        "inputs": ruling.inputs,
        "approval": approval.id,
        "fingerprint": fingerprint,
        "digest": approval.digest,
        "owner": ruling.group or "any approver",
        "next": "approve or refuse",
        "due_ms": approval.expires_ms + 1,
    }
    draft = Draft(effect=view.id, kind="waiting", by=me, body=body)
    guard = Guard(effect=view.id, states=(State.PROPOSED,), version=view.version, budget=True)
    return Change(run=view.run, guard=guard, drafts=(draft,), asks=(approval,))
