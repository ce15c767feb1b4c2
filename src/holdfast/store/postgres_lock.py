"""The first half of a transaction on PostgreSQL: everything that its changes may look at is locked, then read.

Promises that each row was read by a statement which began after its lock was had, that the store's time is read and
its tokens are drawn behind all locks, and that nothing is answered while anything that counts is not locked: where
what was read names more than what was locked, it says so and the transaction begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from holdfast.kernel.commit import Change
from holdfast.kernel.documents import decode as decode_document
from holdfast.kernel.errors import ChainBroken, StoreFailed
from holdfast.kernel.model import Effect, Lease
from holdfast.store import postgres_sql as sql
from holdfast.store import rows
from holdfast.store.clock import Measure
from holdfast.store.folding import fold
from holdfast.store.postgres_memory import Memory
from holdfast.store.postgres_rows import MODE, Locked, NotHeld, Wanted
from holdfast.store.source import as_fact

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")


class Held(NamedTuple):
    """What a transaction holds: the rows, tokens and numbers of its own, and the store's time."""

    locked: Locked
    tokens: list[int]
    run_ns: list[int]
    effect_ns: list[int]
    now_ms: int


def hold(
    db: psycopg.Connection[Any],
    memory: Memory,
    changes: Sequence[Change],
    more: Iterable[NotHeld] = (),
    *,
    mode: bool,
    begin: bool,
) -> Held | None:
    """Lock and read what the changes may look at, in one round trip; None where more has to be locked, which is known
    by now. The transaction is begun here, unless it was before.
    """
    wanted = memory.known.wanted(changes)
    for missed in more:
        wanted.add(missed)
    if mode:
        wanted.names[MODE] = True
    sent = _Sent(db, memory)
    with db.pipeline():
        if begin:
            sent.send("begin", sql.BEGIN)
        _lock(sent, wanted, memory.place.schema)
    return _read(db, memory, changes, wanted, sent)


class _Sent:
    """Statements that are under way, by a name each; one that had nothing to ask for found nothing."""

    def __init__(self, db: psycopg.Connection[Any], memory: Memory) -> None:
        self._db = db
        self._memory = memory
        self._cursors: dict[str, Any] = {}

    def send(self, name: str, statement: str, *values: Any) -> None:
        if not values or any(values):
            self._memory.statements += 1
            self._cursors[name] = self._db.execute(statement.encode(), values, prepare=True, binary=True)

    def rows(self, name: str) -> list[Any]:
        cursor = self._cursors.get(name)
        return cursor.fetchall() if cursor is not None else []


def _lock(sent: _Sent, wanted: Wanted, schema: str) -> None:
    """In the one order that all transactions keep."""
    names = sorted(wanted.documents)
    effects = sorted(wanted.effects)
    sent.send("names", sql.LOCK_NAMES, *wanted.keys(schema))
    sent.send("locked", sql.LOCK_EFFECTS, effects)
    sent.send("effects", sql.EFFECTS, effects)
    sent.send("runs", sql.LOCK_RUNS, sorted(wanted.runs))
    sent.send("resources", sql.LOCK_NAMES, *wanted.resource_keys(schema))
    sent.send("leases", sql.LEASES, sorted(wanted.resources))
    sent.send("approvals", sql.LOCK_APPROVALS, sorted(wanted.approvals))
    sent.send("of_documents", sql.LOCK_NAMES, *wanted.document_keys(schema))
    sent.send("documents", sql.DOCUMENTS, [kind for kind, _ in names], [key for _, key in names])
    sent.send("facts", sql.FACTS, sorted(wanted.scopes))
    sent.send("store", sql.STORE)
    sent.send("drawn", sql.DRAW, wanted.tokens, wanted.new_runs, wanted.new_effects)


