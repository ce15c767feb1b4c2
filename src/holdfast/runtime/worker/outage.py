"""A store that cannot be had for a while: it is waited for, ever longer, and what was under way is looked at again.

Decides which failures of a store pass by themselves: its server is away, somebody else holds it, or it was put back to
an earlier state and says so once. Promises that what is asked for is asked again until it is had, and that a store
which stays away past the bound is the error that says so. Does not decide what is to be done again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.kernel.errors import StoreAway, StoreBusy, StoreRestored

log = logging.getLogger("holdfast.worker")

PASSING = (StoreAway, StoreBusy, StoreRestored)
"""Failures of a store that may be over in a moment, and say nothing against what it holds."""

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
START_S = 60.0
"""How long a worker that starts waits for its store."""

AWAY_S = 600.0
"""How long a worker that is at work waits for its store before it ends with what keeps it from it."""

T = TypeVar("T")


class Waits:
    """Ever longer pauses, until something is had again."""

    def __init__(self, within_s: float = AWAY_S) -> None:
        """Nothing was waited for yet."""
        self._within_s = within_s
        self._next_s = FIRST_WAIT_S
        self._since_s: float | None = None

    def over(self) -> None:
        """It was had: the next pause is the first again."""
        self._next_s, self._since_s = FIRST_WAIT_S, None

    async def pause(self, error: Exception, what: str) -> None:
        """Say what is waited for, and wait. Raises the error once it lasted too long."""
        now_s = time.monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s >= self._within_s:
            raise error
        log.warning("%s waits for the store: %s", what, error)
        wait_s, self._next_s = self._next_s, min(LONGEST_WAIT_S, self._next_s * 2)
        await asyncio.sleep(wait_s)


async def outlasted(
    act: Callable[[], Awaitable[T]], what: str, within_s: float = AWAY_S, *, stop: Callable[[], bool] = lambda: False
) -> T | None:
    """What the act comes to, once the store can be had for it; None where ``stop`` said so meanwhile.

    Raises what keeps the store away, where that lasts longer than ``within_s``.
    """
    waits = Waits(within_s)
    while True:
        try:
            return await act()
        except PASSING as error:
            if stop():
                return None
            await waits.pause(error, what)
