"""One open transaction: changes applied to it in order, then its rows written, then its commit.

Synchronous, and all that the writer schedules. Promises that a change which raises leaves no trace in the
batch, and that what is written obeys the order entries first, then the rows folded from them: the database's
triggers check each.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import apsw
from msgspec.structs import replace

from holdfast.kernel.canon import commitment, encode, leaf_hash
from holdfast.kernel.commit import Change, Line, Verdict, needs_a_sound_clock
from holdfast.kernel.documents import AnyDocument, Place
from holdfast.kernel.documents import encode as encode_document
from holdfast.kernel.due import is_open
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import DEFAULT_TENANT, Approval, Effect, Lease, Run
from holdfast.store import rows
from holdfast.store.carried import Carried, Left
from holdfast.store.clock import StoreClock, refusal
from holdfast.store.connection import Connection
from holdfast.store.evidence import LEAF_VERSION, Leaf
from holdfast.store.source import SqliteSource
from holdfast.store.unit import Source, Unit

STANDINGS_KEPT = 1_024
NOWHERE = Place("")


class Ledger(Unit):
    """A unit that can be asked what it holds, for readers of this process while it is not on disk yet.

    Entries are sealed when the batch is written, all at once; until then a run's sequence and head are those
    on disk.
    """

    def __init__(self, source: Source) -> None:
        """Start empty over a transaction's source."""
        super().__init__(source)
        self.by_identity: dict[str, Effect] = {}
        self.lines: list[tuple[Line, bytes]] = []

    def put_effect(self, effect: Effect, before: Effect | None) -> None:
        """As every unit does, and findable by identity."""
        super().put_effect(effect, before)
        known = self.by_identity.get(effect.identity)
        if known is None or known.generation <= effect.generation:
            self.by_identity[effect.identity] = effect

    def append(self, line: Line) -> None:
        """Keep one line for its run. Its body is encoded now: what cannot be recorded is its caller's
        mistake.
        """
        if self.run(line.run) is None:
            raise LookupError(line.run)
        self.lines.append((line, encode(line.body)))
        self.dirty_runs.add(line.run)

    def held_effect(self, effect: str) -> Effect | None:
        """The effect as this unit has it, None if it does not hold it."""
        return self._effects.get(effect)

    def held_run(self, run: str) -> Run | None:
        """As :meth:`held_effect`, of a run."""
        return self._runs.get(run)

    def held_approval(self, approval: str) -> Approval | None:
        """As :meth:`held_effect`, of an approval."""
        return self._approvals.get(approval)

    def held_fact(self, scope: str) -> Fact | None:
        """As :meth:`held_effect`, of a fact."""
        return self._facts.get(scope)

    def held_document(self, kind: str, key: str) -> AnyDocument | None:
        """As :meth:`held_effect`, of a document."""
        return self._documents.get((kind, key))

    @property
    def effects_held(self) -> dict[str, Effect | None]:
        """Every effect that was looked at, None where there is none."""
        return self._effects

    @property
    def runs_held(self) -> dict[str, Run | None]:
        """As :attr:`effects_held`, of runs."""
        return self._runs

    @property
    def approvals_held(self) -> dict[str, Approval | None]:
        """As :attr:`effects_held`, of approvals."""
        return self._approvals

    @property
    def leases_held(self) -> dict[str, Lease | None]:
        """As :attr:`effects_held`, of leases."""
        return self._leases

    @property
    def facts_held(self) -> dict[str, Fact | None]:
        """As :attr:`effects_held`, of facts."""
        return self._facts

    @property
    def documents_held(self) -> dict[tuple[str, str], AnyDocument | None]:
        """As :attr:`effects_held`, of documents."""
        return self._documents

    def sealed(self, run: Run) -> None:
        """The run with the head that its entries have now."""
        self._runs[run.id] = run

    def left(self, source: SqliteSource, version: int) -> Left:
        """Every row it holds, once it is committed."""
        kept = (self._effects, self._runs, self._leases, self._approvals, self._facts, self._documents)
        standings = self.standings if len(self.standings) < STANDINGS_KEPT else {}
        return Left(*kept, source.effect_n, source.run_n, standings, version)

    def moved_effects(self) -> dict[str, Effect]:
        """Every effect that this unit changed."""
        return {name: view for name in self.dirty_effects if (view := self._effects[name]) is not None}

    def ids(self) -> set[str]:
        """Ids of effects, runs and approvals that this unit changed."""
        return self.dirty_effects | self.dirty_runs | self.dirty_approvals

    @property
    def untouched(self) -> bool:
        """Whether nothing is to be written."""
        others = self.dirty_approvals or self.dirty_facts or self.dirty_leases or self.dirty_documents
        return not (self.dirty_runs or others)


