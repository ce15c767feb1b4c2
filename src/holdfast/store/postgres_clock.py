"""The store's clock where the wall clock is the server's: leases of all workers are judged by one clock.

Promises what :mod:`.clock` does, from what each look at the server says of its time; and that between looks the time
is told from the last one and this machine's clock that nobody can set, for so short a time that neither clock can have
gone far. Nothing is judged by that: what rests on time is judged by the server's own clock, in its transaction. For
any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from holdfast.store.clock import Measure, StoreClock

FRESH_MS = 1_000
"""How long after a look at the server its time is told without asking again."""


class ServerClock:
    """The store's clock where the wall clock is the server's: told what it says at each look. For any thread."""

    def __init__(self, boot: Callable[[], int], named: str | None) -> None:
        """``boot`` is this machine's clock that nobody can set (ms), ``named`` which boot it counts from."""
        self._turn = threading.Lock()
        self._wall_ms = 0
        self.clock = StoreClock(lambda: self._wall_ms, boot, named)
        self._boot, self._named = boot, named
        self._looked: tuple[int, int] | None = None
        self._told_ms = 0

    def opened(self, wall_ms: int, high_ms: int, kept: Measure, offset_of: Callable[[str], int | None]) -> None:
        """The first look. ``offset_of`` says what was measured in a boot before."""
        self._wall_ms = wall_ms
        self.clock = StoreClock(lambda: self._wall_ms, self._boot, self._named)
        here = self.clock.measure.boot
        offset_ms = offset_of(here) if here else None
        self.clock.opened(high_ms, kept._replace(boot=here if offset_ms is not None else "", offset_ms=offset_ms or 0))

    def risen(self, wall_ms: int, high_ms: int, leapt_ms: int, steady_ms: int, ahead_ms: int) -> int:
        """Store time after a look at the server: its clock, what is recorded, what this process has seen."""
        with self._turn:
            self._wall_ms = wall_ms
            self.clock.seen(high_ms)
            self.clock.learn(Measure(leapt_ms, steady_ms, ahead_ms))
            now_ms = self.clock.now_ms()
            self._looked = None if self.clock.jumped_ms() else (now_ms, self._boot())
            return now_ms

    def told(self) -> int | None:
        """Store time without a look, where the last one was a moment ago and the clock is sound; None: look."""
        with self._turn:
            if self._looked is None:
                return None
            at_ms, then_ms = self._looked
            passed_ms = self._boot() - then_ms
            if not 0 <= passed_ms < FRESH_MS:
                return None
            self._told_ms = max(self._told_ms, at_ms + passed_ms)
            return self._told_ms
