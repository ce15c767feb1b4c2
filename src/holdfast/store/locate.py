"""Says what was changed about an entry that does not verify: which field, and where it can be proved, what it was.

A stored hash is a judge: of all ways in which one column could have been other, the one under which the entry's hash
comes out right is the one that was changed (or SHA-256 is broken). Promises that a field is named only on that proof
(of a redacted entry the commitment, where no other column explains it); where no single column does, ``hash`` is named,
which says that more than one is not as it was written.

Slow, and asked once: at the first entry that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from holdfast.kernel.canon import commitment, leaf_hash
from holdfast.kernel.errors import ChainBroken
from holdfast.store.connection import Connection
from holdfast.store.evidence import Entry, leaf_bytes

WHOLE = "the whole store"
RAW = (
    "SELECT entry.pos, entry.run, run.id, entry.seq, entry.effect, effect.id, entry.kind, entry.before, entry.after,"
    " entry.at_ms, entry.by, entry.token, entry.tenant, entry.commitment, entry.hash, entry_body.salt, entry_body.body"
    " FROM entry LEFT JOIN run ON run.n = entry.run LEFT JOIN effect ON effect.n = entry.effect"
    " LEFT JOIN entry_body ON entry_body.pos = entry.pos WHERE entry.pos = ?"
)
LAST_BEFORE = "SELECT seq, hash FROM entry WHERE run = ? AND pos < ? ORDER BY pos DESC LIMIT 1"
AT_SEQ = "SELECT hash FROM entry WHERE run = ? AND seq = ? ORDER BY pos LIMIT 1"
AFTER = "SELECT min(pos) FROM entry WHERE run = ? AND seq = ?"
HEAD = "SELECT head FROM run WHERE n = ?"
RUNS = "SELECT n, id FROM run"
EFFECTS = "SELECT id FROM effect LIMIT 20000"
TOKENS = "SELECT DISTINCT token FROM entry WHERE effect = ?"
HOLE = (
    "SELECT run.id, entry.seq - 1 FROM entry JOIN run ON run.n = entry.run WHERE entry.pos > ? AND entry.seq > 1"
    " AND NOT EXISTS (SELECT 1 FROM entry AS one WHERE one.run = entry.run AND one.seq = entry.seq - 1)"
    " ORDER BY entry.pos LIMIT 1"
)
SHORT = (
    "SELECT run.id, run.seq FROM run WHERE run.seq > coalesce((SELECT max(seq) FROM entry WHERE entry.run = run.n), 0)"
    " AND NOT EXISTS (SELECT 1 FROM archive WHERE archive.run = run.n) ORDER BY run.n LIMIT 1"
)
NUMBERS = ("seq", "at_ms", "token")
WORDS = ("kind", "before", "after", "by", "tenant")


class _Raw(NamedTuple):
    """One entry as it lies in the file, as far as its numbers stand for anything."""

    entry: Entry
    run: int
    effect: int
    unknown: str


def changed(db: Connection, pos: int, expected: int) -> ChainBroken:
    """What is wrong with the entry at ``pos`` where position ``expected`` was next; 0: there is none."""
    if pos != expected:
        return missing(db, expected)
    raw = _read(db, pos)
    entry = raw.entry
    for field in NUMBERS:
        if type(getattr(entry, field)) is not int:
            return _broken(entry.run, entry.seq, field, "a number", type(getattr(entry, field)).__name__, pos)
    if raw.unknown:
        return _known(db, raw) or _broken(entry.run, entry.seq, raw.unknown, "a name", "a number of none", pos)
    last: Any = db.execute(LAST_BEFORE, (raw.run, pos)).get
    seq, prev = (1, "") if last is None else (last[0] + 1, last[1].hex())
    entry = entry._replace(prev=prev)
    whole = _hash(entry) == entry.hash
    if entry.seq != seq:
        shifted = _known(db, raw) if not whole else None
        return shifted or _broken(entry.run, entry.seq, "seq", str(seq), str(entry.seq), pos)
    return _known(db, raw._replace(entry=entry)) or _broken(
        entry.run, entry.seq, "prev" if _another(db, raw) else "hash", entry.hash, _hash(entry), pos
    )


def missing(db: Connection, pos: int) -> ChainBroken:
    """No entry lies at a position. Which it was is told by the run in which one is missing from there on."""
    hole: Any = db.execute(HOLE, (pos,)).get or db.execute(SHORT).get
    run, seq = hole if hole is not None else (WHOLE, pos)
    return _broken(run, seq, "position", f"an entry at {pos}", "none", pos)


def _broken(run: str, seq: int, field: str, expected: object, found: object, pos: int) -> ChainBroken:
    return ChainBroken(run=run, seq=seq, field=field, expected=str(expected), found=str(found), pos=pos)


def _hash(entry: Entry) -> str:
    return leaf_hash(leaf_bytes(entry)).hex()


def _read(db: Connection, pos: int) -> _Raw:
    row: Any = db.execute(RAW, (pos,)).get
    texts: dict[int, str] = dict(db.execute("SELECT n, text FROM word"))
    numbers = dict(zip(WORDS, (row[6], row[7], row[8], row[10], row[12]), strict=True))
    unknown = [name for name, n in numbers.items() if n not in texts]
    unknown += ["run"] * (row[2] is None) + ["effect"] * (row[4] != 0 and row[5] is None)
    said = {name: texts.get(n, "") for name, n in numbers.items()}
    last: Any = db.execute(LAST_BEFORE, (row[1], pos)).get
    entry = Entry(
        run=row[2] or "", seq=row[3], effect=row[5] or "", at_ms=row[9], token=row[11],
        prev="" if last is None else last[1].hex(), commitment=_hex(row[13]), hash=_hex(row[14]), salt=row[15],
        body=row[16], pos=row[0], **said,
    )  # fmt: skip
    return _Raw(entry, row[1], row[4], unknown[0] if unknown else "")


def _hex(raw: object) -> str:
    """A digest as it is compared; what is no bytes is none."""
    return raw.hex() if isinstance(raw, bytes) else ""


def _known(db: Connection, raw: _Raw) -> ChainBroken | None:
    """The one column that was changed, proved by the stored hash; or the stored hash itself, proved by what follows."""
    entry = raw.entry
    if raw.unknown and _hash(entry) == entry.hash:  # it had no such name, and now has the number of none
        return _broken(entry.run, entry.seq, raw.unknown, "", "a number of none", entry.pos)
    if not raw.unknown and _follows(db, raw, _hash(entry)):
        return _broken(entry.run, entry.seq, "hash", _hash(entry), entry.hash, entry.pos)
    for field, value, other in _others(db, raw):
        if _hash(other) == entry.hash and (field == raw.unknown or getattr(entry, field) != value):
            found = "a number of none" if field == raw.unknown else getattr(entry, field)
            seq = other.seq if field in ("seq", "run") else entry.seq
            return _broken(other.run, seq, field, value, found, entry.pos)
    if not raw.unknown and not entry.salt and _hash(entry) != entry.hash and not _another(db, raw):
        # Redacted: its commitment is the one column that nothing is left to reckon it from, and no other explains it.
        return _broken(entry.run, entry.seq, "commitment", "the one in its hash", entry.commitment, entry.pos)
    return None


def _others(db: Connection, raw: _Raw) -> Iterator[tuple[str, object, Entry]]:
    """The entry as it would be if one of its columns had another value."""
    entry = raw.entry
    if entry.salt is not None and entry.body is not None and len(entry.salt) >= 16:
        bound = commitment(entry.salt, entry.body).hex()
        yield "commitment", bound, entry._replace(commitment=bound)
    texts: list[Any] = db.execute("SELECT text FROM word ORDER BY n").fetchall()
    for (text,) in texts:
        yield "kind", text, entry._replace(kind=text)
        yield "before", text, entry._replace(before=text)
        yield "after", text, entry._replace(after=text)
        yield "by", text, entry._replace(by=text)
        yield "tenant", text, entry._replace(tenant=text)
    for at_ms in _near(entry.at_ms):
        yield "at_ms", at_ms, entry._replace(at_ms=at_ms)
    tokens: list[Any] = db.execute(TOKENS, (raw.effect,)).fetchall()
    for token in [*_near(entry.token), *(token for (token,) in tokens)]:
        yield "token", token, entry._replace(token=token)
    effects: list[Any] = [("",), *db.execute(EFFECTS).fetchall()]
    for (effect,) in effects:
        yield "effect", effect, entry._replace(effect=effect)
    runs: list[Any] = db.execute(RUNS).fetchall()
    for n, run in runs:
        yield "run", run, entry._replace(run=run, prev=_prev(db, n, entry.seq))
    ends: Any = db.execute(LAST_BEFORE, (raw.run, entry.pos)).get
    for seq in dict.fromkeys([(ends[0] if ends else 0) + 1, *_near(entry.seq)]):
        if seq > 0:
            yield "seq", seq, entry._replace(seq=seq, prev=_prev(db, raw.run, seq))


def _near(number: int) -> Iterator[int]:
    """Every number that one byte of this one makes."""
    for shift in range(0, 56, 8):
        low = number >> shift & 0xFF
        for byte in range(256):
            yield number - (low << shift) + (byte << shift)


def _prev(db: Connection, run: int, seq: int) -> str:
    found: Any = db.execute(AT_SEQ, (run, seq - 1)).get
    return found.hex() if found is not None else ""


def _follows(db: Connection, raw: _Raw, hashed: str) -> bool:
    """Whether what comes after this entry names this hash: the next entry of its run, or the run's head."""
    after: Any = db.execute(AFTER, (raw.run, raw.entry.seq + 1)).get
    if after is None:
        return bool(db.execute(HEAD, (raw.run,)).get == bytes.fromhex(hashed))
    follower = _read(db, after).entry
    return _hash(follower._replace(prev=hashed)) == follower.hash


def _another(db: Connection, raw: _Raw) -> bool:
    """Whether the entry follows another one than the one before it: entries were put in, taken out or moved."""
    others: Any = db.execute("SELECT hash FROM entry WHERE run = ?", (raw.run,)).fetchall()
    return any(_hash(raw.entry._replace(prev=prev.hex())) == raw.entry.hash for (prev,) in [*others, (b"",)])
