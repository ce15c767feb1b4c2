"""What of a run is not as it is to be although every effect of it ended as agreed: an open drift, an unfinished saga.

Promises that *done* is not said of a run while the outside was seen to differ from what its record says, nor while a
saga of it has not come to an end that may stand: what was read is what is judged. Does not look at the outside itself:
a drift that nobody has found yet is not known here, and one that is found after the end is on record of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast.kernel.documents import EVERY, AnyDocument, Drift, Saga
from holdfast.kernel.documents.drift import LIVE
from holdfast.runtime.stops import Ground, Stop


class Papers(Protocol):
    """Where documents are read."""

    def documents(self, kind: str, run: str = "") -> Sequence[AnyDocument]:
        """Every document of a kind, of one run or of all."""
        ...

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = ...) -> Sequence[AnyDocument]:
        """Documents in a lane that are due by then."""
        ...


NEVER_MS = 1 << 62
"""After every due time."""


def owed(papers: Papers, run: str) -> Stop | None:
    """The first thing that keeps a run from being done, and what would move it; None where nothing does."""
    live = (one for lane in LIVE for one in papers.documents_due("drift", lane, NEVER_MS, EVERY))
    drifts = [one for one in live if isinstance(one, Drift) and one.of_run == run]
    sagas = [one for one in papers.documents("saga", run) if isinstance(one, Saga) and one.place is not None]
    more = f"; {len(drifts)} drift(s) and {len(sagas)} saga(s) in all"
    if drifts:
        first = min(drifts, key=lambda one: (one.found_ms, one.id))
        why = f"the drift {first.id} of {first.effect} is {first.state}: {first.what}: {first.why}{more}"
        return Stop(code=Ground.OWED, reason=why, effect=first.effect, about=first.id)
    if sagas:
        one = sagas[0]
        why = f"the saga {one.id} is {'held' if one.held else one.state}: {one.held or one.why or one.reached}{more}"
        return Stop(code=Ground.OWED, reason=why, about=one.id)
    return None


def moves(about: str) -> tuple[str, ...]:
    """The commands that bring a drift or a saga to an end, by its id."""
    why = '--as NAME --reason "…"'
    if about.startswith("dr_"):
        return (
            f"holdfast drift show {about}",
            f"holdfast drift repair {about} {why}",
            f"holdfast drift accept {about} {why}",
        )
    return (f"holdfast saga show {about}", f"holdfast saga resume {about}")
