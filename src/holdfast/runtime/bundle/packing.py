"""Makes a bundle: the record of one run, what it was sealed with, and a statement about all of it, in one file.

Decides nothing about the record: it is written as it is, and what cannot be proved is said to be missing. Promises that
the same record under the same checkpoint gives the same bytes, and that what is written can be read again by
:mod:`holdfast.runtime.bundle.reading`. Does not seal: whoever has the key does, before.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.gate.logkey import verifier
from holdfast.gate.notes import signed_by
from holdfast.gate.signing import Signer
from holdfast.kernel.authority import spelled
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.checkpoint import read as read_note
from holdfast.kernel.documents import Approver, LogKey, encode
from holdfast.kernel.errors import BadCheckpoint, NotSealed, TooLarge
from holdfast.kernel.model import Approval, Decision
from holdfast.kernel.statement import answer
from holdfast.runtime.bundle import lines, ustar
from holdfast.runtime.bundle.lines import Proof, Proofs
from holdfast.runtime.bundle.readme import readme
from holdfast.runtime.bundle.statement import ENVELOPE, STATEMENT, Head, envelope, pae, statement
from holdfast.runtime.record import Record

SIGNATURE = re.compile(r"[0-9a-f]{128}")


class Sealed(Protocol):
    """A checkpoint as the store keeps it."""

    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def note(self) -> str: ...  # noqa: D102


class Tree(Protocol):
    """What proofs are made from; :class:`holdfast.store.tree.Tree` is one."""

    def latest(self) -> Any:
        """The newest checkpoint, with ``size`` and ``note``; None: nothing was sealed."""

    def inclusion(self, pos: int, size: int) -> list[bytes]:
        """The audit path of an entry."""
        ...

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof between two sizes."""
        ...


class Cover(NamedTuple):
    """What a record was sealed with: the checkpoint, the proofs against it, and an older one that somebody holds."""

    checkpoint: Checkpoint
    proofs: Proofs
    since: Checkpoint | None = None


def cover_of(record: Record, tree: Tree, since: Checkpoint | None = None) -> Cover | None:
    """The newest checkpoint with its proofs; None where nothing is sealed. Raises BadCheckpoint for ``since``."""
    sealed = tree.latest()
    if sealed is None:
        return None
    note = read_note(sealed.note)
    if since is not None and (since.origin != note.origin or not 0 < since.size <= note.size):
        why = f"it is of {since.origin} with {since.size} entries, and the newest here is of {note.origin}, {note.size}"
        raise BadCheckpoint(why=why, line=1)
    covered = [entry for entry in record.entries if entry.pos <= note.size]
    proofs = Proofs(
        beside=tuple(_proof(tree, entry, note.size) for entry in record.beside if entry.pos <= note.size),
        run=_proof(tree, covered[-1], note.size) if covered else None,
        since=tuple(part.hex() for part in tree.consistency(since.size, note.size)) if since is not None else (),
        size=note.size,
    )
    return Cover(note, proofs, since)


def _proof(tree: Tree, entry: Any, size: int) -> Proof:
    path = tuple(part.hex() for part in tree.inclusion(entry.pos, size))
    return Proof(index=entry.pos - 1, path=path, seq=entry.seq)


