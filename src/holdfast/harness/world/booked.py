"""The books of a world that cannot keep them itself: its log, what services remember, and who has acted, as values.

Decides nothing; it is one value that is replaced with every entry, so that an instant is a reference to it. Does not
outlive its process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from holdfast.harness.world.face import Done
from holdfast.harness.world.services import Kept
from holdfast.harness.world.simulated import Simulated


class Books(NamedTuple):
    """What was written down until one instant. Its parts are shared with other instants and never altered."""

    log: tuple[Done, ...] = ()
    kept: Mapping[tuple[str, str], Kept] = {}
    floors: Mapping[str, int] = {}
    fired: frozenset[int] = frozenset()


class Booked(Simulated):
    """A world whose books are in this process. A kind of world gives reads, changes and instants."""

    def __init__(self, seed: int = 1, **given: Any) -> None:
        """See :class:`Simulated`."""
        super().__init__(seed, **given)
        self._lock = threading.RLock()
        self._books = Books()

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning."""
        return self._books.log

    def changes(self) -> int:
        """How many changes the log has."""
        return len(self._books.log)

    def enter(self, done: Done) -> None:
        """Write a change down."""
        self._books = self._books._replace(log=(*self._books.log, done))

    def kept(self, service: str, key: str) -> Kept | None:
        """What the service remembers of the newest request it did with this key."""
        return self._books.kept.get((service, key))

    def kept_at(self, at: Any, service: str, key: str) -> Kept | None:
        """What it remembered at an instant, which has the books of that time."""
        kept: Mapping[tuple[str, str], Kept] = at.books.kept
        return kept.get((service, key))

    def keep(self, service: str, key: str, kept: Kept) -> None:
        """Remember it, instead of what was done with this key before."""
        self._books = self._books._replace(kept={**self._books.kept, (service, key): kept})

    def floor(self, place: str) -> int:
        """The newest token this place has seen; 0: none."""
        return self._books.floors.get(place, 0)

    def raise_floor(self, place: str, token: int) -> None:
        """The place has seen this token."""
        if token > self.floor(place):
            self._books = self._books._replace(floors={**self._books.floors, place: token})

    def fired(self) -> frozenset[int]:
        """The numbers of the acts that are over."""
        return self._books.fired

    def fire(self, number: int) -> None:
        """This act is over."""
        self._books = self._books._replace(fired=self._books.fired | {number})

    def together(self) -> AbstractContextManager[Any]:
        """One thread at a time."""
        return self._lock
