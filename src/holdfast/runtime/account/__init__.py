"""An account of a run: six questions and their answers, each sentence with the ids it rests on.

Pure over a :class:`holdfast.runtime.record.Record`, so a store and a bundle give the same account; it asks neither
the outside, nor tools, rules in force or a planner. Promises that every sentence names what it rests on, that
*verified* and *attested* are what the entries call so, and that an effect without a decision raises an alarm. Does not
promise that what is recorded is true of the world: only that nothing here says more than the record does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from holdfast.runtime.account.alarm import Alarm, alarms, raised
from holdfast.runtime.account.allowed import what_was_allowed
from holdfast.runtime.account.decision import Decided, decided
from holdfast.runtime.account.done import what_was_done
from holdfast.runtime.account.intended import what_was_intended
from holdfast.runtime.account.remaining import what_is_unknown, who_moves_next
from holdfast.runtime.account.sagas import sagas_next
from holdfast.runtime.account.trace import Trace
from holdfast.runtime.account.verified import what_is_verified
from holdfast.runtime.account.words import At, Long, Most, Name, Part, Said, Sentence, Value
from holdfast.runtime.record import Record, sound

__all__ = [
    "Account",
    "Alarm",
    "Answered",
    "At",
    "Decided",
    "Long",
    "Most",
    "Name",
    "Part",
    "Said",
    "Sentence",
    "Value",
    "account",
    "alarms",
]

QUESTIONS = (
    "what was intended, and by whom",
    "what was allowed, and why",
    "what was done",
    "what is verified",
    "what is still unknown",
    "who moves next",
)


class Answered(NamedTuple):
    """One question and its answer, in order of time."""

    question: str
    sentences: tuple[Sentence, ...]


class Account(NamedTuple):
    """Everything that a record says of a run, or of one ``effect`` of it. ``decisions`` has one for each effect."""

    store: str
    run: str
    effect: str
    alarms: tuple[Alarm, ...]
    answers: tuple[Answered, ...]
    decisions: Mapping[str, Decided]


def account(record: Record, *, effect: str = "", covered: int | None = None) -> Account:
    """The account of a run, or of one effect of it. ``covered`` is the size of the newest checkpoint, if one looked.

    Raises KeyError for an effect that is not in the record, NotReplayable where it is no record of a runtime.
    """
    if effect and effect not in {entry.effect for entry in record.entries}:
        raise KeyError(effect)
    with sound(record.run.id):
        return _account(record, effect, covered)


def _account(record: Record, effect: str, covered: int | None) -> Account:
    trace = Trace(record)
    lives = (trace.lives[effect],) if effect else tuple(trace.lives.values())
    whole = not effect
    told = (
        what_was_intended(trace),
        what_was_allowed(trace, lives),
        what_was_done(trace, lives, whole=whole),
        what_is_verified(trace, lives, whole=whole),
        what_is_unknown(trace, lives, whole=whole, covered=covered),
        (*sagas_next(trace.notes("saga") if whole else ()), *who_moves_next(trace, lives, whole=whole)),
    )
    none = {
        1: "No effect was proposed.",
        2: "Nothing was done.",
        3: "Nothing reached the outside, so nothing is verified.",
    }
    answers = []
    for number, (question, sentences) in enumerate(zip(QUESTIONS, told, strict=True)):
        found = tuple(sentences)
        # The answers about the past are told in the order in which they were recorded; the others by effect.
        found = tuple(sorted(found, key=lambda sentence: sentence.pos)) if number in (1, 2) else found
        if not found:
            found = (Sentence((none[number],), (record.run.id,)),)
        answers.append(Answered(question, found))
    return Account(
        store=record.store,
        run=record.run.id,
        effect=effect,
        alarms=tuple(raised(trace, lives)),
        answers=tuple(answers),
        decisions={life.id: decided(trace, life) for life in lives},
    )
