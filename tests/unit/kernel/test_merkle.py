"""The Merkle tree: the vectors of Certificate Transparency, another implementation, and hostile proofs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency

from holdfast.kernel.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency,
    inclusion,
    peaks,
    proves_consistency,
    proves_inclusion,
    root_at,
    root_of,
)

DATA = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEFT, RIGHT, MIDDLE = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
)
FIFTH, LAST_TWO, SIXTH = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
)
PATHS = {
    (0, 1): (),
    (0, 8): (LEFT, MIDDLE, RIGHT),
    (5, 8): (FIFTH, LAST_TWO, ROOTS[3]),
    (2, 3): (ROOTS[1],),
    (1, 5): (ROOTS[0], MIDDLE, FIFTH),
}
PROOFS = {
    (1, 1): (),
    (1, 8): (LEFT, MIDDLE, RIGHT),
    (6, 8): (SIXTH, LAST_TWO, ROOTS[3]),
    (2, 5): (MIDDLE, FIFTH),
}


def leaf(data: bytes) -> bytes:
    """RFC 6962 §2.1: the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


class Leaves:
    """A tree over a list, which answers as a store does."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def __call__(self, level: int, n: int) -> bytes:
        return root_of(self.leaves[n << level : (n + 1) << level])


VECTOR = Leaves([leaf(bytes.fromhex(data)) for data in DATA])


def test_roots_are_those_of_certificate_transparency() -> None:
    """Every prefix of the eight published leaves has the published root, and no leaves at all have the empty hash."""
    assert [root_of(VECTOR.leaves[: size + 1]).hex() for size in range(8)] == list(ROOTS)
    assert [root_at(size, VECTOR) for size in range(9)] == [root_of(VECTOR.leaves[:size]) for size in range(9)]
    assert root_of([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_paths_are_those_of_certificate_transparency(index: int, size: int) -> None:
    """Each published audit path is the one made here, in its order, and it proves."""
    path = inclusion(index, size, VECTOR)
    assert tuple(part.hex() for part in path) == PATHS[index, size]
    assert proves_inclusion(VECTOR.leaves[index], index, size, path, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new"), PROOFS)
def test_consistency_proofs_are_those_of_certificate_transparency(old: int, new: int) -> None:
    """Each published consistency proof is the one made here, in its order, and it proves."""
    path = consistency(old, new, VECTOR)
    assert tuple(part.hex() for part in path) == PROOFS[old, new]
    assert proves_consistency(old, new, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]), path)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 70), st.data())
def test_another_implementation_agrees_on_roots_and_proofs(size: int, data: st.DataObject) -> None:
    """For any size: pymerkle has the same roots, the same audit path, and proves consistency of the same two roots."""
    texts = [str(n).encode() for n in range(size)]
    theirs, ours = InmemoryTree(algorithm="sha256"), Leaves([leaf(text) for text in texts])
    for text in texts:
        theirs.append_entry(text)
    assert theirs.get_root(size) == root_at(size, ours)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    # Their path begins with the leaf itself; their consistency proof is of another form, over the same two roots.
    assert theirs.prove_inclusion(index + 1, size).path == [ours.leaves[index], *inclusion(index, size, ours)]
    verify_consistency(root_at(old, ours), root_at(size, ours), theirs.prove_consistency(old, size))
    proof = consistency(old, size, ours)
    assert proves_consistency(old, size, theirs.get_root(old), theirs.get_root(size), proof)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_proof_of_something_else_proves_nothing(size: int, data: st.DataObject) -> None:
    """With one byte, the index, the size, the length or the root changed, no path proves anything any more."""
    ours = Leaves([leaf(str(n).encode()) for n in range(size)])
    index, root = data.draw(st.integers(0, size - 1)), root_at(size, ours)
    path = inclusion(index, size, ours)
    assert proves_inclusion(ours.leaves[index], index, size, path, root)
    assert not proves_inclusion(ours.leaves[index], index, size, [*path, root], root)
    assert not proves_inclusion(leaf(b"other"), index, size, path, root)
    assert not proves_inclusion(ours.leaves[index], index, size, path, leaf(b"other"))
    other = data.draw(st.integers(0, size - 1))
    assert other == index or not proves_inclusion(ours.leaves[index], other, size, path, root)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        bad = [*path[:at], bytes([path[at][0] ^ 1]) + path[at][1:], *path[at + 1 :]]
        assert not proves_inclusion(ours.leaves[index], index, size, bad, root)
        assert not proves_inclusion(ours.leaves[index], index, size, path[:-1], root)


@pytest.mark.req("1.10b", mutant="consistency-believed")
@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.data())
def test_a_forked_log_has_no_consistency_proof(size: int, data: st.DataObject) -> None:
    """No proof of the true log shows that a tree with one other leaf before the old size is a prefix of it."""
    old = data.draw(st.integers(1, size))
    at = data.draw(st.integers(0, old - 1))
    ours = Leaves([leaf(str(n).encode()) for n in range(size)])
    forked = Leaves([*ours.leaves[:at], leaf(b"other"), *ours.leaves[at + 1 :]])
    for tree in (ours, forked):
        path = consistency(old, size, tree)
        assert not proves_consistency(old, size, root_at(old, forked), root_at(size, ours), path)


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (-1, 8, []),
        (8, 8, []),
        (0, 0, []),
        (0, 2**60, []),
        (0, 8, [b"short"]),
        (0, 2, [b""]),
        (2**70, 2**71, [b"x" * 32]),
    ],
)
def test_impossible_inclusion_is_a_no_and_no_error(index: int, size: int, path: list[bytes]) -> None:
    """Whatever a stranger writes into a proof is judged; nothing of it raises."""
    assert not proves_inclusion(VECTOR.leaves[0], index, size, path, VECTOR.leaves[0])
    assert not proves_consistency(index, size, VECTOR.leaves[0], VECTOR.leaves[1], path)


def test_a_frontier_of_the_wrong_shape_is_refused() -> None:
    """Subtrees that a size is not made of raise: our own mistake; so does a leaf or a prefix that is not there."""
    assert list(peaks(13)) == [(3, 0), (2, 2), (0, 12)]
    with pytest.raises(ValueError, match="is made of 3 subtrees"):
        Frontier(13, [b"x" * 32])
    with pytest.raises(ValueError, match="no leaf"):
        inclusion(8, 8, VECTOR)
    with pytest.raises(ValueError, match="no prefix"):
        consistency(0, 8, VECTOR)
