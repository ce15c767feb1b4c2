"""Store time: never goes back, and says so when the machine's clock cannot be right.

Store time is the highest of what was ever persisted and the wall clock now (DESIGN §1.7). A wall clock that
moved against the time since boot by more than :data:`JUMP_MS`, either way, or that stands that far behind
what the store already recorded, *jumped*: leases, approvals and deadlines cannot be judged by it, so no
dispatch is committed until a human looked (:meth:`StoreClock.accept`) or the process is started anew with a
right clock.

Does not promise that the wall clock is right, nor to see a jump that happened while no process had the store
open, unless it went back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_MS = 600_000


def wall_ms() -> int:
    """Milliseconds UTC since 1970."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Milliseconds since boot, time asleep included: moves on whatever is done to the wall clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class StoreClock:
    """The clock of one open store."""

    def __init__(self, wall: Callable[[], int] = wall_ms, boot: Callable[[], int] = boot_ms) -> None:
        """Both in milliseconds; ``boot`` must not be settable."""
        self._wall = wall
        self._boot = boot
        self._offset_ms = wall() - boot()
        self._high_ms = 0
        self._behind_ms = 0
        self.steady_ms = 0
        """Since when the clock is trusted again after a jump that somebody accepted; 0: it never jumped."""

    def seen(self, high_ms: int) -> None:
        """A persisted time was read: from here on the store's time is not below it."""
        self._high_ms = max(self._high_ms, high_ms)

    def opened(self, high_ms: int) -> None:
        """As :meth:`seen`, for the first read: a wall clock far behind it went back since."""
        self.seen(high_ms)
        behind_ms = high_ms - self._wall()
        self._behind_ms = behind_ms if behind_ms > JUMP_MS else 0

    def now_ms(self) -> int:
        """The store's time."""
        now = self._wall()
        if now > self._high_ms:
            self._high_ms = now
            return now
        return self._high_ms

    def jumped_ms(self) -> int:
        """By how much the wall clock jumped (negative: back); 0 if it did not."""
        if self._behind_ms:
            return -self._behind_ms
        moved_ms = self._wall() - self._boot() - self._offset_ms
        return moved_ms if abs(moved_ms) > JUMP_MS else 0

    def accept(self) -> None:
        """Somebody looked: what the wall clock says now is taken as right."""
        if self.jumped_ms():
            self.steady_ms = self.now_ms()
        self._offset_ms = self._wall() - self._boot()
        self._behind_ms = 0
