"""Documents about what differs outside from what was recorded: drifts.

Pure data. A drift is no state of an effect: it may have none, and may appear long after its effect was verified.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.documents.document import Document, Place


class Drift(Document, frozen=True, kw_only=True, tag="drift"):
    """Something observed that differs from what is desired. ``id`` is ``dr_…``; ``state`` open, escalated, repaired or
    accepted (the last two are its ends), each with an actor, a reason and evidence.

    ``what`` is one of the four: orphan (outside, and no record owns it), missing (recorded as done, absent outside),
    lingering (recorded as removed, still live), partial (shown complete while only a part happened).
    ``repair`` is the effect that repairs it; ``due_ms`` when it is looked at again, ``owner`` who decides meanwhile.
    """

    what: str
    tool: str
    resource: str = ""
    effect: str = ""
    state: str = "open"
    found_ms: int = 0
    seen_ms: int = 0
    looks: int = 0
    desired: Any = None
    observed: Any = None
    why: str = ""
    repair: str = ""
    owner: str = ""
    due_ms: int = 0
    by: str = ""
    reason: str = ""
    closed_ms: int = 0
    evidence: str = ""

    @property
    def place(self) -> Place | None:
        """By its next look, while it is open or escalated."""
        return Place(self.state, 0, self.due_ms) if self.state in ("open", "escalated") else None