def pack(record: Record, cover: Cover | None = None, signer: Signer | None = None, story: str = "") -> bytes:
    """The bytes of a bundle. Raises NotSealed where ``signer`` is none of the log's keys, TooLarge."""
    keys = [found for found in record.documents.values() if isinstance(found, LogKey)]
    files: dict[str, bytes] = {
        lines.RUN: lines.to_line(record.run),
        lines.ENTRIES: lines.joined(map(lines.leaf_line, record.entries)),
        lines.BODIES: lines.joined(map(lines.body_line, record.entries)),
        lines.BESIDE: lines.joined(map(lines.leaf_line, record.beside)),
        lines.BESIDE_BODIES: lines.joined(map(lines.body_line, record.beside)),
        lines.DOCUMENTS: lines.joined(encode(record.documents[key]) for key in sorted(record.documents)),
        lines.APPROVALS: lines.joined(lines.to_line(record.approvals[key]) for key in sorted(record.approvals)),
        lines.PROOFS: lines.to_line(cover.proofs if cover is not None else Proofs()),
        lines.STORY: story.encode("utf-8", "replace"),
    }
    files |= {f"keys/{key.id}.pem": pem_of(key.public_key) for key in keys}
    for approval in record.approvals.values():
        files |= _answers(record, approval)
    head = None
    if cover is not None:
        files |= _sealed(cover, keys)
        head = head_of(cover)
    files[lines.README] = readme(record, head, signed_with(cover.checkpoint, keys) if cover is not None else None)
    files[STATEMENT] = statement(files, record, head)
    if signer is not None:
        if signer.key_id not in {key.id for key in keys}:
            raise NotSealed(store=record.store, why=f"the key at hand, {signer.key_id}, is none of this log's")
        files[ENVELOPE] = envelope(files[STATEMENT], signer.key_id, signer.sign(pae(files[STATEMENT])))
    size_bytes = sum(len(data) for data in files.values())
    if size_bytes > ustar.MAX_BYTES - 2 * ustar.BLOCK * (len(files) + 1) or len(files) > ustar.MAX_FILES:
        raise TooLarge(what=f"bundle of {record.run.id}", size_bytes=size_bytes, limit_bytes=ustar.MAX_BYTES)
    return ustar.write(files)


def head_of(cover: Cover) -> Head:
    """What a statement says of the checkpoint."""
    covered = cover.proofs.run.seq if cover.proofs.run is not None else 0
    return Head(cover.checkpoint.origin, cover.checkpoint.size, cover.checkpoint.root, covered)


def signed_with(checkpoint: Checkpoint, keys: list[LogKey]) -> LogKey | None:
    """The log's own key that signed a checkpoint; None: none of these."""
    return next((key for key in sorted(keys, key=lambda key: key.id) if signed_by(checkpoint, verifier(key))), None)


def _sealed(cover: Cover, keys: list[LogKey]) -> dict[str, bytes]:
    """The note, and the same in two parts as a plain signature tool takes them."""
    note = cover.checkpoint
    files = {lines.CHECKPOINT: note.note.encode(), lines.CHECKPOINT_TEXT: note.text.encode()}
    key = signed_with(note, keys)
    if key is not None:
        files[lines.CHECKPOINT_SIG] = raw_signature(note, key)
    if cover.since is not None:
        files[lines.SINCE] = cover.since.note.encode()
    return files


def raw_signature(note: Checkpoint, key: LogKey) -> bytes:
    """The 64 bytes of the key's signature over the note's text."""
    wanted = verifier(key)
    return next(line.signature for line in note.signatures if line[:2] == (wanted.name, wanted.key_hash))


def answers(record: Record, approval: Approval) -> list[tuple[str, Decision, Approver | None]]:
    """Each answer to a request: the beginning of its files' names, the answer, and the key's holder if on record."""
    found: list[tuple[str, Decision, Approver | None]] = []
    for number, given in enumerate(approval.decisions, 1):
        person = record.documents.get(("approver", spelled(given.who)))
        known = person if isinstance(person, Approver) and person.key_id == given.key_id else None
        found.append((f"approvals/{approval.id}.{number}", given, known))
    return found


def _answers(record: Record, approval: Approval) -> dict[str, bytes]:
    """What each person signed, with the raw signature and the public key beside it."""
    files: dict[str, bytes] = {}
    for name, given, person in answers(record, approval):
        if not SIGNATURE.fullmatch(given.signature):
            continue  # what was signed is redacted, and its signature with it
        files[f"{name}.statement"] = answer(approval, given)
        files[f"{name}.sig"] = bytes.fromhex(given.signature)
        if person is not None:
            files[f"{name}.pem"] = pem_of(person.public_key)
    return files


def pem_of(public_key: str) -> bytes:
    """A public key (hex) as OpenSSL reads it."""
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def save(data: bytes, path: str | Path) -> None:
    """Write a bundle where nothing is yet, whole or not at all; only its owner may read it. Raises FileExistsError."""
    file = Path(path)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.link(name, file)
    finally:
        Path(name).unlink()
