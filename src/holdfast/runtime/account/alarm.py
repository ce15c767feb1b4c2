"""Alarms: effects that something was done about without a decision that the record can show.

Each effect joins to exactly one decision: the last that was made before it left, or the refusal. Promises to look at
the entries themselves, kinds and states, so that a missing decision is found also where bodies are gone. Does not judge
whether a decision was right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from holdfast.kernel.model import State
from holdfast.runtime.account.grounds import decision_of
from holdfast.runtime.account.trace import Life, Trace
from holdfast.runtime.account.words import Name, Sentence, sentence
from holdfast.runtime.record import Moved, Record

ANSWERS = ("allow", "ask", "refuse", "schedule")
UNDECIDED = ("", State.PROPOSED, State.SUPERSEDED)


class Alarm(NamedTuple):
    """One effect without its decision, and why that is said."""

    effect: str
    code: str
    told: Sentence


def alarms(record: Record) -> tuple[Alarm, ...]:
    """Every alarm of a run; it needs nothing but the record."""
    trace = Trace(record)
    return tuple(raised(trace, trace.lives.values()))


def raised(trace: Trace, lives: Iterable[Life]) -> Iterator[Alarm]:
    """The alarms of these effects."""
    for life in lives:
        found = _missing(trace, life)
        if found is not None:
            code, why, on = found
            told = sentence(["No decision: ", Name(life.tool or "a call"), f" {life.id} {why}."], [life.id, *on])
            yield Alarm(life.id, code, told)


def _missing(trace: Trace, life: Life) -> tuple[str, str, list[Moved]] | None:
    """What is missing: a code, the words, and the entries that show it."""
    if life.first.entry.kind != "proposed":
        return "not-proposed", f"begins as {life.first.entry.kind}, and no call was proposed", [life.first]
    admitted = False
    for move in life.moves:
        after = move.entry.after
        admitted = admitted or after == State.ADMITTED
        if after in (State.CLAIMED, State.DISPATCHED) and not admitted:
            return "not-admitted", f"was {after} without having been admitted", [move]
    if life.state in UNDECIDED:
        return None
    decision = decision_of(life)
    if decision is None:
        return "undecided", f"is {life.state}, and nothing that was decided about it is recorded", [life.moves[-1]]
    stated = [move for move in _until(life, decision) if _states(move)]
    if not stated:
        return "decision-gone", "has a decision whose answer and rules were taken out of the record", [decision]
    if any((move.body or {}).get("answer") == "ask" for move in stated) and admitted:
        return _unasked(trace, life, decision)
    return None


def _until(life: Life, decision: Moved) -> list[Moved]:
    """The deciding entries up to the last of them: what is admitted on a yes rests on the question before it."""
    return [m for m in life.of("refused", "waiting", "admitted") if m.entry.seq <= decision.entry.seq]


def _states(move: Moved) -> bool:
    """Whether an entry still says what was answered, and by which rules."""
    body = move.body or {}
    rules = body.get("rules")
    return body.get("answer") in ANSWERS and isinstance(rules, list) and bool(rules)


def _unasked(trace: Trace, life: Life, decision: Moved) -> tuple[str, str, list[Moved]] | None:
    """A yes that the rules asked for and nobody is on record to have said."""
    if trace.approval(life) is None:
        return "request-gone", "was asked about, and the request is not in the record", [decision]
    granted = life.of("granted")
    if not any((move.body or {}).get("quorum_met") for move in granted):
        return "no-yes", "was asked about and let through, and no yes that was enough is recorded", [decision, *granted]
    return None
