"""Bundles that lie: files changed, stated and signed anew by whoever holds which key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from unittest import mock

from msgspec.structs import replace

from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.canon import encode
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.documents import LogKey
from holdfast.kernel.merkle import consistency, inclusion, root_of
from holdfast.runtime.bundle import Cover, cover_of, pack, packing, read
from holdfast.runtime.bundle.statement import ENVELOPE, STATEMENT, Head, envelope, pae
from holdfast.runtime.bundle.told import FORGED
from holdfast.runtime.record import Record
from holdfast.store.evidence import Entry, seal
from holdfast.store.tree import Sealed
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


class Forest:
    """A log that holds what somebody wants it to hold: a tree over these leaves."""

    def __init__(self, leaves: list[bytes], note: Checkpoint) -> None:
        self._leaves = leaves
        self._note = note

    def latest(self) -> Any:
        return Sealed(self._note.size, self._note.root, 0, 1, self._note.note)

    def _subtree(self, level: int, n: int) -> bytes:
        return root_of(self._leaves[n << level : (n + 1) << level])

    def inclusion(self, pos: int, size: int) -> list[bytes]:
        return inclusion(pos - 1, size, self._subtree)

    def consistency(self, old: int, new: int) -> list[bytes]:
        return consistency(old, new, self._subtree)


def relogged(
    made: Made, change: Callable[[list[Entry]], list[Entry]], more: Callable[[Record], Record] | None = None
) -> bytes:
    """Whoever holds the log's key writes another log: entries changed, chained, sealed, stated and signed anew."""
    record = made.record
    entries = change(list(record.entries))
    log = sorted((*entries, *record.beside), key=lambda entry: entry.pos)
    done: list[Entry] = []
    last: dict[str, tuple[int, str]] = {}
    for pos, entry in enumerate(log, 1):
        own = entry.run == record.run.id
        seq, prev = last.get(entry.run, (0, ""))
        seq, prev = (seq + 1, prev) if own else (entry.seq, prev if seq + 1 == entry.seq else entry.prev)
        fresh = seal(
            run=entry.run, seq=seq, prev=prev, tenant=entry.tenant, effect=entry.effect, kind=entry.kind,
            before=entry.before, after=entry.after, at_ms=entry.at_ms, by=entry.by, token=entry.token,
            salt=entry.salt or b"", body=entry.body or b"{}",
        )._replace(pos=pos)  # fmt: skip
        last[entry.run] = (seq, fresh.hash)
        done.append(fresh)
    mine = tuple(entry for entry in done if entry.run == record.run.id)
    run = replace(record.run, seq=len(mine), head=mine[-1].hash)
    forged = record._replace(run=run, entries=mine, beside=tuple(one for one in done if one.run != run.id))
    forged = more(forged) if more is not None else forged
    leaves = [bytes.fromhex(entry.hash) for entry in done]
    note = signed(Checkpoint(made.key.name, len(leaves), root_of(leaves)), made.key)
    with mock.patch.object(packing, "statement", _whatever_fits(made)):
        return pack(forged, cover_of(forged, Forest(leaves, note)), made.key)


def _whatever_fits(made: Made) -> Callable[..., bytes]:
    """The statement of a record that makes sense; of any other, what the honest one said, about these files."""

    def statement(files: dict[str, bytes], record: Record, head: Head | None) -> bytes:
        try:
            return honest(files, record, head)
        except FORGED:
            return honest(files, made.record, head)

    honest = packing.statement
    return statement


def body(entry: Entry, **more: Any) -> Entry:
    """An entry that says something else."""
    return entry._replace(body=encode(json.loads(entry.body or b"{}") | more))


def of_kind(entries: list[Entry], kind: str) -> int:
    """Where the first entry of a kind stands."""
    return next(n for n, entry in enumerate(entries) if entry.kind == kind)
