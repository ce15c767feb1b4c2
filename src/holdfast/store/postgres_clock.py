"""The store's clock where the wall clock is the server's: leases of all workers are judged by one clock.

Promises what :mod:`.clock` does, from what each look at the server says of its time. For any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from holdfast.store.clock import Measure, StoreClock


class ServerClock:
    """The store's clock where the wall clock is the server's: told what it says at each look. For any thread."""

    def __init__(self, boot: Callable[[], int], named: str | None) -> None:
        """``boot`` is this machine's clock that nobody can set (ms), ``named`` which boot it counts from."""
        self._turn = threading.Lock()
        self._wall_ms = 0
        self.clock = StoreClock(lambda: self._wall_ms, boot, named)
        self._boot, self._named = boot, named

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
            return self.clock.now_ms()
