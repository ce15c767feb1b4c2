"""Whether a store goes on elsewhere: the fact that an entry of its own run raised when it was copied away.

Promises that such a store is not opened to write; its own trigger refuses whoever had it open before. Does not know
whether the store at the other place still is there.
"""

from __future__ import annotations

from typing import Final, Protocol

from holdfast.kernel.errors import StoreMoved
from holdfast.kernel.guard import Fact

MOVED: Final = "moved"
"""The fact's scope; its value is where the store went, as it may be shown."""

MOVED_TO: Final = "SELECT value FROM fact WHERE scope = 'moved' AND raised = 1"


class Facts(Protocol):
    """What is asked of the rows of a store."""

    def load_fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        ...


def moved_to(facts: Facts) -> str:
    """Where a store went; empty: nowhere."""
    fact = facts.load_fact(MOVED)
    return fact.value if fact is not None and fact.raised else ""


def must_be_here(facts: Facts, name: str) -> None:
    """Raises StoreMoved for a store that goes on elsewhere."""
    if to := moved_to(facts):
        raise StoreMoved(store=name, to=to)