class Batch:
    """One ``BEGIN IMMEDIATE``, from its first change to its commit."""

    def __init__(self, source: SqliteSource, clock: StoreClock) -> None:
        """The transaction is open on the source's connection."""
        source.begin()
        self._db = source.db
        self.source = source
        left, source.left = source.left, None
        still = left is not None and self._db.data_version() == left.version  # nobody else wrote since
        self._rows: Source = Carried(source, left) if left is not None and still else source
        self._standings = left.standings if left is not None and still else {}
        self._clock = clock
        self._done: list[tuple[Change, int]] = []
        self.unit = Ledger(self._rows)
        self.unit.standings = self._standings
        self.mode: tuple[str, int, int, str] | None = None  # a new (mode, incarnation, last token, bound to)
        self.head: tuple[int, bytes] | None = None
        self.also: Callable[[Connection, int], None] | None = None  # rows that no change knows, behind its entries
        self.wrote = False
        self._new_runs: set[str] = set()
        self._new_effects: set[str] = set()
        self._ends: dict[str, tuple[int, bytes, str, int]] = {}  # of each run: sequence, head, tenant twice
        self._last_run = 0
        self._last_effect = 0
        clock.seen(source.meta[4])
        clock.learn(source.measure)

    def __len__(self) -> int:
        """How many changes it carries."""
        return len(self._done)

    def apply(self, change: Change) -> Verdict:
        """One change, judged on what all before it left. Raises what planning raises, with the batch as it
        was.
        """
        now_ms = self._clock.now_ms()
        if needs_a_sound_clock(change) and (jumped_ms := self._clock.jumped_ms()):
            return refusal(jumped_ms, self.unit.effect(change.guard.effect))
        try:
            verdict = self.unit.do(change, now_ms)
        except Exception:
            self._rebuild()
            raise
        self._done.append((change, now_ms))
        return verdict

    def _rebuild(self) -> None:
        """Plan all earlier changes again: the one that raised may have left half of itself. Our bug, so never
        hot.
        """
        self.unit = Ledger(self._rows)
        for change, now_ms in self._done:
            self.unit.do(change, now_ms)

    # -- writing --

    def write(self) -> None:
        """Write every row. Raises what SQLite raises; the transaction is then to be rolled back."""
        unit = self.unit
        measure = self._clock.measure
        unmarked = measure != self.source.measure
        if unit.untouched and self.mode is None and not unmarked:
            return
        self.wrote = True
        if unit.lines:
            self._write_entries()
        self._write_effects()
        self._write_runs()
        self._write_others()
        self._db.execute(rows.MOVE_META, (unit.now_ms, unit.token or 0))
        if self.mode is not None:
            self._db.execute(rows.MOVE_MODE, self.mode)
        if self.also is not None and self.head is not None:
            self.also(self._db, self.head[0])
        if unmarked:  # with the entries of this batch: no time that leapt is recorded before the leap is
            self._db.execute(rows.MARK_CLOCK, measure)

    def _write_entries(self) -> None:
        """Seal the lines, run by run, and write them: each hash covers the one before it in its run."""
        db, unit, salt, number = self._db, self.unit, self.source.salt, self.source.words.number
        effect_n, run_n, ends = self.source.effect_n, self.source.run_n, self._ends
        known = self.source.words.numbers
        pos: int = db.execute(rows.LAST_POS).get
        leaves: list[tuple[Any, ...]] = []
        bodies: list[tuple[int, bytes, bytes]] = []
        for (run, effect, kind, before, after, at_ms, by, token, _), body in unit.lines:
            end = ends.get(run)
            if end is None:
                end = self._end_of(run)
            seq, prev, tenant, tenant_n = end[0] + 1, end[1].hex(), end[2], end[3]
            pos += 1
            grain = salt()
            bound = commitment(grain, body)
            said = (after, at_ms, before, by, bound.hex(), effect, kind, prev, run, seq, tenant, token)
            head = leaf_hash(rows.encode(Leaf(*said, LEAF_VERSION)))
            ends[run] = (seq, head, tenant, tenant_n)
            # Known words are looked up right here: this loop is what every entry of the store costs.
            kind_n = known.get(kind) or number(db, kind)
            before_n = known.get(before) or number(db, before)
            after_n = known.get(after) or number(db, after)
            by_n = known.get(by) or number(db, by)
            where = (effect_n.get(effect) or self._new_effect(effect)) if effect else 0
            what = (kind_n, before_n, after_n, at_ms, by_n, token, tenant_n)
            leaves.append((pos, run_n[run], seq, where, *what, bound, head))
            bodies.append((pos, grain, body))
        db.executemany(rows.ADD_ENTRY, leaves)
        db.executemany(rows.ADD_BODY, bodies)
        self.head = (pos, leaves[-1][-1])

    def _end_of(self, run: str) -> tuple[int, bytes, str, int]:
        """Where a run's chain ends on disk: sequence, hash; and its tenant, as text and as number."""
        row = self.unit.run(run)
        assert row is not None, "a line names a run that is there"
        if run not in self.source.run_n:
            self._new_run(run)
        return row.seq, bytes.fromhex(row.head), row.tenant, self.source.words.number(self._db, row.tenant)

    def _new_run(self, run: str) -> int:
        """The number for a run that has no row yet: one more than the highest."""
        if not self._new_runs:
            self._last_run = self._db.execute(rows.LAST_RUN).get
        self._last_run += 1
        self._new_runs.add(run)
        self.source.run_n[run] = self._last_run
        return self._last_run

    def _new_effect(self, effect: str) -> int:
        """The number for an effect that has no row yet."""
        if not self._new_effects:
            self._last_effect = self._db.execute(rows.LAST_EFFECT).get
        self._last_effect += 1
        self._new_effects.add(effect)
        self.source.effect_n[effect] = self._last_effect
        return self._last_effect

    def _write_effects(self) -> None:
        """Columns for what is searched; the record itself only while the effect is not at its end."""
        db, number, unit = self._db, self.source.words.number, self.unit
        added: list[tuple[Any, ...]] = []
        moved: list[tuple[Any, ...]] = []
        views: list[tuple[int, bytes]] = []
        ended: list[tuple[int]] = []
        for name in unit.dirty_effects:
            view = unit.effect(name)
            assert view is not None, "an effect row is never taken away"
            n = self.source.effect_n[name]  # known or given: its entries are written
            opened, new = is_open(view), name in self._new_effects
            state = number(db, view.state.value)
            if new:
                kept = (
                    n,
                    name,
                    number(db, view.tenant),
                    self.source.run_n[view.run],
                    rows.blob(view.identity),
                )
                tool = number(db, view.tool)
                added.append((*kept, view.generation, tool, state, view.version, opened, view.due_ms))
            else:
                moved.append((state, view.version, opened, view.due_ms, n))
            if opened:
                views.append((n, rows.encode(view)))
            elif not new:
                ended.append((n,))
        for sql, many in (
            (rows.ADD_EFFECT, added),
            (rows.MOVE_EFFECT, moved),
            (rows.PUT_VIEW, views),
            (rows.DROP_VIEW, ended),
        ):
            if many:
                db.executemany(sql, many)

    def _write_runs(self) -> None:
        db, unit = self._db, self.unit
        moved: list[tuple[Any, ...]] = []
        for name in unit.dirty_runs:
            run = unit.run(name)
            assert run is not None, "a run row is never taken away"
            seq, head, _, tenant = self._ends.get(name) or self._end_of(name)
            run = replace(run, seq=seq, head=head.hex())
            unit.sealed(run)
            view = rows.encode(run)
            n = self.source.run_n[name]
            if name in self._new_runs:
                db.execute(rows.ADD_RUN, (n, name, tenant, run.intent, run.state, seq, head, view))
            else:
                moved.append((run.state, seq, head, view, n))
        if moved:
            db.executemany(rows.MOVE_RUN, moved)

    def _write_others(self) -> None:
        db, unit = self._db, self.unit
        tenant = self.source.words.number(db, DEFAULT_TENANT)
        freed = [(resource,) for resource in unit.dirty_leases if unit.lease(resource) is None]
        held = [
            (resource, tenant, lease.effect, lease.holder, lease.token, lease.until_ms)
            for resource in unit.dirty_leases
            if (lease := unit.lease(resource)) is not None
        ]
        if freed:
            db.executemany(rows.DROP_LEASE, freed)
        if held:
            db.executemany(rows.PUT_LEASE, held)
        for name in unit.dirty_approvals:
            approval = unit.approval(name)
            assert approval is not None, "an approval row is never taken away"
            db.execute(rows.PUT_APPROVAL, (name, tenant, approval.effect, approval.state, rows.encode(approval)))
        for scope in unit.dirty_facts:
            fact = unit.fact(scope)
            assert fact is not None, "a fact row is never taken away"
            kept_fact = (scope, tenant, fact.epoch, fact.raised, fact.value, fact.by, fact.reason)
            db.execute(rows.PUT_FACT, kept_fact)
        for at in unit.dirty_documents:
            document = unit.document(*at)
            assert document is not None, "a document is never taken away"
            place = document.place or NOWHERE
            db.execute(rows.PUT_DOCUMENT, (*at, document.run, encode_document(document), *place))

    # -- ending --

    def commit(self) -> int:
        """Make it durable; nanoseconds it took. Raises what SQLite raises; it is then rolled back."""
        start = perf_counter_ns()
        self._db.execute(rows.COMMIT)
        took_ns = perf_counter_ns() - start
        self.source.left = self.unit.left(self.source, self._db.data_version())
        for view in self.unit.moved_effects().values():
            if not is_open(view):
                self.source.keep(view)
        return took_ns

    def roll_back(self) -> None:
        """Leave nothing behind; silent where SQLite has rolled back by itself."""
        try:
            if self._db.in_transaction:
                self._db.execute(rows.ROLLBACK)
        except apsw.Error:
            # The connection is not written to again, and closing it rolls back what is left.
            return


def checkpoint(db: apsw.Connection) -> Exception | None:
    """Copy the log back into the file: it moves what is durable already. If it fails the log stays."""
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error as error:
        return error
    return None
