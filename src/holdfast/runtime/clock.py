"""Waiting for a store time in production: asyncio sleeps, and looks again, because the store's time is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LONGEST_S = 1.0
"""One sleep at most: a clock that jumps is noticed within this."""


class WallClock:
    """Implements :class:`holdfast.kernel.ports.ClockPort` over a store's clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """``now_ms`` is the store's time."""
        self._now_ms = now_ms

    async def until(self, at_ms: int) -> None:
        """Return when the store's time is ``at_ms`` or later."""
        # The store's clock is no event: it may jump, and is looked at again.
        while (left_ms := at_ms - self._now_ms()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_ms / 1000, LONGEST_S))
