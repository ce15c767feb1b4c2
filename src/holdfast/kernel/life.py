"""The life of an effect as data: the state table, the kinds of entry, and the one reducer that folds them.

Every store, in memory or in a database, obeys :func:`apply` and :data:`MOVES`; a database repeats the table in its
triggers. A move that is not in the table does not exist: :func:`apply` answers None and the store refuses.

Does not decide *whether* a legal move may happen now: that is the guard's part (:mod:`holdfast.kernel.guard`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.amounts import Money
from holdfast.kernel.model import Attempt, Effect, EffectClass, Record, Run, State

VERBS = ("admit", "claim", "dispatch", "observe", "reconcile", "settle", "verify")

S = State


class Move(NamedTuple):
    """One legal transition, the verb that makes it, and its condition in words."""

    before: State | None
    after: State
    verb: str
    only_if: str


MOVES: tuple[Move, ...] = (
    Move(None, S.PROPOSED, "admit", "the planner's call is recorded under a run and an intent"),
    Move(None, S.PROPOSED, "settle", "next generation of a superseded, refused or failed effect, linked to it"),
    Move(S.PROPOSED, S.REFUSED, "admit", "policy, grant, context, budget, deadline or admission says no"),
    Move(S.PROPOSED, S.WAITING, "admit", "policy says ask, or admission says schedule"),
    Move(S.PROPOSED, S.ADMITTED, "admit", "allowed"),
    Move(S.WAITING, S.ADMITTED, "admit", "the quorum of valid approvals is there"),
    Move(S.PROPOSED, S.SUPERSEDED, "admit", "a material argument changed"),
    Move(S.WAITING, S.SUPERSEDED, "admit", "a material argument changed: the approval is void"),
    Move(S.ADMITTED, S.SUPERSEDED, "admit", "a material argument changed"),
    Move(S.CLAIMED, S.SUPERSEDED, "admit", "a material argument changed before anything left"),
    Move(S.WAITING, S.REFUSED, "admit", "refused, expired, revoked, stopped, or past the deadline"),
    Move(S.ADMITTED, S.REFUSED, "dispatch", "expired, revoked, stopped, past the deadline, or a re-check failed"),
    Move(S.CLAIMED, S.REFUSED, "dispatch", "expired, revoked, stopped, past the deadline, or a re-check failed"),
    Move(S.ADMITTED, S.CLAIMED, "claim", "exclusive lease on effect and resource, token = next of one sequence"),
    Move(S.CLAIMED, S.ADMITTED, "claim", "the lease ran out before anything left"),
    Move(S.CLAIMED, S.DISPATCHED, "dispatch", "one durable commit whose preconditions all hold"),
    Move(S.DISPATCHED, S.COMMITTED, "observe", "the outside acknowledged"),
    Move(S.DISPATCHED, S.FAILED, "observe", "proved absent, or the request provably never left"),
    Move(S.DISPATCHED, S.PENDING, "observe", "the outside accepted a long operation and gave an id to ask about"),
    Move(S.DISPATCHED, S.UNKNOWN, "observe", "every doubt"),
    Move(S.PENDING, S.UNKNOWN, "observe", "every doubt"),
    Move(S.UNKNOWN, S.COMMITTED, "reconcile", "a probe found it, a late reply said so, or a human attests it"),
    Move(S.UNKNOWN, S.FAILED, "reconcile", "a final absence, or a human attests it"),
    Move(S.PENDING, S.COMMITTED, "reconcile", "the operation is done"),
    Move(S.PENDING, S.FAILED, "reconcile", "the operation was declined, finally"),
    Move(S.UNKNOWN, S.DISPATCHED, "reconcile", "keyed, window open, new token, re-checked"),
    Move(S.UNKNOWN, S.ABANDONED, "reconcile", "a named human, with a reason"),
    Move(S.COMMITTED, S.VERIFIED, "verify", "an independent read holds"),
    Move(S.COMMITTED, S.UNCONFIRMED, "verify", "it differs, or could not tell within its bound"),
    Move(S.UNCONFIRMED, S.VERIFIED, "verify", "a later read, the same or stronger, holds"),
    Move(S.COMMITTED, S.COMPENSATED, "settle", "an effect that offsets it is itself committed"),
    Move(S.VERIFIED, S.COMPENSATED, "settle", "an effect that offsets it is itself committed"),
    Move(S.UNCONFIRMED, S.COMPENSATED, "settle", "an effect that offsets it is itself committed"),
)

LEGAL: frozenset[tuple[State | None, State]] = frozenset((m.before, m.after) for m in MOVES)

OWNERSHIP = ("holder", "lease_until_ms")
DECISION = ("answer", "rules", "reason", "policy", "approval", "fingerprint")
TODO = ("owner", "next", "due_ms")
ROOM = ("meters", "admission", "schedulings")
LISTS = frozenset({"rules", "meters"})

KINDS: dict[str, tuple[State | None, tuple[str, ...]]] = {
    # kind of entry: (state it leads to; None keeps the state), fields its body may set
    "refused": (S.REFUSED, (*DECISION, "unsettled", "admission", *TODO)),
    "waiting": (S.WAITING, (*DECISION, *ROOM, *TODO)),
    "admitted": (S.ADMITTED, (*DECISION, *ROOM, *TODO)),
    "superseded": (S.SUPERSEDED, ("reason", "successor")),
    "claimed": (S.CLAIMED, OWNERSHIP),
    "released": (S.ADMITTED, ("cause",)),
    "dispatched": (S.DISPATCHED, (*OWNERSHIP, "fingerprint", "cause", *TODO)),
    "committed": (
        S.COMMITTED,
        ("value", "basis", "attested_by", "cost", "unsettled", "reason", "late_ms", "item", *TODO),
    ),
    "failed": (S.FAILED, ("cause", "basis", "attested_by", "unsettled", "reason", "late_ms", *TODO)),
    "pending": (S.PENDING, ("operation", *TODO)),
    "unknown": (S.UNKNOWN, (*OWNERSHIP, "cause", "dead_since_ms", *TODO)),
    "abandoned": (S.ABANDONED, ("attested_by", "reason")),
    "verified": (S.VERIFIED, ("verified_ms", "basis", "differs", "late_ms", *TODO)),
    "unconfirmed": (S.UNCONFIRMED, ("differs", "late_ms", *TODO)),
    "compensated": (S.COMPENSATED, ("compensated_by",)),
    # notes: they leave the state alone
    "scheduled": (None, ("admission", "schedulings", *TODO)),
    "granted": (None, ("quorum_met", *TODO)),
    "declined": (None, ("declined", "reason", *TODO)),
    "revoked": (None, ("declined", "reason", *TODO)),
    "taken": (None, (*OWNERSHIP, "dead_since_ms")),
    "probed": (None, ("probes", "cause", "dead_since_ms", "absent_ms", *TODO)),
    "checked": (None, ("verifies", "differs", *TODO)),
    "escalated": (None, ("escalated", *TODO)),
    "late": (None, ("late_value", "late_seen", "due_ms")),
    "settled": (None, ("unsettled", "successor")),
}

LETS_GO = frozenset(
    {S.REFUSED, S.SUPERSEDED, S.FAILED, S.ABANDONED, S.VERIFIED, S.UNCONFIRMED, S.COMPENSATED, S.ADMITTED}
)
"""States whose arrival frees the lease. COMMITTED frees it too where no verification is to follow (``basis`` says)."""

GIVES_BACK = frozenset({S.DISPATCHED, S.REFUSED, S.SUPERSEDED})
"""States whose arrival ends the reservation that an effect holds in its run's budget and wherever it counts."""

