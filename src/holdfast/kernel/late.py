"""What is kept of a change that came too late: what a stale owner brought is evidence, and its owner is told.

Pure. The transaction that refuses a stale owner appends a ``late`` entry with both tokens and keeps the reply (DESIGN
§1.6). Promises that a late yes is evidence and a late no never is. Changes nothing that the change asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec.structs import replace

from holdfast.kernel import guard as guards
from holdfast.kernel.documents import AnyDocument, Drift, digest_of, key_of
from holdfast.kernel.documents.drift import drift_id, noted
from holdfast.kernel.errors import IllegalTransition
from holdfast.kernel.guard import Rejected
from holdfast.kernel.life import Draft, Stamp, apply
from holdfast.kernel.model import Effect, State

if TYPE_CHECKING:
    from holdfast.kernel.commit import Change

NOT_OUTSIDE = frozenset({State.FAILED, State.ABANDONED, State.REFUSED})
"""States under which nothing of this effect should be found outside: a late yes opens a drift."""

STORE_RUN_ID = "ru_store"
"""The run whose entries account for what is the store's own."""


class Line(NamedTuple):
    """One entry as the plan leaves it; the store adds sequence, salt, commitment and hash."""

    run: str
    effect: str
    kind: str
    before: str
    after: str
    at_ms: int
    by: str
    token: int
    body: dict[str, Any]


class Tables(guards.Rows, Protocol):
    """What is written of a late change."""

    def put_effect(self, effect: Effect, before: Effect | None) -> None: ...
    def put_document(self, document: AnyDocument) -> None: ...
    def append(self, line: Line) -> None: ...


def late(change: Change, current: Effect, rows: Tables, now_ms: int) -> Effect:
    """Keep what a stale owner brought: both tokens and its reply. A late yes is evidence; a late no never is."""
    reply = change.reply or {}
    body: dict[str, Any] = {"offered": change.guard.token, "current": current.token, "reply": reply}
    if reply.get("kind") == "ack" and current.state in (State.UNKNOWN, State.DISPATCHED, State.PENDING):
        body |= {"late_seen": True, "late_value": reply.get("value"), "due_ms": now_ms}
    draft = Draft(effect=current.id, kind="late", by=change.drafts[0].by if change.drafts else "", body=body)
    if current.archived:  # its run takes nothing more; the store's own run keeps what came
        told = body | {"effect": current.id, "run": current.run}
        rows.append(Line(STORE_RUN_ID, "", "late", "", "", now_ms, draft.by, 0, told))
        return current
    after = apply(current, draft, Stamp(now_ms))
    if after is None:
        raise IllegalTransition(effect=current.id, from_state=current.state.value, to_state="late")
    rows.put_effect(after, current)
    rows.append(Line(current.run, current.id, "late", "", "", now_ms, draft.by, change.guard.token or 0, body))
    if reply.get("kind") == "ack" and current.state in NOT_OUTSIDE:
        said = "a late reply says it happened"
        why: dict[str, Any] = {"effect": current.id, "class": "outside, though recorded as absent", "why": said}
        why |= {"drift": named_drift(current, "lingering", "late")}
        rows.append(Line(current.run, "", "drift", "", "", now_ms, draft.by, 0, why))  # the run's: it is no move
        opened = with_drift(why, rows, now_ms)
        assert opened is not None
        rows.put_document(opened)
        digest = {key_of(opened): digest_of(opened)}
        rows.append(Line(STORE_RUN_ID, "", "document", "", "", now_ms, draft.by, 0, {"documents": digest}))
    return after


def named_drift(view: Effect, what: str, look: str) -> dict[str, Any]:
    """What a ``drift`` entry says of the record that it opens: it is looked at again at once, by the reconciler."""
    about = {"what": what, "tool": view.tool, "environment": view.environment, "resource": view.resource}
    todo = {"owner": "runtime", "next": "look again"}
    return {"id": drift_id(view.id), **about, "of_run": view.run, "look": look, **todo}


def with_drift(body: dict[str, Any], rows: guards.Rows, now_ms: int) -> Drift | None:
    """The record that a ``drift`` entry opens, over what is known of that thing already."""
    name = body.get("drift")
    before = rows.document("drift", name["id"]) if isinstance(name, dict) else None
    opened = noted(body, before if isinstance(before, Drift) else None, now_ms)
    return replace(opened, due_ms=opened.due_ms or now_ms) if opened is not None else None


def late_driver(change: Change, no: Rejected, rows: Tables, now_ms: int) -> None:
    """Record in the run that a worker which drives it no more wanted to go on, with both tokens and holders."""
    run, token, worker = change.guard.driver
    row = rows.run(run)
    if row is None or row.archived:
        return
    job: Any = rows.document("job", run)
    said: tuple[Any, ...] = (*change.notes, *change.drafts)
    who = said[0].by if said else ""
    body: dict[str, Any] = {
        "offered": token,
        "offered_by": worker,
        "current": job.token if job is not None else 0,
        "holder": job.holder if job is not None else "",
        "refused": [line.kind for line in said],
        "why": no.why,
    }
    rows.append(Line(run, "", "late", "", "", now_ms, who, token, body))
