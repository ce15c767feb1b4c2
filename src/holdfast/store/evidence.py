"""The leaf of the evidence log and the hash chain of a run (DESIGN §1.5, RFC 6962 §2.1).

A leaf is the canonical JSON of what an entry *says about itself*; the body is bound by a salted commitment, so that
redacting the body (bytes and salt) leaves the chain whole and nothing about it to guess. Each leaf names the hash of
the one before it in its run; its own hash is the RFC 6962 leaf hash, so a Merkle tree needs no new format.

Does not sign anything and cannot see a cut-off tail: that takes a head remembered elsewhere (:mod:`.heads`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from holdfast.kernel.canon import commitment, leaf_hash
from holdfast.kernel.errors import ChainBroken

LEAF_VERSION = 1
MIN_SALT_BYTES = 16


class Leaf(msgspec.Struct, frozen=True):
    """The public part of an entry. Fields stand in alphabetical order, so its JSON bytes are canonical (RFC 8785)."""

    after: str
    at_ms: int
    before: str
    by: str
    commitment: str
    effect: str
    kind: str
    prev: str
    run: str
    seq: int
    tenant: str
    token: int
    v: int


class Entry(NamedTuple):
    """One stored entry. ``body`` and ``salt`` are None once redacted."""

    run: str
    seq: int
    effect: str
    kind: str
    before: str
    after: str
    at_ms: int
    by: str
    token: int
    tenant: str
    prev: str
    commitment: str
    hash: str
    salt: bytes | None
    body: bytes | None
    pos: int = 0


_encode = msgspec.json.Encoder().encode


def leaf_bytes(entry: Entry) -> bytes:
    """The canonical bytes that are hashed."""
    return _encode(
        Leaf(
            entry.after,
            entry.at_ms,
            entry.before,
            entry.by,
            entry.commitment,
            entry.effect,
            entry.kind,
            entry.prev,
            entry.run,
            entry.seq,
            entry.tenant,
            entry.token,
            LEAF_VERSION,
        )
    )


def seal(
    *, run: str, seq: int, prev: str, tenant: str, effect: str, kind: str, before: str, after: str,
    at_ms: int, by: str, token: int, salt: bytes, body: bytes,
) -> Entry:  # fmt: skip
    """Build the entry that follows ``prev`` in its run."""
    bound = commitment(salt, body).hex()
    leaf = Leaf(after, at_ms, before, by, bound, effect, kind, prev, run, seq, tenant, token, LEAF_VERSION)
    head = leaf_hash(_encode(leaf)).hex()
    return Entry(run, seq, effect, kind, before, after, at_ms, by, token, tenant, prev, bound, head, salt, body)


class Checked(NamedTuple):
    """What a check of one run's chain covered: entries read, bodies opened, and the head it ended at."""

    run: str
    entries: int
    bodies: int
    redacted: int
    head: str


def check_chain(run: str, entries: Iterable[Entry], head: str | None) -> Checked:
    """Read one run's entries in order and raise :class:`ChainBroken` at the first that does not fit.

    ``head`` is the head that somebody remembers (the run's row, a checkpoint); None checks the inside only and then
    says nothing about a cut-off tail.
    """
    prev, count, bodies, redacted = "", 0, 0, 0
    for entry in entries:
        count += 1
        for field, expected, found in _differences(entry, count, prev):
            raise ChainBroken(run=run, seq=entry.seq, field=field, expected=str(expected), found=str(found))
        if entry.body is None or not entry.salt:
            redacted += 1
        else:
            bodies += 1
        prev = entry.hash
    if head is not None and prev != head:
        raise ChainBroken(run=run, seq=count, field="head", expected=head, found=prev)
    return Checked(run, count, bodies, redacted, prev)


def check_order(run: str, entries: Iterable[Entry], head: str) -> int:
    """Read one run's entries, whose hashes were checked before, and count them. Raises :class:`ChainBroken` where one
    is out of its place, or the last is not the head.
    """
    prev, count = "", 0
    for entry in entries:
        count += 1
        for field, expected, found in (("seq", count, entry.seq), ("prev", prev, entry.prev)):
            if expected != found:
                raise ChainBroken(run=run, seq=entry.seq, field=field, expected=str(expected), found=str(found))
        prev = entry.hash
    if prev != head:
        raise ChainBroken(run=run, seq=count, field="head", expected=head, found=prev)
    return count


def _differences(entry: Entry, seq: int, prev: str) -> Iterator[tuple[str, object, object]]:
    if entry.seq != seq:
        yield "seq", seq, entry.seq
    if entry.prev != prev:
        yield "prev", prev, entry.prev
    if entry.body is not None and entry.salt:
        short = len(entry.salt) < MIN_SALT_BYTES
        bound = f"a salt of {len(entry.salt)} bytes" if short else commitment(entry.salt, entry.body).hex()
        if bound != entry.commitment:
            yield "body", entry.commitment, bound
    hashed = leaf_hash(leaf_bytes(entry)).hex()
    if hashed != entry.hash:
        yield "hash", entry.hash, hashed
