"""One writer per process: changes of one loop tick, and those that queue meanwhile, become one transaction.

Decides what goes together, how long anybody waits, and what becomes of a batch whose connection broke: whether it was
committed is asked of the server by the mark that it left, and it is committed again only where it was not. Promises
the order of asking; no answer before the commit is on the server's disk; a verdict of its own for each change,
whatever another of its batch ran into. ``later`` answers with its batch too, so nothing that was answered is ever
lost. Where it cannot be known whether a batch was committed, its callers are told that, and the next one goes on.

Statements run on a thread of their own over psycopg's blocking connection: a task that is cancelled while it waits
must not cut a transaction between its writes and the answer about its commit. A cancelled caller's change may be
recorded.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.errors import BadValue, HoldfastError, NotOpen, OurBug, StoreBusy, StoreFailed, StoreRestored
from holdfast.store import forks
from holdfast.store.heads import Head, superseded
from holdfast.store.postgres_at_once import AtOnce, gone
from holdfast.store.postgres_batch import PostgresBatch
from holdfast.store.postgres_believed import Stock
from holdfast.store.postgres_identity import Identity, Settled
from holdfast.store.postgres_link import Link, Session
from holdfast.store.postgres_memory import Asked, Done, Memory
from holdfast.store.postgres_open import STATEMENT_FACTOR, driver, said, translate
from holdfast.store.postgres_plan import Plan

MOST_CHANGES = 256
MOST_QUEUED = 4_096
MOST_REDOS = 8
SILENCE_S = 10.0
"""How much longer than the server's own bound a transaction may go unanswered."""

Answer = Callable[[Any], None]
"""Takes a verdict, or the error that came instead."""


class Waiting(NamedTuple):
    """What waits its turn: one change, or something that is a transaction of its own; None: nothing but its turn."""

    asked: Change | Asked | Plan | None
    answer: Answer


