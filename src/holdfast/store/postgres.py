"""The store port on PostgreSQL: many workers on many machines, one ledger.

One transaction a batch. It locks what the guards look at, in the one order that all use
(:mod:`.postgres_rows`), reads the store's time and draws its tokens while it holds those locks, plans with
the same pure code as every store, and writes arrays, each statement naming the version it replaces. Four
round trips: names and effects; what stands around them; the rows; the commit; one more where documents count.

Promises: an answer to ``commit`` means that the entry is on the server's disk; two workers never both win a
claim, an approval or the last of a budget; a lease passes on only with a higher token; heads, tokens, epochs
and the mode are read inside the transaction that uses them. ``later`` is ``commit`` here, so ``flush`` has
nothing left to do: a promise kept early is still kept.

Statements run on a thread of their own over psycopg's blocking connection, not its asynchronous one: a task
that is cancelled while it waits must not cut a transaction between its writes and the answer about its
commit, and planning is synchronous code in the middle of that transaction. A cancelled caller's change may
therefore still be recorded.

Does not promise: group commit, finding out by itself that the database was restored or failed over to a
standby that lacks its tail (:meth:`PostgresStore.restore` says it), nor that times of different runs rise in
the order of commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.kernel.commit import Change, Note, Verdict, needs_a_sound_clock
from holdfast.kernel.documents import EVERY, AnyDocument, Item
from holdfast.kernel.documents import decode as decode_document
from holdfast.kernel.errors import BadValue, NotOpen, StoreBusy, StoreFailed
from holdfast.kernel.model import Effect, Lease, Run
from holdfast.kernel.ports import Seen
from holdfast.store import postgres_rows as rows
from holdfast.store import postgres_sql as sql
from holdfast.store.clock import Measure, boot_ms, refusal
from holdfast.store.postgres_open import Place, check_settings, connect, driver, migrate, said, translate
from holdfast.store.postgres_reading import PostgresReading
from holdfast.store.postgres_rows import Locked, Minting, Wanted
from holdfast.store.postgres_writes import write

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
MOST_CHANGES = 256
MOST_REDOS = 8
DEFAULT_SCHEMA = "holdfast"
LOCK_MS = 10_000


class PostgresStore(PostgresReading):
    """The store port over one database schema. Built by :func:`open_postgres`; one writer and one reader
    connection.

    ``redone`` counts transactions that were planned anew because another one came between.
    """

    def __init__(
        self, writer: psycopg.Connection[Any], reader: psycopg.Connection[Any], place: Place,
        boot: Callable[[], int] = boot_ms, boot_named: str | None = None,
    ) -> None:  # fmt: skip
        """Over two connections that nobody else uses. The measure of this boot is left for the next process."""
        super().__init__(reader, place, boot, boot_named)
        self.redone = 0
        self._db = writer
        self._marked = Measure()  # what the transaction under way has read of the clock's row
        self._writing = ThreadPoolExecutor(1, "holdfast-postgres-write")
        measure = self._clock.measure
        if measure.boot:
            writer.execute(sql.ADD_WITNESS, (measure.boot, measure.offset_ms))

    # -- the port --

    async def read(self, effect: str) -> Seen:
        """One consistent look at what is committed."""
        return await asyncio.to_thread(self.seen, effect)

    async def latest(self, identity: str) -> Effect | None:
        """The highest generation of an identity."""
        return await asyncio.to_thread(self.newest, identity)

    async def run_row(self, run: str) -> Run | None:
        """One run."""
        return await asyncio.to_thread(self.run, run)

    async def run_effects(self, run: str) -> list[Effect]:
        """Every effect of a run, in the order of their recording."""
        return await asyncio.to_thread(self.effects_of, run)

    async def run_items(self, run: str) -> list[Item]:
        """Every item of a run."""
        found = await asyncio.to_thread(self.documents, "item", run, EVERY)
        return [document for document in found if isinstance(document, Item)]

    async def time(self) -> int:
        """The store's time: the server's clock, and never before anything that is recorded."""
        return await asyncio.to_thread(self.now_ms)

    async def commit(self, change: Change) -> Verdict:
        """The verdict, once it is on the server's disk."""
        return _only(await self.commit_all([change]))

    async def later(self, change: Change) -> Verdict:
        """As :meth:`commit`: what is promised for later is done at once."""
        return await self.commit(change)

    async def flush(self) -> None:
        """Everything asked for before is on disk: waits for the transactions that are under way."""
        await asyncio.wrap_future(self._ask(lambda: None))

    # -- more than the port --

    async def commit_all(self, changes: Sequence[Change]) -> list[Verdict | Exception]:
        """One transaction for up to 256 changes, each judged on what those before it left, each with its own
        verdict.

        A change that raises (a draft the state table does not know) gets its exception as its verdict and
        leaves no trace in the batch. Raises IntegrityError when the transaction as a whole did not go
        through.
        """
        assert len(changes) <= MOST_CHANGES, "a batch has a bound"
        return await asyncio.wrap_future(self._ask(lambda: self._transact(changes)))

    def commit_now(self, change: Change) -> Verdict:
        """As :meth:`commit`, blocking."""
        return _only(self._ask(lambda: self._transact([change])).result())

    def clock_jumped_ms(self) -> int:
        """By how much the server's clock jumped; what rests on time is refused until it is accepted. Blocking."""
        self.now_ms()
        return self._clock.jumped_ms()

    def accept_clock(self, by: str, reason: str) -> int:
        """A named human looked at the server's clock and found it right; what they accepted (ms, 0: no jump).
        Recorded in the store's own run; time counts from now on. Blocking. Raises BadValue without.
        """
        _named("accepting a clock", by, reason)
        return self._ask(lambda: self._accept(by, reason)).result()

    def restore(self, why: str) -> Verdict:
        """Say that the database is behind what was last seen: nothing is dispatched until :meth:`release`.
        Blocking.
        """
        return self._change_mode("restored", Note(kind="restored", by="store", body={"why": why}))

    def release(self, by: str, reason: str) -> Verdict:
        """End restored mode, as a named human who reconciled the open effects. Blocking. Raises BadValue
        without.
        """
        _named("a release", by, reason)
        return self._change_mode("normal", Note(kind="store_released", by=by, body={"reason": reason}))

    async def close(self) -> None:
        """Finish the transactions under way, then let go of both connections. May be called twice."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """As :meth:`close`, blocking."""
        self._shut = self._shut or NotOpen(what=f"store {self.name}")
        self._writing.shutdown()
        self._db.close()
        super().close_now()

    # -- one transaction, on the writing thread --

    def _ask(self, work: Callable[[], T]) -> Future[T]:
        """Put work behind all that was asked for before. What it does, it does whole, whoever still waits
        for it.
        """
        ended = self._dead or self._shut
        if ended is not None:
            raise ended
        return self._writing.submit(work)

    def _transact(self, changes: Sequence[Change], mode: str = "") -> list[Verdict | Exception]:
        """Try until no other transaction came between; each attempt starts from nothing and leaves
        nothing.
        """
        errors = self._psycopg.errors
        # Two inserted the same new row, or a circle of waiting was cut: this one left no trace, so it is
        # planned anew.
        again = (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure)
        why = ""
        for _ in range(MOST_REDOS):
            if self._dead is not None:
                raise self._dead
            try:
                return self._attempt(changes, mode)
            except again as lost:
                self._roll_back()
                self.redone += 1
                why = said(lost)
            except Exception as error:  # noqa: BLE001 - nothing leaves here without its transaction undone
                self._roll_back()
                raise self._named(error) from None
        raise StoreBusy(store=self.name, holder=f"other workers ({why})", waited_ms=0)

    def _accept(self, by: str, reason: str) -> int:
        """On the writing thread, so that no transaction of this process is under way meanwhile."""
        self.now_ms()
        jumped_ms = self._clock.jumped_ms()
        if jumped_ms:
            self._clock.accept()
            body = {"reason": reason, "jumped_ms": jumped_ms, "steady_ms": self._clock.steady_ms}
            note = Note(kind="clock_accepted", by=by, body=body)
            _only(self._transact([Change(run=rows.STORE_RUN, notes=(note,))]))
        return jumped_ms

    def _mark_clock(self) -> bool:
        """Record what this process knows of the clock and the store does not; whether there was anything."""
        leapt_ms, steady_ms, ahead_ms, boot, offset_ms = self._clock.measure
        if steady_ms > self._marked.steady_ms:
            self._db.execute(sql.MARK_STEADY, (steady_ms, ahead_ms))
            self._db.execute(sql.FORGET_WITNESSES)
            self._db.execute(sql.ADD_WITNESS, (boot, offset_ms))
        elif leapt_ms and not self._marked.leapt_ms:
            self._db.execute(sql.MARK_LEAP, (leapt_ms,))
        else:
            return False
        return True

    def _attempt(self, changes: Sequence[Change], mode: str) -> list[Verdict | Exception]:
        wanted = Wanted(changes)
        if mode:
            wanted.names[rows.MODE] = True
        locked, tokens, now_ms = self._lock(wanted)
        unit = Minting(locked, tokens)
        done: list[Change] = []
        verdicts: list[Verdict | Exception] = []
        jumped_ms = self._clock.jumped_ms()
        for change in changes:
            if jumped_ms and needs_a_sound_clock(change):
                seen = unit.effect(change.guard.effect) if change.guard.effect else None
                verdicts.append(refusal(jumped_ms, seen))
                continue
            try:
                verdicts.append(unit.do(change, now_ms))
                done.append(change)
            except Exception as error:  # noqa: BLE001 - whatever planning raises is this change's answer
                verdicts.append(error)
                # It may have left half of itself: all before it are planned again, on the same rows and time.
                unit = Minting(locked, tokens)
                for earlier in done:
                    unit.do(earlier, now_ms)
        if not unit.untouched:
            write(self._db, unit, locked)
        # With the entries of this batch: no time that leapt is recorded before the leap is.
        if self._mark_clock() or mode or not unit.untouched:
            if mode:
                self._db.execute(sql.MOVE_MODE, (mode, int(mode == "restored")))
            # A connection that breaks here leaves it open whether this took place: StoreFailed says so, and
            # no more.
            ended = self._db.execute(sql.COMMIT)
            if ended.statusmessage != "COMMIT":
                raise StoreFailed(store=self.name, why=f"the server answered {ended.statusmessage} to a commit")
        else:
            self._roll_back()
        return verdicts

    def _lock(self, wanted: Wanted) -> tuple[Locked, list[int], int]:
        """Lock and read everything wanted, then read the store's time and draw tokens: in that order, on
        purpose.
        """
        db = self._db
        keys, exclusive = wanted.keys(self._place.schema)
        with db.pipeline():
            db.execute(sql.BEGIN)
            if keys:
                db.execute(sql.LOCK_NAMES, (keys, exclusive))
            effects_there = db.execute(sql.LOCK_EFFECTS, (sorted(wanted.effects),))
        effects = _mapped(wanted.effects, effects_there.fetchall(), rows.decode_effect)
        wanted.follow(view for view in effects.values() if view is not None)
        with db.pipeline():
            runs = db.execute(sql.LOCK_RUNS, (sorted(wanted.runs),))
            if wanted.takes:
                db.execute(sql.MAKE_LEASES, (sorted(wanted.takes),))
            leases = db.execute(sql.LOCK_LEASES, (sorted(wanted.resources),))
            approvals = db.execute(sql.LOCK_APPROVALS, (sorted(wanted.approvals),))
            facts = db.execute(sql.FACTS, (sorted(wanted.scopes),))
            store = db.execute(sql.STORE)
            minted = db.execute(sql.MINT, (wanted.tokens,))
        restored, fsync, *time = store.fetchall()[0]
        if fsync != "on":
            raise StoreFailed(store=self.name, why="fsync was turned off on the server")
        held = {row[0]: (_lease(row), row[3]) for row in leases.fetchall()}
        known = {row[0]: rows.fact(row) for row in facts.fetchall()}
        runs_there = _mapped(wanted.runs, runs.fetchall(), rows.decode_run)
        approvals_there = _mapped(wanted.approvals, approvals.fetchall(), rows.decode_approval)
        wanted.follow_last(runs_there.values(), approvals_there.values())
        documents, later = self._lock_documents(wanted)
        locked = Locked(
            effects=effects,
            runs=runs_there,
            leases={name: held.get(name, (None, 0)) for name in wanted.resources},
            approvals=approvals_there,
            facts={scope: known.get(scope) for scope in wanted.scopes},
            documents=documents,
            restored=restored,
        )
        time = later or time
        self._marked = Measure(*time[2:])
        now_ms = self._risen(*time)
        return locked, [row[0] for row in minted.fetchall()], now_ms

    def _lock_documents(self, wanted: Wanted) -> tuple[dict[tuple[str, str], AnyDocument | None], list[int]]:
        """Lock and read the documents; with the time after that wait, empty where there was none to wait for."""
        if not wanted.documents:
            return {}, []
        db, names = self._db, sorted(wanted.documents)
        with db.pipeline():
            db.execute(sql.LOCK_NAMES, wanted.document_keys(self._place.schema))
            found = db.execute(sql.DOCUMENTS_NAMED, ([kind for kind, _ in names], [key for _, key in names]))
            time = db.execute(sql.TIME)
        there = {(kind, key): decode_document(view) for kind, key, view in found.fetchall()}
        return {at: there.get(at) for at in names}, list(time.fetchall()[0])

    def _roll_back(self) -> None:
        """Leave nothing behind; silent where the connection is gone, since the server has then done so
        itself.
        """
        try:
            if self._db.info.transaction_status is not self._psycopg.pq.TransactionStatus.IDLE:
                self._db.execute(sql.ROLLBACK)
        except self._psycopg.Error:
            return

    def _named(self, error: Exception) -> Exception:
        """The error for the caller. An integrity error that leaves the writer's state in doubt ends it for
        good.
        """
        if isinstance(error, self._psycopg.Error):
            named = translate(error, self._place)
            if self._db.closed or isinstance(named, StoreFailed):
                self._dead = named
            return named
        if isinstance(error, StoreFailed):
            self._dead = error
        return error

    def _change_mode(self, mode: str, note: Note) -> Verdict:
        change = Change(run=rows.STORE_RUN, notes=(note,))
        return _only(self._ask(lambda: self._transact([change], mode)).result())


def _named(what: str, by: str, reason: str) -> None:
    for name, value in (("by", by), ("reason", reason)):
        if not value.strip():
            raise BadValue(path=name, why=f"{what} needs a name and a reason", value_type="str")


def _only(verdicts: list[Verdict | Exception]) -> Verdict:
    """The verdict of a batch of one."""
    (verdict,) = verdicts
    if isinstance(verdict, Exception):
        raise verdict
    return verdict


def _mapped(names: Iterable[str], found: list[tuple[Any, ...]], decode: Callable[[str], T]) -> dict[str, T | None]:
    """Every name that was locked, with its record or None."""
    there = {row[0]: decode(row[1]) for row in found}
    return {name: there.get(name) for name in names}


def _lease(row: tuple[Any, ...]) -> Lease | None:
    """A row of LOCK_LEASES; a resource that nobody holds is kept as a row without an effect."""
    resource, effect, holder, token, until_ms = row
    if not effect:
        return None
    return Lease(resource=resource, effect=effect, holder=holder, token=token, until_ms=until_ms)


def open_postgres(
    dsn: str, *, schema: str = DEFAULT_SCHEMA, lock_ms: int = LOCK_MS, boot: Callable[[], int] = boot_ms,
    boot_named: str | None = None,
) -> PostgresStore:  # fmt: skip
    """Open a store in one schema of a PostgreSQL database, making it if it is not there. Blocking.

    ``dsn`` is a libpq connection string or URI; ``lock_ms`` bounds how long one commit waits for another's
    locks; ``boot`` (ms) is this machine's clock that nobody can set, ``boot_named`` which boot it counts from.
    Raises BadConfig (driver, connection string, a setting of the server), StoreFailed, StoreReadOnly,
    SchemaFromFuture, MigrationChanged.
    """
    writer, place = connect(dsn, schema, lock_ms)
    try:
        check_settings(writer, place)
        migrate(writer, place)
        reader, _ = connect(dsn, schema, lock_ms)
    except Exception as error:
        writer.close()
        if isinstance(error, driver().Error):
            raise translate(error, place) from None
        raise
    return PostgresStore(writer, reader, place, boot, boot_named)
