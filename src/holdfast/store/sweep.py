"""The fast pass over a range of positions: each entry's leaf, chain and body, and the tree over them.

Works by positions and not by runs, so that ranges can be given to several processes (:mod:`.spread`): rows come in the
order in which they lie, a run's chain is followed in memory, and only at the border of a range is a predecessor looked
up. Leaves are written by a template, whose texts are escaped by the very encoder that wrote them.

Promises that an entry passes only if its stored columns are the leaf that its hash is of, it follows the entry before
it in its run, and its body is the one it committed to, or the one that a recorded redaction left; whatever does not
pass is handed to :mod:`.locate`, which says what was changed. Does not look at rows beside entries, nor decide who
vouches for a root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.merkle import Frontier
from holdfast.store import locate
from holdfast.store.connection import Connection
from holdfast.store.redactions import Redactions

TILE = 256
"""Leaves of a complete subtree of level 8: ranges begin and end where one does."""

RANGE = 64 * TILE
SALT_BYTES = 16
_BOUND = b"holdfast\0commitment\0" + SALT_BYTES.to_bytes(2)
_EFFECTS_AT_ONCE = 2_048
_EFFECTS_KEPT = 200_000
_text = msgspec.json.Encoder().encode

ROWS = (
    "SELECT entry.pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash, salt, body"
    " FROM entry LEFT JOIN entry_body ON entry_body.pos = entry.pos WHERE entry.pos >= ? AND entry.pos <= ?"
    " ORDER BY entry.pos"
)
ARCHIVED = "SELECT pos, hash FROM archived WHERE pos >= ? AND pos <= ?"
BEFORE = "SELECT pos, hash FROM entry WHERE run = ? AND seq = ?"
WORDS = "SELECT n, text FROM word"
RUNS = "SELECT n, id FROM run"
EFFECTS = "SELECT n, id FROM effect WHERE n >= ? AND n < ?"


class Swept(NamedTuple):
    """What a range came to. ``tiles`` are its complete subtrees of level 8 in order; ``marks`` gives, for each size
    that was asked for, the subtrees that the tile in which it lies is made of up to there.
    """

    first: int
    last: int
    bodies: int
    redacted: int
    archived: int
    tiles: list[bytes]
    marks: dict[int, list[bytes]]


class _Spelled(dict[int, str]):
    """The JSON text of numbered words, runs or effects between two pieces of the template; read as they are met."""

    def __init__(self, db: Connection, sql: str, before: str, after: str, *, some: bool = False) -> None:
        super().__init__()
        self._db, self._sql, self._before, self._after, self._some = db, sql, before, after, some

    def __missing__(self, n: int) -> str:
        if self._some and len(self) > _EFFECTS_KEPT:
            self.clear()
        if self._some and n == 0:
            self[0] = f'{self._before}""{self._after}'
        for number, text in self._db.execute(self._sql, (n, n + _EFFECTS_AT_ONCE) if self._some else ()):
            self[number] = f"{self._before}{_text(text).decode()}{self._after}"
        if n not in self:
            raise KeyError(n)
        return self[n]


class Sweep:
    """Sweeps ranges over one connection, inside a transaction that somebody else opened."""

    def __init__(self, db: Connection) -> None:
        """Nothing is read yet."""
        self._db = db
        self._after = _Spelled(db, WORDS, '\0{"after":', ',"at_ms":')
        self._before = _Spelled(db, WORDS, ',"before":', ',"by":')
        self._by = _Spelled(db, WORDS, "", ',"commitment":"')
        self._effect = _Spelled(db, EFFECTS, '","effect":', ',"kind":', some=True)
        self._kind = _Spelled(db, WORDS, "", ',"prev":"')
        self._run = _Spelled(db, RUNS, '","run":', ',"seq":')
        self._tenant = _Spelled(db, WORDS, ',"tenant":', ',"token":')

    def range(self, first: int, last: int, marks: Iterable[int]) -> Swept:
        """Positions ``first`` to ``last``, both included; ``first - 1`` is a multiple of :data:`TILE`.

        ``marks`` are the sizes within at which the tree is to be known. Raises ChainBroken at the first position
        that does not fit.
        """
        gone: dict[int, bytes] = dict(self._db.execute(ARCHIVED, (first, last)))
        leaves, bodies, redacted = self._leaves(first, last, gone)
        wanted: dict[int, list[int]] = {}
        for size in marks:
            wanted.setdefault((size - 1) // TILE if size else 0, []).append(size)
        made = [_tile(leaves[at : at + TILE]) for at in range(0, len(leaves) - TILE + 1, TILE)]
        known = {
            size: Frontier(0, ()) if size % TILE == 0 else _grown(leaves[tile * TILE - first + 1 : size - first + 1])
            for tile, sizes in wanted.items()
            for size in sizes
        }
        return Swept(
            first, last, bodies, redacted, len(gone), made, {size: tree.hashes for size, tree in known.items()}
        )

    def _leaves(self, first: int, last: int, gone: Mapping[int, bytes]) -> tuple[list[bytes], int, int]:
        """The leaf hashes of a range, each checked; how many bodies were, and how many are redacted."""
        sha, bound = hashlib.sha256, _BOUND
        after_, before_, by_, effect_ = self._after, self._before, self._by, self._effect
        kind_, run_, tenant_ = self._kind, self._run, self._tenant
        ends: dict[int, str] = {}
        seqs: dict[int, int] = {}
        leaves: list[bytes] = []
        bodies, redacted, expected = 0, Redactions(self._db), first
        rows: Any = self._db.execute(ROWS, (first, last))
        for pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, bind, hash_, salt, body in rows:
            while pos != expected and expected in gone:
                leaves.append(gone[expected])
                expected += 1
            if run not in seqs and pos == expected:
                seqs[run], ends[run] = self._border(run, seq, pos)
            try:
                hashed = sha(
                    f"{after_[after]}{at_ms:d}{before_[before]}{by_[by]}{bind.hex()}{effect_[effect]}{kind_[kind]}"
                    f'{ends.get(run, "")}{run_[run]}{seq:d}{tenant_[tenant]}{token:d},"v":1}}'.encode()
                )
            except (KeyError, AttributeError, TypeError, ValueError):  # a number of no name, or bytes where one was
                raise locate.changed(self._db, pos, expected) from None
            if hashed.digest() != hash_ or pos != expected or seqs.get(run) != seq:
                raise locate.changed(self._db, pos, expected)
            if (
                type(salt) is bytes is type(body)
                and len(salt) == SALT_BYTES
                and sha(bound + salt + body).digest() == bind
            ):
                bodies += 1
            else:
                redacted.meet(pos, salt, body)
            ends[run] = hashed.hexdigest()
            seqs[run] = seq + 1
            leaves.append(hash_)
            expected += 1
        while expected <= last and expected in gone:
            leaves.append(gone[expected])
            expected += 1
        if expected <= last:
            raise locate.changed(self._db, 0, expected)
        return leaves, bodies, redacted.seen

    def _border(self, run: int, seq: int, pos: int) -> tuple[int, str]:
        """The sequence number that a run goes on with in this range, and the hash before it; 0: it has none."""
        if seq == 1:
            return 1, ""
        before: list[Any] = self._db.execute(BEFORE, (run, seq - 1)).fetchall()
        return (seq, before[0][1].hex()) if len(before) == 1 and before[0][0] < pos else (0, "")


def _grown(leaves: Iterable[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree


def _tile(hashes: list[bytes]) -> bytes:
    """The root of a complete subtree, level by level."""
    sha = hashlib.sha256
    while len(hashes) > 1:
        hashes = [sha(b"\x01" + hashes[at] + hashes[at + 1]).digest() for at in range(0, len(hashes), 2)]
    return hashes[0]


def swept_whole(db: Connection, last: int, marks: Iterable[int]) -> Iterable[Swept]:
    """Every range up to ``last``, one after the other, over one connection."""
    sweep = Sweep(db)
    for first, end, within in ranges(last, marks):
        yield sweep.range(first, end, within)


def ranges(last: int, marks: Iterable[int]) -> list[tuple[int, int, list[int]]]:
    """The ranges up to ``last``, each with the marks that lie within it."""
    sizes = sorted({size for size in marks if 0 < size <= last})
    found: list[tuple[int, int, list[int]]] = []
    at = 0
    for first in range(1, last + 1, RANGE):
        end, within = min(first + RANGE - 1, last), []
        while at < len(sizes) and sizes[at] <= end:
            within.append(sizes[at])
            at += 1
        found.append((first, end, within))
    return found


__all__ = ["RANGE", "TILE", "ChainBroken", "Sweep", "Swept", "ranges", "swept_whole"]
