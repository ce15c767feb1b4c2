"""The read side of the PostgreSQL store: what is committed, for recovery, command line and tests. Blocking,
no locks.

Promises that one answer comes from one snapshot, and that the store's time in it is not below anything the
snapshot holds. Any thread may ask; they take turns on one connection. Does not show what a transaction under
way will write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec.structs import replace

from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.documents import decode as decode_document
from holdfast.kernel.errors import AmbiguousId, HoldfastError, NotOpen, OurBug, UnknownId
from holdfast.kernel.guard import Fact, scopes
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.kernel.ports import Seen
from holdfast.store import postgres_rows as rows
from holdfast.store import postgres_sql as sql
from holdfast.store.clock import Measure, StoreClock, boot_ms
from holdfast.store.evidence import Checked, Entry, check_chain
from holdfast.store.postgres_open import Place, driver, translate
from holdfast.store.seen import look

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
Queries = Sequence[tuple[str, tuple[Any, ...]]]
AFTER_EVERY_ID = "\x7f"


class PostgresReading:
    """Over one connection that nobody else uses."""

    def __init__(
        self, db: psycopg.Connection[Any], place: Place,
        boot: Callable[[], int] = boot_ms, boot_named: str | None = None,
    ) -> None:  # fmt: skip
        """``place`` names the store in errors; the boot clock is this machine's, the wall clock the server's."""
        self.name = place.name
        self._place = place
        self._read_db = db
        self._turn = threading.Lock()
        self._psycopg = driver()
        self._dead: HoldfastError | None = None  # what ended the writer for good
        self._shut: NotOpen | None = None
        ((self._wall_ms, high_ms, leapt_ms, steady_ms, ahead_ms),) = db.execute(sql.TIME).fetchall()
        self._clock = StoreClock(lambda: self._wall_ms, boot, boot_named)
        here = self._clock.measure.boot
        kept = db.execute(sql.WITNESS, (here,)).fetchone()
        self._clock.opened(
            high_ms, Measure(leapt_ms, steady_ms, ahead_ms, here if kept else "", kept[0] if kept else 0)
        )

    def seen(self, effect: str) -> Seen:
        """One consistent look at an effect: its run, its approval, the epochs of its scopes, and the
        store's time.
        """
        return self._snapshot(lambda db: self._seen(db, effect))

    def newest(self, identity: str) -> Effect | None:
        """The highest generation of an identity."""
        return self._one(sql.LATEST, identity, rows.decode_effect)

    def run(self, run: str) -> Run | None:
        """One run."""
        return self._one(sql.RUN, run, rows.decode_run)

    def approval(self, approval: str) -> Approval | None:
        """One approval request."""
        return self._one(sql.APPROVAL, approval, rows.decode_approval)

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        return self._snapshot(lambda db: next((rows.fact(r) for r in db.execute(sql.FACTS, ([scope],))), None))

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document, by its kind and id."""
        found = self._fetch([(sql.DOCUMENTS_NAMED, ([kind], [key]))])[0]
        return decode_document(found[0][2]) if found else None

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Every document of a kind, of one run or of all, by id."""
        asked = (sql.DOCUMENTS_OF_RUN, (run, kind, limit)) if run else (sql.DOCUMENTS, (kind, limit))
        return [decode_document(row[0]) for row in self._fetch([asked])[0]]

    def effects_of(self, run: str) -> list[Effect]:
        """Every effect of a run, in the order of their recording."""
        return [rows.decode_effect(row[0]) for row in self._fetch([(sql.EFFECTS_OF_RUN, (run,))])[0]]

    def open_effects(self) -> list[Effect]:
        """Effects on which somebody still has something to do, those due first."""
        return [rows.decode_effect(row[0]) for row in self._fetch([(sql.OPEN_EFFECTS, ())])[0]]

    def entries(self, run: str) -> list[Entry]:
        """The entries of one run, in order."""
        return [Entry(*row) for row in self._fetch([(sql.ENTRIES_OF_RUN, (run,))])[0]]

    def verify(self, run: str) -> Checked:
        """Check one run's hash chain against its head. Raises ChainBroken at the first entry that does not
        fit.
        """
        heads, entries = self._fetch([(sql.RUN, (run,)), (sql.ENTRIES_OF_RUN, (run,))])
        head = rows.decode_run(heads[0][0]).head if heads else None
        return check_chain(run, (Entry(*row) for row in entries), head)

    def find(self, prefix: str) -> str:
        """The one id that starts with ``prefix``. Raises UnknownId, AmbiguousId."""
        bounds = (prefix, prefix + AFTER_EVERY_ID) * 3
        found = [row[0] for row in self._fetch([(sql.IDS_LIKE, bounds)])[0]]
        if not found:
            raise UnknownId(given=prefix, kind="id")
        if len(found) > 1:
            raise AmbiguousId(given=prefix, matches=tuple(sorted(found)))
        return str(found[0])

    def now_ms(self) -> int:
        """The store's time."""
        return self._risen(*self._fetch([(sql.TIME, ())])[0][0])

    def secret(self) -> bytes:
        """The 32 bytes that keys, ids and digests of this store are minted with."""
        return bytes(self._fetch([(sql.SECRET, ())])[0][0][0])

    def close_now(self) -> None:
        """Let go of the connection. May be called twice."""
        with self._turn:
            self._read_db.close()

    def _risen(self, wall_ms: int, high_ms: int, leapt_ms: int, steady_ms: int, ahead_ms: int) -> int:
        """Store time after a look at the server: its clock, what is recorded, what this process has seen."""
        self._wall_ms = wall_ms
        self._clock.seen(high_ms)
        self._clock.learn(Measure(leapt_ms, steady_ms, ahead_ms))
        return self._clock.now_ms()

    def _fetch(self, queries: Queries) -> list[list[tuple[Any, ...]]]:
        """The rows of each query, all from one snapshot."""
        return self._snapshot(lambda db: [db.execute(text.encode(), given).fetchall() for text, given in queries])

    def _one(self, query: str, given: str, decode: Callable[[str], T]) -> T | None:
        found = self._fetch([(query, (given,))])[0]
        return decode(found[0][0]) if found else None

    def _snapshot(self, ask: Callable[[psycopg.Connection[Any]], T]) -> T:
        with self._turn:
            if self._shut is not None:
                raise self._shut
            db = self._read_db
            try:
                db.execute(sql.BEGIN_READ)
                answer = ask(db)
                db.execute(sql.ROLLBACK)
                return answer
            except self._psycopg.Error as error:
                if not db.closed and db.info.transaction_status is not self._psycopg.pq.TransactionStatus.IDLE:
                    db.rollback()
                raise translate(error, self._place) from None

    def _seen(self, db: psycopg.Connection[Any], effect: str) -> Seen:
        there = db.execute(sql.EFFECT, (effect,)).fetchone()
        view = rows.decode_effect(there[0]) if there is not None else None
        around = scopes(view) if view is not None else ()
        with db.pipeline():
            run = db.execute(sql.RUN, (view.run if view is not None else "",))
            approval = db.execute(sql.APPROVAL, (view.approval if view is not None else "",))
            facts = db.execute(sql.FACTS, (list(around),))
            time = db.execute(sql.TIME)
        run_row, approval_row = run.fetchone(), approval.fetchone()
        snapshot = Snapshot(
            found=view,
            its_run=rows.decode_run(run_row[0]) if run_row is not None else None,
            its_approval=rows.decode_approval(approval_row[0]) if approval_row is not None else None,
            facts={row[0]: rows.fact(row) for row in facts.fetchall()},
            db=db,
        )
        now_ms = self._risen(*time.fetchall()[0])
        return replace(look(effect, snapshot, now_ms), steady_ms=self._clock.counts_from_ms(now_ms))


