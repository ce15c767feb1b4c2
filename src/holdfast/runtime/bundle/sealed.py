"""Judges what vouches for a bundle: digests of its files, the statement's signature, the checkpoint and its proofs.

Promises that a bundle passes only if every file is the one that the statement names, the statement says what the record
says and is signed by a key of the log, and the proofs lead to the root that such a key signed. Whose key that is, only
a verifier key or a head brought from elsewhere tells. Opens no store and asks no network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

from holdfast.gate.logkey import followed, verifier
from holdfast.gate.notes import signed_by
from holdfast.gate.signing import good, key_id_of
from holdfast.kernel.checkpoint import Checkpoint, VerifierKey, origin_of, verifier_key
from holdfast.kernel.documents import LogKey
from holdfast.kernel.merkle import proves_consistency, proves_inclusion
from holdfast.runtime.bundle import lines
from holdfast.runtime.bundle.findings import Checked, Held
from holdfast.runtime.bundle.lines import Proof
from holdfast.runtime.bundle.packing import pem_of, raw_signature, signed_with
from holdfast.runtime.bundle.reading import Bundle
from holdfast.runtime.bundle.statement import (
    ENVELOPE,
    MAX_BYTES,
    PAYLOAD_TYPE,
    STATEMENT,
    Head,
    envelope,
    pae,
    statement,
)
from holdfast.store.evidence import Entry


def files(bundle: Bundle, found: Checked) -> None:
    """Every file has the digest that the statement names, and the statement names no other."""
    payload = bundle.payload
    subjects: Any = payload.get("subject")
    named: dict[str, str] = {}
    for one in subjects if isinstance(subjects, list) else ():
        digest = one.get("digest") if isinstance(one, dict) else None
        sha = digest.get("sha256") if isinstance(digest, dict) else None
        if isinstance(sha, str) and isinstance(one.get("name"), str):
            named[one["name"]] = sha
    there = {name: data for name, data in bundle.files.items() if name not in (STATEMENT, ENVELOPE)}
    for name in sorted(there.keys() | named.keys()):
        data = there.get(name)
        sha = hashlib.sha256(data).hexdigest() if data is not None else "no file"
        if named.get(name) != sha:
            found.fault(name, 0, "SHA-256", named.get(name, "not named by the statement"), sha)
    found.holds.append(f"{len(there)} files have the SHA-256 that the statement names")


def said(bundle: Bundle, found: Checked) -> None:
    """The statement is what the record says, made again."""
    proofs, note = bundle.proofs, bundle.checkpoint
    covered = proofs.run.seq if proofs.run is not None else 0
    head = Head(note.origin, note.size, note.root, covered) if note is not None else None
    again = statement(bundle.files, bundle.record, head)
    if again != bundle.files[STATEMENT]:
        import json

        wanted = json.loads(again)
        where = _first(wanted, bundle.payload, "$")
        found.fault(STATEMENT, 1, where, "what the record says", "something else")
    found.holds.append("the statement says what the record says")


def _first(wanted: Any, there: Any, path: str) -> str:
    """Where two documents differ first."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        for key in sorted(wanted.keys() | there.keys()):
            if wanted.get(key) != there.get(key):
                return _first(wanted.get(key), there.get(key), f"{path}.{key}")
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for number, pair in enumerate(zip(wanted, there, strict=True)):
            if pair[0] != pair[1]:
                return _first(*pair, f"{path}[{number}]")
    return path


def signature(bundle: Bundle, keys: list[LogKey], found: Checked) -> None:
    """The envelope holds these very bytes, under the signature of a key of the log."""
    raw = bundle.files.get(ENVELOPE)
    if raw is None:
        found.not_checked.append("who made the bundle: its statement is not signed")
        return
    said = lines.plain(ENVELOPE, raw, 2 * MAX_BYTES)
    try:
        one = said["signatures"][0]
        key_id, sig = one["keyid"], base64.b64decode(one["sig"], validate=True)
        written = envelope(bundle.files[STATEMENT], key_id, sig.hex()) == raw
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error, AttributeError):
        key_id, sig, written = "", b"", False
    if not written:
        found.fault(ENVELOPE, 1, "payload", f"statement.json as {PAYLOAD_TYPE} with one signature", "something else")
        return
    key = next((key for key in keys if key.id == key_id), None)
    if key is None or not good(key.public_key, pae(bundle.files[STATEMENT]), sig.hex()):
        found.fault(ENVELOPE, 1, "signatures[0].sig", f"a signature of key {key_id}", "none of it")
        return
    if found.key and key_id not in {one.id for one in followed(keys, verifier_key(found.key))}:
        # Anybody can put a key of their own among the documents, and a key that was replaced may be in other hands.
        wanted = f"the key of the checkpoint, {found.key}, or one that follows it by endorsements"
        found.fault(ENVELOPE, 1, "signatures[0].keyid", wanted, f"{key_id}, which it does not vouch for")
        return
    found.signed = True
    whose = "the log's key" if found.key else "a key that only the bundle itself calls the log's:"
    found.holds.append(f"the statement is signed by {whose} {key_id}")


