"""Looks at effects on PostgreSQL: each one snapshot, those of one moment together, on a connection and thread of their
own.

Promises that one look comes from one snapshot, that the store's time in it is not below anything which the snapshot
holds, and that what this process was told of is in it. Does not show what a transaction under way will write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.documents import decode as decode_document
from holdfast.kernel.errors import HoldfastError, OurBug, StoreAway, StoreFailed
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.kernel.ports import Seen
from holdfast.store import postgres_sql as sql
from holdfast.store import rows
from holdfast.store.postgres_books import PostgresConnection, Rows
from holdfast.store.postgres_calls import called
from holdfast.store.postgres_clock import ServerClock
from holdfast.store.postgres_link import FIRST_PAUSE_S, LONGEST_PAUSE_S, passing
from holdfast.store.postgres_lock import folded_views
from holdfast.store.postgres_open import Place, driver, translate
from holdfast.store.postgres_packed import Packed, blobs
from holdfast.store.postgres_rows import Known
from holdfast.store.reading import Reading
from holdfast.store.seen import look
from holdfast.store.source import as_fact

T = TypeVar("T")
Connect = Callable[[], tuple[Any, Place]]
FACTS_AT_ONCE = 64


class Books(PostgresConnection):
    """A reading connection that is made anew where it broke; a transaction that was open on it is an error."""

    def __init__(self, connect: Connect, outage_ms: int = 0) -> None:
        """``connect`` makes one and judges it; a server that is away is waited for so long, where others may wait."""
        self._connect, self._outage_s = connect, outage_ms / 1000
        super().__init__(*connect())
        self._only_reads()

    def execute(self, statements: str, bindings: Any = None, /) -> Rows:
        """Run one statement."""
        if self.raw.closed and statements not in ("COMMIT", "ROLLBACK"):
            self._anew()
        alone = not self.in_transaction
        try:
            return super().execute(statements, bindings)
        except StoreFailed:
            if not self.raw.closed or not alone:
                raise
        self._anew()
        return super().execute(statements, bindings)

    def ready(self) -> Any:
        """The connection itself, made anew where it broke."""
        if self.raw.closed:
            self._anew()
        return self.raw

    def _only_reads(self) -> None:
        super().execute("SET default_transaction_read_only = on")

    def _anew(self) -> None:
        version = self.__dict__.get("_version", 0)
        PostgresConnection.__init__(self, *self._made())
        self._only_reads()
        self._version = version + 1

    def _made(self) -> tuple[Any, Place]:
        until, pause_s = time.monotonic() + self._outage_s, FIRST_PAUSE_S
        while True:
            try:
                return self._connect()
            except HoldfastError as error:
                if not passing(error) or time.monotonic() + pause_s > until:
                    raise
            time.sleep(pause_s)  # nobody tells when a server is back
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


class Looks:
    """Answers to questions of this process, on one thread."""

    def __init__(self, reading: Reading, books: Books, clock: ServerClock, text: Callable[[int], str]) -> None:
        """Over a connection of its own; ``text`` gives the text of a word's number."""
        self._reading = reading
        self._books = books
        self._clock = clock
        self._text = text
        self._thread = ThreadPoolExecutor(1, "holdfast-postgres-look")
        self._asked: dict[str, list[asyncio.Future[Any]]] = {}
        self._identities: dict[str, list[asyncio.Future[Any]]] = {}
        self._asking: asyncio.AbstractEventLoop | None = None  # one question at a time: the next takes along who came
        self.known: Known | None = None
        """Where what a look showed is remembered."""

    async def generation(self, identity: str) -> int:
        """The highest generation of an identity, 0: it is not recorded; with those that others of this tick ask for."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()
        if self._asking is not loop:
            self._asking, self._identities = loop, {}  # what a loop that is over had asked for, nobody waits for
            loop.call_soon(loop.call_soon, self._hand_over_identities, loop)  # who is ready to run may still join
        self._identities.setdefault(identity, []).append(waiter)
        found: int = await waiter
        return found

    async def look(self, effect: str) -> Seen:
        """One look, with those that others of this loop's tick ask for."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()
        self._asked.setdefault(effect, []).append(waiter)
        if len(self._asked) == 1 and len(self._asked[effect]) == 1:
            loop.call_soon(self._hand_over, loop)
        seen: Seen = await waiter
        return seen

    async def ask(self, question: Callable[[Reading], T]) -> T:
        """One question to the record."""
        return await asyncio.wrap_future(self._thread.submit(question, self._reading))

    def ask_now(self, question: Callable[[Reading], T]) -> T:
        """As :meth:`ask`, blocking."""
        return self._thread.submit(question, self._reading).result()

    def look_now(self, effect: str) -> Seen:
        """As :meth:`look`, blocking."""
        return self._thread.submit(self._look_at, (effect,)).result()[effect]

    def time_now(self) -> int:
        """The store's time."""
        return self.submit_time().result()

    def submit_time(self) -> Future[int]:
        """As :meth:`time_now`, under way."""
        return self._thread.submit(lambda: self._clock.risen(*self._books.execute(sql.TIME).get))

    def close(self) -> None:
        """Let go; harmless twice."""
        self._thread.shutdown()
        self._books.close()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._asked = self._asked, {}
        looked = self._thread.submit(self._look_at, tuple(asked))
        looked.add_done_callback(lambda done: loop.is_closed() or loop.call_soon_threadsafe(_deliver, asked, done))

    def _hand_over_identities(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._identities = self._identities, {}
        found = self._thread.submit(self._again_if_lost, self._generations, tuple(asked))
        found.add_done_callback(
            lambda done: loop.is_closed() or loop.call_soon_threadsafe(self._said, asked, done, loop)
        )

    def _said(
        self, asked: dict[str, list[asyncio.Future[Any]]], done: Future[dict[str, int]], loop: asyncio.AbstractEventLoop
    ) -> None:
        _deliver(asked, done)
        if self._identities:
            loop.call_soon(self._hand_over_identities, loop)
        else:
            self._asking = None

    # -- on the thread --

    def _generations(self, identities: Sequence[str]) -> dict[str, int]:
        raw = [kept.encode() if isinstance(kept := rows.blob(name), str) else kept for name in identities]
        said = called(self._books.ready(), [(sql.GENERATIONS, Packed((blobs(raw),)))])[0]
        if self.known is not None and not self.known.still((int(said.get_value(0, 0)), int(said.get_value(0, 1)))):
            self._looked(())  # what is said store-wide moved, and is looked at with what comes next
        return dict(zip(identities, map(int, said.get_value(0, 2)[1:-1].split(b",")), strict=True))

    def _look_at(self, effects: Sequence[str]) -> dict[str, Seen]:
        return self._again_if_lost(self._looked, effects)

    def _again_if_lost(self, asks: Callable[[Sequence[str]], dict[str, T]], names: Sequence[str]) -> dict[str, T]:
        for _ in range(2):
            try:
                return asks(names)
            except StoreFailed:
                if not self._books.raw.closed:
                    raise
            except driver().Error as error:
                if not self._books.raw.closed:
                    self._books.execute("ROLLBACK")
                    raise translate(error, self._books.place) from None
        raise StoreAway(store=self._books.place.name, why="the connection broke twice while it was asked")

    def _looked(self, effects: Sequence[str]) -> dict[str, Seen]:
        """In one call, where nothing has to be folded or read beside; else all of it in one snapshot."""
        asked = (_array(effects), str(FACTS_AT_ONCE + 1).encode())
        found, facts, time = _decode(called(self._books.ready(), [(sql.LOOKED, asked)])[0].get_value(0, 0))
        now_ms = self._clock.risen(*time)
        if any(view is None for _, _, _, view, _ in found or ()) or len(facts or ()) > FACTS_AT_ONCE:
            return self._looked_apart(effects)
        snapshot = Snapshot(
            {id_: view for _, id_, _, view, _ in found or () if view is not None},
            {run.id: run for *_, run in found or ()},
            {},
            {row[0]: as_fact(row) for row in facts or ()},
        )
        if self.known is not None:
            self.known.looked(snapshot.effects.values(), snapshot.runs.values(), snapshot.facts, whole=True)
        try:
            return self._dated(effects, snapshot, now_ms)
        except MoreToRead:
            return self._looked_apart(effects)

    def _dated(self, effects: Sequence[str], snapshot: Snapshot, now_ms: int) -> dict[str, Seen]:
        steady_ms = self._clock.clock.counts_from_ms(now_ms)
        return {effect: replace(look(effect, snapshot, now_ms), steady_ms=steady_ms) for effect in effects}

    def _looked_apart(self, effects: Sequence[str]) -> dict[str, Seen]:
        self._books.execute("BEGIN")
        db = self._books.raw
        with db.pipeline():
            found = db.execute(sql.EFFECTS.encode(), (list(effects),), prepare=True, binary=True)
            facts = db.execute(sql.ALL_FACTS.encode(), (FACTS_AT_ONCE + 1,), prepare=True, binary=True)
            time = db.execute(sql.TIME.encode(), prepare=True, binary=True)
        views, folds = {}, {}
        for n, id_, _, view in found.fetchall():
            if view is None:
                folds[n] = id_
            else:
                views[id_] = rows.decode_effect(view)
        if folds:
            entries = db.execute(sql.FOLDED.encode(), (list(folds),), binary=True)
            views |= folded_views(folds, entries, self._text)
        runs = {view.run for view in views.values()}
        approvals = {view.approval for view in views.values() if view.approval}
        with db.pipeline():
            run_rows = db.execute(sql.RUNS_OF.encode(), (list(runs),), prepare=True, binary=True) if runs else ()
            asked = db.execute(sql.APPROVALS_OF.encode(), (list(approvals),), binary=True) if approvals else ()
        kept = facts.fetchall()
        snapshot = Snapshot(
            views,
            {id_: rows.decode_run(view) for id_, view in run_rows},
            {id_: rows.decode_approval(view) for id_, view in asked},
            {row[0]: as_fact(row) for row in kept},
            self._books,
            len(kept) > FACTS_AT_ONCE,
        )
        answers = self._dated(effects, snapshot, self._clock.risen(*time.fetchall()[0]))
        self._books.execute("ROLLBACK")
        return answers


class MoreToRead(Exception):  # noqa: N818  # no error: a look that stands on more reads all of it in one snapshot
    """A request or a document was asked for in a look of one call."""


Row = tuple[int, str, int, Effect | None, Run]
Facts = list[tuple[str, int, int, str, str, str]]

_decode = msgspec.json.Decoder(tuple[list[Row] | None, Facts | None, tuple[int, int, int, int, int]]).decode


def _array(texts: Sequence[str]) -> bytes:
    """An array of texts as PostgreSQL writes it."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return ("{" + ",".join(f'"{text}"' for text in quoted) + "}").encode()


class Snapshot(NamedTuple):
    """What one snapshot holds around some effects (guard.Rows); documents are read as they are asked for."""

    effects: dict[str, Effect]
    runs: dict[str, Run]
    approvals: dict[str, Approval]
    facts: dict[str, Fact]
    books: Books | None = None
    more_facts: bool = False

    def effect(self, effect: str) -> Effect | None:
        """The effect."""
        return self.effects.get(effect)

    def run(self, run: str) -> Run | None:
        """Its run."""
        return self.runs.get(run)

    def lease(self, resource: str) -> Lease | None:
        """Leases are no part of a look."""
        raise OurBug(where="the PostgreSQL store", what=f"the lease of {resource} was asked for in a look")

    def approval(self, approval: str) -> Approval | None:
        """Its request."""
        if self.books is None:
            raise MoreToRead
        return self.approvals.get(approval)

    def fact(self, scope: str) -> Fact | None:
        """A fact."""
        if scope in self.facts or not self.more_facts:
            return self.facts.get(scope)
        assert self.books is not None, "there are more facts than were read at once"
        row = self.books.execute(rows.FACT, (scope,)).get
        return None if row is None else as_fact(row)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """A document, from the same snapshot."""
        if self.books is None:
            raise MoreToRead
        view = self.books.execute(rows.DOCUMENT, (kind, key)).get
        return None if view is None else decode_document(view)

    def restored(self) -> bool:
        """The mode is no part of a look."""
        raise OurBug(where="the PostgreSQL store", what="the mode was asked for in a look")


def _deliver(asked: dict[str, list[asyncio.Future[Any]]], done: Future[dict[str, Any]]) -> None:
    """In the loop's thread: each caller's error is its own."""
    error = done.exception()
    for effect, waiters in asked.items():
        for waiter in waiters:
            if waiter.done():
                continue
            if error is not None:
                told = type(error)(**error.values) if isinstance(error, HoldfastError) else error
                waiter.set_exception(told)
            else:
                waiter.set_result(done.result()[effect])
