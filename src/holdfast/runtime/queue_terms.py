"""The terms on which an intent is accepted: where its run counts, what it may ask for, what it gets instead. Pure.

Decides one of five answers over the meters as they are. Does not record anything, and does not keep the bounds: the
guard of the commit that records the run does (:mod:`holdfast.runtime.submit`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.amounts import Budget, Money, parse_duration, show_duration
from holdfast.kernel.authority import Papers, meter_of, no_room
from holdfast.kernel.documents import Limit
from holdfast.kernel.limits import Runs
from holdfast.runtime.begin import Intent


class Asked(NamedTuple):
    """An intent as it is judged: whose, in which class, how long it may take, and in how long it may begin (ms)."""

    intent: Intent
    principal: str
    tenant: str
    work: str
    begins_in_ms: int = 0


class Answer(NamedTuple):
    """An answer without the run: see :class:`holdfast.runtime.submit.Submitted`."""

    answer: str
    code: str
    reason: str = ""
    instead: Intent | None = None
    not_done: str = ""
    not_before_ms: int = 0


def scopes(asked: Asked, limits: Runs) -> tuple[Limit, ...]:
    """Where a run counts while it is open, each with its bound. The principal's own comes first."""
    found = [
        Limit(scope=f"runs:principal:{asked.principal}", most_open=limits.per_principal),
        Limit(scope="runs:all", most_open=limits.most),
        Limit(scope=f"runs:tenant:{asked.tenant}", most_open=limits.per_tenant),
    ]
    if asked.work:
        found.append(Limit(scope=f"runs:work:{asked.work}", most_open=limits.work.get(asked.work)))
    return tuple(found)


def answered(asked: Asked, limits: Runs, papers: Papers, now_ms: int) -> Answer:
    """The answer, over the meters as they are. Pure."""
    if late := _begins_late(asked, limits):
        return Answer(answer="refuse", code="past-deadline", reason=late)
    smaller, why = shaped(asked.intent, limits)
    if why:
        return Answer(answer="shape", code="asks-for-too-much", reason=why, instead=smaller)
    own, *others = scopes(asked, limits)
    full = no_room((own,), None, papers, now_ms)
    if full is not None:
        reason = f"{full.why}; one of its runs has to end, or be cancelled, first"
        return Answer(answer="refuse", code="principal-runs", reason=reason)
    full = no_room(tuple(others), None, papers, now_ms)
    if full is not None:
        return later(asked, limits, full.why, now_ms)
    open_now = meter_of(papers, "runs:all").open
    if limits.degrade_from is not None and open_now >= limits.degrade_from:
        wanted = asked.intent.budget
        less, less_why = _within(wanted, limits.degraded)
        if not less_why and _filled(wanted, limits.degraded) != wanted:
            less_why = "a budget that leaves no part open"
        less = _filled(less, limits.degraded)
        if less_why:
            why = f"{open_now} runs are open; from {limits.degrade_from} on an intent gets less: {less_why}"
            instead = msgspec.structs.replace(asked.intent, budget=less)
            return Answer(answer="degrade", code="many-open", reason=why, instead=instead, not_done=limits.not_done)
    return Answer(answer="accept", code="room")


def _begins_late(asked: Asked, limits: Runs) -> str:
    """Why it cannot begin when it is to: its deadline is before that. Empty: it can."""
    deadline = on_terms(asked.intent, limits).deadline
    span_ms = parse_duration(deadline, name="deadline") if deadline is not None else None
    if span_ms is None or asked.begins_in_ms < span_ms:
        return ""
    return f"it is to begin in {show_duration(asked.begins_in_ms)}, and its deadline is in {show_duration(span_ms)}"


def later(asked: Asked, limits: Runs, why: str, now_ms: int) -> Answer:
    """No room now: to come again, unless its deadline is before that."""
    wait_ms = parse_duration(limits.retry_after, name="retry_after")
    if asked.intent.deadline is not None and parse_duration(asked.intent.deadline, name="deadline") <= wait_ms:
        reason = f"{why}; there may be room in {show_duration(wait_ms)}, and its deadline is before that"
        return Answer(answer="refuse", code="past-deadline", reason=reason)
    return Answer(answer="schedule", code="runs-full", reason=why, not_before_ms=now_ms + wait_ms)


def shaped(intent: Intent, limits: Runs) -> tuple[Intent, str]:
    """The intent on the terms that one may ask for, and what of it asks for more, in words (empty: nothing does)."""
    budget, why = _within(intent.budget, limits.budget)
    smaller = msgspec.structs.replace(intent, budget=budget)
    longest = limits.longest_deadline
    if longest is not None and intent.deadline is not None:
        longest_ms = parse_duration(longest, name="longest_deadline")
        if parse_duration(intent.deadline, name="deadline") > longest_ms:
            smaller = msgspec.structs.replace(smaller, deadline=longest)
            why = "; ".join(filter(None, (why, f"a deadline of at most {show_duration(longest_ms)}")))
    return smaller, why


def on_terms(intent: Intent, limits: Runs) -> Intent:
    """What was accepted has a deadline, and no part of its budget is wider than one may ask for."""
    deadline = intent.deadline if intent.deadline is not None else limits.deadline
    if intent.deadline is None and limits.longest_deadline is not None:
        spans = (limits.deadline, limits.longest_deadline)
        deadline = min(spans, key=lambda span: parse_duration(span, name="deadline"))
    return msgspec.structs.replace(intent, deadline=deadline, budget=_filled(intent.budget, limits.budget))


PARTS = ("effects", "steps", "tokens")


def _within(asked: Budget, most: Budget) -> tuple[Budget, str]:
    """A budget cut to what there is, and which parts asked for more. What is left open asks for nothing."""
    parts: dict[str, Any] = {}
    more: list[str] = []
    for name in PARTS:
        wanted, bound = getattr(asked, name), getattr(most, name)
        if bound is not None and wanted is not None and wanted > bound:
            more.append(f"at most {bound} {name}")
            wanted = bound
        parts[name] = wanted
    cost, bound_cost = asked.cost, most.cost
    over = cost is not None and bound_cost is not None and not _covers(bound_cost, cost)
    if over:
        more.append(f"at most {bound_cost}")
        cost = bound_cost
    return Budget(cost=cost, **parts), ", ".join(more)


def _covers(most: Money, cost: Money) -> bool:
    return cost.currency == most.currency and cost.minor <= most.minor


def _filled(asked: Budget, most: Budget) -> Budget:
    """A budget whose open parts are those that one may ask for."""
    pairs = {name: (getattr(asked, name), getattr(most, name)) for name in (*PARTS, "cost")}
    return Budget(**{name: own if own is not None else bound for name, (own, bound) in pairs.items()})
