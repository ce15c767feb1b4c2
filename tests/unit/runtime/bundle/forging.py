"""Bundles that lie: files changed, stated and signed anew by whoever holds which key."""

from __future__ import annotations

import hashlib
import json

from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.canon import encode
from holdfast.kernel.documents import LogKey
from holdfast.runtime.bundle import Cover, pack, read
from holdfast.runtime.bundle.statement import ENVELOPE, STATEMENT, envelope, pae
from tests.unit.runtime.bundle.making import Made


def stated(files: dict[str, bytes], key: Key) -> dict[str, bytes]:
    """The files with every subject's digest as it is now, signed by this key."""
    said = json.loads(files[STATEMENT])
    for one in said["subject"]:
        one["digest"]["sha256"] = hashlib.sha256(files[one["name"]]).hexdigest()
    payload = encode(said, max_bytes=1 << 24)
    return files | {STATEMENT: payload, ENVELOPE: envelope(payload, key.key_id, key.sign(pae(payload)))}


def repacked(made: Made, key: Key) -> bytes:
    """The same record, with another key said to be the log's, and everything signed by it."""
    bundle = read(made.data)
    assert bundle.checkpoint is not None
    note = signed(bundle.checkpoint._replace(signatures=()), key)
    ours = LogKey(id=key.key_id, name=key.name, public_key=key.public_key, since_ms=1)
    others = {name: one for name, one in bundle.record.documents.items() if not isinstance(one, LogKey)}
    record = bundle.record._replace(documents=others | {("log_key", ours.id): ours})
    return pack(record, Cover(note, bundle.proofs), key, bundle.files["story.txt"].decode())
