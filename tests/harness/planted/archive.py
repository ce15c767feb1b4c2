"""Defects of archives: what leaves too early, what is left out, and what is not looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from holdfast.adapters.archive import checking, comparing, writing
from holdfast.kernel import archived as kernel_archived
from holdfast.kernel import commit
from holdfast.kernel.model import State
from holdfast.store import archived, elsewhere

Put = Callable[[Any, str, Any], None]


def tombstones_forget_the_outcome(put: Put) -> None:
    """What is left of every effect says that it never happened."""
    honest = kernel_archived.tombstone
    put(kernel_archived, "tombstone", lambda view, archive: replace(honest(view, archive), state=State.FAILED))


def rows_leave_before_the_files(put: Put) -> None:
    """The store lets go of runs before their files have a name."""
    honest_named, honest_out = writing.named, writing.take_out
    held: list[tuple[Path, Path]] = []

    def not_yet(draft: Path, place: Path) -> Path:
        held.append((draft, place))
        return place

    def first(*args: Any) -> int:
        pos = honest_out(*args)
        honest_named(*held.pop())
        return pos

    put(writing, "named", not_yet)
    put(writing, "take_out", first)


def unsealed_runs_leave(put: Put) -> None:
    """Whether a checkpoint covers a run is not asked."""
    honest = archived.choose
    put(writing, "choose", lambda db, resting, before_ms, size: honest(db, resting, before_ms, 1 << 53))


def drifting_runs_leave(put: Put) -> None:
    """What the records of drifts say is not asked."""
    put(archived, "_drifting", lambda _db: set())


def moved_runs_leave(put: Put) -> None:
    """Nobody looks again under the lock."""
    put(archived, "_STILL", "SELECT seq, head, 0, 0 FROM run WHERE n = ?")
    honest = archived.take_out

    def blind(store: Any, spool: Any, said: Any, seen_pos: int) -> int:
        return honest(store, Blind(spool), said, seen_pos)

    put(writing, "take_out", blind)


class Blind:
    """A spool whose runs are where they are looked for, wherever that is."""

    def __init__(self, spool: Any) -> None:
        self._spool = spool
        self._looked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)

    def going(self) -> Any:
        looked, self._looked = self._looked, True
        return self._spool.going() if looked else iter(())


def archived_runs_go_on(put: Put) -> None:
    """Whether a run is archived is left to the triggers."""
    put(commit, "closed", lambda run, drafts, rows: None)


def tombstones_are_not_compared(put: Put) -> None:
    """The audit passes over what is left of archived runs."""
    put(elsewhere.Elsewhere, "compare", lambda self: None)
    put(elsewhere.Elsewhere, "_stone", lambda self, one, effect: setattr(self, "effects", self.effects + 1))


def bytes_are_not_compared(put: Put) -> None:
    """Files are taken for what the manifest says."""
    put(checking, "_files", lambda path, manifest: None)


def digests_are_not_compared(put: Put) -> None:
    """Any archive under the right name will do."""
    honest = checking.verify
    put(comparing, "verify", lambda folder, *, keys=(), digest="", seen=None: honest(folder, keys=keys, seen=seen))


def columns_are_not_compared(put: Put) -> None:
    """A row is taken for what it says."""
    put(checking, "_same", lambda path, what, wanted, row, seq=0: None)


PLANT: dict[str, Callable[[Put], None]] = {
    "tombstones-forget-the-outcome": tombstones_forget_the_outcome,
    "rows-leave-before-the-files": rows_leave_before_the_files,
    "unsealed-runs-leave": unsealed_runs_leave,
    "drifting-runs-leave": drifting_runs_leave,
    "moved-runs-leave": moved_runs_leave,
    "archived-runs-go-on": archived_runs_go_on,
    "tombstones-are-not-compared": tombstones_are_not_compared,
    "bytes-are-not-compared": bytes_are_not_compared,
    "columns-are-not-compared": columns_are_not_compared,
    "digests-are-not-compared": digests_are_not_compared,
}
