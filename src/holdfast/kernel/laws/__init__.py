"""The fourteen laws (DESIGN §2) as folds over transitions of ledger, evidence and world.

One law runs in an auditor over a full log, in a property test after each step, and in the explorer one transition at
a time. Each answers *holds*, *broken* with what was seen, or *cannot tell* with the reason; a law that cannot tell
everything it states still finds what it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.kernel.laws.events import Event
from holdfast.kernel.laws.law import Broken, Law, Verdict
from holdfast.kernel.laws.ledger import (
    ApprovalSpent,
    DoneMeansVerified,
    InBounds,
    Live,
    NoGuess,
    NoHands,
    NoLaunder,
    NoSuppression,
    SilentReplay,
)
from holdfast.kernel.laws.outside import Accounted, Fence, IntentFirst, NoDouble, Stop
from holdfast.kernel.model import Contract

ALL: tuple[type[Law], ...] = (
    IntentFirst,
    NoDouble,
    NoGuess,
    InBounds,
    ApprovalSpent,
    Fence,
    Stop,
    Accounted,
    NoHands,
    SilentReplay,
    NoLaunder,
    DoneMeansVerified,
    Live,
    NoSuppression,
)
"""In the order of their ids, L1 to L14."""

States = tuple[Any, ...]


class Fold:
    """All laws folded at once. The state is a tuple with one place a law, replaced and never changed."""

    def __init__(self, contracts: Mapping[str, Contract], secret: bytes | None = None) -> None:
        """Judge under these contracts."""
        self.laws = tuple(law(contracts, secret) for law in ALL)
        self._by_event: dict[type, tuple[int, ...]] = {}

    def start(self) -> States:
        """The states before anything happened."""
        return tuple(law.start() for law in self.laws)

    def step(self, states: States, event: Event) -> States | Broken:
        """The states after one event, or the first law it breaks."""
        watching = self._by_event.get(type(event))
        if watching is None:
            watching = tuple(i for i, law in enumerate(self.laws) if type(event) in law.watches)
            self._by_event[type(event)] = watching
        new: list[Any] | None = None
        for i in watching:
            before = states[i]
            after = self.laws[i].step(before, event)
            if after is not before:
                if isinstance(after, Broken):
                    return after
                if new is None:
                    new = list(states)
                new[i] = after
        return states if new is None else tuple(new)

    def end(self, states: States) -> tuple[Verdict, ...]:
        """The answer of each law."""
        return tuple(law.end(state) for law, state in zip(self.laws, states, strict=True))


def blind() -> dict[str, str]:
    """The laws that cannot tell everything they state, by id, each with its reason."""
    return {law.id: law.blind for law in ALL if law.blind}


def judge(
    events: Iterable[Event], contracts: Mapping[str, Contract], secret: bytes | None = None
) -> tuple[Verdict, ...]:
    """Fold a whole log: one answer a law. A broken law stays broken and the others go on."""
    fold = Fold(contracts, secret)
    states = list(fold.start())
    for event in events:
        for i, law in enumerate(fold.laws):
            if type(event) in law.watches and not isinstance(states[i], Broken):
                states[i] = law.step(states[i], event)
    return fold.end(tuple(states))


__all__ = ["ALL", "Broken", "Event", "Fold", "Law", "Verdict", "blind", "judge"]
