"""What is said of a bundle, and by whom: an in-toto Statement v1 in a DSSE envelope, signed with the log's key.

Pure. The statement names every other file of the bundle with its SHA-256, and tells in one place what was intended,
allowed, done and verified. It is *derived*: whoever reads a bundle makes it again from the record and compares, so it
cannot say more than the entries do. Does not say whether a signer is to be believed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.kernel.canon import encode
from holdfast.kernel.model import Effect
from holdfast.runtime.record import Record, effects

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:x-holdfast:bundle:v1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "statement.json"
ENVELOPE: Final = "statement.dsse.json"
DURABLE: Final = (
    "An entry is lost only together with all later entries of its run; a dispatch was on disk before a byte left; "
    "what is covered by the checkpoint was on disk when that was signed."
)
MAX_BYTES: Final = 16 << 20


class Head(NamedTuple):
    """The checkpoint that covers a bundle: its log, size and root, and up to which entry of the run it reaches."""

    origin: str
    size: int
    root: bytes
    covered: int


def statement(files: Mapping[str, bytes], record: Record, head: Head | None) -> bytes:
    """The payload: subjects are all files but the statement itself and its envelope."""
    subjects = [
        {"name": name, "digest": {"sha256": hashlib.sha256(files[name]).hexdigest()}}
        for name in sorted(files)
        if name not in (STATEMENT, ENVELOPE)
    ]
    said = {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate(record, head),
    }
    return encode(said, max_bytes=MAX_BYTES)


def predicate(record: Record, head: Head | None) -> dict[str, Any]:
    """What was intended, allowed, done and verified, as the entries have it."""
    run, found = record.run, effects(record)
    contracts: dict[str, list[str]] = {}
    for view in found.values():
        versions = contracts.setdefault(view.tool, [])
        if view.contract not in versions:
            versions.append(view.contract)
    policies = sorted({view.policy for view in found.values() if view.policy} | ({run.policy} if run.policy else set()))
    redacted = [[entry.run, entry.seq] for entry in (*record.entries, *record.beside) if not entry.salt]
    return {
        "store": record.store,
        "run": {
            "id": run.id, "state": run.state, "reason": run.reason, "opened_ms": run.opened_ms,
            "entries": run.seq, "head": run.head,
        },
        "intent": {
            "goal": run.goal, "purpose": run.purpose, "principal": msgspec.to_builtins(run.principal),
            "tenant": run.tenant, "environment": run.environment, "deadline_ms": run.deadline_ms,
            "budget": msgspec.to_builtins(run.budget), "scope": list(run.scope), "done": list(run.done),
            "grants": list(run.grants),
        },
        "policies": policies,
        "contracts": contracts,
        "checkpoint": None if head is None else {
            "origin": head.origin, "size": head.size, "root": head.root.hex(), "covers_entries": head.covered,
        },
        "counts": {
            "entries": len(record.entries), "beside": len(record.beside), "effects": len(found),
            "approvals": len(record.approvals), "documents": len(record.documents), "redacted": len(redacted),
        },
        "effects": [_effect(view) for view in found.values()],
        "durability": DURABLE,
        "redacted": redacted,
    }  # fmt: skip


def _effect(view: Effect) -> dict[str, Any]:
    return {
        "id": view.id, "tool": view.tool, "contract": view.contract, "resource": view.resource,
        "state": view.state.value, "attempts": len(view.attempts), "basis": view.basis,
        "decision": {
            "answer": view.answer, "rules": list(view.rules), "reason": view.reason, "policy": view.policy,
            "approval": view.approval,
        },
        "verification": {
            "verified_ms": view.verified_ms, "differs": view.differs, "attested_by": view.attested_by,
            "compensated_by": view.compensated_by,
        },
    }  # fmt: skip


def pae(payload: bytes) -> bytes:
    """What the signature of an envelope is over (DSSE, pre-authentication encoding)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def envelope(payload: bytes, key_id: str, signature: str) -> bytes:
    """The DSSE envelope; ``signature`` is hexadecimal, over :func:`pae`."""
    said = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_id, "sig": base64.b64encode(bytes.fromhex(signature)).decode()}],
    }
    return encode(said, max_bytes=2 * MAX_BYTES)