class PostgresWriter:
    """Group commit over one link. ``syncs``, ``batches``, ``changes`` count what was committed."""

    def __init__(self, link: Link, memory: Memory, identity: Identity, most_queued: int = MOST_QUEUED) -> None:
        """Over a link that nobody else uses."""
        self._link = link
        self._memory = memory
        self._identity = identity
        self._most_queued = most_queued
        self._psycopg = driver()
        self._turn = threading.Lock()
        self._queue: deque[Waiting] = deque()
        self._tick: list[Waiting] = []
        self._working = False
        self._thread = ThreadPoolExecutor(1, "holdfast-postgres-write")
        self._told: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Any]] = []
        self._shut: NotOpen | None = None
        self.syncs = self.batches = self.changes = self.redone = self.ahead = self.turned = 0
        self.stock = Stock()
        self._at_once = AtOnce(link, memory, self.stock, memory.place.lock_ms * STATEMENT_FACTOR / 1000 + SILENCE_S)
        self.parts: dict[str, int] | None = None
        forks.remember(self)

    # -- asking --

    async def commit(self, change: Change) -> Verdict:
        """The verdict, once the change is on the server's disk."""
        loop = asyncio.get_running_loop()
        if len(self._queue) + len(self._tick) >= self._most_queued:
            await self._room()
        waiter: asyncio.Future[Any] = loop.create_future()
        self._ask(Waiting(change, lambda answer: self._told.append((loop, waiter, answer))), loop)
        verdict: Verdict = await waiter
        return verdict

    async def flush(self) -> None:
        """All that was asked for before is on disk, or was answered with an error."""
        if not (self._queue or self._tick or self._working):
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()
        self._ask(Waiting(None, lambda answer: self._told.append((loop, waiter, answer))), loop)
        await waiter

    @property
    def links(self) -> int:
        """The number of the connection that writes."""
        return self._link.links

    def do(self, asked: Change | Asked | Plan | None) -> Future[Any]:
        """Put something behind all that was asked for before, without an event loop; what comes of it."""
        done: Future[Any] = Future()

        def answer(came: Any) -> None:
            if isinstance(came, Exception):
                done.set_exception(came)
            else:
                done.set_result(came)

        self._ask(Waiting(asked, answer), None)
        return done

    async def _room(self) -> None:
        """Wait for room in the queue. Raises StoreBusy where there is none for too long."""
        since, limit_ms = time.monotonic(), self._memory.place.lock_ms
        while len(self._queue) + len(self._tick) >= self._most_queued:
            waited_ms = int((time.monotonic() - since) * 1000)
            if waited_ms > limit_ms:
                holder = f"{len(self._queue)} changes of this process, which wait for the server,"
                raise StoreBusy(store=self._memory.place.name, holder=holder, waited_ms=waited_ms)
            await asyncio.sleep(0.005)  # it is another thread that makes room

    def _ask(self, waiting: Waiting, loop: asyncio.AbstractEventLoop | None) -> None:
        if self._shut is not None:
            raise NotOpen(**self._shut.values)
        self._tick.append(waiting)
        if loop is None:
            self._hand_over()
        elif len(self._tick) == 1:
            loop.call_soon(self._hand_over)  # at the end of this tick: everybody who is ready to run may still join

    def _hand_over(self) -> None:
        tick, self._tick = self._tick, []
        if not tick:
            return
        with self._turn:
            self._queue.extend(tick)
            begin, self._working = not self._working, True
        if begin:
            self._thread.submit(self._work)

    def let_go(self) -> None:
        """This is a copy in a forked process: it writes nothing, now or ever. Open the store anew there."""
        what = f"store {self._memory.place.name}, which was opened before this process was forked,"
        self._shut = NotOpen(what=what)
        self._queue, self._tick = deque(), []

    def told(self) -> dict[str, int]:
        """How much was committed since opening; transactions begun anew, connections made, statements sent."""
        return {
            "syncs": self.syncs, "batches": self.batches, "changes": self.changes, "redone": self.redone,
            "again": self._memory.again, "links": self._link.links, "statements": self._memory.statements,
            "ahead": self.ahead, "turned": self.turned,
        }  # fmt: skip

    def close(self) -> None:
        """Finish what was asked for, then let go; harmless twice."""
        if self._shut is not None:
            return
        self._hand_over()
        self._shut = NotOpen(what=f"store {self._memory.place.name}")
        self._thread.shutdown()
        self._link.close()

    # -- on the thread --

    def _work(self) -> None:
        """Until nothing waits any more."""
        while batch := self._take():
            try:
                self._carry_out(batch)
            except BaseException as error:
                self._answer(batch, [_plain(error)] * len(batch))
                raise
            finally:
                self._tell()

    def _take(self) -> list[Waiting]:
        """What comes next: as many changes as there are, or one thing that is a transaction of its own."""
        with self._turn:
            batch: list[Waiting] = []
            while self._queue and len(batch) < MOST_CHANGES:
                if batch and isinstance(self._queue[0].asked, Asked | Plan):
                    break
                batch.append(self._queue.popleft())
                if isinstance(batch[-1].asked, Asked | Plan):
                    break
            self._working = bool(batch)
            return batch

    def _carry_out(self, batch: list[Waiting]) -> None:
        alone = batch[0].asked
        changes = [waiting.asked for waiting in batch if isinstance(waiting.asked, Change)]
        try:
            if isinstance(alone, Plan):
                self._answer(batch, [self._planned(alone)])
                return
            if isinstance(alone, Asked):
                self._answer(batch, [self._transact(alone)])
                return
            verdicts = iter(self._transact(Asked(changes)).verdicts if changes else ())
        except Exception as error:  # noqa: BLE001  It belongs to those who asked, not to the writer.
            if len(changes) > 1 and isinstance(error, BadValue | OurBug):  # one of them spoils it for all
                for waiting in batch:
                    self._carry_out([waiting])
                return
            self._answer(batch, [error] * len(batch))
            if isinstance(error, StoreFailed) and self._link.broken:
                self._fail_queued(error)
            return
        self._answer(batch, [next(verdicts) if isinstance(waiting.asked, Change) else None for waiting in batch])

    def _fail_queued(self, error: StoreFailed) -> None:
        """The server was away for too long: whoever waits already has waited as long."""
        with self._turn:
            queued = list(self._queue)
            self._queue.clear()
        self._answer(queued, [error] * len(queued))

    def _answer(self, batch: Sequence[Waiting], answers: Sequence[Any]) -> None:
        for waiting, answer in zip(batch, answers, strict=True):
            # Each caller's traceback is its own.
            told = type(answer)(**answer.values) if isinstance(answer, HoldfastError) else answer
            waiting.answer(told)

    def _tell(self) -> None:
        """Wake each event loop once, for all of it that waits."""
        told, self._told = self._told, []
        for loop in {id(loop): loop for loop, _, _ in told}.values():
            mine = [(waiter, answer) for theirs, waiter, answer in told if theirs is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(_deliver, mine)

    # -- one transaction --

    def _planned(self, plan: Plan) -> list[Verdict | Exception]:
        """What was planned on beliefs, in one call; where they do not hold, judged anew on rows that are held."""
        start = time.perf_counter_ns()
        done = self._at_once.carry_out(plan, self._session(), self._landed, self._roll_back)
        if self.parts is not None:
            self.parts["sql"] = self.parts.get("sql", 0) + time.perf_counter_ns() - start
        if done is not None:
            self.ahead += 1
            self._committed(done)
            return done.verdicts
        self._memory.known.forget(plan.unit)
        self.turned += 1
        try:
            return self._transact(Asked(plan.changes)).verdicts
        except Exception as error:
            if len(plan.done) > 1 and isinstance(error, BadValue | OurBug):  # one of them spoils it for all
                return [self._alone(change) for change in plan.changes]
            raise

    def _alone(self, change: Change) -> Verdict | Exception:
        try:
            return self._transact(Asked((change,))).verdicts[0]
        except (BadValue, OurBug) as error:
            return error

    def _transact(self, asked: Asked) -> Done:
        """Try until no other transaction came between and the connection held; each attempt begins with nothing."""
        errors, store = self._psycopg.errors, self._memory.place.name
        # Two inserted the same new row, or a circle of waiting was cut: it left no trace, so it is planned anew.
        again = (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure)
        why, since = "", time.monotonic()
        for _ in range(MOST_REDOS):
            session = self._session()
            batch = PostgresBatch(session.db, self._memory)
            mark, start = os.urandom(9).hex(), time.perf_counter_ns()
            try:
                with self._link.watched(self._memory.place.lock_ms * STATEMENT_FACTOR / 1000 + SILENCE_S):
                    done = batch.carry_out(asked, session.writer, mark)
            except again as lost:
                self._roll_back(session)
                why, self.redone = said(lost), self.redone + 1
                continue
            except self._psycopg.Error as error:
                why = said(error)
                if not gone(session, error):
                    self._roll_back(session)
                    raise translate(error, self._memory.place) from None
                self._link.give_up()
                if not batch.commits or not self._landed(mark, why):
                    continue
                assert batch.done is not None, "it was planned before its commit was sent"
                done = batch.done
            except Exception:
                self._roll_back(session)
                raise
            if self.parts is not None:
                self.parts["sql"] = self.parts.get("sql", 0) + time.perf_counter_ns() - start
            self._committed(done)
            return done
        waited_ms = int((time.monotonic() - since) * 1000)
        holder = f"other workers, or a server that comes and goes ({why})"
        raise StoreBusy(store=store, holder=holder, waited_ms=waited_ms)

    def _session(self) -> Session:
        """A connection to a store that is the one last seen, or is marked as restored."""
        session = self._link.ready()
        if (why := self._identity.doubt) is not None:
            # Before anything else: what is committed from here on is committed to a store that says so.
            self._identity.doubt = None
            try:
                self._transact(Asked(made=lambda books: self._identity.marking(books.raw)))
            except Settled:
                pass
            except Exception:
                self._identity.doubt = why
                raise
            return self._link.ready()
        return session

    def _landed(self, mark: str, why: str) -> bool:
        """Whether the transaction was committed whose connection broke. Raises StoreFailed where nobody knows."""
        try:
            landed = self._link.landed(mark)
        except HoldfastError as error:
            landed, why = None, f"{why}; then {error.message}"
        if landed is None:
            unknown = (
                f"the connection broke while a commit was under way, and nobody can say whether it took place: {why}"
            )
            raise StoreFailed(store=self._memory.place.name, why=unknown)
        return landed

    def _committed(self, done: Done) -> None:
        self.batches += 1
        self.changes += len(done.verdicts)
        self.syncs += done.wrote
        # A store that is still restored leaves the remembered head alone: a human has to release it first.
        if done.head is None or done.mode != "normal":
            return
        known = self._identity.committed(Head(done.incarnation, *done.head))
        if known.incarnation > done.incarnation:
            self._identity.doubt = superseded(known, done.incarnation)
            raise StoreRestored(store=self._memory.place.name, why=self._identity.doubt)

    def _roll_back(self, session: Session) -> None:
        """Leave nothing behind; where the connection is gone, the server has done so itself."""
        try:
            if session.db.info.transaction_status is not self._psycopg.pq.TransactionStatus.IDLE:
                session.db.execute("ROLLBACK")
        except self._psycopg.Error:
            self._link.give_up()


def _plain(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else NotOpen(what="the store's writer, which was interrupted,")


def _deliver(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    """In the loop's thread."""
    for waiter, answer in answers:
        if waiter.done():
            continue
        if isinstance(answer, Exception):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)
