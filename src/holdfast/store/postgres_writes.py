"""What a planned batch writes to PostgreSQL: one array insert or update for each kind of row.

Decides the order of writing: rows that may be new first, so that two who add the same one meet there.
Promises that an update replaces exactly the row that was planned on, or the whole transaction is undone.
Under the locks that were taken it always does: this, and the database's triggers, are the second line and not
the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.kernel.documents import encode
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import OurBug
from holdfast.kernel.model import Effect
from holdfast.store import postgres_sql as sql
from holdfast.store.postgres_rows import Locked, columns, entry_row, text
from holdfast.store.unit import Unit

if TYPE_CHECKING:
    import psycopg


def write(db: psycopg.Connection[Any], unit: Unit, locked: Locked) -> None:
    """Write every row of the batch in one round trip, then check what was replaced. Raises OurBug."""
    with db.pipeline():
        sent = [
            *_runs(db, unit, locked),
            *_effects(db, unit, locked),
            *_entries(db, unit),
            *_leases(db, unit, locked),
            *_approvals(db, unit, locked),
            *_facts(db, unit),
            *_documents(db, unit),
        ]
    for cursor, count in sent:
        if cursor.rowcount != count:
            what = f"{count - cursor.rowcount} of {count} locked rows were not as planned"
            raise OurBug(where="the PostgreSQL store", what=what)


Sent = list[tuple[Any, int]]


def _send(db: psycopg.Connection[Any], statement: str, given: list[tuple[Any, ...]]) -> Sent:
    """Queue one statement for all its rows; none for no rows."""
    if not given:
        return []
    arrays: list[Any] = columns(given, len(given[0]))
    return [(db.execute(statement.encode(), arrays), len(given))]


def _runs(db: psycopg.Connection[Any], unit: Unit, locked: Locked) -> Sent:
    added: list[tuple[Any, ...]] = []
    moved: list[tuple[Any, ...]] = []
    for name in sorted(unit.dirty_runs):
        run, was = unit.run(name), locked.runs[name]
        assert run is not None, "a run is never taken away"
        if was is None:
            added.append((run.id, run.tenant, run.intent, run.state, run.seq, run.head, text(run)))
        else:
            moved.append((run.id, was.seq, run.state, run.seq, run.head, text(run)))
    return _send(db, sql.ADD_RUNS, added) + _send(db, sql.MOVE_RUNS, moved)


def _entries(db: psycopg.Connection[Any], unit: Unit) -> Sent:
    bodies = [(bytes.fromhex(entry.commitment), entry.salt, entry.body) for entry in unit.entries]
    added = [entry_row(entry) for entry in unit.entries]
    return _send(db, sql.ADD_ENTRIES, added) + _send(db, sql.ADD_BODIES, bodies)


def _effects(db: psycopg.Connection[Any], unit: Unit, locked: Locked) -> Sent:
    added: list[tuple[Any, ...]] = []
    moved: list[tuple[Any, ...]] = []
    for name in sorted(unit.dirty_effects):
        view, was = unit.effect(name), locked.effects[name]
        assert view is not None, "an effect is never taken away"
        folded = _folded(view)
        if was is None:
            identity = (
                view.id,
                view.tenant,
                view.run,
                view.identity,
                view.generation,
                view.tool,
                view.resource,
            )
            added.append((*identity, *folded))
        else:
            moved.append((view.id, was.version, was.token, *folded))
    return _send(db, sql.ADD_EFFECTS, added) + _send(db, sql.MOVE_EFFECTS, moved)


def _folded(view: Effect) -> tuple[Any, ...]:
    return (view.state.value, view.version, view.token, is_open(view), view.due_ms, text(view))


def _leases(db: psycopg.Connection[Any], unit: Unit, locked: Locked) -> Sent:
    taken: list[tuple[Any, ...]] = []
    freed: list[tuple[Any, ...]] = []
    for resource in sorted(unit.dirty_leases):
        lease, (was, last_token) = unit.lease(resource), locked.leases[resource]
        if lease is not None:
            taken.append((resource, last_token, lease.effect, lease.holder, lease.token, lease.until_ms))
        elif was is not None:
            freed.append((resource, last_token))
    return _send(db, sql.TAKE_LEASES, taken) + _send(db, sql.FREE_LEASES, freed)


def _approvals(db: psycopg.Connection[Any], unit: Unit, locked: Locked) -> Sent:
    added: list[tuple[Any, ...]] = []
    moved: list[tuple[Any, ...]] = []
    for name in sorted(unit.dirty_approvals):
        approval, was = unit.approval(name), locked.approvals[name]
        assert approval is not None, "an approval is never taken away"
        if was is None:
            added.append((approval.id, approval.effect, approval.state, text(approval)))
        else:
            moved.append((approval.id, was.state, approval.state, text(approval)))
    return _send(db, sql.ADD_APPROVALS, added) + _send(db, sql.MOVE_APPROVALS, moved)


def _facts(db: psycopg.Connection[Any], unit: Unit) -> Sent:
    put: list[tuple[Any, ...]] = []
    for scope in sorted(unit.dirty_facts):
        fact = unit.fact(scope)
        assert fact is not None, "a fact is never taken away"
        put.append((scope, fact.epoch, fact.raised, fact.value, fact.by, fact.reason, unit.now_ms))
    return _send(db, sql.PUT_FACTS, put)


def _documents(db: psycopg.Connection[Any], unit: Unit) -> Sent:
    put: list[tuple[Any, ...]] = []
    for kind, key in sorted(unit.dirty_documents):
        document = unit.document(kind, key)
        assert document is not None, "a document is never taken away"
        put.append((kind, key, document.run, encode(document).decode()))
    return _send(db, sql.PUT_DOCUMENTS, put)
