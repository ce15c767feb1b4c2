"""The Merkle tree over all entries of a store: roots, proofs, and their verification (RFC 6962 §2.1, RFC 9162 §2.1).

Pure. Leaves are the entries in the order of their positions, and a leaf's hash is the entry's own hash; so position
``p`` is leaf ``p - 1``. A *subtree* ``(level, n)`` is the complete one over the leaves ``n * 2**level`` up to and not
including ``(n + 1) * 2**level``; level 0 is a leaf. Who makes proofs gives a function that answers with such a hash;
who verifies one needs nothing but the proof.

Promises that a proof which verifies is one, for whatever bytes a stranger hands over: sizes, indices and paths of the
wrong length answer False and are never an error. Does not say who vouches for a root: a signed checkpoint does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

Subtree = Callable[[int, int], bytes]
"""The hash of the complete subtree at a level, by its number: ``subtree(0, i)`` is leaf ``i``."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_BYTES = 32
MAX_SIZE = 2**53 - 1


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees that a tree of a given size is made of, the largest first; leaves are appended."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Of a tree whose :func:`peaks` have these hashes."""
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves is made of {size.bit_count()} subtrees, not {len(self.hashes)}")

    def append(self, leaf: bytes) -> None:
        """One more leaf."""
        size, hashes = self.size, self.hashes
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + hashes.pop() + leaf).digest()
            size >>= 1
        hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def peaks(size: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees (level, number) that a tree of this size is made of, the largest first."""
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            yield level, start >> level
            start += 1 << level


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaf hashes."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def root_at(size: int, subtree: Subtree) -> bytes:
    """The root of the first ``size`` leaves."""
    return Frontier(size, (subtree(level, n) for level, n in peaks(size))).root()


def _range_root(first: int, last: int, subtree: Subtree) -> bytes:
    """MTH(D[first:last]) for a range as RFC 6962 splits it: first is a multiple of the largest power that fits."""
    count = last - first
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return subtree(level, first >> level)
    split = 1 << (count - 1).bit_length() - 1
    return node_hash(_range_root(first, first + split, subtree), _range_root(first + split, last, subtree))


def inclusion(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 6962 §2.1.1), from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    first, last = 0, size
    while last - first > 1:
        split = first + (1 << (last - first - 1).bit_length() - 1)
        if index < split:
            path.append(_range_root(split, last, subtree))
            last = split
        else:
            path.append(_range_root(first, split, subtree))
            first = split
    return path[::-1]


def consistency(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of ``old`` leaves is a prefix of that of ``new`` (RFC 6962 §2.1.2)."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {old} leaves is no prefix of one of {new}")
    path: list[bytes] = []
    first, last, whole = 0, new, True
    while old < last:
        split = first + (1 << (last - first - 1).bit_length() - 1)
        if old <= split:
            path.append(_range_root(split, last, subtree))
            last = split
        else:
            path.append(_range_root(first, split, subtree))
            first, whole = split, False
    if not whole:
        path.append(_range_root(first, last, subtree))
    return path[::-1]


def proves_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether this path leads from leaf ``index`` to the root of a tree of ``size`` leaves (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size <= MAX_SIZE or any(len(part) != HASH_BYTES for part in (leaf, root, *path)):
        return False
    at, last, computed = index, size - 1, leaf
    for part in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            computed = node_hash(part, computed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, part)
        at, last = at >> 1, last >> 1
    return last == 0 and computed == root


def proves_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether this path shows the old tree to be a prefix of the new one (RFC 9162 §2.1.4.2)."""
    if not 0 < old <= new <= MAX_SIZE or any(len(part) != HASH_BYTES for part in (old_root, new_root, *path)):
        return False
    if old == new:
        return not path and old_root == new_root
    parts = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not parts:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(part, older), node_hash(part, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, part)
        at, last = at >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root
