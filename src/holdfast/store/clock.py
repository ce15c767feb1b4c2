"""Store time: never goes back, and says so when the machine's clock cannot be right.

Store time is the highest of what was ever persisted and the wall clock now (DESIGN §1.7). A wall clock that
moved against the time since boot by more than :data:`JUMP_MS`, either way, or that stands that far behind
what the store already recorded, *jumped*: leases, approvals and deadlines cannot be judged by it, so nothing
that rests on time is committed until a human looked (:meth:`StoreClock.accept`).

A leap *ahead* stays in doubt also after the clock is set right and after this process is gone: while it lasted
the store's time may have risen with it, and what waits for time to pass would have been given time that nobody
lived through. It is persisted by the first transaction after it was noticed, which is the first that could have
recorded its time. So is the measure itself, the wall clock against the time since this boot: a leap between two
processes is noticed by the second. Setting a clock that is behind right again ends the doubt by itself.

Does not promise that the wall clock is right, nor to see a leap ahead that happened while the machine was off
or across a boot while no process had the store open: only a clock outside could tell that from time that passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import Effect

JUMP_MS = 600_000


def wall_ms() -> int:
    """Milliseconds UTC since 1970."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Milliseconds since boot, time asleep included: moves on whatever is done to the wall clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_name() -> str:
    """This boot of this machine; empty where it cannot be known: then nothing is compared across processes."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()
    except OSError:
        return ""


class Measure(NamedTuple):
    """What a store remembers of its clock.

    ``leapt_ms`` a leap ahead that nobody has accepted; ``steady_ms`` since when the clock is trusted again after a
    jump that somebody accepted (0: there was none); ``ahead_ms`` by how much the store's time stays before the wall
    clock since then; ``offset_ms`` the wall clock less the time since ``boot``.
    """

    leapt_ms: int = 0
    steady_ms: int = 0
    ahead_ms: int = 0
    boot: str = ""
    offset_ms: int = 0


class StoreClock:
    """The clock of one open store."""

    def __init__(
        self, wall: Callable[[], int] = wall_ms, boot: Callable[[], int] = boot_ms, named: str | None = None
    ) -> None:
        """Both in milliseconds; ``boot`` must not be settable. ``named``: which boot that is."""
        self._wall = wall
        self._boot = boot
        self._named = named if named is not None else boot_name() if boot is boot_ms else ""
        self._offset_ms = wall() - boot()
        self._high_ms = 0
        self._behind_ms = 0
        self._leapt_ms = 0
        self._ahead_ms = 0
        self._kept = Measure()
        self.steady_ms = 0
        """Since when the clock is trusted again after a jump that somebody accepted; 0: it never jumped."""

    def seen(self, high_ms: int) -> None:
        """A persisted time was read: from here on the store's time is not below it."""
        self._high_ms = max(self._high_ms, high_ms)

    def opened(self, high_ms: int, kept: Measure = Measure()) -> None:  # noqa: B008 - frozen
        """As :meth:`seen`, for the first read: a wall clock far behind it went back since. ``kept`` is what the last
        process left: a leap nobody accepted, and this boot's measure.
        """
        self.seen(high_ms)
        self._kept = kept
        self.steady_ms, self._leapt_ms, self._ahead_ms = kept.steady_ms, kept.leapt_ms, kept.ahead_ms
        if kept.boot and kept.boot == self._named:
            self._offset_ms = kept.offset_ms
        behind_ms = high_ms - self._wall() - self._ahead_ms
        self._behind_ms = behind_ms if behind_ms > JUMP_MS else 0

    def learn(self, kept: Measure) -> None:
        """What another process left since: a leap that it noticed, or that somebody accepted the clock there."""
        self._kept = kept
        same_boot = bool(kept.boot) and kept.boot == self._named
        if kept.steady_ms > self.steady_ms:
            self.steady_ms, self._leapt_ms, self._ahead_ms = kept.steady_ms, kept.leapt_ms, kept.ahead_ms
            self._behind_ms = 0
            self._offset_ms = kept.offset_ms if same_boot else self._wall() - self._boot()
        elif kept.leapt_ms and kept.steady_ms == self.steady_ms:  # older than what was accepted here: over
            self._leapt_ms = kept.leapt_ms
        if same_boot and abs(kept.offset_ms - self._offset_ms) <= JUMP_MS:
            self._offset_ms = kept.offset_ms  # two that opened at once measured a moment apart

    @property
    def measure(self) -> Measure:
        """What the store has to remember."""
        if not self._named:  # of no known boot: what is kept is somebody else's, and stays
            return self._kept._replace(leapt_ms=self._leapt_ms, steady_ms=self.steady_ms, ahead_ms=self._ahead_ms)
        return Measure(self._leapt_ms, self.steady_ms, self._ahead_ms, self._named, self._offset_ms)

    def now_ms(self) -> int:
        """The store's time. Every look at it notices a leap, so none can be recorded before it is in doubt."""
        now = self._wall()
        moved_ms = now - self._boot() - self._offset_ms
        if moved_ms > JUMP_MS and not self._leapt_ms:
            self._leapt_ms = moved_ms
        now += self._ahead_ms
        if now > self._high_ms:
            self._high_ms = now
            return now
        return self._high_ms

    def jumped_ms(self) -> int:
        """By how much the wall clock jumped (negative: back); 0 if it did not."""
        moved_ms = self._wall() - self._boot() - self._offset_ms
        if moved_ms > JUMP_MS and not self._leapt_ms:
            self._leapt_ms = moved_ms
        if self._leapt_ms:
            return self._leapt_ms
        if self._behind_ms:
            return -self._behind_ms
        return moved_ms if moved_ms < -JUMP_MS else 0

    def counts_from_ms(self, now_ms: int) -> int:
        """From when on passed time may be relied on, for whoever reads now; 0: always. In doubt: from now on."""
        return now_ms if self._leapt_ms or self._behind_ms else self.steady_ms

    def accept(self) -> None:
        """Somebody looked: the wall clock is right from now on, and time counts from here.

        Where the store's time is before the wall clock it stays so by as much as it is now, and goes on: a time that
        stood still until the wall clock caught up would give what is sent meanwhile more time than it had.
        """
        if self.jumped_ms():
            self.steady_ms = max(self.now_ms(), self.steady_ms + 1)
            self._ahead_ms = max(0, self._high_ms - self._wall())
        self._offset_ms = self._wall() - self._boot()
        self._behind_ms = self._leapt_ms = 0


def refusal(jumped_ms: int, effect: Effect | None) -> Rejected:
    """The verdict on a change that rests on time while the clock is in doubt."""
    why = f"the clock jumped by {jumped_ms} ms; what rests on time cannot be judged"
    return Rejected(part="clock", why=why, effect=effect)