ENDS_TODO = frozenset({S.REFUSED, S.SUPERSEDED, S.FAILED, S.ABANDONED, S.VERIFIED, S.COMPENSATED, S.COMMITTED})


class How(NamedTuple):
    """What :func:`apply` asks of a kind, looked up once: hashing an enum's members costs more than a whole move."""

    to: State | None
    settable: frozenset[str]
    before: tuple[State | None, ...]
    lets_go: bool
    ends_todo: bool


HOW: dict[str, How] = {
    kind: How(
        to=to,
        settable=frozenset(settable),
        before=tuple(move.before for move in MOVES if move.after is to),
        lets_go=to in LETS_GO,
        ends_todo=to in ENDS_TODO,
    )
    for kind, (to, settable) in KINDS.items()
}


class Draft(Record, frozen=True, kw_only=True):
    """What a verb asks the store to record about one effect: the kind of entry and the fields it sets."""

    effect: str
    kind: str
    by: str
    body: dict[str, Any] = {}


class Stamp(NamedTuple):
    """What the store adds: its own time, and the token it minted (0: none)."""

    at_ms: int
    token: int = 0


def propose(run: Run, draft: Draft, stamp: Stamp) -> Effect:
    """The first record of an effect, from its entry and its run. Scope, tenant and purpose are the run's, always."""
    body = draft.body
    cost = body.get("cost")
    return Effect(
        id=draft.effect,
        tenant=run.tenant,
        environment=run.environment,
        run=run.id,
        purpose=run.purpose,
        principal=run.principal.name,
        tool=body["tool"],
        contract=body["contract"],
        effect_class=EffectClass(body["effect_class"]),
        key=body["key"],
        identity=body["identity"],
        generation=body["generation"],
        args=body["args"],
        args_digest=body["args_digest"],
        resource=body["resource"],
        cost=Money(**cost) if cost else None,
        cites=tuple(body.get("cites", ())),
        grants=(*run.grants, *body.get("grants", ())),
        risk=body.get("risk", ""),
        parent=body.get("parent", ""),
        previous=body.get("previous", ""),
        tries=body.get("tries", 0),
        compensates=body.get("compensates", ""),
        deadline_ms=body.get("deadline_ms", run.deadline_ms),
        version=1,
        proposed_ms=stamp.at_ms,
        moved_ms=stamp.at_ms,
    )


