"""Asking a human, and the stops that need no rule: what the gate does around the policy.

Pure: builds the request that binds a yes to exactly these bytes on exactly this state, and names the reason why an
effect may not go on at all (halt, deadline, a tool that is gone).
"""

from __future__ import annotations

from msgspec.structs import replace

from holdfast.kernel import identity as names
from holdfast.kernel.canon import keyed
from holdfast.kernel.commit import Change
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Contract, Effect, State
from holdfast.kernel.ports import Ruling, Seen


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
    if run.deadline_ms is not None and seen.now_ms > run.deadline_ms:
        return f"the deadline passed {seen.now_ms - run.deadline_ms} ms ago"
    return ""


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
    approval = replace(approval, digest=digest_of(secret, view, approval))
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
