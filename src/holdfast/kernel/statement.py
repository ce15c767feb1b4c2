"""What a person signs: the bytes of a statement about one request, the same for whoever writes or checks them.

Pure. The statement names the request, the answer, who gives it under which key, and the *content*: a salted digest of
everything the approver is shown. Whoever holds the request, the recorded call and the nonce computes it again, without
this program and without a secret of the store; who holds only the digest learns nothing.
"""

from __future__ import annotations

import hashlib

from holdfast.kernel.canon import encode
from holdfast.kernel.model import Approval, Decision, Effect

VERSION = 1


def content_of(view: Effect, approval: Approval) -> str:
    """SHA-256 (hex) over the nonce and the canonical bytes of the call, its target, its state, and who is asked."""
    shown = {
        "tool": view.tool,
        "contract": view.contract,
        "args": view.args,
        "environment": view.environment,
        "resource": view.resource,
        "fingerprint": approval.fingerprint,
        "expects": approval.expects,
        "policy": approval.policy,
        "generation": view.generation,
        "group": approval.group,
        "quorum": approval.quorum,
        "expires_ms": approval.expires_ms,
    }
    return hashlib.sha256(approval.nonce.encode() + b"\n" + encode(shown)).hexdigest()


def answer(approval: Approval, decision: Decision) -> bytes:
    """The bytes that a decision's signature is over."""
    said = {
        "type": "holdfast approval",
        "v": VERSION,
        "request": approval.id,
        "effect": approval.effect,
        "digest": approval.digest,
        "content": approval.content,
        "answer": "yes" if decision.yes else "no",
        "break_glass": decision.break_glass,
        "reason": decision.reason,
        "who": decision.who,
        "key": decision.key_id,
    }
    return encode(said)


def act(kind: str, subject: str, who: str, key_id: str, body: dict[str, object]) -> bytes:
    """The bytes that is signed for any other act of a person: a revocation, a lifted halt, a change of approvers."""
    said = {"type": f"holdfast {kind}", "v": VERSION, "subject": subject, "who": who, "key": key_id, "body": body}
    return encode(said)
