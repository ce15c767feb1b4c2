"""One writer per process: requests of one loop tick become one transaction and one sync (group commit).

Lives in the event loop's thread. A change is applied to the open transaction as soon as it is asked for and
gets its own verdict; durable callers are answered after the commit, :meth:`Writer.later` at once. While a
commit is with the disk, requests queue and become the next batch. There is no delay timer for durable
callers.

Promises: no answer to a durable caller before its bytes are on disk; a failed write or sync ends this writer
for good and every caller of that batch learns it. Does not promise that a cancelled caller's change was not
recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

import apsw

from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.errors import IntegrityError, NotOpen, StoreRestored
from holdfast.store import forks, rows
from holdfast.store.batch import Batch, Ledger, checkpoint
from holdfast.store.clock import StoreClock
from holdfast.store.faults import busy, translate
from holdfast.store.flight import Asked, Flight, Waiter, raise_in
from holdfast.store.heads import Head, HeadFile, superseded
from holdfast.store.source import SqliteSource, Words

MOST_CHANGES = 256
FAST_SYNC_NS = 1_000_000
IDLE_S = 0.5
GRACE_TICKS = 2


class Writer:
    """Group commit over one connection. ``syncs``, ``batches``, ``changes`` count what was made durable."""

    def __init__(
        self, db: apsw.Connection, words: Words, clock: StoreClock, heads: HeadFile, path: str, *,
        busy_ms: int = 10_000, flush_ms: int = 3,
    ) -> None:  # fmt: skip
        """Over a connection nobody else uses; its busy timeout is off, since the loop must not sleep in
        SQLite.
        """
        self._db = db
        self.source = SqliteSource(db, words)
        self._clock = clock
        self._heads = heads
        self._path = path
        self._busy_ms = busy_ms
        self._flush_s = flush_ms / 1000
        self._queue: deque[Asked] = deque()
        self._waiters: list[tuple[Waiter, Verdict | None]] = []
        self._flight = Flight()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._timer: asyncio.Handle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._locked_since = 0.0
        self._dead: IntegrityError | NotOpen | None = None
        self._sync_ns = 0
        self.batch: Batch | None = None  # open: takes changes
        self.flying: Batch | None = None  # written, its commit is with the disk
        self.syncs = self.batches = self.changes = 0
        forks.remember(self)
        self.parts: dict[str, int] | None = None  # nanoseconds of plan, sql and sync, for benchmarks

    # -- asking --

    async def commit(self, change: Change) -> Verdict:
        """The verdict, once the change is on disk."""
        loop = self._running_loop()
        waiter: Waiter = loop.create_future()
        if self._ready(loop):
            self._waiters.append((waiter, self._apply(change)))
            self._close_soon(loop)
        else:
            self._queue.append(Asked(change, True, waiter))
        verdict = await waiter
        assert verdict is not None, "a change always has a verdict"
        return verdict

    async def later(self, change: Change) -> Verdict:
        """The verdict at once; durable with whatever commits next, or after a few milliseconds."""
        loop = self._running_loop()
        if self._ready(loop):
            verdict: Verdict | None = self._apply(change)
            self._flush_later(loop)
        else:
            waiter: Waiter = loop.create_future()
            self._queue.append(Asked(change, False, waiter))
            verdict = await waiter
        assert verdict is not None, "a change always has a verdict"
        return verdict

    async def flush(self) -> None:
        """Everything asked for before is on disk."""
        if self._dead is not None:
            raise self._said()
        if self.batch is None and not self._flight.under_way and not self._queue:
            return
        loop = self._running_loop()
        waiter: Waiter = loop.create_future()
        if self.batch is not None and not self._queue:
            self._waiters.append((waiter, None))
            self._close_soon(loop)
        else:
            self._queue.append(Asked(None, True, waiter))
        await waiter

    def commit_now(self, change: Change | None, mode: tuple[str, int, int, str] | None = None) -> Verdict | None:
        """As :meth:`commit`, without an event loop; ``mode`` replaces (mode, incarnation, last token, bound
        to).
        """
        self._flight.land_now()
        if self._dead is not None:
            raise self._said()
        if self.batch is None:
            self._begin_waiting()
        verdict = None if change is None else self._apply(change)
        assert self.batch is not None, "a batch was just begun"
        self.batch.mode = mode or self.batch.mode
        self._close(None)
        if self._dead is not None:
            raise self._said()
        return verdict

    @property
    def held(self) -> Ledger | None:
        """What this process recorded and is not on disk yet."""
        batch = self.batch or self.flying
        return batch.unit if batch is not None else None

    def begin_now(self) -> None:
        """Take the write lock, blocking."""
        if self.batch is None:
            self._begin_waiting()

    def let_go(self) -> None:
        """This is a copy in a forked process: it writes nothing, now or ever. Open the store anew there."""
        self._dead = NotOpen(what=f"store {self._path}, which was opened before this process was forked,")
        self.batch, self._waiters, self._queue = None, [], deque()

    @property
    def dead(self) -> bool:
        """Whether it failed or was closed: nothing is written any more."""
        return self._dead is not None

    def close(self) -> None:
        """Make everything durable and let go of the connection; later calls raise NotOpen, closing again does
        not.
        """
        if isinstance(self._dead, NotOpen):
            return
        try:
            if self._dead is None and (self.batch is not None or self._flight.under_way):
                self._flight.land_now()
                self._close(None)
        finally:
            failure = self._dead
            self._dead = self._dead or NotOpen(what=f"store {self._path}")
            for timer in (self._timer, self._idle):
                if timer is not None:
                    timer.cancel()
            for asked in self._queue:
                raise_in(asked.waiter, self._said())
            self._queue.clear()
            self._flight.close()
        if failure is not None:
            raise self._said()

    # -- one transaction --

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that asks. What an earlier loop had scheduled and did not live to do is scheduled anew."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._closing, self._timer, self._idle = loop, False, None, None
            if self.batch is not None:
                self._close_soon(loop)
        return loop

    def _ready(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether a change can be applied now: a transaction is open, or opens without waiting."""
        if self._dead is not None:
            raise self._said()
        if self._flight.under_way or self._queue:
            return False
        if self.batch is not None and len(self.batch) >= MOST_CHANGES:
            self._close(loop)
            return self._ready(loop)
        if self.batch is not None or self._begin():
            return True
        self._locked_since = time.monotonic()
        loop.call_later(0.001, self._try_lock, loop)
        return False

    def _begin(self) -> bool:
        try:
            self._db.execute(rows.BEGIN)
            self.batch = Batch(self.source, self._clock)
        except apsw.BusyError:
            return False
        except apsw.Error as error:
            self._bury(translate(error, self._path), [])
            raise self._said() from error
        return True

    def _begin_waiting(self) -> None:
        since = time.monotonic()
        while not self._begin():
            waited_ms = int((time.monotonic() - since) * 1000)
            if waited_ms > self._busy_ms:
                raise busy(self._path, waited_ms)
            # SQLite's lock has no queue to stand in; the other process ends its transaction soon.
            time.sleep(0.001)

    def _try_lock(self, loop: asyncio.AbstractEventLoop) -> None:
        """Another process holds the write lock; the queue waits, the loop goes on."""
        if self._dead is not None or self._flight.under_way:
            return
        try:
            if self.batch is not None or self._begin():
                self._drain(loop)
                return
        except IntegrityError as broken:
            self._bury(broken, [])
            return
        waited_ms = int((time.monotonic() - self._locked_since) * 1000)
        if waited_ms > self._busy_ms:
            error = busy(self._path, waited_ms)
            waiting, self._queue = self._queue, deque()
            for asked in waiting:
                raise_in(asked.waiter, error)
            return
        loop.call_later(min(0.001 + waited_ms / 20_000, 0.02), self._try_lock, loop)

    def _apply(self, change: Change) -> Verdict:
        """Plan one change. A row that cannot be read ends the writer: nothing is decided on half a record."""
        batch, start = self.batch, time.perf_counter_ns()
        assert batch is not None, "only called when ready"
        try:
            return batch.apply(change)
        except apsw.Error as error:
            self.batch = None
            waiters, self._waiters = self._waiters, []
            self._fail(batch, waiters, error)
            raise self._said() from error
        finally:
            self._spent("plan", start)

    def _flush_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and not self._closing:
            self._timer = loop.call_later(self._flush_s, self._due, loop, GRACE_TICKS)

    def _due(self, loop: asyncio.AbstractEventLoop, ticks: int) -> None:
        """Time to flush. On a busy loop verbs are in the middle of their rounds: they may still join."""
        if ticks:
            self._timer = loop.call_soon(self._due, loop, ticks - 1)
        else:
            self._close(loop)

    def _close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """At the end of this tick: everybody who is ready to run may still join."""
        if not self._closing:
            self._closing = True
            loop.call_soon(self._close, loop)

    def _close(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Write the open batch and commit it: here when that is quick or nobody else could run, else in a
        thread.
        """
        self._closing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = self.batch
        if batch is None and loop is not None and not self._flight.under_way:
            self._go_on(loop)  # somebody without a loop closed it first, and more was queued than it took
        if batch is None or self._flight.under_way:
            return
        self.batch = None
        waiters, self._waiters = self._waiters, []
        start = time.perf_counter_ns()
        try:
            batch.write()
        except Exception as error:  # noqa: BLE001  Whatever it is: nothing of this batch is answered as done.
            self._fail(batch, waiters, error)
            return
        self._spent("sql", start)
        if loop is None or len(waiters) <= 1 or self._sync_ns < FAST_SYNC_NS:
            self._landed(loop, batch, waiters, self._commit(batch))
        else:
            self.flying = batch
            self._flight.start(
                loop, lambda: self._commit(batch), lambda error: self._landed(loop, batch, waiters, error)
            )

    def _commit(self, batch: Batch) -> Exception | None:
        """The durable step; its failure as a value, since a thread may carry it."""
        try:
            took_ns = batch.commit()
        except Exception as error:  # noqa: BLE001  Judged in one place, whichever thread it came from.
            return error
        self._sync_ns += (took_ns - self._sync_ns) // 8
        if self.parts is not None:
            self.parts["sync"] = self.parts.get("sync", 0) + took_ns
        incarnation, mode = (batch.mode[1], batch.mode[0]) if batch.mode else self.source.meta[1:3]
        # A store that is still restored leaves the remembered head alone: a human has to release it first.
        if batch.head is None or mode != "normal":
            return None
        known = self._heads.rise(Head(incarnation, *batch.head))
        if known.incarnation > incarnation:
            return StoreRestored(store=self._path, why=superseded(known, incarnation))
        return None

    # -- after the disk --

    def _landed(
        self,
        loop: asyncio.AbstractEventLoop | None,
        batch: Batch,
        waiters: list[tuple[Waiter, Verdict | None]],
        error: Exception | None,
    ) -> None:
        self.flying = None
        if error is not None:
            self._fail(batch, waiters, error)
            return
        self.batches += 1
        self.changes += len(batch)
        self.syncs += batch.wrote
        for waiter, verdict in waiters:
            if not waiter.done():
                waiter.set_result(verdict)
        if loop is not None:
            if self._idle is None:
                self._idle = loop.call_later(IDLE_S, self._when_idle, loop, self.batches)
            self._go_on(loop)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the queue to the batch that just opened, in order."""
        batch = self.batch
        assert batch is not None, "only called with an open batch"
        while self._queue and len(batch) < MOST_CHANGES:
            asked = self._queue.popleft()
            if asked.waiter.done():  # cancelled before it was looked at: never recorded
                continue
            try:
                verdict = None if asked.change is None else self._apply(asked.change)
            except Exception as error:  # noqa: BLE001  It belongs to the one who asked, not to the writer.
                raise_in(asked.waiter, error)
                continue
            if asked.durable:
                self._waiters.append((asked.waiter, verdict))
            else:
                asked.waiter.set_result(verdict)
        if self._waiters or self._queue:
            self._close_soon(loop)
        else:
            self._flush_later(loop)

    def _when_idle(self, loop: asyncio.AbstractEventLoop, batches: int) -> None:
        """Nothing was committed for a while: copy the log back into the file, off the loop."""
        self._idle = None
        if batches != self.batches:
            self._idle = loop.call_later(IDLE_S, self._when_idle, loop, self.batches)
        elif self._dead is None and self.batch is None and not self._flight.under_way:
            self._flight.start(loop, lambda: checkpoint(self._db), lambda _: self._go_on(loop))

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take up what queued meanwhile; how long it waits for the lock counts from here."""
        if self._queue:
            self._locked_since = time.monotonic()
            self._try_lock(loop)

    # -- failing --

    def _fail(self, batch: Batch, waiters: list[tuple[Waiter, Verdict | None]], error: Exception) -> None:
        batch.roll_back()
        self._bury(translate(error, self._path), waiters)

    def _bury(self, error: IntegrityError, waiters: list[tuple[Waiter, Verdict | None]]) -> None:
        """This writer is dead for good: nothing is ever written again as if the failure had not been."""
        self._dead = error
        waiting = [waiter for waiter, _ in waiters] + [asked.waiter for asked in self._queue]
        self._queue.clear()
        for waiter in waiting:
            raise_in(waiter, self._said())

    def _said(self) -> IntegrityError | NotOpen:
        """The reason it is dead, as a fresh error: each caller's traceback is its own."""
        assert self._dead is not None, "only called when dead"
        return type(self._dead)(**self._dead.values)

    def _spent(self, part: str, since_ns: int) -> None:
        if self.parts is not None:
            self.parts[part] = self.parts.get(part, 0) + time.perf_counter_ns() - since_ns
