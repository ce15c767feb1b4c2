"""Documents about work in several steps that cannot be rolled back: sagas.

Pure data: the steps as declared, how far they came, and who was told. What each step did is in its effects.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.documents.document import Document, Place

ENDS = frozenset({"completed", "compensated", "partly compensated"})
"""States in which nothing more is done; the last one needs a person. None of them is called rolled back."""


class Saga(Document, frozen=True, kw_only=True, tag="saga"):
    """One saga of a run. ``id`` is ``RUN/NAME``; ``state`` is forward, compensating, or one of :data:`ENDS`.

    ``steps`` are plain data, in their order, each with what became of it; ``told`` names who was told of what.
    """

    name: str
    state: str = "forward"
    steps: tuple[dict[str, Any], ...] = ()
    told: tuple[dict[str, Any], ...] = ()
    why: str = ""
    owner: str = ""
    since_ms: int = 0

    @property
    def place(self) -> Place | None:
        """Among those that a person has to look at."""
        return Place("person", 0, self.since_ms) if self.state == "partly compensated" else None
