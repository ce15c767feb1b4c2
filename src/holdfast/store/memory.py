"""The in-memory store: the same verbs, the same verdicts, nothing on disk.

State is one frozen value that is replaced, so a snapshot is a reference and a restore is an assignment. It models the
one-writer store exactly: what ``later`` recorded lies in an open transaction that its worker sees, that others do not,
and that a crash of that worker loses; another writer waits until it is flushed.

For tests and the harness. It promises nothing about surviving this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from holdfast.kernel.canon import keyed
from holdfast.kernel.commit import Change, Note, Verdict, needs_a_sound_clock
from holdfast.kernel.documents import EVERY, AnyDocument, Item
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import UnknownId
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Principal, Run
from holdfast.kernel.ports import Seen
from holdfast.store.clock import Measure, StoreClock, refusal
from holdfast.store.evidence import Entry
from holdfast.store.seen import Standings, look
from holdfast.store.unit import Unit

STORE_RUN = Run(
    id="ru_store",
    tenant="main",
    environment="",
    intent="in_store",
    purpose="store",
    goal="store",
    principal=Principal(name="store"),
)


class Books(NamedTuple):
    """Everything the store holds, frozen: replaced by each commit, never changed in place."""

    effects: dict[str, Effect]
    runs: dict[str, Run]
    leases: dict[str, Lease]
    approvals: dict[str, Approval]
    facts: dict[str, Fact]
    entries: tuple[Entry, ...]
    token: int
    high_ms: int
    restored: bool
    documents: dict[tuple[str, str], AnyDocument] = {}
    clock: Measure = Measure()


EMPTY = Books({}, {STORE_RUN.id: STORE_RUN}, {}, {}, {}, (), 0, 0, restored=False)


class MemoryStore:
    """A store whose books are a frozen value. ``face(worker)`` gives one worker's view of it as a port."""

    def __init__(
        self, clock: Callable[[], int], *, secret: bytes = b"memory", books: Books = EMPTY,
        boot: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        """Start from ``books`` under ``clock`` (ms UTC; may go back, the store's time does not). With ``boot``, a clock
        that nobody can set, a leap of the first is noticed, as in the other stores.
        """
        self._clock = clock
        self._boot = boot
        self.secret = secret
        if boot is not None and not books.clock.boot:
            books = books._replace(clock=StoreClock(clock, boot, "memory").measure)
        self.durable = books
        self.current = books
        self.writer = ""
        self.syncs = 0
        self._standings: tuple[dict[str, Fact], Standings] = (books.facts, {})

    def standings(self, facts: dict[str, Fact]) -> Standings:
        """What is known of the scopes under these facts; begun anew where they are others."""
        if self._standings[0] is not facts:
            self._standings = (facts, {})
        return self._standings[1]

    def face(self, worker: str) -> MemoryFace:
        """The store as this worker sees it."""
        return MemoryFace(self, worker)

    def now_ms(self) -> int:
        """The store's time: never earlier than anything recorded."""
        return max(self.current.high_ms, self._clock() + self.current.clock.ahead_ms)

    def judged(self) -> StoreClock | None:
        """The clock as the books remember it; what it notices is in the books from then on. None: not judged."""
        if self._boot is None:
            return None
        clock = StoreClock(self._clock, self._boot, "memory")
        clock.opened(self.current.high_ms, self.current.clock)
        clock.jumped_ms()
        self.mark(clock.measure)
        return clock

    def mark(self, measure: Measure) -> None:
        """Remember what was noticed or accepted of the clock."""
        if measure != self.current.clock:
            self.current = self.current._replace(clock=measure)

    def seen_by(self, worker: str) -> Books:
        """The books as this worker sees them: its own open transaction included."""
        return self.current if worker == self.writer else self.durable

    def apply(self, worker: str, change: Change) -> Verdict:
        """Apply one change in this worker's open transaction; another's is flushed first, as its lock would be."""
        self.take_up(worker, None)
        clock = self.judged()
        books = self.current
        if clock is not None and (jumped_ms := clock.jumped_ms()) and needs_a_sound_clock(change):
            return refusal(jumped_ms, books.effects.get(change.guard.effect))
        unit = Unit(_Shelf(books, self.secret))
        now_ms = self.now_ms()
        verdict = unit.do(change, now_ms)
        if unit.entries or unit.dirty_facts or unit.dirty_runs or unit.dirty_documents:
            self.current = _written(books, unit, now_ms)
        return verdict

    def take_up(self, worker: str, books: Books | None) -> None:
        """It is this worker's turn to write. ``books``: what a change of theirs came to on these very books before."""
        if worker != self.writer:
            self.flush()
            self.writer = worker
        self.current = books or self.current

    def flush(self) -> None:
        """Put the open transaction on disk."""
        if self.durable is not self.current:
            self.syncs += 1
            self.durable = self.current

    def crash(self, worker: str) -> None:
        """This worker dies: what it had not flushed is gone."""
        if worker == self.writer:
            self.current = self.durable
            self.writer = ""


class MemoryFace:
    """One worker's :class:`~holdfast.kernel.ports.StorePort`, with the same reads as the other stores."""

    def __init__(self, store: MemoryStore, worker: str) -> None:
        """Bind to a store as ``worker``."""
        self._store = store
        self.worker = worker
        self.secret = store.secret

    @property
    def books(self) -> Books:
        """The books as this worker sees them."""
        return self._store.seen_by(self.worker)

    async def read(self, effect: str) -> Seen:
        """One consistent read of an effect and what stands around it."""
        return self.read_now(effect)

    async def latest(self, identity: str) -> Effect | None:
        """The highest generation under an identity."""
        return self.latest_now(identity)

    async def run_row(self, run: str) -> Run | None:
        """One run."""
        return self.run(run)

    async def run_effects(self, run: str) -> list[Effect]:
        """Every effect of a run."""
        return self.effects(run=run)

    async def run_items(self, run: str) -> list[Item]:
        """Every item of a run."""
        return [found for found in self.documents("item", run, EVERY) if isinstance(found, Item)]

    async def time(self) -> int:
        """The store's time."""
        return self.now_ms()

    async def commit(self, change: Change) -> Verdict:
        """Apply and flush."""
        return self.commit_now(change)

    async def later(self, change: Change) -> Verdict:
        """Apply in the open transaction."""
        return self._store.apply(self.worker, change)

    async def flush(self) -> None:
        """Put everything this worker wrote on disk."""
        self.flush_now()

    def read_now(self, effect: str) -> Seen:
        """:meth:`read` without a wait."""
        clock = self._store.judged()
        books, now_ms = self.books, self._store.now_ms()
        seen = look(effect, _Rows(books), now_ms, self._store.standings(books.facts))
        steady_ms = clock.counts_from_ms(now_ms) if clock is not None else books.clock.steady_ms
        return replace(seen, steady_ms=steady_ms) if steady_ms else seen

    def latest_now(self, identity: str) -> Effect | None:
        """:meth:`latest` without a wait."""
        found = [e for e in self.books.effects.values() if e.identity == identity]
        return max(found, key=lambda e: e.generation) if found else None

    def commit_now(self, change: Change) -> Verdict:
        """:meth:`commit` without a wait."""
        verdict = self._store.apply(self.worker, change)
        self._store.flush()
        return verdict

    def later_now(self, change: Change) -> Verdict:
        """:meth:`later` without a wait."""
        return self._store.apply(self.worker, change)

    def clock_jumped_ms(self) -> int:
        """By how much the clock jumped; 0 where it did not, or is not judged."""
        clock = self._store.judged()
        return clock.jumped_ms() if clock is not None else 0

    def accept_clock(self, by: str, reason: str) -> int:
        """A named human found the clock right; what they accepted (ms, 0: no jump). Recorded in the store's own run."""
        clock = self._store.judged()
        jumped_ms = clock.jumped_ms() if clock is not None else 0
        if clock is not None and jumped_ms:
            clock.accept()
            self._store.mark(clock.measure)
            body = {"reason": reason, "jumped_ms": jumped_ms, "steady_ms": clock.steady_ms}
            self.commit_now(Change(run=STORE_RUN.id, notes=(Note(kind="clock_accepted", by=by, body=body),)))
        return jumped_ms

    def flush_now(self) -> None:
        """:meth:`flush` without a wait."""
        if self._store.writer == self.worker:
            self._store.flush()

    # -- the read side --

    def now_ms(self) -> int:
        """The store's time."""
        return self._store.now_ms()

    def run(self, run: str) -> Run | None:
        """One run."""
        return self.books.runs.get(run)

    def approval(self, approval: str) -> Approval | None:
        """One approval request."""
        return self.books.approvals.get(approval)

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        return self.books.facts.get(scope)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        return self.books.documents.get((kind, key))

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Every document of a kind, of one run or of all, by id."""
        found = (d for d in self.books.documents.values() if d.kind == kind and (not run or d.run == run))
        return sorted(found, key=lambda document: document.id)[:limit]

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]:
        """Documents in a lane that are due by then: the highest rank first, then the earliest due."""
        kept = ((d, d.place) for d in self.books.documents.values() if d.kind == kind)
        due = [(-at.rank, at.due_ms, d.id, d) for d, at in kept if at and at.lane == lane and at.due_ms <= until_ms]
        return [found[3] for found in sorted(due, key=lambda found: found[:3])[:limit]]

    def lanes(self, kind: str) -> dict[str, tuple[int, int]]:
        """The lanes of a kind that anything stands in: how many, and the earliest due (ms)."""
        there: dict[str, list[int]] = {}
        for document in self.books.documents.values():
            if document.kind == kind and (place := document.place) is not None:
                there.setdefault(place.lane, []).append(place.due_ms)
        return {lane: (len(due), min(due)) for lane, due in sorted(there.items())}

    def effects(self, *, run: str | None = None) -> list[Effect]:
        """Effects in the order of their recording."""
        return [e for e in self.books.effects.values() if run is None or e.run == run]

    def open_effects(self) -> list[Effect]:
        """Effects on which somebody still has something to do."""
        return [e for e in self.books.effects.values() if is_open(e)]

    def entries(self, run: str | None = None) -> list[Entry]:
        """Entries in the order of the log."""
        return [e for e in self.books.entries if run is None or e.run == run]

    def find(self, prefix: str) -> str:
        """The one id that starts with ``prefix``."""
        books = self.books
        found = [i for table in (books.effects, books.runs, books.approvals) for i in table if i.startswith(prefix)]
        if len(found) != 1:
            raise UnknownId(given=prefix, kind="id")
        return found[0]


class _Rows:
    """The books as one look reads them."""

    def __init__(self, books: Books) -> None:
        self.effect = books.effects.get
        self.run = books.runs.get
        self.approval = books.approvals.get
        self.fact = books.facts.get
        self.lease = books.leases.get
        self._books = books

    def document(self, kind: str, key: str) -> AnyDocument | None:
        return self._books.documents.get((kind, key))

    def restored(self) -> bool:
        return self._books.restored


class _Shelf:
    """The books as a transaction reads them."""

    def __init__(self, books: Books, secret: bytes) -> None:
        self._books = books
        self._secret = secret
        self._salts: Iterator[int] = iter(range(len(books.entries), 1 << 53))

    def load_effect(self, effect: str) -> Effect | None:
        return self._books.effects.get(effect)

    def load_run(self, run: str) -> Run | None:
        return self._books.runs.get(run)

    def load_lease(self, resource: str) -> Lease | None:
        return self._books.leases.get(resource)

    def load_approval(self, approval: str) -> Approval | None:
        return self._books.approvals.get(approval)

    def load_fact(self, scope: str) -> Fact | None:
        return self._books.facts.get(scope)

    def load_document(self, kind: str, key: str) -> AnyDocument | None:
        return self._books.documents.get((kind, key))

    def load_last_token(self) -> int:
        return self._books.token

    def load_restored(self) -> bool:
        return self._books.restored

    def salt(self) -> bytes:
        return _salt(self._secret, next(self._salts))


@lru_cache(maxsize=4096)
def _salt(secret: bytes, number: int) -> bytes:
    """The salt of one entry, the same each time: exploring writes the same entries again and again."""
    return bytes.fromhex(keyed(secret, "salt", b"%d" % number)[:32])


def _facts(books: Books, unit: Unit) -> dict[str, Fact]:
    """The same object where none moved, so that what was learned from them stays good."""
    if not unit.dirty_facts:
        return books.facts
    return {**books.facts, **{i: f for i in sorted(unit.dirty_facts) if (f := unit.fact(i)) is not None}}


def _written(books: Books, unit: Unit, now_ms: int) -> Books:
    leases = books.leases
    if unit.dirty_leases:
        leases = {**leases}
        for resource in sorted(unit.dirty_leases):
            if (lease := unit.lease(resource)) is None:
                leases.pop(resource, None)
            else:
                leases[resource] = lease
    effects = books.effects
    if unit.dirty_effects:
        effects = {**effects, **{i: e for i in sorted(unit.dirty_effects) if (e := unit.effect(i)) is not None}}
    documents = books.documents
    if unit.dirty_documents:
        changed = {at: d for at in sorted(unit.dirty_documents) if (d := unit.document(*at)) is not None}
        documents = {**documents, **changed}
    return Books(
        effects=effects,
        runs={**books.runs, **{i: r for i in sorted(unit.dirty_runs) if (r := unit.run(i)) is not None}},
        leases=leases,
        approvals={**books.approvals, **{i: a for i in sorted(unit.dirty_approvals) if (a := unit.approval(i))}},
        facts=_facts(books, unit),
        entries=books.entries + tuple(unit.entries),
        token=unit.token if unit.token is not None else books.token,
        high_ms=max(books.high_ms, now_ms),
        restored=books.restored,
        documents=documents,
        clock=books.clock,
    )
