"""One transaction on PostgreSQL: changes planned on rows that are held, then written and committed.

Two round trips where nothing new is met: :mod:`.postgres_lock` locks and reads in the first; the second has the
writes, the position and the commit. Decides the order of writing: what needs no position first, so that the one row
which every commit locks is locked for as short as can be. Promises that positions follow the order of commits without
a gap, that a change which raises leaves no trace in the batch, and that a row is replaced only where it is the one
that was planned on, or the whole transaction is undone.

Does not decide what becomes of a batch whose connection broke (:mod:`.postgres_writer` does).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from holdfast.kernel.canon import commitment, leaf_hash
from holdfast.kernel.commit import Change, Verdict, needs_a_sound_clock
from holdfast.kernel.documents import Place as Lane
from holdfast.kernel.documents import encode as encode_document
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import OurBug, StoreFailed
from holdfast.kernel.model import DEFAULT_TENANT, Run
from holdfast.store import postgres_sql as sql
from holdfast.store import rows
from holdfast.store.clock import refusal
from holdfast.store.evidence import LEAF_VERSION, Leaf
from holdfast.store.postgres_books import PostgresConnection, alone
from holdfast.store.postgres_calls import Call, called
from holdfast.store.postgres_lock import Held, hold
from holdfast.store.postgres_memory import Asked, Done, Memory, Mode
from holdfast.store.postgres_rows import SALT_BYTES, Minting, NotHeld

if TYPE_CHECKING:
    import psycopg

NOWHERE = Lane("")
WAKES = frozenset({"job", "schedule"})
"""Kinds of documents for which somebody may be waiting."""

MOST_LOOKS = 12

Statements = list[tuple[str, Any]]
Also = Callable[[PostgresConnection, int], None]


class PostgresBatch:
    """One transaction on a connection that nobody else uses."""

    def __init__(self, db: psycopg.Connection[Any], memory: Memory) -> None:
        """Nothing is begun yet."""
        self._db = db
        self._memory = memory
        self._fresh: dict[str, int] = {}  # words that are new with this transaction
        self.commits = False
        """Whether the commit was sent: what becomes of the transaction is not ours to say any more."""
        self.done: Done | None = None
        """What will have been done if it was, as far as that is known before."""

    def carry_out(self, asked: Asked, writer: str, mark: str) -> Done:
        """All of it; ``mark`` is what this connection leaves behind with it. Raises what psycopg raises."""
        mode, held, unit, verdicts = self._hold(asked)
        unmarked = self._marks()
        wrote = bool(not unit.untouched or mode is not None or unmarked)
        stands = mode[:2] if mode is not None else (held.locked.mode, held.locked.incarnation)
        self.done = Done(verdicts, wrote, None, *stands)
        if wrote:
            head = self._write(_Writing(self, unit, held), mode, asked.also, unmarked, (writer, mark))
            self.done = self.done._replace(head=head)
        else:
            self._db.execute(sql.ROLLBACK)
        self._memory.known.learn(unit)
        self._memory.keep(unit.moved_effects().values())
        return self.done

    def _hold(self, asked: Asked) -> tuple[Mode | None, Held, Minting, list[Verdict | Exception]]:
        """Lock, read and plan; begun anew, and knowing more, where something was not locked that counts."""
        db, memory, missed = self._db, self._memory, list[NotHeld]()
        for _ in range(MOST_LOOKS):
            changes, mode = asked.changes, None
            if asked.made is not None:
                db.execute(sql.BEGIN)
                books = PostgresConnection(db, memory.place)
                alone(books)
                change, mode = asked.made(books)
                changes = (change,)
            held = hold(db, memory, changes, missed, mode=mode is not None, begin=asked.made is None)
            if held is not None:
                try:
                    unit, verdicts = self._plan(changes, held)
                    held.locked.check(unit)
                except NotHeld as beyond:
                    missed.append(beyond)
                else:
                    return mode, held, unit, verdicts
            db.execute(sql.ROLLBACK)
            memory.again += 1
        what = f"what stands around a record moved, or was met, each time it was looked at: {missed}"
        raise OurBug(where="the PostgreSQL store", what=what)

    def _plan(self, changes: Sequence[Change], held: Held) -> tuple[Minting, list[Verdict | Exception]]:
        jumped_ms = self._memory.clock.jumped_ms()
        unit = Minting(held.locked, held.tokens)
        done: list[Change] = []
        verdicts: list[Verdict | Exception] = []
        for change in changes:
            if jumped_ms and needs_a_sound_clock(change):
                seen = unit.effect(change.guard.effect) if change.guard.effect else None
                verdicts.append(refusal(jumped_ms, seen))
                continue
            try:
                verdicts.append(unit.do(change, held.now_ms))
                done.append(change)
            except NotHeld:
                raise
            except Exception as error:  # noqa: BLE001  Whatever planning raises is this change's answer.
                verdicts.append(error)
                # It may have left half of itself: all before it are planned again, on the same rows and time.
                unit = Minting(held.locked, held.tokens)
                for earlier in done:
                    unit.do(earlier, held.now_ms)
        return unit, verdicts

    def _marks(self) -> Statements:
        """What this process knows of the clock and the store does not."""
        leapt_ms, steady_ms, ahead_ms, boot, offset_ms = self._memory.clock.measure
        if steady_ms > self._memory.marked.steady_ms:
            return [
                (sql.MARK_STEADY, (steady_ms, ahead_ms)),
                (sql.FORGET_BOOTS, ()),
                (sql.ADD_BOOT, (boot, offset_ms)),
            ]
        if leapt_ms and not self._memory.marked.leapt_ms:
            return [(sql.MARK_LEAP, (leapt_ms,))]
        return []

    # -- writing --

    def _write(
        self, writing: _Writing, mode: Mode | None, also: Also | None, marks: Statements, land: tuple[str, str]
    ) -> tuple[int, bytes] | None:
        unit, place = writing.unit, self._memory.place
        given: dict[str, Any] = {"land": land, "now_ms": unit.now_ms, "token": unit.token or 0} | writing.rows()
        if any(kind in WAKES for kind, _ in unit.dirty_documents) or unit.dirty_facts:
            given["wakes"] = f"holdfast_{place.schema}"
        calls: list[Call] = [(sql.RECORD, (rows.encode(given),))]
        seldom = marks  # with the entries of this batch: no time that leapt is recorded before the leap is
        if mode is not None:
            raised = [(sql.RAISE_TOKENS, (mode.last_token,))] if mode.last_token else []
            seldom = [(sql.MOVE_MODE, (mode.mode, mode.incarnation, mode.bound_to, mode.timeline)), *raised, *marks]
        if seldom or also is not None:
            said, calls = called(self._db, calls), []
            for statement in seldom:
                self._send(*statement)
            if also is not None and unit.lines:
                also(PostgresConnection(self._db, place), int(said[0].get_value(0, 0)))
            said += self._commit([])
        else:
            said = self._commit(calls)
        head = (int(said[0].get_value(0, 0)), writing.last_hash) if unit.lines else None
        ended = said[-1].command_status.decode()
        if ended != "COMMIT":
            raise StoreFailed(store=place.name, why=f"the server answered {ended} to a commit")
        self._memory.take((n, text) for text, n in self._fresh.items())
        return head

    def _commit(self, calls: list[Call]) -> list[Any]:
        """The last round trip."""
        self.commits = True
        self._memory.statements += len(calls) + 1
        return called(self._db, [*calls, (sql.COMMIT, ())])

    def _send(self, statement: str, values: Any) -> Any:
        self._memory.statements += 1
        return self._db.execute(statement.encode(), values, prepare=True, binary=True)

    def numbers(self, texts: set[str]) -> dict[str, int]:
        """The numbers of these words; those that are new are added, in one order, before the position is drawn."""
        known = self._memory.words
        missing = sorted(texts - known.keys())
        if missing:
            with self._db.pipeline():
                there = self._send(sql.WORDS_NAMED, (missing,))
            self._memory.take(there.fetchall())  # this sees no word of its own yet: all of them are committed
            missing = sorted(texts - known.keys())
        if missing:
            with self._db.pipeline():
                self._send(sql.ADD_WORDS, (missing,))
                there = self._send(sql.WORDS_NAMED, (missing,))
            self._fresh = {text: n for n, text in there.fetchall()}
        return {text: known.get(text) or self._fresh.get(text, 0) for text in texts}


class _Writing:
    """What a planned unit becomes: one statement for each kind of row, with arrays."""

    def __init__(self, batch: PostgresBatch, unit: Minting, held: Held) -> None:
        """New words, and what has no number yet, get theirs here."""
        self.unit = unit
        self._locked = held.locked
        self._run_n = dict(held.locked.run_n)
        self._effect_n = dict(held.locked.effect_n)
        run_ns, effect_ns = iter(held.run_ns), iter(held.effect_ns)
        self._ends: dict[str, tuple[int, bytes]] = {}
        texts = {DEFAULT_TENANT}
        for (run, effect, kind, before, after, _, by, _, _), _ in unit.lines:
            texts.update((kind, before, after, by, self._run(run).tenant))
            if run not in self._run_n:
                self._run_n[run] = next(run_ns)
            if effect and effect not in self._effect_n:
                self._effect_n[effect] = next(effect_ns)
        for name in sorted(unit.dirty_runs):
            texts.add(self._run(name).tenant)
            if name not in self._run_n:
                self._run_n[name] = next(run_ns)
        for view in unit.moved_effects().values():
            texts.update((view.tool, view.tenant, view.state.value))
        self._words = batch.numbers(texts)
        self.last_hash = b""

    def _run(self, run: str) -> Run:
        found = self.unit.run(run)
        assert found is not None, "a line names a run that is there"
        return found

    def rows(self) -> dict[str, list[Any]]:
        """Every row, by what the server's `record` calls it; what there is nothing of is left out."""
        found = {"entries": self._entries()} | self._effects() | self._runs() | self._beside()
        return {name: kept for name, kept in found.items() if kept}

    def _entries(self) -> list[Any]:
        """Seal the lines, run by run: each hash covers the one before it in its run."""
        lines, words = self.unit.lines, self._words
        leaves: list[Any] = []
        salts = os.urandom(SALT_BYTES * len(lines))
        for at, ((run, effect, kind, before, after, at_ms, by, token, _), body) in enumerate(lines):
            row = self._run(run)
            seq, prev = self._ends.get(run) or (row.seq, bytes.fromhex(row.head))
            seq += 1
            salt = salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
            bound = commitment(salt, body)
            said = (after, at_ms, before, by, bound.hex(), effect, kind, prev.hex(), run, seq, row.tenant, token)
            head = leaf_hash(rows.encode(Leaf(*said, LEAF_VERSION)))
            self._ends[run] = (seq, head)
            where = self._effect_n[effect] if effect else 0
            what = (words[kind], words[before], words[after], at_ms, words[by], token, words[row.tenant])
            leaves.append((self._run_n[run], seq, where, *what, bound, head, salt, body))
            self.last_hash = head
        return leaves

    def _effects(self) -> dict[str, list[Any]]:
        """Columns for what is searched; the record itself is beside, while the effect is not at its end."""
        words, added, moved = self._words, [], []
        for name in sorted(self.unit.dirty_effects):
            view, was = self.unit.effect(name), self._locked.effects.get(name)
            assert view is not None, "an effect is never taken away"
            n, folded = self._effect_n[name], (words[view.state.value], view.version, int(is_open(view)), view.due_ms)
            if was is None:
                identity = rows.blob(view.identity)
                raw = identity.encode() if isinstance(identity, str) else identity
                what = (n, name, words[view.tenant], self._run_n[view.run], raw, view.generation, words[view.tool])
                added.append((*what, *folded))
            else:
                moved.append((n, was.version, *folded))
        return {"new_effects": added, "effects": moved}

    def _runs(self) -> dict[str, list[Any]]:
        """Each with the head that its entries have now."""
        added, moved = [], []
        for name in sorted(self.unit.dirty_runs):
            run, was = self._run(name), self._locked.runs.get(name)
            seq, head = self._ends.get(name) or (run.seq, bytes.fromhex(run.head))
            run = replace(run, seq=seq, head=head.hex())
            self.unit.sealed(run)
            n, view = self._run_n[name], rows.encode(run)
            if was is None:
                added.append((n, name, self._words[run.tenant], run.intent, run.state, seq, head, view))
            else:
                moved.append((n, was.seq, run.state, seq, head, view))
        return {"new_runs": added, "runs": moved}

    def _beside(self) -> dict[str, list[Any]]:
        """Records of effects that are not at their end, leases, requests, facts, documents: none needs a position."""
        unit, tenant = self.unit, self._words[DEFAULT_TENANT]
        views, ended = [], []
        for name, view in unit.moved_effects().items():
            if is_open(view):
                views.append((self._effect_n[name], rows.encode(view)))
            elif name in self._locked.viewed:
                ended.append(self._effect_n[name])
        freed, held = [], []
        for name in sorted(unit.dirty_leases):
            lease = unit.lease(name)
            if lease is not None:
                held.append((name, tenant, lease.effect, lease.holder, lease.token, lease.until_ms))
            else:
                freed.append(name)
        found: dict[str, list[Any]] = {"views": sorted(views), "ended": sorted(ended), "freed": freed, "leases": held}
        return found | self._others(tenant)

    def _others(self, tenant: int) -> dict[str, list[Any]]:
        unit, approvals, facts, documents = self.unit, [], [], []
        for name in sorted(unit.dirty_approvals):
            approval = unit.approval(name)
            assert approval is not None, "a request is never taken away"
            approvals.append((name, tenant, approval.effect, approval.state, rows.encode(approval)))
        for scope in sorted(unit.dirty_facts):
            fact = unit.fact(scope)
            assert fact is not None, "a fact is never taken away"
            facts.append((scope, tenant, fact.epoch, int(fact.raised), fact.value, fact.by, fact.reason))
        for at in sorted(unit.dirty_documents):
            document = unit.document(*at)
            assert document is not None, "a document is never taken away"
            documents.append((*at, document.run, encode_document(document), *(document.place or NOWHERE)))
        return {"approvals": approvals, "facts": facts, "documents": documents}
