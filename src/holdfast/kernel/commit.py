"""What one commit does: judge the guard, fold the drafts, and name every row that changes with them.

Pure. The stores differ only in how they read and write rows; what a commit *means* is here, once: who gets a token,
which lease is taken or freed, when an approval is spent and a budget debited.

Promises: all of a change or none of it. A draft that the state table does not know is our bug and raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.kernel import guard as guards
from holdfast.kernel.amounts import Money, Spent, count_step, debit, refund, reserve, unreserve
from holdfast.kernel.archived import closed
from holdfast.kernel.authority import counted, enough, meter_of
from holdfast.kernel.documents import AnyDocument, Job, digest_of, key_of
from holdfast.kernel.errors import IllegalTransition
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.late import STORE_RUN_ID as STORE_RUN_ID  # noqa: PLC0414  # part of this face
from holdfast.kernel.late import Line as Line  # noqa: PLC0414
from holdfast.kernel.late import late, late_driver, with_drift
from holdfast.kernel.life import KINDS, LETS_GO, Draft, Stamp, apply, propose
from holdfast.kernel.limits import holds_place
from holdfast.kernel.model import Approval, Decision, Effect, Lease, Record, Run, State

NOT_YET = frozenset({State.PROPOSED, State.WAITING})
"""States from which an admission enters the window of a scope; a lease that ran out, or a resend, enters none."""

CAME_OUT = frozenset({"committed", "failed", "verified", "unconfirmed"})
"""Kinds of entry that say how an effect came out; after the deadline each says by how much it was late."""

AMENDABLE = frozenset({"deadline_ms", "policy", "priority", "assumes"})
"""What of a run may be changed after it was begun, each time with an entry that says who and why."""


class Tables(guards.Rows, Protocol):
    """Rows that can also be replaced, and the two things only a store can do: mint a token, append an entry."""

    def put_effect(self, effect: Effect, before: Effect | None) -> None: ...
    def put_run(self, run: Run) -> None: ...
    def put_lease(self, lease: Lease) -> None: ...
    def drop_lease(self, resource: str) -> None: ...
    def put_approval(self, approval: Approval) -> None: ...
    def put_fact(self, fact: Fact) -> None: ...
    def put_document(self, document: AnyDocument) -> None: ...
    def mint(self) -> int: ...
    def append(self, line: Line) -> None: ...


class Note(Record, frozen=True, kw_only=True):
    """One entry about a run that is no effect's: intent, step, item, stopped, told. The body is plain data."""

    kind: str
    by: str
    body: dict[str, Any] = {}


class Change(Record, frozen=True, kw_only=True):
    """One atomic request to the store. ``asks`` are approval requests that are recorded with it.

    ``opens`` is a run that must not exist yet; ``ends`` closes the run with (state, reason); ``facts`` are store-wide
    facts to set (halts, what is in force), each with its epoch one higher than before; ``documents`` replace those of
    the same kind and id; ``amends`` sets fields of the run, which a note of the same change must explain.
    """

    guard: Guard = Guard()
    run: str
    drafts: tuple[Draft, ...] = ()
    asks: tuple[Approval, ...] = ()
    notes: tuple[Note, ...] = ()
    opens: Run | None = None
    ends: tuple[str, str] | None = None
    facts: tuple[Fact, ...] = ()
    documents: tuple[AnyDocument, ...] = ()
    amends: tuple[tuple[str, Any], ...] = ()
    reply: dict[str, Any] | None = None  # evidence that must survive even if its owner is stale


def needs_a_sound_clock(change: Change) -> bool:
    """Whether a change rests on how much time has passed: a claim, a dispatch, or an absence that time made final.

    A claim does because nothing could leave under it: it would only run out, again and again, with an entry each time.
    """
    for draft in change.drafts:
        if draft.kind in ("claimed", "dispatched"):
            return True
        if draft.kind == "failed" and not draft.body.get("attested_by") and State.DISPATCHED not in change.guard.states:
            return True
    return False


class Applied(Record, frozen=True, kw_only=True):
    """The store's yes: the primary effect as it is now, and when."""

    effect: Effect | None
    at_ms: int


Verdict = Applied | Rejected


