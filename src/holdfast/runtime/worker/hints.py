"""When a worker looks again: a hint of the store, the end of a drive, or the time being up.

A hint says only that something may have changed, and may be lost; the time being up is what bounds the wait. A store
that can say so by itself is listened to (``listen``, PostgreSQL's NOTIFY); of a file the number of its changes is read
every few milliseconds (``data_version``), which costs no lock and no disk. Decides nothing, and whatever keeps it from
listening costs hints and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from holdfast.kernel.errors import HoldfastError

log = logging.getLogger("holdfast.worker")

READ_EVERY_S = 0.05
"""How often the number of changes of a file is read."""

ASK_EVERY_S = 1.0
"""How often a server that cannot be listened to is asked."""

STOP_AGAIN_S = 0.2
"""How often who listens is told to stop."""


class Hints:
    """The hints of one store for one worker."""

    def __init__(self, store: Any) -> None:
        """Over a store (:class:`holdfast.store.Store`); nothing is listened to yet."""
        self._store = store
        self._event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def poke(self) -> None:
        """Something changed in this process."""
        self._event.set()

    def start(self) -> None:
        """Begin to listen."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="holdfast-hints")

    async def stop(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        # A driver that is told to stop while it connects may swallow that: it is told again until it has stopped.
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_AGAIN_S)
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def wait(self, at_most_ms: int) -> None:
        """Return at a hint, or after so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), at_most_ms / 1000)
        self._event.clear()

    async def _listen(self) -> None:
        listen = getattr(self._store, "listen", None)
        if listen is not None:
            try:
                async with contextlib.aclosing(listen()) as hints:
                    async for _ in hints:
                        self._event.set()
            except (HoldfastError, OSError) as error:
                log.warning("the store is not listened to, it is asked now and then: %s", error)
        await self._look(READ_EVERY_S if listen is None else ASK_EVERY_S)

    async def _look(self, every_s: float) -> None:
        version, seen = self._store.reading.source.db.data_version, -1
        while True:
            await asyncio.sleep(every_s)
            with contextlib.suppress(HoldfastError, OSError):  # it is away: the time being up finds out
                if (now := version()) != seen:
                    seen = now
                    self._event.set()