def apply(view: Effect, draft: Draft, stamp: Stamp) -> Effect | None:
    """Fold one entry into the record. None: the table has no such move, or the body sets what its kind may not."""
    how = HOW[draft.kind]
    to, settable = how.to, how.settable
    changes: dict[str, Any] = {"version": view.version + 1}
    for name, value in draft.body.items():
        if name in settable:
            changes[name] = tuple(value) if name in LISTS else value
        elif name not in CARRIED:
            return None
    if to is not None:
        if view.state not in how.before:
            return None
        changes["state"] = to
        changes["moved_ms"] = stamp.at_ms
        if how.lets_go or (to is S.COMMITTED and "due_ms" not in changes):
            changes["holder"], changes["lease_until_ms"] = "", 0
        if how.ends_todo and "due_ms" not in changes:
            changes["owner"], changes["next"], changes["due_ms"] = "", "", 0
        _arrive(view, to, draft, stamp, changes)
    for ground in ("dead_since_ms", "absent_ms"):
        if changes.get(ground):
            # Counted from its recording: the worker may have been paused after it read the time it sends along.
            changes[ground] = stamp.at_ms
    if draft.kind == "escalated":
        changes["holder"], changes["lease_until_ms"] = "", 0
    if "cost" in changes and isinstance(changes["cost"], dict):
        changes["cost"] = Money(**changes["cost"])
    if stamp.token:
        changes["token"] = stamp.token
    return msgspec.structs.replace(view, **changes)


def _arrive(view: Effect, to: State, draft: Draft, stamp: Stamp, changes: dict[str, Any]) -> None:
    """What the arrival in a state changes besides the fields that its entry sets."""
    if to is S.WAITING or (to is S.ADMITTED and changes.get("meters")):
        changes["reserved"] = True  # what counts somewhere holds its cost there until it is sent
    elif view.reserved and to in GIVES_BACK:
        changes["reserved"] = False
    if to is S.COMMITTED:
        changes["cause"] = ""  # the doubt is over; the entry that raised it stays in the log
        if view.compensates:
            changes["unsettled"] = "compensates"
    elif to is S.DISPATCHED:
        new = Attempt(**draft.body["attempt"], token=stamp.token or view.token, at_ms=stamp.at_ms)
        changes["attempts"] = (*view.attempts, new)
        changes["resends"] = view.resends + (1 if new.resend else 0)
        changes["dead_since_ms"] = changes["absent_ms"] = 0  # a new attempt may still land: grounds start over


CARRIED = frozenset(
    {
        "attempt",
        "evidence",
        "request",
        "who",
        "digest",
        "inputs",
        "offered",
        "current",
        "reply",
        "note",
        "age_ms",
        "decision",
        "admission",
        "instead",
        "stop",
    }
)
"""Names a body may carry as evidence without setting a field of the record."""
