"""What a law is: a fold over events that answers holds, broken, or cannot tell.

``start()`` gives the first state, ``step(state, event)`` the next one or a :class:`Broken`, ``end(state)`` the answer.
States are plain immutable values, so that an explorer can keep them beside its own snapshots and go back to any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from holdfast.kernel.laws.events import Event
from holdfast.kernel.model import Contract


class Broken(NamedTuple):
    """A law does not hold, with what was seen."""

    law: str
    why: str


class Verdict(NamedTuple):
    """The answer of one law at the end: ``holds``, ``broken`` or ``cannot tell``, and why."""

    law: str
    answer: str
    why: str = ""


class Law:
    """One law. Subclasses fold; this one holds whatever comes."""

    id = ""
    name = ""
    watches: tuple[type, ...] = ()
    blind = ""
    """What this law cannot tell yet, in a sentence; empty if it tells everything it states."""

    def __init__(self, contracts: Mapping[str, Contract], secret: bytes | None = None) -> None:
        """Judge under these contracts; ``secret`` recomputes keyed digests, and without it they are taken as told."""
        self.contracts = contracts
        self.secret = secret

    def start(self) -> Any:
        """The state before anything happened."""
        return None

    def step(self, state: Any, event: Event) -> Any:
        """The state after one event of a type in ``watches``, or Broken."""
        raise NotImplementedError

    def end(self, state: Any) -> Verdict:
        """The answer over everything that was folded."""
        if isinstance(state, Broken):
            return Verdict(self.id, "broken", state.why)
        return Verdict(self.id, "cannot tell" if self.blind else "holds", self.blind)

    def broken(self, why: str) -> Broken:
        """This law's no."""
        return Broken(self.id, why)