def _read(
    db: psycopg.Connection[Any], memory: Memory, changes: Sequence[Change], wanted: Wanted, sent: _Sent
) -> Held | None:
    known = memory.known
    mode, incarnation, fsync, wall_ms, high_ms, leapt_ms, steady_ms, ahead_ms, redacted = sent.rows("store")[0]
    if fsync != "on":
        raise StoreFailed(store=memory.place.name, why="fsync was turned off on the server")
    memory.redactions(redacted)
    there = sent.rows("effects")
    views, run_rows = _views(db, memory, there), sent.rows("runs")
    runs = {id_: rows.decode_run(view) for _, id_, view in run_rows}
    approvals = {id_: rows.decode_approval(view) for id_, view in sent.rows("approvals")}
    exact = Wanted(changes)
    exact.follow(views.values())
    exact.follow_last((runs.get(name) for name in exact.runs), (approvals.get(name) for name in exact.approvals))
    if not exact.within(wanted):
        known.effects.update(views)
        known.runs.update(runs)
        known.approvals.update(approvals)
        return None
    leases = {row[0]: _lease(row) for row in sent.rows("leases")}
    facts = {row[0]: as_fact(row) for row in sent.rows("facts")}
    documents = {(kind, key): decode_document(view) for kind, key, view in sent.rows("documents")}
    locked = Locked(
        effects=_each(wanted.effects, views),
        effect_n={id_: n for n, id_, _, _ in there},
        viewed=frozenset(id_ for _, id_, _, view in there if view is not None),
        runs=_each(wanted.runs, runs),
        run_n={id_: n for n, id_, _ in run_rows},
        leases=_each(wanted.resources, leases),
        approvals=_each(wanted.approvals, approvals),
        facts=_each(wanted.scopes, facts),
        documents=_each(wanted.documents, documents),
        mode=mode,
        incarnation=incarnation,
        written=wanted.names,
        documents_written=wanted.documents,
    )
    drawn = sent.rows("drawn")
    tokens, run_ns, effect_ns = drawn[0] if drawn else ([], [], [])
    time = (wall_ms, high_ms, leapt_ms, steady_ms, ahead_ms)
    memory.marked = Measure(*time[2:])
    return Held(locked, tokens, run_ns, effect_ns, memory.server_clock.risen(*time))


def _each(names: Iterable[Any], there: Mapping[Any, T]) -> dict[Any, T | None]:
    """Every name that was locked, with its record or None."""
    return {name: there.get(name) for name in names}


def _lease(row: Any) -> Lease:
    return Lease(resource=row[0], effect=row[1], holder=row[2], token=row[3], until_ms=row[4])


def _views(db: psycopg.Connection[Any], memory: Memory, there: list[Any]) -> dict[str, Effect]:
    """The records of rows (n, id, version, view): as kept at hand, or folded where the effect is at its end."""
    views: dict[str, Effect] = {}
    unfolded: dict[int, str] = {}
    for n, id_, version, view in there:
        kept = rows.decode_effect(view) if view is not None else memory.ended.get(id_)
        if kept is not None and kept.version == version:
            views[id_] = kept
        else:
            unfolded[n] = id_
    if unfolded:
        folded = folded_views(
            unfolded, db.execute(sql.FOLDED.encode(), (list(unfolded),), binary=True), lambda n: memory.text(db, n)
        )
        memory.keep(folded.values())
        views |= folded
    return views


def folded_views(wanted: dict[int, str], entries: Iterable[Any], text: Callable[[int], str]) -> dict[str, Effect]:
    """Effects at their end, folded from rows of FOLDED. Raises ChainBroken where one has no entries."""
    folded: dict[int, Effect | None] = dict.fromkeys(wanted)
    for n, kind, at_ms, by, token, body, run in list(entries):
        folded[n] = fold(
            folded[n],
            rows.decode_run(run),
            wanted[n],
            kind=text(kind),
            at_ms=at_ms,
            by=text(by),
            token=token,
            body=body,
        )
    views: dict[str, Effect] = {}
    for n, view in folded.items():
        if view is None:
            raise ChainBroken(run="", seq=0, field=wanted[n], expected="a record", found="none")
        views[wanted[n]] = view
    return views
