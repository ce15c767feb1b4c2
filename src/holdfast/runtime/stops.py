"""When a run stops: ten grounds that the runtime judges and the planner has no say in.

Pure over what was recorded: the run, its effects, the entries folded into a :class:`Course`, the halts over it.
Promises that the same records give the same stop in any process, and that a stop names its ground by a code.
Does not promise that a stop is in time for what has left: that is reconciled, and the record of the stop lists it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from holdfast.kernel.canon import encode
from holdfast.kernel.deadlines import too_late
from holdfast.kernel.documents import AnyDocument, Item
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Contract, Effect, Run, State
from holdfast.kernel.outcomes import Outcome, Refused, Stopped, Unknown
from holdfast.runtime.view import Noted


class Ground(StrEnum):
    """Why a run was stopped, as machines read it."""

    HALT = "human-halt"  # a halt covers the run, its tenant, its principal, the tool it needs, or everything
    ASSUMPTION = "invalid-assumption"  # something the run rests on no longer holds
    APPROVAL = "expired-approval"  # nobody approved in time
    AMBIGUOUS = "ambiguous-result"  # an unknown outcome that the rest of the work must not pass
    VERIFICATION = "failed-verification"  # an independent read differs, or could not tell within its bound
    SCOPE = "scope-exit"  # calls outside of what was granted, again and again
    STEPS = "spent-steps"
    EFFECTS = "spent-effects"
    TOKENS = "spent-tokens"
    COST = "spent-cost"
    TIME = "spent-time"
    REPETITION = "repetition"  # the same call with the same answer, again and again
    NO_PROGRESS = "no-progress"  # steps after which nothing is other than before
    LEASE = "lost-lease"  # another worker holds what this drive was carrying
    NOTHING = "nothing-took-place"  # done was claimed, and every effect was refused or failed
    OWED = "not-as-desired"  # done was claimed, and a drift of the run is open, or a saga of it is unfinished
    NO_ANSWER = "no-answer"  # the planner cannot be had
    TURNS = "turns-used-up"  # as many answers were taken as whoever drives allowed this time
    STORE = "not-now"  # the store, or this process, dispatches nothing now


LASTING = frozenset({Ground.SCOPE, Ground.REPETITION, Ground.NO_PROGRESS})
"""Grounds that do not go away by themselves: a named human says that the run may go on (``holdfast run unblock``)."""

ELSEWHERE = frozenset({Ground.LEASE, Ground.STORE})
"""Grounds that end this drive and not the run: another worker, or this one later, may well go on with it."""

PASSABLE = frozenset({Ground.APPROVAL, Ground.VERIFICATION})
"""Grounds on one effect that a named human may let the run go on past; an unknown is attested or abandoned instead."""

OUT_OF_SCOPE = ("builtin:grant", "builtin:scope", "builtin:bound", "builtin:path")
"""Beginnings of the rules under which a call is outside of what was granted."""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How often something may happen before the runtime stops a run for it."""

    scope_exits: int = 3
    repeats: int = 10
    idle_steps: int = 12


TOLERANCE = Tolerance()


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """A stop: its ground, the reason in words, the effect it is about, and the drift or saga (empty: none)."""

    code: Ground
    reason: str
    effect: str = ""
    about: str = ""


class InTheWay(NamedTuple):
    """What stands over a run: a raised halt (in words, and its scope), an assumption that no longer holds."""

    halted: str = ""
    scope: str = ""
    unheld: str = ""


