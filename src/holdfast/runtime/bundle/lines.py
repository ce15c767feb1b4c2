"""The files inside a bundle as records, and back: one record a line, each written in one way only.

Decides the names of the files and the shape of every line. Promises that what is read again is written again as the
same bytes, so that no two readers can understand a line differently; everything else is refused with the line's number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from holdfast.kernel import documents
from holdfast.kernel.canon import decode
from holdfast.kernel.errors import BadValue, TooLarge
from holdfast.runtime.bundle.ustar import Odd
from holdfast.store.evidence import Entry, Leaf, leaf_bytes

README: Final = "README"
RUN: Final = "run.json"
ENTRIES, BODIES = "entries.jsonl", "bodies.jsonl"
BESIDE, BESIDE_BODIES = "beside.jsonl", "beside-bodies.jsonl"
DOCUMENTS: Final = "documents.jsonl"
APPROVALS: Final = "approvals.jsonl"
PROOFS: Final = "proofs.json"
STORY: Final = "story.txt"
CHECKPOINT, CHECKPOINT_TEXT, CHECKPOINT_SIG = "checkpoint", "checkpoint.text", "checkpoint.sig"
SINCE: Final = "since"
ALWAYS: Final = frozenset(
    {README, RUN, ENTRIES, BODIES, BESIDE, BESIDE_BODIES, DOCUMENTS, APPROVALS, PROOFS, STORY, "statement.json"}
)
SOMETIMES: Final = frozenset({CHECKPOINT, CHECKPOINT_TEXT, CHECKPOINT_SIG, SINCE, "statement.dsse.json"})
IN_FOLDERS: Final = re.compile(r"keys/[0-9a-f]{16}\.pem|approvals/[A-Za-z0-9_.-]+\.[1-9][0-9]?\.(statement|sig|pem)")

MAX_LINES: Final = 200_000
MAX_LINE: Final = 8 << 20
LEAF_CHARS: Final = 64 << 10
SALT: Final = re.compile(r"([0-9a-f]{2}){16,64}")

T = TypeVar("T")
to_line = msgspec.json.Encoder(order="deterministic").encode


class Body(msgspec.Struct, frozen=True):
    """What an entry says beside its leaf: the exact bytes, and what they are bound with.

    ``salt`` None: values were redacted out of the body (or all of it: ``body`` None), and it is bound no more. ``pos``
    is the entry's position in the whole store.
    """

    body: str | None
    pos: int
    salt: str | None
    seq: int


class Proof(msgspec.Struct, frozen=True):
    """That the entry ``seq`` of its run is leaf ``index`` of the tree: the audit path from the leaf upwards."""

    index: int
    path: tuple[str, ...]
    seq: int


class Proofs(msgspec.Struct, frozen=True):
    """Against the checkpoint: the run's last covered entry, those beside it, and an older checkpoint."""

    beside: tuple[Proof, ...] = ()
    run: Proof | None = None
    since: tuple[str, ...] = ()
    size: int = 0


def leaf_line(entry: Entry) -> bytes:
    """An entry's leaf: what is hashed."""
    return leaf_bytes(entry)


def body_line(entry: Entry) -> bytes:
    """An entry's body."""
    body = entry.body.decode() if entry.body is not None else None
    return to_line(Body(body, entry.pos, entry.salt.hex() if entry.salt else None, entry.seq))


def joined(lines: Iterable[bytes]) -> bytes:
    """A file of lines."""
    return b"".join(line + b"\n" for line in lines)


def split(name: str, data: bytes, longest: int = MAX_LINE) -> list[bytes]:
    """The lines of a file. Raises Odd."""
    if data and not data.endswith(b"\n"):
        raise Odd(name, "its last line has no end")
    if data.count(b"\n") > MAX_LINES:
        raise Odd(name, f"it has more than {MAX_LINES} lines")
    lines = data.split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        if not line or len(line) > longest:
            raise Odd(f"{name}, line {number}", f"it is empty, or longer than {longest} bytes")
    return lines


def strictly(where: str, data: bytes, kind: type[T], longest: int = MAX_LINE) -> T:
    """One record, if these bytes are the one way in which it is written. Raises Odd."""
    value = plain(where, data, longest)
    try:
        found = msgspec.convert(value, kind)
        again = to_line(found)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise Odd(where, f"it is no {kind.__name__.lower()}: {error}"[:300]) from None
    if again != data:
        raise Odd(where, "it is not written as everybody would write it, or says more than it may")
    return found


def plain(where: str, data: bytes, longest: int = MAX_LINE) -> Any:
    """A JSON document that every reader reads alike. Raises Odd."""
    try:
        return decode(data, max_bytes=longest)
    except (BadValue, TooLarge) as error:
        raise Odd(where, str(getattr(error, "why", "") or error)[:300]) from None


def entries(run: str, leaves: str, bodies: str, files: dict[str, bytes]) -> tuple[Entry, ...]:
    """The entries of two files that go line by line together. Raises Odd."""
    first = split(leaves, files[leaves], LEAF_CHARS)
    second = split(bodies, files[bodies])
    if len(first) != len(second):
        raise Odd(bodies, f"it has {len(second)} lines, and {leaves} has {len(first)}")
    found: list[Entry] = []
    for number, (line, beside) in enumerate(zip(first, second, strict=True), 1):
        leaf = strictly(f"{leaves}, line {number}", line, Leaf, LEAF_CHARS)
        said = strictly(f"{bodies}, line {number}", beside, Body)
        found.append(_entry(run, leaf, said, f"{bodies}, line {number}", line))
    return tuple(found)


def _entry(run: str, leaf: Leaf, said: Body, where: str, line: bytes) -> Entry:
    if leaf.run != run or leaf.seq != said.seq or said.pos < 1:
        raise Odd(where, f"it is not of entry {leaf.seq} of {run}")
    if said.salt is not None and (said.body is None or not SALT.fullmatch(said.salt)):
        raise Odd(where, "its salt is not 16 to 64 bytes as hexadecimal digits, or has no body")
    if said.body is not None and not isinstance(plain(where, said.body.encode()), dict):
        raise Odd(where, "its body is no object")
    return Entry(
        leaf.run, leaf.seq, leaf.effect, leaf.kind, leaf.before, leaf.after, leaf.at_ms, leaf.by, leaf.token,
        leaf.tenant, leaf.prev, leaf.commitment, hashlib.sha256(b"\x00" + line).hexdigest(),
        bytes.fromhex(said.salt) if said.salt is not None else None,
        said.body.encode() if said.body is not None else None,
        said.pos,
    )  # fmt: skip


def document(where: str, line: bytes) -> documents.AnyDocument:
    """One document, whose bytes are what its digest in an entry is over. Raises Odd."""
    plain(where, line)
    try:
        found: documents.AnyDocument = documents.decode(line)
        again = documents.encode(found)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Odd(where, f"it is no document: {error}"[:300]) from None
    if again != line:
        raise Odd(where, "it is not written as everybody would write it, or says more than it may")
    return found
