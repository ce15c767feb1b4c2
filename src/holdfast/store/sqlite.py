"""The store on one SQLite file: the store port, the read side that sees this process's own records, and
letting go.

One writing connection and one reading connection a process; any number of processes share a file. Reads
answer in this order: the open batch, the batch that is with the disk, the file.

Does not decide anything: verdicts are the kernel's, their order and durability the writer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw
from msgspec.structs import replace

from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.documents import EVERY, AnyDocument, Item
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import AmbiguousId, BadValue, StoreReadOnly, UnknownId
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.kernel.ports import Seen
from holdfast.store import rows
from holdfast.store.audit import Audited, audit
from holdfast.store.batch import Ledger
from holdfast.store.clock import StoreClock
from holdfast.store.evidence import Entry
from holdfast.store.faults import speaks, translate
from holdfast.store.heads import HeadFile
from holdfast.store.overlay import Overlay
from holdfast.store.pushes import Pushes
from holdfast.store.reading import Reading
from holdfast.store.seals import Good
from holdfast.store.seen import look
from holdfast.store.spread import Tick
from holdfast.store.tally import Tally
from holdfast.store.together import Also, May
from holdfast.store.together import commit as together
from holdfast.store.tree import Tree
from holdfast.store.writer import Writer


@speaks
class SqliteStore:
    """The store port over one file; ``reading`` is its synchronous read side."""

    def __init__(
        self, reading: Reading, read_db: apsw.Connection, clock: StoreClock, heads: HeadFile, *,
        writer: Writer | None = None, write_db: apsw.Connection | None = None, doubt: str | None = None,
    ) -> None:  # fmt: skip
        """Built by :func:`holdfast.store.open_store`."""
        self.reading = reading
        self.path = reading.path
        self._read_db = read_db
        self._write_db = write_db
        self._writer = writer
        if writer is not None:
            reading.source.ended = writer.source.ended  # what was just written need not be folded to be read
        self._clock = clock
        self._heads = heads
        self._doubt = doubt
        self._secret = bytes(read_db.execute(rows.MINTS_WITH).get)

    # -- the port --

    async def read(self, effect: str) -> Seen:
        """One consistent look, this process's own records that are not on disk yet included."""
        batch = self._writer.batch if self._writer is not None else None
        if batch is None:
            return self.read_now(effect)
        try:
            return self._dated(look(effect, batch.unit, self._clock.now_ms(), batch.unit.standings))
        except apsw.Error as error:
            raise translate(error, self.path) from error

    async def latest(self, identity: str) -> Effect | None:
        """The highest generation of an identity."""
        return self.latest_now(identity)

    async def run_row(self, run: str) -> Run | None:
        """One run."""
        return self.run(run)

    async def run_effects(self, run: str) -> list[Effect]:
        """Every effect of a run, in the order of their proposals."""
        return self.effects(run=run)

    async def run_items(self, run: str) -> list[Item]:
        """Every item of a run, those included that this process has not put on disk yet."""
        return [found for found in self.documents("item", run, EVERY) if isinstance(found, Item)]

    async def time(self) -> int:
        """Store time."""
        return self.now_ms()

    async def commit(self, change: Change) -> Verdict:
        """The verdict, once it is on disk."""
        return await self._writing().commit(change)

    async def later(self, change: Change) -> Verdict:
        """The verdict at once; on disk with the next commit, after a few milliseconds, or at a flush."""
        return await self._writing().later(change)

    async def flush(self) -> None:
        """All that was asked for before is on disk."""
        if self._writer is not None:
            await self._writer.flush()

    # -- the same without an event loop --

    def read_now(self, effect: str) -> Seen:
        """As :meth:`read`."""
        writer, now_ms = self._writer, self._clock.now_ms()
        if writer is not None and writer.batch is not None:
            return self._dated(look(effect, writer.batch.unit, now_ms, writer.batch.unit.standings))
        source = self.reading.source
        flying = self._held
        self._read_db.execute(rows.BEGIN_READ)
        try:
            source.begin()
            return self._dated(look(effect, source if flying is None else Overlay(flying, source), now_ms))
        finally:
            self._read_db.execute(rows.COMMIT)

    def _dated(self, seen: Seen) -> Seen:
        """With the instant from which passed time may be relied on, where the clock ever jumped."""
        steady_ms = self._clock.counts_from_ms(seen.now_ms)
        return replace(seen, steady_ms=steady_ms) if steady_ms else seen

    def latest_now(self, identity: str) -> Effect | None:
        """As :meth:`latest`."""
        held = self._held.by_identity.get(identity) if self._held is not None else None
        kept = self.reading.source.load_latest(identity)
        return held if held is not None and (kept is None or kept.generation <= held.generation) else kept

    # -- the read side, this process's own records included; more questions: ``reading`` --

    def run(self, run: str) -> Run | None:
        """One run by its full id."""
        held = self._held.held_run(run) if self._held is not None else None
        return held or self.reading.run(run)

    def runs(self, limit: int = 100, intent: str | None = None) -> list[Run]:
        """The newest runs on disk first; of one intent: in the order they began."""
        return self.reading.runs(limit, intent)

    def approval(self, approval: str) -> Approval | None:
        """One approval by its full id."""
        held = self._held.held_approval(approval) if self._held is not None else None
        return held or self.reading.approval(approval)

    def approvals(self, state: str | None = None, limit: int = 1_000) -> list[Approval]:
        """Approvals on disk, all or those in one state."""
        return self.reading.approvals(state, limit)

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        held = self._held.held_fact(scope) if self._held is not None else None
        return held or self.reading.fact(scope)

    def facts(self) -> list[Fact]:
        """Every store-wide fact on disk."""
        return self.reading.facts()

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document, by its kind and id."""
        held = self._held.held_document(kind, key) if self._held is not None else None
        return held or self.reading.document(kind, key)

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Every document of a kind, of one run or of all, by id; this process's own not on disk yet included."""
        kept = {d.id: d for d in self.reading.documents(kind, run, limit)}
        if self._held is not None:
            moved = (self._held.held_document(*at) for at in self._held.dirty_documents if at[0] == kind)
            kept |= {d.id: d for d in moved if d is not None and (not run or d.run == run)}
        return [kept[name] for name in sorted(kept)][:limit]

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]:
        """Documents on disk in a lane that are due by then: the highest rank first, then the earliest due."""
        return self.reading.documents_due(kind, lane, until_ms, limit)

    def lanes(self, kind: str) -> dict[str, tuple[int, int]]:
        """The lanes of a kind on disk that anything stands in: how many, and the earliest due (ms)."""
        return self.reading.lanes(kind)

    def effects(
        self,
        run: str | None = None,
        *,
        open_only: bool = False,
        state: State | None = None,
        limit: int = 1_000_000,
    ) -> list[Effect]:
        """Effects of one run in order of proposal, or of all runs, newest first; filters add up."""
        kept = self.reading.effects(run, open_only=open_only, state=state, limit=limit)
        if self._held is None:
            return kept
        moved = {
            view.id: view
            for view in self._held.moved_effects().values()
            if (run is None or view.run == run)
            and (state is None or view.state is state)
            and (not open_only or is_open(view))
        }
        gone = self._held.dirty_effects - moved.keys()
        seen = [moved.pop(view.id, view) for view in kept if view.id not in gone]
        fresh = sorted(moved.values(), key=lambda view: view.proposed_ms)
        return (seen + fresh if run is not None else fresh[::-1] + seen)[:limit]

    def open_effects(self) -> list[Effect]:
        """Effects that somebody still has to move, the longest due first; by index, not by a scan."""
        return self.effects(open_only=True)

    def entries(self, of: str, limit: int = rows.NO_LIMIT, after: int = 0) -> list[Entry]:
        """The entries on disk of a run (``ru_…``, ``after`` a sequence number) or of an effect (``ef_…``), in order."""
        return self.reading.entries(of, limit, after)

    def find(self, prefix: str, kind: str | None = None) -> str:
        """The one full id that begins so; raises UnknownId, AmbiguousId. ``kind``: run, effect, approval."""
        ids = set(self.reading.ids(prefix, kind)) if prefix else set()
        if self._held is not None and prefix and kind is None:
            ids |= {id_ for id_ in self._held.ids() if id_.startswith(prefix)}
        if prefix in ids:
            return prefix
        if not ids:
            raise UnknownId(given=prefix, kind=kind or "record")
        if len(ids) > 1:
            raise AmbiguousId(given=prefix, matches=tuple(sorted(ids)[:10]))
        return ids.pop()

    @property
    def _held(self) -> Ledger | None:
        return self._writer.held if self._writer is not None else None

    # -- writing and judging without an event loop --

    def commit_now(self, change: Change) -> Verdict:
        """As :meth:`commit`, blocking."""
        verdict = self._writing().commit_now(change)
        assert verdict is not None, "a change always has a verdict"
        return verdict

    def commit_with(self, change: Change | Callable[[], Change], may: May, also: Also) -> Verdict:
        """One durable commit of a change and of rows that no change knows (:func:`holdfast.store.together.commit`)."""
        return together(self._writing(), change, may, also)

    def now_ms(self) -> int:
        """Store time."""
        return self._clock.now_ms()

    def clock_jumped_ms(self) -> int:
        """By how much the clock jumped while this was open; dispatching commits are refused until it is
        accepted.
        """
        return self._clock.jumped_ms()

    def accept_clock(self, by: str, reason: str) -> int:
        """A named human looked at the machine's clock and found it right; what they accepted (ms, 0: no jump).

        Recorded in the store's own run. What waits for time to pass counts from now on. Raises BadValue without
        a name or a reason.
        """
        _named("accepting a clock", by, reason)
        writer = self._writing()
        writer.commit_now(None)  # what is under way lands first; then what other processes noticed is read
        writer.begin_now()
        jumped_ms = self._clock.jumped_ms()
        if jumped_ms:
            self._clock.accept()
            body = {"reason": reason, "jumped_ms": jumped_ms, "steady_ms": self._clock.steady_ms}
            note = Note(kind="clock_accepted", by=by, body=body)
            writer.commit_now(Change(run=rows.STORE_RUN, notes=(note,)))
        else:
            writer.commit_now(None)
        return jumped_ms

    @property
    def secret(self) -> bytes:
        """The 32 bytes that keys, ids and digests of this store are minted with."""
        return self._secret

    def status(self) -> dict[str, Any]:
        """How the store stands, as plain data (see :meth:`Reading.status`)."""
        status = self.reading.status(self._clock.now_ms())
        if self._doubt is not None:
            status |= {"mode": "restored", "why": self._doubt}
        return status | {"head_remembered": self._heads.kept, "clock_jumped_ms": self._clock.jumped_ms()}

    def verify(
        self, good: Good | None = None, *, jobs: int = 1, sizes: Iterable[int] = (), tick: Tick | None = None
    ) -> Audited:
        """Check every chain and every row; raises ChainBroken at the first that does not fit.

        With ``good`` (public key as hex, bytes, signature as hex) the signature of every answer is checked too, where
        the key that it was given under is still on record.
        """
        return audit(self._read_db, self.reading, good, jobs=jobs, sizes=sizes, tick=tick)

    def tree(self) -> Tree:
        """The Merkle tree over all entries, only to read."""
        return Tree(self._read_db)

    def pushes(self) -> Pushes:
        """What of the checkpoints went to which witness, only to read."""
        return Pushes(self._read_db)

    def tally(self) -> Tally:
        """What its entries add up to, for whoever watches it."""
        return Tally(self._read_db)

    def restored(self) -> bool:
        """Whether nothing may be dispatched until a named human releases the store."""
        self.reading.source.begin()
        return self._doubt is not None or self.reading.source.load_restored()

    def release(self, by: str, reason: str) -> Verdict:
        """End restored mode, as a named human who reconciled the open effects. Raises BadValue without
        either.
        """
        _named("a release", by, reason)
        self.reading.source.begin()
        incarnation, bound_to = self.reading.source.meta[1], self.reading.source.meta[5]
        note = Note(kind="store_released", by=by, body={"reason": reason, "incarnation": incarnation})
        verdict = self._writing().commit_now(
            Change(run=rows.STORE_RUN, notes=(note,)), ("normal", incarnation, 0, bound_to)
        )
        assert verdict is not None, "a change always has a verdict"
        return verdict

    def count(self) -> dict[str, int]:
        """How much was made durable since opening: syncs, batches, changes."""
        writer = self._writing()
        return {"syncs": writer.syncs, "batches": writer.batches, "changes": writer.changes}

    def time_parts(self) -> dict[str, int]:
        """Start to add up nanoseconds by part (plan, sql, sync), for benchmarks, in the dict returned."""
        writer = self._writing()
        writer.parts = {}
        return writer.parts

    # -- the end --

    async def close(self) -> None:
        """Everything on disk, then let go."""
        if self._writer is not None and not self._writer.dead:
            await self._writer.flush()
        self.close_now()

    def close_now(self) -> None:
        """As :meth:`close`, blocking; harmless twice. Raises if the last records did not reach the disk."""
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._read_db.close()
            if self._write_db is not None:
                self._write_db.close()  # the last one to close copies the log back into the file
            self._heads.close()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise StoreReadOnly(store=self.path)
        return self._writer


def _named(what: str, by: str, reason: str) -> None:
    for name, value in (("by", by), ("reason", reason)):
        if not value.strip():
            raise BadValue(path=name, why=f"{what} needs a name and a reason", value_type="str")