class Snapshot(NamedTuple):
    """What one snapshot holds around one effect (guard.Rows); documents are read as they are asked for."""

    found: Effect | None
    its_run: Run | None
    its_approval: Approval | None
    facts: dict[str, Fact]
    db: psycopg.Connection[Any]

    def effect(self, effect: str) -> Effect | None:
        """The effect."""
        return self.found if self.found is not None and self.found.id == effect else None

    def run(self, run: str) -> Run | None:
        """Its run."""
        return self.its_run if self.its_run is not None and self.its_run.id == run else None

    def lease(self, resource: str) -> Lease | None:
        """Leases are no part of a look."""
        raise OurBug(where="the PostgreSQL store", what=f"the lease of {resource} was asked for in a look")

    def approval(self, approval: str) -> Approval | None:
        """Its request."""
        return self.its_approval if self.its_approval is not None and self.its_approval.id == approval else None

    def fact(self, scope: str) -> Fact | None:
        """A fact of its scopes."""
        return self.facts.get(scope)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """A document, from the same snapshot."""
        row = self.db.execute(sql.DOCUMENTS_NAMED, ([kind], [key])).fetchone()
        return decode_document(row[2]) if row is not None else None

    def restored(self) -> bool:
        """The mode is no part of a look."""
        raise OurBug(where="the PostgreSQL store", what="the mode was asked for in a look")
