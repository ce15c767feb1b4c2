"""That a worker is there: its row, renewed by heartbeats, and its leaving.

Decides nothing about runs. A heartbeat is one commit each third of the lease, and the store's clock says until when it
counts. It is a task of the worker's own event loop, and deliberately no thread beside it: a loop that is stuck drives
nothing and records nothing, and a thread that kept its lease alive would keep others from taking its runs over. What a
loop that comes back after its lease wants to go on with is refused by the store itself, in the commit of each dispatch.

Promises: whoever asks :meth:`Heart.sound` is told no from the moment at which the last heartbeat that is known to be on
disk cannot be relied on any more, by this machine's steady clock. A store that cannot be reached ends nothing: the
heart tries again, ever slower up to the beat, and says in words what it ran into.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec.structs import replace

from holdfast.kernel.commit import STORE_RUN_ID, Change, Verdict
from holdfast.kernel.documents import AnyDocument, Worker
from holdfast.kernel.errors import HoldfastError, IntegrityError

log = logging.getLogger("holdfast.worker")

LEASE_MS = 30_000
SHORTEST_LEASE_MS = 300
LONGEST_LEASE_MS = 3_600_000
"""One hour: so long may the runs of a machine that is gone lie still."""

FIRST_WAIT_S = 0.1


class Book(Protocol):
    """What a heart needs of a store."""

    async def commit(self, change: Change) -> Verdict: ...
    def document(self, kind: str, key: str) -> AnyDocument | None: ...


def worker_id(process: str) -> str:
    """The id of the worker that one open application of a process is (:func:`holdfast.runtime.peers.my_name`)."""
    return "wo_" + hashlib.sha256(process.encode()).hexdigest()[:16]


class Heart:
    """One worker's row, and who keeps it."""

    def __init__(self, store: Book, process: str, *, lease_ms: int = LEASE_MS) -> None:
        """Nothing is recorded yet."""
        self._store = store
        self.row = Worker(id=worker_id(process), process=process, lease_ms=max(SHORTEST_LEASE_MS, lease_ms))
        self.why_not = "it has not been seen yet"
        self._sound_until_s = 0.0
        self._away = False
        self._back_s = float("-inf")
        self.back_ms = 0
        """The store's time when the store answered again after it was last away; 0: it never was."""
        self._task: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._before: Callable[[Worker], Awaitable[Worker]] | None = None

    @property
    def id(self) -> str:
        """The worker's id."""
        return self.row.id

    @property
    def beating(self) -> bool:
        """Whether it has said that it is there."""
        return self._task is not None

    def sound(self) -> bool:
        """Whether the last heartbeat still holds, as far as this process can know without asking."""
        return time.monotonic() < self._sound_until_s

    def just_back(self) -> bool:
        """Whether the store was away so short a time ago that others may not have said yet that they are there."""
        return time.monotonic() < self._back_s + self.row.lease_ms / 1000

    async def start(self, before: Callable[[Worker], Awaitable[Worker]] | None = None) -> None:
        """Say that it is there, and go on saying so. ``before`` brings the row up to date for each heartbeat."""
        if self._task is not None and before is not None:  # it beats for a drive, and a shift begins
            self._before = before
            await self.beat()
        if self._task is None:
            self._before = before
            self.row = replace(self.row, state="working")  # also where it had left before
            await self.beat()
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="holdfast-heart")

    async def beat(self) -> None:
        """One heartbeat, on disk when this returns."""
        row = self.row if self._before is None else await self._before(self.row)
        asked_s = time.monotonic()
        await self._store.commit(Change(run=STORE_RUN_ID, documents=(row,)))
        known = self._store.document("worker", row.id)
        self.row = replace(known, **_said(row)) if isinstance(known, Worker) else row
        self._sound_until_s, self.why_not = asked_s + self.row.lease_ms / 1000, ""
        if self._away or time.monotonic() - asked_s > self.row.lease_ms / 2000:
            self._away, self._back_s, self.back_ms = False, time.monotonic(), self.row.seen_ms

    def now(self) -> None:
        """Beat as soon as may be: what the row says has changed."""
        self._again.set()

    async def leave(self) -> None:
        """Say that it has left. What it still holds may be taken over at once."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._sound_until_s, self.why_not = 0.0, "it has left"
        self.row = replace(self.row, state="left")
        await self._store.commit(Change(run=STORE_RUN_ID, documents=(self.row,)))

    async def _keep(self) -> None:
        period_s, wait_s = self.row.lease_ms / 3000, FIRST_WAIT_S
        while True:
            pause_s = period_s if not self.why_not else wait_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), pause_s)
            self._again.clear()
            try:
                await self.beat()
                wait_s = FIRST_WAIT_S
            except (HoldfastError, OSError) as error:
                self.why_not, self._away = str(error), True
                wait_s = min(period_s, wait_s * 2)
                log.log(
                    logging.WARNING if isinstance(error, IntegrityError) else logging.ERROR, "no heartbeat: %s", error
                )


def _said(row: Worker) -> dict[str, object]:
    """What a row says of itself; the times are the store's."""
    return {name: getattr(row, name) for name in ("state", "works", "planners", "versions", "policy", "lacks")}
