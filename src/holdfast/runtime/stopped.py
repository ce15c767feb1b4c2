"""The record of a stop: each open effect with what is known and what is not, leases, requests, the budget, what helps.

Pure over the run and its effects as they are on disk. Promises that each open effect is in it, that *known* and *not
known* say no more than the record does, and that each line of *unblocks* is a command that can be typed as it stands
(but for NAME and the reason). Does not promise that a command will be allowed: it is checked when it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from holdfast.kernel.due import is_open
from holdfast.kernel.model import BEFORE_DISPATCH, Approval, Contract, Effect, Run, State
from holdfast.runtime import owed
from holdfast.runtime.stops import LASTING, Ground, Stop

WHY = '--as NAME --reason "…"'


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was open when the run stopped."""

    effect: str
    tool: str
    resource: str
    state: str
    known: str
    unknown: str
    unblocks: tuple[str, ...]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that was held when the run stopped; it ends by itself at ``until_ms``."""

    effect: str
    resource: str
    holder: str
    token: int
    until_ms: int


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a human that was open when the run stopped."""

    request: str
    effect: str
    group: str
    until_ms: int


class StopRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a run that was stopped leaves behind. ``left`` is what its budget still has, by part."""

    open: tuple[Open, ...] = ()
    leases: tuple[Held, ...] = ()
    requests: tuple[Asked, ...] = ()
    left: dict[str, int] = {}
    unblocks: tuple[str, ...] = ()


def record_of(
    run: Run,
    effects: Iterable[Effect],
    stop: Stop,
    now_ms: int,
    *,
    contracts: Mapping[str, Contract],
    approvals: Mapping[str, Approval],
    halt: str = "",
) -> StopRecord:
    """What there is to say at this instant. ``halt`` is the scope of the halt that covers the run, if one does."""
    views = list(effects)
    open_now = [view for view in views if is_open(view) or view.id == stop.effect]
    waiting = (view.approval for view in open_now if view.state is State.WAITING)
    asked = [approval for name in waiting if (approval := approvals.get(name)) is not None]
    return StopRecord(
        open=tuple(_open(view, contracts.get(view.tool)) for view in open_now),
        leases=tuple(
            Held(
                effect=view.id,
                resource=view.resource,
                holder=view.holder,
                token=view.token,
                until_ms=view.lease_until_ms,
            )
            for view in views
            if view.holder and now_ms <= view.lease_until_ms
        ),
        requests=tuple(
            Asked(request=a.id, effect=a.effect, group=a.group or "any approver", until_ms=a.expires_ms) for a in asked
        ),
        left=left_of(run, now_ms),
        unblocks=unblocks(run, stop, next((v for v in views if v.id == stop.effect), None), contracts, halt),
    )


def left_of(run: Run, now_ms: int) -> dict[str, int]:
    """What is left of each part that is bounded; what is held for waiting effects is not left."""
    limit, spent = run.budget, run.spent
    left: dict[str, int] = {}
    if limit.steps is not None:
        left["steps"] = max(0, limit.steps - run.steps)
    if limit.tokens is not None:
        left["tokens"] = max(0, limit.tokens - spent.tokens)
    if limit.effects is not None:
        left["effects"] = max(0, limit.effects - spent.effects - spent.reserved_effects)
    if limit.cost is not None:
        used = dict(spent.cost).get(limit.cost.currency, 0) + dict(spent.reserved_cost).get(limit.cost.currency, 0)
        left[f"minor units of {limit.cost.currency}"] = max(0, limit.cost.minor - used)
    if run.deadline_ms is not None:
        left["time_ms"] = max(0, run.deadline_ms - now_ms)
    return left


def _open(view: Effect, contract: Contract | None) -> Open:
    known, unknown = _told(view)
    return Open(
        effect=view.id,
        tool=view.tool,
        resource=view.resource,
        state=view.state.value,
        known=known,
        unknown=unknown,
        unblocks=moves(view, contract),
    )


def _told(view: Effect) -> tuple[str, str]:
    """What is known of an open effect, and what is not."""
    if view.state in BEFORE_DISPATCH:
        reason = f"; {view.reason}" if view.reason else ""
        return f"nothing has left for the outside{reason}", "whether it would still be allowed: it is decided anew"
    if not view.attempts:
        return f"it is {view.state.value}: {view.reason or view.cause or 'nothing was sent'}", "nothing"
    last = view.attempts[-1]
    sent = f"attempt {last.number} was committed at {last.at_ms} under token {last.token}"
    if view.state in (State.UNKNOWN, State.DISPATCHED):
        doubt = view.cause or "no outcome is recorded yet"
        return f"{sent}; {doubt}; probed {view.probes} times", f"whether {view.resource} was changed"
    if view.state is State.PENDING:
        return f"{sent}; the outside took it on as {view.operation}", f"whether {view.resource} was changed yet"
    if view.state is State.UNCONFIRMED:
        return f"{sent} and acknowledged; a read said: {view.differs or 'cannot tell'}", "what changed it, and when"
    if view.next == "verify":
        return f"{sent} and {view.basis or 'acknowledged'}", "whether an independent read agrees"
    return f"{sent}; it is {view.state.value}", f"what is left to do: {view.unsettled or view.next or 'nothing'}"


def moves(view: Effect, contract: Contract | None) -> tuple[str, ...]:
    """The commands that move an open effect, the most informative first."""
    name = view.id
    if view.state is State.WAITING and view.approval:
        return (f"holdfast approve {view.approval} --as NAME", f"holdfast refuse {view.approval} {WHY}")
    if view.state in BEFORE_DISPATCH:
        return (f"holdfast run resume {view.run}",)
    if view.state in (State.UNKNOWN, State.PENDING, State.DISPATCHED):
        said = tuple(f"holdfast effect attest {name} {what} {WHY}" for what in ("--happened", "--did-not-happen"))
        can_ask = contract is None or contract.reconcilable
        return (f"holdfast effect reconcile {name}", *said) if can_ask else said
    return (f"holdfast effect show {name}",)


def unblocks(
    run: Run, stop: Stop, view: Effect | None, contracts: Mapping[str, Contract], halt: str = ""
) -> tuple[str, ...]:
    """What would let the run go on, for the ground on which it was stopped."""
    resume = f"holdfast run resume {run.id}"
    if stop.code is Ground.HALT:
        return (f"holdfast halt lift {halt or 'SCOPE'} {WHY}", resume)
    if stop.code is Ground.TIME:
        return (f"holdfast run extend {run.id} DURATION {WHY}", resume)
    if stop.code in LASTING:
        return (f"holdfast run unblock {run.id} {WHY}", resume)
    if stop.code in (Ground.STEPS, Ground.TOKENS, Ground.EFFECTS, Ground.COST):
        return (
            f"holdfast run cancel {run.id} {WHY}",
            "a new intent, with a purpose and a budget of its own",
        )
    if stop.code is Ground.OWED:
        return (*owed.moves(stop.about), resume)
    if view is not None and stop.code in (Ground.AMBIGUOUS, Ground.VERIFICATION):
        return (*moves(view, contracts.get(view.tool)), resume)
    return (resume,)


def as_body(stop: Stop, record: StopRecord) -> dict[str, Any]:
    """What an entry keeps of a stop."""
    body: dict[str, Any] = msgspec.to_builtins(record)
    about = {"about": stop.about} if stop.about else {}
    return {"code": stop.code.value, "effect": stop.effect} | about | body
