"""The Merkle tree of one store: leaves, kept subtrees, checkpoints, proofs, and the one row that says who seals.

Leaf ``i`` is the hash of the entry at position ``i + 1``, wherever the entry lies now: here, or in an archive that left
its hash behind. Promises that what is appended was judged under the token of who may seal, in one short transaction,
and that a checkpoint is never replaced. Does not sign, and does not decide when to seal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.merkle import Frontier, consistency, inclusion, peaks, root_at
from holdfast.store.connection import Connection
from holdfast.store.rows import BEGIN, COMMIT, ROLLBACK

STEP = 8
"""Subtrees of every eighth level are kept once they are sealed."""

LEAVES = (
    "SELECT pos, hash FROM entry WHERE pos > ?1 AND pos <= ?2"
    " UNION ALL SELECT pos, hash FROM archived WHERE pos > ?1 AND pos <= ?2 ORDER BY 1"
)
NODE = "SELECT hash FROM node WHERE level = ? AND n = ?"
ADD_NODE = "INSERT INTO node (level, n, hash) VALUES (?, ?, ?)"
_CHECKPOINT = "SELECT size, root, at_ms, token, note FROM checkpoint"
LATEST = _CHECKPOINT + " ORDER BY size DESC LIMIT 1"
CHECKPOINT_AT = _CHECKPOINT + " WHERE size = ?"
CHECKPOINT_OVER = _CHECKPOINT + " WHERE size >= ? ORDER BY size LIMIT 1"
CHECKPOINTS = _CHECKPOINT + " WHERE size > ? ORDER BY size LIMIT ?"
ADD_CHECKPOINT = "INSERT INTO checkpoint (size, root, at_ms, token, note) VALUES (?, ?, ?, ?, ?)"
SEALER = "SELECT holder, token, until_ms FROM sealer"
TROUBLE = "SELECT trouble, trouble_ms FROM sealer"
TROUBLED = "UPDATE sealer SET trouble = ?1, trouble_ms = ?2 WHERE trouble <> ?1"
HAND_BACK = "UPDATE sealer SET until_ms = 0 WHERE token = ?"
DONE = "UPDATE sealer SET until_ms = 0, trouble = '', trouble_ms = 0"
TAKE = "UPDATE sealer SET holder = ?, token = ?, until_ms = ?"
ENTRY_AT = "SELECT at_ms FROM entry WHERE pos = ?"
LAST_POS = "SELECT coalesce(max(pos), 0) FROM entry"


class Sealed(NamedTuple):
    """One checkpoint as it is stored; ``note`` is the signed text that was or will be published."""

    size: int
    root: bytes
    at_ms: int
    token: int
    note: str


class Sealer(NamedTuple):
    """Who may seal: the holder, the token that fences the one before, and until when."""

    holder: str
    token: int
    until_ms: int


class Grown(NamedTuple):
    """What a sealing is about to append: the new size and root, and the subtrees that became complete."""

    size: int
    root: bytes
    nodes: tuple[tuple[int, int, bytes], ...]


class Tree:
    """The tree over one connection. Reading needs none of the writing methods, and takes no lock."""

    def __init__(self, db: Connection) -> None:
        """Over a connection; :meth:`take` and :meth:`append` need one that may write."""
        self._db = db

    # -- what is there --

    def size(self) -> int:
        """How many entries there are; those after the last checkpoint are not sealed yet."""
        return int(self._db.execute(LAST_POS).get)

    def latest(self) -> Sealed | None:
        """The newest checkpoint."""
        return _sealed(self._db.execute(LATEST).get)

    def at(self, size: int) -> Sealed | None:
        """The checkpoint of exactly this size."""
        return _sealed(self._db.execute(CHECKPOINT_AT, (size,)).get)

    def over(self, pos: int) -> Sealed | None:
        """The first checkpoint that covers the entry at this position."""
        return _sealed(self._db.execute(CHECKPOINT_OVER, (pos,)).get)

    def checkpoints(self, after: int = 0, limit: int = -1) -> list[Sealed]:
        """Checkpoints by size."""
        return [Sealed(*row) for row in self._db.execute(CHECKPOINTS, (after, limit))]

    def unsealed_since(self) -> int:
        """The instant of the first entry that no checkpoint covers (store time); 0: each is covered."""
        sealed = self.latest()
        found = self._db.execute(ENTRY_AT, ((sealed.size if sealed is not None else 0) + 1,)).get
        return int(found or 0)

    def sealer(self) -> Sealer:
        """Who may seal."""
        row: Any = self._db.execute(SEALER).get
        return Sealer(*row)

    def leaves(self, first: int, last: int) -> Iterator[bytes]:
        """Leaf hashes ``first`` up to and not including ``last``. Raises ChainBroken where one is missing."""
        expected = first
        for pos, leaf in self._db.execute(LEAVES, (first, last)):
            if pos != expected + 1:
                break
            expected += 1
            yield leaf
        if expected != last:
            gap = expected + 1
            raise ChainBroken(run="the whole store", seq=gap, field="position", expected="an entry", found="none")

    def subtree(self, level: int, n: int) -> bytes:
        """The hash of a complete subtree: kept, or reckoned from what lies below it."""
        if level == 0:
            return next(self.leaves(n, n + 1))
        if level % STEP == 0:
            kept = self._db.execute(NODE, (level, n)).get
            if kept is not None:
                return bytes(kept)
        below = (level - 1) // STEP * STEP
        first, last = n << (level - below), (n + 1) << (level - below)
        tree = Frontier()
        if below == 0:
            for leaf in self.leaves(first, last):
                tree.append(leaf)
        else:
            for number in range(first, last):
                tree.append(self.subtree(below, number))
        return tree.root()

    def root(self, size: int) -> bytes:
        """The root over the first ``size`` entries."""
        return root_at(size, self.subtree)

    def inclusion(self, pos: int, size: int) -> list[bytes]:
        """The audit path of the entry at a position in the tree of ``size`` entries."""
        return inclusion(pos - 1, size, self.subtree)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of ``old`` entries is a prefix of that of ``new``."""
        return consistency(old, new, self.subtree)

    # -- sealing --

    def grown(self, size: int) -> Grown:
        """The tree of ``size`` entries beside the sealed one: reads and hashes only what came since, takes no lock."""
        sealed = self.latest()
        start = sealed.size if sealed is not None else 0
        tree = Frontier(start, (self.subtree(level, n) for level, n in peaks(start)))
        if sealed is not None and tree.root() != sealed.root:
            found, expected = tree.root().hex(), sealed.root.hex()
            raise ChainBroken(run="the whole store", seq=start, field="root", expected=expected, found=found)
        nodes: list[tuple[int, int, bytes]] = []
        made: dict[tuple[int, int], bytes] = {}
        for count, leaf in enumerate(self.leaves(start, size), start + 1):
            tree.append(leaf)
            level = STEP
            while count % (1 << level) == 0:
                # Where the count is a multiple of 2^level, the last peak is the subtree that has just become complete,
                # or holds it as its right edge: then it is reckoned from the kept ones below.
                n = (count >> level) - 1
                made[level, n] = self._complete(level, n, made)
                nodes.append((level, n, made[level, n]))
                level += STEP
        return Grown(size, tree.root(), tuple(nodes))

    def _complete(self, level: int, n: int, made: dict[tuple[int, int], bytes]) -> bytes:
        below = level - STEP
        first, last = n << STEP, (n + 1) << STEP
        tree = Frontier()
        if below == 0:
            for leaf in self.leaves(first, last):
                tree.append(leaf)
        else:
            for number in range(first, last):
                tree.append(made.get((below, number)) or self.subtree(below, number))
        return tree.root()

    def take(self, holder: str, now_ms: int, lease_ms: int, yields: str = "") -> Sealer | None:
        """Become who may seal, or stay so; None while another holds it. A change of hands raises the token.

        ``yields`` is a holder whose lease counts as over: one that was proved dead.
        """
        self._db.execute(BEGIN)
        try:
            now = self.sealer()
            mine = now.holder == holder
            free = mine or now.holder in ("", yields) or now_ms > now.until_ms
            if free:
                now = Sealer(holder, now.token if mine else now.token + 1, now_ms + lease_ms)
                self._db.execute(TAKE, now)
            self._db.execute(COMMIT)
        except BaseException:
            if self._db.in_transaction:
                self._db.execute(ROLLBACK)
            raise
        return now if free else None

    def append(self, grown: Grown, token: int, at_ms: int, note: str) -> bool:
        """Append a signed checkpoint, and let others seal. False, and nothing written, where another may seal by now or
        has sealed as much.
        """
        self._db.execute(BEGIN)
        try:
            sealed, sealer = self.latest(), self.sealer()
            good = sealer.token == token and (sealed is None or sealed.size < grown.size)
            if good:
                start = sealed.size if sealed is not None else 0
                new = [(level, n, leaf) for level, n, leaf in grown.nodes if (n + 1) << level > start]
                self._db.executemany(ADD_NODE, new)
                self._db.execute(ADD_CHECKPOINT, (grown.size, grown.root, at_ms, token, note))
                self._db.execute(DONE)
            self._db.execute(COMMIT)
        except BaseException:
            if self._db.in_transaction:
                self._db.execute(ROLLBACK)
            raise
        return good

    def hand_back(self, token: int) -> None:
        """Let others seal at once, where this token is still the one."""
        self._db.execute(HAND_BACK, (token,))

    def trouble(self) -> tuple[str, int]:
        """Why the newest entries could not be sealed, and since when (store time); empty: nothing is in the way."""
        found: Any = self._db.execute(TROUBLE).get
        return str(found[0]), int(found[1])

    def troubled(self, why: str, at_ms: int) -> None:
        """Remember why nothing could be sealed, where it is not remembered already; empty: it can be."""
        if self.trouble()[0] != why:
            self._db.execute(TROUBLED, (why, at_ms))


def _sealed(row: Any) -> Sealed | None:
    return None if row is None else Sealed(*row)