class Course:
    """What a run's entries say about whether it gets anywhere, folded one after the other."""

    def __init__(self) -> None:
        """Of a run without entries."""
        self.idle = self.exits = 0
        self.most_repeats = 0
        self.repeated = ""
        self.let_be: set[str] = set()  # effects of which a named human said that the run may go on past them
        self._calls: tuple[dict[str, Any], ...] = ()
        self._counts: dict[tuple[str, ...], int] = {}
        self._known: set[tuple[str, ...]] = set()
        self._news = True

    def fold(self, entries: Iterable[Noted]) -> None:
        """Take in more entries, in order."""
        for entry in entries:
            body = entry.body
            match entry.kind:
                case "step":
                    self._calls = tuple(call for call in body.get("calls", ()) if isinstance(call, dict))
                    self.idle = 0 if self._news else self.idle + 1
                    self._news = False
                case "item":
                    self._new(("item", str(body.get("digest", ""))))
                case "told" | "unfit":
                    self._told(body)
                case "unblocked":
                    # A named human looked at it: counting starts over.
                    self.idle = self.exits = self.most_repeats = 0
                    self._counts.clear()
                    self.let_be.add(str(body.get("effect", "")))
                case _:  # somebody else's
                    pass

    def _told(self, body: Mapping[str, Any]) -> None:
        number = body.get("call", -1)
        call = self._calls[number] if isinstance(number, int) and 0 <= number < len(self._calls) else {}
        tool = str(call.get("tool", body.get("tool", "")))
        outcome = str(body.get("outcome", body.get("code", "")))
        effect = str(body.get("effect", ""))
        if effect:
            # A fresh refusal of the same wish is a new record, and still nothing new.
            self._new((outcome,) if outcome == "refused" else (effect, outcome))
        if any(str(rule).startswith(OUT_OF_SCOPE) for rule in body.get("rules", ())):
            self.exits += 1
        key = (tool, encode(call.get("args", {})).hex(), outcome)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] > self.most_repeats:
            self.most_repeats, self.repeated = self._counts[key], f"{tool}, answered {outcome}"

    def _new(self, what: tuple[str, ...]) -> None:
        if what not in self._known:
            self._known.add(what)
            self._news = True


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged at a fixed point: before asking, after an answer, before a call."""

    run: Run
    now_ms: int
    halted: str = ""
    unheld: str = ""  # an assumption that no longer holds, in words
    asks: bool = False  # the planner is to be asked: steps and tokens must be left
    asking_costs: bool = False


def stop_of(seen: Seen, course: Course, tolerance: Tolerance = TOLERANCE) -> Stop | None:
    """The ground on which a run stops here, or None. The first of them in the order of the code below."""
    run, budget, spent = seen.run, seen.run.budget, seen.run.spent
    if seen.halted:
        return Stop(code=Ground.HALT, reason=seen.halted)
    if seen.unheld:
        return Stop(code=Ground.ASSUMPTION, reason=seen.unheld)
    if run.deadline_ms is not None and seen.now_ms >= run.deadline_ms:
        return Stop(code=Ground.TIME, reason="the run's deadline has passed")
    if course.exits >= tolerance.scope_exits:
        why = f"{course.exits} calls were outside of what the run may do"
        return Stop(code=Ground.SCOPE, reason=why)
    if course.most_repeats >= tolerance.repeats:
        why = f"the same call came {course.most_repeats} times: {course.repeated}"
        return Stop(code=Ground.REPETITION, reason=why)
    if not seen.asks:
        return None
    if course.idle >= tolerance.idle_steps:
        return Stop(code=Ground.NO_PROGRESS, reason=f"{course.idle} steps in a row changed nothing")
    if budget.steps is not None and run.steps >= budget.steps:
        return Stop(code=Ground.STEPS, reason=f"the run's steps are spent: {run.steps}")
    if budget.tokens is not None and spent.tokens >= budget.tokens:
        return Stop(code=Ground.TOKENS, reason=f"the run's tokens are spent: {spent.tokens}")
    if seen.asking_costs and _cost_spent(run):
        return Stop(code=Ground.COST, reason="the run's cost is spent, and asking the planner costs")
    return None


def stop_after(outcome: Outcome, view: Effect, run: Run, me: str, contract: Contract | None) -> Stop | None:
    """The ground that one outcome gives. An unknown holds nothing back where its contract says that it stands alone."""
    independent = contract is not None and contract.independent
    if isinstance(outcome, Unknown) and view.state is not State.ABANDONED and not independent:
        if view.holder not in ("", me):
            why = f"{view.holder} holds {view.id} under token {view.token}"
            return Stop(code=Ground.LEASE, reason=why, effect=view.id)
        return Stop(code=Ground.AMBIGUOUS, reason=f"{view.id} is unknown: {outcome.cause}", effect=view.id)
    if view.state is State.UNCONFIRMED:
        why = f"{view.id} is unconfirmed: {view.differs or 'the check could not tell'}"
        return Stop(code=Ground.VERIFICATION, reason=why, effect=view.id)
    if isinstance(outcome, Stopped):
        return Stop(code=Ground.STORE, reason=outcome.reason, effect=view.id)
    return _refused(outcome, view, run, contract) if isinstance(outcome, Refused) else None


def _refused(outcome: Refused, view: Effect, run: Run, contract: Contract | None) -> Stop | None:
    """A refusal that says more than no to this one call."""
    rules = frozenset(outcome.rules)
    if "builtin:expired" in rules:
        return Stop(code=Ground.APPROVAL, reason=f"{view.id}: {outcome.reason}", effect=view.id)
    stopped = "builtin:stop" in rules and contract is not None and too_late(run.deadline_ms, contract, view.moved_ms)
    if stopped or rules & {"builtin:deadline", "builtin:reserve"}:
        return Stop(code=Ground.TIME, reason=outcome.reason, effect=view.id)
    if "builtin:budget" in rules:
        limit, spent = run.budget, run.spent
        if limit.effects is not None and spent.effects + spent.reserved_effects >= limit.effects:
            return Stop(code=Ground.EFFECTS, reason=f"{view.id}: {outcome.reason}", effect=view.id)
        if _cost_spent(run):
            return Stop(code=Ground.COST, reason=f"{view.id}: {outcome.reason}", effect=view.id)
    return None


def _cost_spent(run: Run) -> bool:
    """Whether nothing of the run's money is left; what is held for waiting effects is not."""
    limit = run.budget.cost
    if limit is None:
        return False
    used = dict(run.spent.cost).get(limit.currency, 0) + dict(run.spent.reserved_cost).get(limit.currency, 0)
    return used >= limit.minor


