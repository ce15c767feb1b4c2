"""How often something is looked at again: the fresh often, the old seldom; each tool no faster than it can take.

The schedule is arithmetic over the time at which an effect last moved, so that nothing is kept for each of them: it is
looked at after ``first_s``, after twice that, four times, and so on, and from ``longest_s`` on once in each such span.
Promises that two rounds which follow each other look at each instant once. Does not promise an instant: a tool that
does not answer is asked less often, and what was put off is looked at in a later round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0


class Pace(NamedTuple):
    """Bounds of a reconciler. ``per_second`` is of one tool; tests are in a hurry."""

    every_s: float = 60.0
    first_s: float = 300.0
    longest_s: float = 7 * 86_400.0
    lists_every_s: float = 900.0
    again_s: float = 60.0
    again_longest_s: float = 3_600.0
    at_once: int = 8
    per_second: float = 20.0
    lease_ms: int = 30_000
    page: int = 500
    most_orphans: int = 1_000
    repairs: bool = True


def falls_due(moved_ms: int, since_ms: int, upto_ms: int, pace: Pace) -> bool:
    """Whether there is an instant to look at it after ``since_ms`` and not after ``upto_ms``."""
    first_ms, longest_ms = int(pace.first_s * 1_000), int(pace.longest_s * 1_000)
    age_ms = upto_ms - moved_ms
    if age_ms < first_ms:
        return False
    step_ms = first_ms
    while step_ms * 2 <= min(age_ms, longest_ms):
        step_ms *= 2
    if age_ms >= step_ms + longest_ms:  # past the last doubling: once in each longest span
        step_ms += (age_ms - step_ms) // longest_ms * longest_ms
    return moved_ms + step_ms > since_ms


def again_ms(looks: int, pace: Pace) -> int:
    """How long an open drift rests before it is looked at again: longer each time."""
    return int(min(pace.again_s * 2 ** min(looks, 16), pace.again_longest_s) * 1_000)


class Turns:
    """One tool's turns: no more than so many a second, and none while it is given a rest."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._gap_s = 1 / per_second if per_second > 0 else 0.0
        self._clock = clock
        self._next_s = 0.0
        self._pause_s = 0.0
        self._rests_until_s = 0.0

    @property
    def rests(self) -> bool:
        """Whether it is left alone now."""
        return self._clock() < self._rests_until_s

    async def turn(self) -> None:
        """Wait for the next turn."""
        now_s = self._clock()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._gap_s
        if at_s > now_s:
            await asyncio.sleep(at_s - now_s)

    def told(self, *, told: bool) -> None:
        """Whether it could tell. Each time that it could not, it is left alone for twice as long."""
        if told:
            self._pause_s = 0.0
            return
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._rests_until_s = self._clock() + self._pause_s
