"""What becomes of an open store when its process is forked: the child's copy writes nothing.

The parent's transaction, its locks and its name as a holder are not the child's, though the copy looks as if they
were: two processes would commit one transaction, and one would be taken for the other. Promises that every writer
that was remembered here lets go in the child before any of its code runs. Does not promise anything for a process
that is copied without Python's fork.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What can let go."""

    def let_go(self) -> None:
        """This is a copy in a forked process: it writes nothing, now or ever."""
        ...


_OPEN: weakref.WeakSet[Forked] = weakref.WeakSet()


def remember(writer: Forked) -> None:
    """Let it go in every child that is forked while it lives."""
    _OPEN.add(writer)


def _forked() -> None:
    for writer in list(_OPEN):
        writer.let_go()


os.register_at_fork(after_in_child=_forked)