def checkpoint(bundle: Bundle, keys: list[LogKey], given: Sequence[VerifierKey], found: Checked) -> None:
    """Which key signed the checkpoint, and whether it is one of the given, or follows it."""
    note = bundle.checkpoint
    extra = [name for name in (lines.CHECKPOINT_TEXT, lines.CHECKPOINT_SIG, lines.SINCE) if name in bundle.files]
    if note is None:
        if extra:
            found.fault(extra[0], 0, "checkpoint", "a checkpoint that it is part of", "none")
        for one in given:
            found.fault(lines.CHECKPOINT, 0, "signature", f"one of {one.name}+{one.key_hash.hex()}", "none")
        found.not_checked.append("whether entries are missing: the run is not covered by a checkpoint")
        return
    if note.origin != origin_of(bundle.record.store):
        found.fault(lines.CHECKPOINT, 1, "origin", origin_of(bundle.record.store), note.origin)
    if bundle.files.get(lines.CHECKPOINT_TEXT) != note.text.encode():
        found.fault(lines.CHECKPOINT_TEXT, 0, "text", "the first three lines of the checkpoint", "something else")
    key = signed_with(note, keys)
    if key is None:
        found.fault(lines.CHECKPOINT, 5, "signature", "one by a key of the log in keys/", "none that verifies")
        return
    if bundle.files.get(lines.CHECKPOINT_SIG) != raw_signature(note, key):
        found.fault(lines.CHECKPOINT_SIG, 0, "signature", "the one in the checkpoint", "another")
    found.key, found.size = verifier(key).text, note.size
    found.holds.append(f"the checkpoint over {note.size} entries is signed by key {key.id}")
    if not given:
        why = "anybody can sign a whole bundle with a key of their own; give with --key the one you have from elsewhere"
        found.not_checked.append(f"whose key {found.key} is: {why}")
    elif any(signed_by(note, one) or key.id in {next_.id for next_ in followed(keys, one)} for one in given):
        found.trusted = True
        found.holds.append("that key is the one you gave, or follows it by endorsements")
    else:
        wanted = " or ".join(f"{one.name}+{one.key_hash.hex()}" for one in given) + ", or a key that follows it"
        found.fault(lines.CHECKPOINT, 5, "key", wanted, found.key)


def keys_of(bundle: Bundle, found: Checked) -> list[LogKey]:
    """The log's keys, each of them with its own id and the file that a stranger checks with."""
    keys: list[LogKey] = []
    for document in bundle.record.documents.values():
        if not isinstance(document, LogKey):
            continue
        try:
            right = document.id == key_id_of(document.public_key) and len(bytes.fromhex(document.public_key)) == 32
        except ValueError:
            right = False
        if not right:
            found.fault(lines.DOCUMENTS, 0, f"log_key:{document.id}", "the key whose digest its id is", "another")
            continue
        keys.append(document)
        if bundle.files.get(f"keys/{document.id}.pem") != pem_of(document.public_key):
            found.fault(f"keys/{document.id}.pem", 0, "key", f"log_key:{document.id}", "another, or no file")
    extra = {f"keys/{key.id}.pem" for key in keys}
    for name in sorted(name for name in bundle.files if name.startswith("keys/") and name not in extra):
        found.fault(name, 0, "key", "one of the documents", "none of them")
    return keys