def plan(change: Change, rows: Tables, now_ms: int) -> Verdict:
    """Judge and carry out one change on the rows. On a rejection nothing but a ``late`` entry is written."""
    no = guards.judge(change.guard, rows, now_ms) or closed(change.run, change.drafts, rows)
    if no is not None:
        if no.part in ("token", "state") and change.reply is not None and no.effect is not None:
            return replace(no, effect=late(change, no.effect, rows, now_ms))
        if no.part == "driver":
            late_driver(change, no, rows, now_ms)
        return no
    if change.opens is not None:
        if rows.run(change.opens.id) is not None:
            return Rejected(part="exists", why=f"run {change.opens.id} is already recorded")
        rows.put_run(replace(change.opens, opened_ms=now_ms))
        runs_place(change.opens, rows, 1)
    for ask in change.asks:
        rows.put_approval(replace(ask, asked_ms=now_ms))
    primary: Effect | None = None
    for draft in change.drafts:
        view = _fold(change, draft, rows, now_ms)
        if primary is None or draft.effect == change.guard.effect:
            primary = view
    _about_the_run(change, rows, now_ms)
    return Applied(effect=primary, at_ms=now_ms)


def _about_the_run(change: Change, rows: Tables, now_ms: int) -> None:
    """Entries and rows that are no effect's: notes, the end of a run, facts in force."""
    facts = tuple(_risen(fact, rows) for fact in change.facts)
    sets = _sets(change, facts) if change.amends or change.ends is not None or facts else {}
    for note in change.notes:
        said, sets = (note.body | sets, {}) if sets else (note.body, sets)
        rows.append(Line(change.run, "", note.kind, "", "", now_ms, note.by, 0, said))
        run = rows.run(change.run) if note.kind in ("step", "no_answer") else None
        if run is not None:
            rows.put_run(asked(run, note))
    run = rows.run(change.run) if change.amends or change.ends is not None else None
    if run is not None and change.amends:
        assert change.notes, "a note says who amends a run, and why"
        assert AMENDABLE.issuperset(name for name, _ in change.amends), "only these"
        run = replace(run, **dict(change.amends))
        rows.put_run(run)
    if run is not None and change.ends is not None:
        late_ms = max(0, now_ms - run.deadline_ms) if run.deadline_ms is not None else 0
        rows.put_run(replace(run, state=change.ends[0], reason=change.ends[1], late_ms=late_ms))
        runs_place(run, rows, int(change.ends[0] == "open") - int(run.state == "open"))
    for fact in facts:
        rows.put_fact(fact)
    if sets:
        rows.append(Line(change.run, "", "sets", "", "", now_ms, _author(change), 0, sets))
    _documents(_with_its_job(_with_its_drifts(change, rows, now_ms), rows), rows, now_ms)


def _with_its_job(change: Change, rows: Tables) -> Change:
    """A run that ends takes its job along: there is no instant at which one of them is over and the other is not."""
    if change.ends is None or change.ends[0] in ("open", "blocked"):
        return change
    job = rows.document("job", change.run)
    if not isinstance(job, Job) or any(d.kind == "job" and d.id == job.id for d in change.documents):
        return change
    over = job.over(*change.ends, change.guard.driver)
    return replace(change, documents=(*change.documents, over)) if over is not None else change


def _with_its_drifts(change: Change, rows: Tables, now_ms: int) -> Change:
    """A drift that an entry tells of has its record in the very commit, whoever writes the entry."""
    named = (with_drift(note.body, rows, now_ms) for note in change.notes if note.kind == "drift")
    opened = tuple(drift for drift in named if drift is not None)
    return replace(change, documents=(*change.documents, *opened)) if opened else change


def _risen(fact: Fact, rows: Tables) -> Fact:
    before = rows.fact(fact.scope)
    return replace(fact, epoch=(before.epoch if before is not None else 0) + 1)


def _sets(change: Change, facts: tuple[Fact, ...]) -> dict[str, Any]:
    """What a change sets in rows that are not folded from entries. The first note carries it, or an entry of its own:
    named by the store and not by who asks, so that every such row can be derived from the log.
    """
    sets: dict[str, Any] = {"amends": to_builtins(dict(change.amends))} if change.amends else {}
    if change.ends is not None:
        sets["ends"] = list(change.ends)
    if facts:
        sets["facts"] = {fact.scope: to_builtins(fact) for fact in facts}
    return sets