class Books(Protocol):
    """What is read of a store at a fixed point."""

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        ...

    def documents(self, kind: str, run: str = "") -> Sequence[AnyDocument]:
        """Every document of a kind, of one run or of all."""
        ...


def in_the_way(books: Books, run: Run) -> InTheWay:
    """The raised halt over a run, if there is one, and the assumption of it that no longer holds."""
    scopes = ("store", f"tenant:{run.tenant}", f"run:{run.id}", f"principal:{run.principal.name}")
    facts = [(scope, books.fact(f"halt:{scope}")) for scope in scopes]
    scope, raised = next(((s, f) for s, f in facts if f is not None and f.raised), ("", None))
    items = [item for item in books.documents("item", run.id) if isinstance(item, Item)]
    return InTheWay(raised.sentence if raised is not None else "", scope, unheld(items))


def unheld(items: Iterable[Item]) -> str:
    """The first assumption that no longer holds, in words; empty if all do.

    An assumption is an item that ``must_hold``: while the reading that counts now has that digest, it holds. One that
    is contradicted by a source of the same rank does not hold, for nobody can say which of the two is true.
    """
    known = {item.id.rpartition("/")[2]: item for item in items}
    for name, item in known.items():
        if not item.must_hold:
            continue
        latest, seen = item, {name}
        while latest.outranked_by in known and latest.outranked_by not in seen:
            seen.add(latest.outranked_by)
            latest = known[latest.outranked_by]
        if latest.digest != item.must_hold:
            return f"{item.about or item.source} was assumed as {name} showed it, and is not so any more"
        if latest.conflicts:
            return f"{item.about or item.source} was assumed, and {', '.join(latest.conflicts)} contradicts it"
    return ""