def proofs(bundle: Bundle, heads: Sequence[Held], found: Checked) -> None:
    """The entries are in the tree of the checkpoint, and that tree goes on from the older ones."""
    note, said = bundle.checkpoint, bundle.proofs
    if note is None:
        if said != lines.Proofs():
            found.fault(lines.PROOFS, 1, "size", "no proof without a checkpoint", said.size)
        for head in heads:
            found.fault(lines.CHECKPOINT, 0, "size", f"one that covers your head {_named(head)}", "no checkpoint")
        return
    if said.size != note.size:
        found.fault(lines.PROOFS, 1, "size", note.size, said.size)
    record = bundle.record
    if said.run is not None and _proved(record.entries, said.run, note, "run", found):
        found.covered = said.run.seq
    if found.covered < len(record.entries):
        found.not_checked.append(f"entries after {found.covered}: the checkpoint does not cover them")
    for number, proof in enumerate(said.beside):
        _proved(record.beside, proof, note, f"beside[{number}]", found)
    proved = {proof.seq for proof in said.beside}
    if len(proved) < len(record.beside):
        late = len(record.beside) - len(proved)
        found.not_checked.append(
            f"{late} entries beside the run came after the checkpoint: the statement vouches for them"
        )
    for number, entry in enumerate(record.beside, 1):
        if entry.seq not in proved and entry.pos <= note.size:
            found.fault(lines.BESIDE, number, "proof", "one in proofs.json", "none")
    found.holds.append(f"RFC 6962 proofs of entry {found.covered} and of {len(said.beside)} entries beside the run")
    _since(bundle, note, found)
    for head in heads:
        _head(bundle, note, head, found)


def _proved(entries: tuple[Entry, ...], proof: Proof, note: Checkpoint, name: str, found: Checked) -> bool:
    entry = next((entry for entry in entries if entry.seq == proof.seq), None)
    path = _hashes(proof.path)
    index = entry.pos - 1 if entry is not None else -1
    if entry is None or index != proof.index or path is None:
        found.fault(lines.PROOFS, 1, f"{name}.index", index, proof.index)
        return False
    if not proves_inclusion(bytes.fromhex(entry.hash), index, note.size, path, note.root):
        found.fault(lines.PROOFS, 1, f"{name}.path", f"a path to the root {note.root.hex()}", "another")
        return False
    return True


def _since(bundle: Bundle, note: Checkpoint, found: Checked) -> None:
    path = _hashes(bundle.proofs.since)
    if bundle.since is None:
        if bundle.proofs.since:
            found.fault(lines.PROOFS, 1, "since", "nothing without the older checkpoint", "a path")
        return
    old = bundle.since
    grown = path is not None and proves_consistency(old.size, note.size, old.root, note.root, path)
    if old.origin != note.origin or not grown:
        found.fault(lines.PROOFS, 1, "since", f"a proof from {old.size} to {note.size} entries", "none")
    found.holds.append(f"the log only grew since the checkpoint over {old.size} entries")


def _head(bundle: Bundle, note: Checkpoint, head: Held, found: Checked) -> None:
    """A head that somebody brings: the same, an older one that the bundle has a proof from, or an entry's hash."""
    record, since = bundle.record, bundle.since
    if head.origin and head.origin != note.origin:
        found.fault(lines.CHECKPOINT, 1, "origin", head.origin, note.origin)
    elif head.hash and any(entry.hash.startswith(head.hash) for entry in (*record.entries, *record.beside)):
        found.holds.append(f"the entry that you gave, {head.hash[:16]}…, is in it")
    elif head.hash:
        found.not_checked.append(f"whether the log holds {head.hash[:16]}…: that is no entry of this bundle")
    elif (head.size, head.root) == (note.size, note.root):
        found.holds.append("the checkpoint is the head that you gave")
    elif head.size == note.size:
        found.fault(lines.CHECKPOINT, 3, "root", head.root.hex(), note.root.hex())
    elif since is not None and head.size == since.size:
        if head.root != since.root:
            found.fault(lines.SINCE, 3, "root", head.root.hex(), since.root.hex())
        found.holds.append("the log goes on from the head that you gave")
    else:
        why = f"whether the log agrees with your head over {head.size} entries: make the bundle with --since that head"
        found.not_checked.append(why)


def _named(head: Held) -> str:
    return f"over {head.size} entries" if head.size else head.hash[:16]


def _hashes(path: tuple[str, ...]) -> list[bytes] | None:
    try:
        return [bytes.fromhex(part) for part in path]
    except ValueError:
        return None


__all__ = ["checkpoint", "files", "keys_of", "proofs", "said", "signature"]
