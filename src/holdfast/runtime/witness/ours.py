"""What a witness is given and what it is asked: our newest checkpoint, and whether what it holds is part of our log.

Pure but for what the tree reads. Promises that a checkpoint which our own key signed and our log does not extend is
told apart from a file that somebody scribbled over: the first is a fork of the log, the second a broken witness.
"""

# The names say what happened; a suffix on each would say it twice.
# ruff: noqa: N818

from __future__ import annotations

from typing import NamedTuple

from holdfast.gate.notes import signed_by
from holdfast.kernel.checkpoint import VerifierKey, read
from holdfast.kernel.errors import BadCheckpoint
from holdfast.store.tree import Sealed, Tree


class NotPushed(Exception):
    """A witness did not take the checkpoint, for a reason that may pass."""


class Forked(Exception):
    """A witness holds a checkpoint that this log does not extend; ``note`` is what it showed of it, or its size."""

    def __init__(self, why: str, note: str) -> None:
        """``why`` in words."""
        super().__init__(why)
        self.note = note


class Ours(NamedTuple):
    """The newest checkpoint, the log's name and every key it ever had, and the tree to prove with."""

    origin: str
    keys: tuple[VerifierKey, ...]
    sealed: Sealed
    tree: Tree


def compared(ours: Ours, found: str) -> int:
    """The size of the checkpoint that a witness holds, as a note; 0 for none. Raises NotPushed, Forked."""
    if not found.strip():
        return 0
    try:
        theirs = read(found)
    except BadCheckpoint as error:
        raise NotPushed(f"what lies there is no checkpoint: {error.why}") from None
    if theirs.origin != ours.origin:
        raise NotPushed("what lies there is of another log")
    if not any(signed_by(theirs, key) for key in ours.keys):
        raise NotPushed("what lies there is signed by no key of this log")
    newest = ours.tree.latest() or ours.sealed
    if theirs.size > newest.size:
        raise Forked(f"it holds {theirs.size} entries that our key signed, and this log has {newest.size}", found)
    if ours.tree.root(theirs.size) != theirs.root:
        raise Forked(f"our key signed another root over {theirs.size} entries than this log has", found)
    return theirs.size
