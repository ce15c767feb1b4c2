"""The first half of a transaction on PostgreSQL: everything that its changes may look at is locked, then read.

Promises that each row was read by a statement which began after its lock was had, that the store's time is read and
its tokens are drawn behind all locks, and that nothing is answered while anything that counts is not locked: where
what was read names more than what was locked, it says so and the transaction begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from holdfast.kernel.commit import Change
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.errors import ChainBroken, StoreFailed
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store import postgres_sql as sql
from holdfast.store import rows
from holdfast.store.clock import Measure
from holdfast.store.folding import fold
from holdfast.store.postgres_calls import Call, called
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
    calls: list[Call] = [(sql.BEGIN, ())] if begin else []
    calls.append((sql.HOLD, (_asked(wanted, memory.place.schema),)))
    memory.statements += len(calls)
    said = called(db, calls)[-1].get_value(0, 0)
    return _read(db, memory, changes, wanted, _decode(said))


class There(msgspec.Struct, array_like=True):
    """What the server holds for us; None where it was not asked or there is nothing."""

    effects: list[tuple[int, str, int, Effect | None]] | None
    runs: list[tuple[int, str, Run]] | None
    leases: list[tuple[str, str, str, int, int]] | None
    approvals: list[tuple[str, Approval]] | None
    documents: list[tuple[str, str, AnyDocument]] | None
    facts: list[tuple[str, int, int, str, str, str]] | None
    store: tuple[str, int, str, int, int, int, int, int, int]
    drawn: tuple[list[int], list[int], list[int]]


_decode = msgspec.json.Decoder(There).decode


def _asked(wanted: Wanted, schema: str) -> bytes:
    """In the one order that all transactions keep."""
    return rows.encode(
        {
            "names": list(zip(*wanted.keys(schema), strict=True)),
            "effects": sorted(wanted.effects),
            "runs": sorted(wanted.runs),
            "resources": list(zip(*wanted.resource_keys(schema), strict=True)),
            "leases": sorted(wanted.resources),
            "approvals": sorted(wanted.approvals),
            "of_documents": list(zip(*wanted.document_keys(schema), strict=True)),
            "documents": sorted(wanted.documents),
            "scopes": sorted(wanted.scopes),
            "draw": (wanted.tokens, wanted.new_runs, wanted.new_effects),
        }
    )


def _read(
    db: psycopg.Connection[Any], memory: Memory, changes: Sequence[Change], wanted: Wanted, there: There
) -> Held | None:
    known = memory.known
    mode, incarnation, fsync, wall_ms, high_ms, leapt_ms, steady_ms, ahead_ms, redacted = there.store
    if fsync != "on":
        raise StoreFailed(store=memory.place.name, why="fsync was turned off on the server")
    memory.redactions(redacted)
    memory.stands = (mode, incarnation)
    effect_rows, run_rows = there.effects or (), there.runs or ()
    views = _views(db, memory, effect_rows)
    runs = {id_: view for _, id_, view in run_rows}
    approvals = dict(there.approvals or ())
    exact = Wanted(changes)
    exact.follow(views.values())
    exact.follow_last((runs.get(name) for name in exact.runs), (approvals.get(name) for name in exact.approvals))
    if not exact.within(wanted):
        known.effects.update(views)
        known.runs.update(runs)
        known.approvals.update(approvals)
        return None
    locked = Locked(
        effects=_each(wanted.effects, views),
        effect_n={id_: n for n, id_, _, _ in effect_rows},
        viewed=frozenset(id_ for _, id_, _, view in effect_rows if view is not None),
        runs=_each(wanted.runs, runs),
        run_n={id_: n for n, id_, _ in run_rows},
        leases=_each(wanted.resources, {row[0]: _lease(row) for row in there.leases or ()}),
        approvals=_each(wanted.approvals, approvals),
        facts=_each(wanted.scopes, {row[0]: as_fact(row) for row in there.facts or ()}),
        documents=_each(wanted.documents, {(kind, key): found for kind, key, found in there.documents or ()}),
        mode=mode,
        incarnation=incarnation,
        written=wanted.names,
        documents_written=wanted.documents,
    )
    time = (wall_ms, high_ms, leapt_ms, steady_ms, ahead_ms)
    memory.marked = Measure(*time[2:])
    return Held(locked, *there.drawn, memory.server_clock.risen(*time))


def _each(names: Iterable[Any], there: Mapping[Any, T]) -> dict[Any, T | None]:
    """Every name that was locked, with its record or None."""
    return {name: there.get(name) for name in names}


def _lease(row: Any) -> Lease:
    return Lease(resource=row[0], effect=row[1], holder=row[2], token=row[3], until_ms=row[4])


def _views(db: psycopg.Connection[Any], memory: Memory, there: Iterable[Any]) -> dict[str, Effect]:
    """The records of rows (n, id, version, view): as kept at hand, or folded where the effect is at its end."""
    views: dict[str, Effect] = {}
    unfolded: dict[int, str] = {}
    for n, id_, version, view in there:
        kept = view if view is not None else memory.ended.get(id_)
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
