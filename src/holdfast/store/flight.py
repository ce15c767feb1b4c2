"""What waits for the disk in a thread, at most one at a time, so that the event loop need not.

Promises that what follows runs in the loop's thread, exactly once, also when somebody without a loop waits
for it. Does not promise that anything else may use the connection meanwhile: the writer opens no transaction
until it landed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from holdfast.kernel.commit import Change, Verdict

Waiter = asyncio.Future[Verdict | None]


class Asked(NamedTuple):
    """A request that waits for the writer; no change: a flush."""

    change: Change | None
    durable: bool
    waiter: Waiter


def raise_in(waiter: Waiter, error: Exception) -> None:
    """Let whoever waits learn of it, unless they have stopped waiting."""
    if not waiter.done():
        waiter.set_exception(error)


Work = Callable[[], Exception | None]
Then = Callable[[Exception | None], None]


class Flight:
    """At most one piece of work under way. A failure is a value: a thread has nobody to raise to."""

    def __init__(self) -> None:
        """Nothing under way; the thread starts with the first work."""
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: tuple[Future[Exception | None], Then] | None = None

    @property
    def under_way(self) -> bool:
        """Whether something waits for the disk."""
        return self._under_way is not None

    def start(self, loop: asyncio.AbstractEventLoop, work: Work, then: Then) -> None:
        """Run ``work`` in the thread and ``then`` in the loop, with what it answered."""
        assert self._under_way is None, "one at a time"
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "holdfast-sync")
        future = self._pool.submit(work)

        def wake(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed; whoever closes the store lands it
                loop.call_soon_threadsafe(self._land, future)

        self._under_way = (future, then)
        future.add_done_callback(wake)

    def _land(self, future: Future[Exception | None]) -> None:
        if self._under_way is not None and self._under_way[0] is future:
            then, self._under_way = self._under_way[1], None
            then(future.result())

    def land_now(self) -> None:
        """Wait for what is under way, blocking, and let what follows run here."""
        if self._under_way is not None:
            future = self._under_way[0]
            future.result()
            self._land(future)

    def close(self) -> None:
        """End the thread, once what is under way is done."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
