"""What a saga does next: one act, from the saga as recorded and its effects as they are now. Pure.

Rules, in this order. Forward: each step in turn is made, carried, and passed when it is there. One that is not there is
made again while it has tries left; then, before the boundary, the saga turns back, and after it nothing is taken back:
it ends as partly compensated and its owner moves. Back: what is there is offset in reverse order, each by an effect of
its own; one that cannot be offset ends it there, so that nothing is offset before what rests on it.

Promises: an unknown is never passed, made again or offset; it is held until it is known or a person has spoken. A saga
is completed only if every step is there, and compensated only if nothing of it is. Does not wait, record, or tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from holdfast.kernel.documents.saga import ENDS, Saga, SagaStep
from holdfast.kernel.model import Effect, EffectClass, State

MAKE, CARRY, OFFSET, CARRY_OFFSET, TURN, HOLD, END = (
    "make", "carry", "offset", "carry offset", "turn back", "hold", "end",
)  # fmt: skip
"""The acts: make a step's call and record it, carry its effect; the same for what offsets it; turn back; leave it to
somebody; come to an end."""

NOT_SENT = frozenset({State.FAILED, State.REFUSED, State.SUPERSEDED})


class Act(NamedTuple):
    """What is to be done: with which step, and why. ``end`` is the state of an end; ``who`` moves what is held."""

    what: str
    step: int = -1
    why: str = ""
    end: str = ""
    who: str = ""


def standing(view: Effect | None) -> str:
    """Where an effect stands, as a saga sees it: unsent (not recorded), under way, waiting (for a person or for time),
    in doubt, unconfirmed, given up, there, offset, or not there.
    """
    if view is None:
        return "unsent"
    state = view.state
    if state is State.COMPENSATED:
        return "under way" if view.unsettled else "offset"
    if state is State.UNKNOWN or state is State.PENDING or state is State.DISPATCHED:
        return "in doubt"
    if state is State.WAITING:
        return "waiting"
    if view.unsettled or state in (State.PROPOSED, State.ADMITTED, State.CLAIMED):
        return "under way"
    if state is State.COMMITTED:
        return "under way" if view.next == "verify" else "there"
    if state is State.UNCONFIRMED:
        return "unconfirmed"
    if state is State.ABANDONED:
        return "given up"
    return "not there" if state in NOT_SENT else "there"


def why_not(view: Effect | None) -> str:
    """Why an effect is not there, or is in doubt, in the words of its record."""
    if view is None:
        return "it was not recorded"
    if view.state is State.COMPENSATED:
        return f"{view.id} was compensated by {view.compensated_by}"
    if view.state is State.ABANDONED:
        return f"{view.id} was abandoned by {view.attested_by}: {view.reason}"
    said = view.differs if view.state is State.UNCONFIRMED else view.cause or view.reason
    return f"{view.id} is {view.state.value}" + (f": {said}" if said else "")


Present = Mapping[str, Effect]
"""Effects by the id under which a step names them: each the last of its generations."""


def next_act(saga: Saga, present: Present, *, over: str = "") -> Act | None:
    """What is to be done now; None: it has ended. ``over`` is why its run takes nothing more (empty: it is open)."""
    if saga.state in ENDS:
        return None
    if over:
        return _closed(saga, present, over)
    return _back(saga, present) if saga.state == "compensating" else _forward(saga, present)


def _forward(saga: Saga, present: Present) -> Act:
    passed = saga.boundary >= 0 and _done(saga.steps[saga.boundary], present)
    for number, step in enumerate(saga.steps):
        if _done(step, present):
            continue
        if not step.tried:
            return Act(MAKE, number)
        view = present.get(step.effect)
        stands = standing(view)
        if stands in ("unsent", "under way", "waiting"):
            return Act(CARRY, number)
        if stands in ("in doubt", "unconfirmed"):
            return _in_doubt(number, f"step {step.name}", view, CARRY)
        why = f"step {step.name}: {why_not(view)}"
        if _again(view, step.tried, step.tries + step.more):
            return Act(MAKE, number, why)
        if passed:
            return Act(END, number, f"{why}; the boundary is passed, and nothing is taken back", "partly compensated")
        return Act(TURN, number, why)
    return Act(END, why=f"every step is there{_on_their_word(saga)}", end="completed")


def _again(view: Effect | None, tried: int, tries: int) -> bool:
    """Whether what is not there is proposed once more: while there are tries, and nobody was asked and said no."""
    return standing(view) == "not there" and view is not None and not view.declined and tried < tries


def _on_their_word(saga: Saga) -> str:
    said = [f"{step.name} ({step.taken})" for step in saga.steps if step.taken]
    return f", on somebody's word: {'; '.join(said)}" if said else ""


TAKEABLE = frozenset({"unconfirmed", "given up", "not there", "offset"})
"""Standings of a step that a person may take for done; an unknown is attested or abandoned instead."""


def _done(step: SagaStep, present: Present) -> bool:
    if not step.tried:
        return bool(step.taken)  # its call could not be made, and somebody did it by hand, or needs it no more
    stands = standing(present.get(step.effect))
    return stands == "there" or (bool(step.taken) and stands in TAKEABLE)


def _in_doubt(number: int, what: str, view: Effect | None, carry: str) -> Act:
    """An unknown that the runtime still asks about is carried; what a person owns is held for them."""
    assert view is not None
    why = f"{what}: {why_not(view)}"
    theirs = view.state is State.UNCONFIRMED or (view.escalated and not view.late_seen)
    return Act(HOLD, number, why, who=view.owner) if theirs else Act(carry, number, why)


def _back(saga: Saga, present: Present) -> Act:
    for number in range(len(saga.steps) - 1, -1, -1):
        act = _offsetting(number, saga.steps[number], present)
        if act is not None:
            return act
    if rest := left(saga, present):
        return Act(END, why=f"{', '.join(rest)} stand", end="partly compensated")
    return Act(END, why="nothing of it stands", end="compensated")


def _offsetting(number: int, step: SagaStep, present: Present) -> Act | None:
    """What is to be done about one step on the way back; None: nothing."""
    view = present.get(step.effect) if step.tried else None
    # A try that was recorded and never proposed cannot be proposed any more: the saga has moved since.
    if view is None or step.let_be:
        return None
    stands = standing(view)
    if stands == "in doubt":
        return _in_doubt(number, f"step {step.name}", view, CARRY)
    if stands in ("under way", "waiting"):
        return Act(CARRY, number)
    if stands in ("not there", "given up") or view.effect_class is EffectClass.READ:
        return None
    offset = present.get(step.offset_effect) if step.offset_effect else None
    how = standing(offset) if step.offset_tried else ""
    if stands == "offset":
        if how in ("under way", "waiting"):
            return Act(CARRY_OFFSET, number)
        if how == "unconfirmed" and offset is not None:
            return Act(HOLD, number, f"what offsets step {step.name}: {why_not(offset)}", who=offset.owner)
        return None
    return _to_offset(number, step, offset, how)


def _to_offset(number: int, step: SagaStep, offset: Effect | None, how: str) -> Act:
    """The step is there and has to be offset."""
    if not how:
        return Act(OFFSET, number)
    if how in ("unsent", "under way", "waiting", "there", "offset"):
        return Act(CARRY_OFFSET, number)
    why = f"what offsets step {step.name}: {why_not(offset)}"
    if how in ("in doubt", "unconfirmed"):
        return _in_doubt(number, f"what offsets step {step.name}", offset, CARRY_OFFSET)
    if _again(offset, step.offset_tried, step.undo_tries + step.offset_more):
        return Act(OFFSET, number, why)
    return Act(END, number, f"{why}; what stands is left to a person", "partly compensated")


def _closed(saga: Saga, present: Present, over: str) -> Act:
    """Its run takes nothing more: what left is reconciled, and then it is said how far it came."""
    for number, step in enumerate(saga.steps):
        named = (
            (step.effect, CARRY, f"step {step.name}"),
            (step.offset_effect, CARRY_OFFSET, f"the offset of {step.name}"),
        )
        for effect, carry, what in named:
            view = present.get(effect)
            stands = standing(view) if view is not None else ""
            if stands in ("under way", "waiting"):
                return Act(carry, number)
            if stands == "in doubt":
                return _in_doubt(number, what, view, carry)
    if all(_done(step, present) for step in saga.steps):
        return Act(END, why=f"every step is there{_on_their_word(saga)}", end="completed")
    rest = left(saga, present)
    if not rest:
        return Act(END, why=f"{over}; nothing of it stands", end="compensated")
    return Act(END, why=f"{over}; {', '.join(rest)} stand", end="partly compensated")


def doubts(present: Present) -> bool:
    """Whether any of these effects is in doubt."""
    return any(standing(view) == "in doubt" for view in present.values())


def left(saga: Saga, present: Present) -> tuple[str, ...]:
    """The steps that changed something outside and are not offset, or of which nobody knows. In order."""
    found = []
    for step in saga.steps:
        view = present.get(step.effect) if step.tried else None
        if view is None or view.effect_class is EffectClass.READ:
            continue
        if standing(view) not in ("not there", "offset"):
            found.append(step.name)
        elif step.let_be and standing(view) == "offset":
            found.append(step.name)  # whether it is offset is what no read agreed with
    return tuple(found)


def reached(saga: Saga, present: Present) -> str:
    """The valid state that a saga is in, in words: which steps are there, compensated, not there, in doubt."""
    words: dict[str, list[str]] = {}
    for step in saga.steps:
        words.setdefault(word_of(step, present), []).append(step.name)
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in words.items())


WORDS = {
    "unsent": "not begun",
    "under way": "under way",
    "waiting": "waiting",
    "in doubt": "unknown",
    "unconfirmed": "unconfirmed",
    "given up": "abandoned",
    "there": "there",
    "offset": "compensated",
    "not there": "not there",
}


def word_of(step: SagaStep, present: Present) -> str:
    """One step's standing in the word that people read."""
    return WORDS[standing(present.get(step.effect) if step.tried else None)]