def _documents(change: Change, rows: Tables, now_ms: int) -> None:
    """Replace documents, and name the digest of each in an entry of the run that accounts for it."""
    digests: dict[str, dict[str, str]] = {}
    for given in change.documents:
        document = given.stamped(now_ms, rows.mint)
        rows.put_document(document)
        if document.logged:
            digests.setdefault(document.run or STORE_RUN_ID, {})[key_of(document)] = digest_of(document)
    for run, named in digests.items():
        rows.append(Line(run, "", "document", "", "", now_ms, _author(change), 0, {"documents": named}))


def _author(change: Change) -> str:
    said: tuple[Note | Draft, ...] = (*change.notes, *change.drafts)
    return said[0].by if said else "runtime"


def retell(view: Effect | None, after: Effect, draft: Draft, rows: Tables, now_ms: int) -> None:
    """Do to a run and its meters what one recorded entry did to them: for whoever derives them from the log again.

    A first attempt is debited, a resend is not. Windows are not told: the limits of the commit are not in the log.
    """
    first = draft.kind == "dispatched" and not after.attempts[-1].resend
    _consequences(Guard(budget=first), draft, view, after, rows, now_ms)
    _queues(Guard(), view, after, rows, now_ms)


def asked(run: Run, note: Note) -> Run:
    """A planner was asked: what that used up counts, whether or not there was an answer; only an answer is a step."""
    cost = note.body.get("cost")
    paid = Money(**cost) if cost else None
    step = 1 if note.kind == "step" else 0
    spent = count_step(run.spent, note.body.get("tokens", 0), paid, steps=step)
    return replace(run, steps=run.steps + step, spent=spent)


def _fold(change: Change, draft: Draft, rows: Tables, now_ms: int) -> Effect:
    before = rows.effect(draft.effect)
    if draft.kind in CAME_OUT and before is not None:
        draft = _timed(draft, before, rows, now_ms)
    if draft.kind == "proposed":
        run = rows.run(change.run)
        if run is None or before is not None:
            raise IllegalTransition(effect=draft.effect, from_state=before.state if before else "", to_state="proposed")
        if run.deadline_ms is not None:  # named, for a run's deadline may be amended
            draft = replace(draft, body=draft.body | {"deadline_ms": run.deadline_ms})
        after: Effect | None = propose(run, draft, Stamp(now_ms))
    else:
        if before is None:
            raise IllegalTransition(effect=draft.effect, from_state="", to_state=draft.kind)
        token = rows.mint() if draft.body.get("holder") else 0
        after = apply(before, draft, Stamp(now_ms, token))
    if after is None:
        raise IllegalTransition(
            effect=draft.effect,
            from_state=before.state.value if before else "",
            to_state=KINDS[draft.kind][0] or draft.kind,
        )
    _consequences(change.guard, draft, before, after, rows, now_ms)
    if after.meters or (before is not None and before.meters):
        _queues(change.guard, before, after, rows, now_ms)
    rows.put_effect(after, before)
    moved = before is None or before.state is not after.state
    was, now = (before.state._value_ if moved and before else ""), (after.state._value_ if moved else "")
    rows.append(Line(after.run, after.id, draft.kind, was, now, now_ms, draft.by, after.token, draft.body))
    return after


def _timed(draft: Draft, view: Effect, rows: Tables, now_ms: int) -> Draft:
    """The entry says by how much the outcome came after the run's deadline, if it did."""
    run = rows.run(view.run)
    if view.late_ms or run is None or run.deadline_ms is None or now_ms <= run.deadline_ms:
        return draft
    return replace(draft, body=draft.body | {"late_ms": now_ms - run.deadline_ms})


def _consequences(guard: Guard, draft: Draft, before: Effect | None, after: Effect, rows: Tables, now_ms: int) -> None:
    """What a kind of entry does to the rows around its effect."""
    kind = draft.kind
    if kind in ("claimed", "taken", "dispatched") and guard.resource:
        rows.put_lease(
            Lease(
                resource=guard.resource,
                effect=after.id,
                holder=after.holder,
                token=after.token,
                until_ms=after.lease_until_ms,
            )
        )
    elif before is not None and before.token and (not after.holder and (before.holder or after.state in LETS_GO)):
        lease = rows.lease(after.resource)
        if lease is not None and lease.effect == after.id:
            rows.drop_lease(after.resource)
    _reservations(before, after, rows)
    if kind == "dispatched":
        _spend(guard, after, rows)
    elif kind == "settled" and before is not None:
        _true_up(before, after, rows)
    elif kind in ("refused", "superseded") and after.approval:
        approval = rows.approval(after.approval)
        if approval is not None and approval.state in ("open", "granted"):
            rows.put_approval(replace(approval, state="revoked" if kind == "refused" else "void"))
    elif kind in ("granted", "declined", "revoked"):
        _decide(draft, after, rows, now_ms)


