"""The store on one schema of a PostgreSQL database: many workers on many machines, one ledger.

The face of every store (:mod:`.face`), with the same meaning. Three connections a process: one that writes
(:mod:`.postgres_writer`), one for the looks of its verbs (:mod:`.postgres_looks`), and one for whoever reads the
record.

Promises: an answer to ``commit`` means that the entry is on the server's disk; two workers never both win a claim, an
approval or the last of a budget; heads, tokens, epochs and the mode are read inside the transaction that uses them; a
server that went away and came back is found again, and judged anew. Does not decide anything: verdicts are the
kernel's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.documents import EVERY, AnyDocument, Item
from holdfast.kernel.errors import AmbiguousId, BadValue, NotOpen, StoreReadOnly, UnknownId
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.kernel.ports import Seen
from holdfast.store import rows
from holdfast.store.audit import Audited, audit
from holdfast.store.evidence import Entry
from holdfast.store.heads import HeadFile
from holdfast.store.postgres_ahead import Ahead
from holdfast.store.postgres_clock import ServerClock
from holdfast.store.postgres_identity import Identity
from holdfast.store.postgres_looks import Books, Looks
from holdfast.store.postgres_memory import Asked, Done
from holdfast.store.postgres_plan import effects_of, newer
from holdfast.store.postgres_writer import PostgresWriter
from holdfast.store.pushes import Pushes
from holdfast.store.reading import Reading
from holdfast.store.seals import Good
from holdfast.store.spread import Tick
from holdfast.store.tally import Tally
from holdfast.store.together import Also, May
from holdfast.store.tree import Tree


class PostgresStore:
    """The store port over one schema; ``reading`` is its synchronous read side."""

    def __init__(
        self, reading: Reading, books: Books, looks: Looks, clock: ServerClock, heads: HeadFile, *,
        writer: PostgresWriter | None = None, ahead: Ahead | None = None, identity: Identity | None = None,
        doubt: str | None = None,
        hints: Callable[[], AsyncGenerator[None, None]],
    ) -> None:  # fmt: skip
        """Built by :func:`holdfast.store.postgres.open_postgres`."""
        self.reading = reading
        self.path = self.name = reading.path
        self._books = books
        self._looks = looks
        self._server_clock = clock
        self._heads = heads
        self._writer = writer
        self._ahead = ahead
        self._identity = identity
        self._doubt = doubt
        self._hints = hints
        self._shut = False
        self._secret = b""

    # -- the port --

    async def read(self, effect: str) -> Seen:
        """One consistent look, with what this process planned and is not on disk yet."""
        looks = self._open()
        return await (looks.look(effect) if self._ahead is None else self._ahead.read(effect, looks))

    async def latest(self, identity: str) -> Effect | None:
        """The highest generation of an identity."""
        if self._ahead is None:
            return await self._open().ask(lambda reading: reading.source.load_latest(identity))
        return await self._ahead.latest(identity, self._open())

    async def run_row(self, run: str) -> Run | None:
        """One run."""
        moved = self._ahead.run_moved(run) if self._ahead is not None else None
        return moved or await self._open().ask(lambda reading: reading.run(run))

    async def run_effects(self, run: str) -> list[Effect]:
        """Every effect of a run, in the order of their proposals."""
        own = effects_of(self._ahead.units(), run) if self._ahead is not None else {}
        kept = await self._open().ask(lambda reading: reading.effects(run, limit=1_000_000))
        return newer(kept, own)

    async def run_items(self, run: str) -> list[Item]:
        """Every item of a run."""
        found = await self._open().ask(lambda reading: reading.documents("item", run, EVERY))
        return [document for document in found if isinstance(document, Item)]

    async def time(self) -> int:
        """The store's time: the server's clock, and never before anything that is recorded."""
        return await asyncio.wrap_future(self._open().submit_time())

    async def commit(self, change: Change) -> Verdict:
        """The verdict, once it is on the server's disk."""
        return await self._planning().commit(change)

    async def later(self, change: Change) -> Verdict:
        """The verdict at once where it can be planned; on disk with the next commit, after some milliseconds, or at a
        flush. A yes that turns out to be a no is told as TakenBack (:mod:`.postgres_ahead`).
        """
        return await self._planning().later(change)

    async def flush(self) -> None:
        """All that was asked for before is on disk."""
        if self._ahead is not None:
            await self._ahead.flush()

    def listen(self) -> AsyncGenerator[None, None]:
        """A hint each time that somebody changed what others may wait for, for as long as it is iterated."""
        return self._hints()

    # -- the same without an event loop --

    def read_now(self, effect: str) -> Seen:
        """As :meth:`read`, blocking."""
        self._settle()
        return self._open().look_now(effect)

    def latest_now(self, identity: str) -> Effect | None:
        """As :meth:`latest`, blocking."""
        self._settle()
        return self._open().ask_now(lambda reading: reading.source.load_latest(identity))

    def commit_now(self, change: Change) -> Verdict:
        """As :meth:`commit`, blocking."""
        verdict: Verdict = self._writing().do(change).result()
        return verdict

    async def commit_all(self, changes: Sequence[Change]) -> list[Verdict | Exception]:
        """One transaction for all of them, each judged on what those before it left, each with its own verdict.

        A change that raises gets its exception as its verdict, and leaves no trace.
        """
        done: Done = await asyncio.wrap_future(self._writing().do(Asked(tuple(changes))))
        return done.verdicts

    def commit_with(self, change: Change | Callable[[], Change], may: May, also: Also) -> Verdict:
        """One durable commit of a change and of rows that no change knows (:func:`holdfast.store.together.commit`)."""

        def made(books: Any) -> tuple[Change, None]:
            may(books)
            return (change() if callable(change) else change), None

        return _only(self._writing().do(Asked(made=made, also=also)))

    # -- questions --

    def run(self, run: str) -> Run | None:
        """One run by its full id."""
        return self._read.run(run)

    def runs(self, limit: int = 100, intent: str | None = None) -> list[Run]:
        """The newest runs first; of one intent: in the order they began."""
        return self.reading.runs(limit, intent)

    def approval(self, approval: str) -> Approval | None:
        """One approval by its full id."""
        return self.reading.approval(approval)

    def approvals(self, state: str | None = None, limit: int = 1_000) -> list[Approval]:
        """Approvals, all or those in one state."""
        return self.reading.approvals(state, limit)

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        return self.reading.fact(scope)

    def facts(self) -> list[Fact]:
        """Every store-wide fact."""
        return self.reading.facts()

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document, by its kind and id."""
        return self.reading.document(kind, key)

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Every document of a kind, of one run or of all, by id."""
        return self.reading.documents(kind, run, limit)

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]:
        """Documents in a lane that are due by then: the highest rank first, then the earliest due."""
        return self.reading.documents_due(kind, lane, until_ms, limit)

    def lanes(self, kind: str) -> dict[str, tuple[int, int]]:
        """The lanes of a kind that anything stands in: how many, and the earliest due (ms)."""
        return self.reading.lanes(kind)

    def effects(
        self, run: str | None = None, *, open_only: bool = False, state: State | None = None, limit: int = 1_000_000
    ) -> list[Effect]:
        """Effects of one run in order of proposal, or of all runs, newest first; filters add up."""
        return self._read.effects(run, open_only=open_only, state=state, limit=limit)

    def open_effects(self) -> list[Effect]:
        """Effects that somebody still has to move, the longest due first; by index, not by a scan."""
        return self._read.effects(open_only=True, limit=1_000_000)

    def entries(self, of: str, limit: int = rows.NO_LIMIT, after: int = 0) -> list[Entry]:
        """The entries of a run (``ru_…``, ``after`` a sequence number) or of an effect (``ef_…``), in order."""
        return self._read.entries(of, limit, after)

    def find(self, prefix: str, kind: str | None = None) -> str:
        """The one full id that begins so; raises UnknownId, AmbiguousId. ``kind``: run, effect, approval."""
        ids = set(self._read.ids(prefix, kind)) if prefix else set()
        if prefix in ids:
            return prefix
        if not ids:
            raise UnknownId(given=prefix, kind=kind or "record")
        if len(ids) > 1:
            raise AmbiguousId(given=prefix, matches=tuple(sorted(ids)[:10]))
        return ids.pop()

    def status(self) -> dict[str, Any]:
        """How the store stands, as plain data (see :meth:`Reading.status`)."""
        status = self.reading.status(self._open().time_now())
        if self._doubt is not None:
            status |= {"mode": "restored", "why": self._doubt}
        jumped_ms = self._server_clock.clock.jumped_ms()
        return status | {"head_remembered": self._heads.kept, "clock_jumped_ms": jumped_ms}

    def count(self) -> dict[str, int]:
        """How much was committed since opening: syncs, batches, changes; batches planned anew, connections made."""
        return self._writing().told()

    def time_parts(self) -> dict[str, int]:
        """Start to add up nanoseconds by part, for benchmarks, in the dict returned."""
        writer = self._writing()
        writer.parts = {}
        return writer.parts

    # -- its state, and what people say of it --

    def now_ms(self) -> int:
        """The store's time: as the server told it less than a second ago and as long since, or as it tells it now."""
        looks = self._open()
        told = self._server_clock.told()
        return looks.time_now() if told is None else told

    def clock_jumped_ms(self) -> int:
        """By how much the server's clock jumped; what rests on time is refused until it is accepted."""
        self._open().time_now()
        return self._server_clock.clock.jumped_ms()

    def accept_clock(self, by: str, reason: str) -> int:
        """A named human looked at the server's clock and found it right; what they accepted (ms, 0: no jump).

        Recorded in the store's own run; time counts from now on. Raises BadValue without a name or a reason.
        """
        _named("accepting a clock", by, reason)
        writer, jumped = self._writing(), [0]

        def made(_: Any) -> tuple[Change, None]:  # with the log for itself: nobody else accepts it meanwhile
            self._open().time_now()
            clock = self._server_clock.clock
            jumped[0] = clock.jumped_ms() or jumped[0]
            if clock.jumped_ms():
                clock.accept()
            if not jumped[0]:
                raise _NothingToSay
            body = {"reason": reason, "jumped_ms": jumped[0], "steady_ms": clock.steady_ms}
            return Change(run=rows.STORE_RUN, notes=(Note(kind="clock_accepted", by=by, body=body),)), None

        try:
            writer.do(Asked(made=made)).result()
        except _NothingToSay:
            return 0
        return jumped[0]

    @property
    def secret(self) -> bytes:
        """What keys, ids and digests of this store are minted with, 32 bytes; a role that only reads may not know."""
        if not self._secret:
            self._secret = bytes(self._books.execute(rows.MINTS_WITH).get)
        return self._secret

    def restored(self) -> bool:
        """Whether nothing may be dispatched until a named human releases the store."""
        return self._doubt is not None or self._open().ask_now(_is_restored)

    def restore(self, why: str) -> Verdict:
        """Say that the database is behind what was last seen: nothing is dispatched until :meth:`release`."""
        writer, identity = self._writing(), self._identity
        assert identity is not None, "who writes knows which store"
        return _only(writer.do(Asked(made=lambda books: identity.marking(books.raw, why))))

    def release(self, by: str, reason: str) -> Verdict:
        """End restored mode, as a named human who reconciled the open effects. Raises BadValue without either."""
        _named("a release", by, reason)
        writer, identity = self._writing(), self._identity
        assert identity is not None, "who writes knows which store"
        return _only(writer.do(Asked(made=lambda books: identity.releasing(books.raw, by, reason))))

    # -- evidence --

    def verify(
        self, good: Good | None = None, *, jobs: int = 1, sizes: Iterable[int] = (), tick: Tick | None = None
    ) -> Audited:
        """Check every chain and every row; raises ChainBroken at the first that does not fit."""
        return audit(self._books, self.reading, good, jobs=jobs, sizes=sizes, tick=tick)

    def tree(self) -> Tree:
        """The Merkle tree over all entries, only to read."""
        return Tree(self._books)

    def pushes(self) -> Pushes:
        """What of the checkpoints went to which witness, only to read."""
        return Pushes(self._books)

    def tally(self) -> Tally:
        """What its entries add up to, for whoever watches it."""
        return Tally(self._books)

    # -- the end --

    async def close(self) -> None:
        """Everything on disk, then let go. May be called twice."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """As :meth:`close`, blocking."""
        self._shut = True
        try:
            if self._ahead is not None:
                self._ahead.push()
            if self._writer is not None:
                self._writer.close()
        finally:
            self._looks.close()
            self._books.close()
            self._heads.close()

    def _open(self) -> Looks:
        if self._shut:
            raise NotOpen(what=f"store {self.path}")
        return self._looks

    def _settle(self) -> None:
        if self._ahead is not None:
            self._ahead.push_now()

    def _planning(self) -> Ahead:
        if self._ahead is None:
            raise StoreReadOnly(store=self.path)
        return self._ahead

    def _writing(self) -> PostgresWriter:
        """The writer, behind everything that was planned."""
        if self._writer is None:
            raise StoreReadOnly(store=self.path)
        if self._ahead is not None:
            self._ahead.push_from_here()
        return self._writer

    @property
    def _read(self) -> Reading:
        """The record, with all that this process planned in it."""
        self._settle()
        return self.reading


class _NothingToSay(Exception):  # noqa: N818  # no error: the clock did not jump
    """There is nothing to accept."""


def _is_restored(reading: Reading) -> bool:
    reading.source.begin()
    return reading.source.load_restored()


def _only(asked: Future[Done]) -> Verdict:
    """The verdict of a transaction of one change."""
    (verdict,) = asked.result().verdicts
    if isinstance(verdict, Exception):
        raise verdict
    return verdict


def _named(what: str, by: str, reason: str) -> None:
    for name, value in (("by", by), ("reason", reason)):
        if not value.strip():
            raise BadValue(path=name, why=f"{what} needs a name and a reason", value_type="str")