def _account(view: Effect, rows: Tables, move: Callable[[Spent, Money | None], Spent]) -> None:
    """Move one effect's cost in its run, in every grant it came under, and in every scope in which it counts."""
    run = rows.run(view.run)
    if run is not None:
        rows.put_run(replace(run, spent=move(run.spent, view.cost)))
    for scope in counted_in(view):
        meter = meter_of(rows, scope)
        rows.put_document(replace(meter, spent=move(meter.spent, view.cost)))


def counted_in(view: Effect) -> tuple[str, ...]:
    """The scopes beside its run in which an effect's cost counts: the grants that it came under, and its meters."""
    return (*(f"grant:{grant}" for grant in view.grants), *view.meters)


def _reservations(before: Effect | None, after: Effect, rows: Tables) -> None:
    """An effect that waits holds its cost in its run, its grants and its scopes; it takes it along when they change."""
    held = before is not None and before.reserved
    if before is not None and held and after.reserved:
        moved = [(unreserve, scope) for scope in before.meters if scope not in after.meters]
        moved += [(reserve, scope) for scope in after.meters if scope not in before.meters]
        for move, scope in moved:
            meter = meter_of(rows, scope)
            rows.put_document(replace(meter, spent=move(meter.spent, after.cost)))
    elif after.reserved:
        _account(after, rows, reserve)
    elif before is not None and held:
        _account(before, rows, unreserve)


def _queues(guard: Guard, before: Effect | None, after: Effect, rows: Tables, now_ms: int) -> None:
    """An effect takes a place when it begins to wait or is admitted, and leaves it when it stops waiting, or when its
    outcome is known or known to be unknown. It enters a window once, when it is admitted.
    """
    joined = before.meters if before is not None else ()
    windows = {limit.scope: limit.window_ms for limit in guard.limits}
    enters = before is not None and before.state in NOT_YET and after.state is State.ADMITTED
    for scope in dict.fromkeys((*joined, *after.meters)):
        was = before is not None and scope in joined and holds_place(scope, before.state)
        step = int(scope in after.meters and holds_place(scope, after.state)) - int(was)
        if not step:
            continue
        meter = meter_of(rows, scope)
        since_ms, used = meter.since_ms, meter.used
        if step > 0 and enters:
            over = now_ms >= since_ms + windows.get(scope, 0)
            since_ms, used = (now_ms, 1) if over else (since_ms, used + 1)
        rows.put_document(replace(meter, open=max(0, meter.open + step), since_ms=since_ms, used=used))


def runs_place(run: Run, rows: Tables, step: int) -> None:
    """A run takes a place in its scopes while it is open."""
    for scope in run.meters if step else ():
        meter = meter_of(rows, scope)
        rows.put_document(replace(meter, open=max(0, meter.open + step)))


def _spend(guard: Guard, after: Effect, rows: Tables) -> None:
    """A dispatch spends its approval and debits the budget; a resend of the same effect spends neither again."""
    attempt = after.attempts[-1]
    if guard.approval:
        approval = rows.approval(guard.approval)
        if approval is not None:
            rows.put_approval(replace(approval, state="spent", spent_by=attempt.id))
    if guard.budget:
        _account(after, rows, debit)


def _true_up(before: Effect, after: Effect, rows: Tables) -> None:
    """A proved absence gives the money back; nothing else does."""
    if before.unsettled.startswith("refund"):
        _account(after, rows, refund)


def _decide(draft: Draft, after: Effect, rows: Tables, now_ms: int) -> None:
    """A person's signed answer joins the request; whether it is enough is judged over the keys as they are now."""
    approval = rows.approval(after.approval)
    if approval is None:
        return
    if draft.kind == "revoked":
        rows.put_approval(replace(approval, state="revoked", revoked_by=draft.by))
        return
    decision = msgspec.convert(draft.body["decision"], Decision)
    decided = replace(approval, decisions=(*approval.decisions, replace(decision, at_ms=now_ms)))
    met = decision.yes and enough(decided, counted(decided, rows, now_ms))
    state = "granted" if met else "open" if decision.yes else "refused"
    rows.put_approval(replace(decided, state=state))
