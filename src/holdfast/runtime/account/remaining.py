"""The last two answers: what is still unknown, and who moves next.

Promises that each effect whose outcome is not known is in it, and each entry of which something was taken out. Does not
promise that who should move next does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from holdfast.kernel.due import is_open
from holdfast.kernel.model import State
from holdfast.runtime.account.grounds import said_otherwise
from holdfast.runtime.account.trace import Life, Trace
from holdfast.runtime.account.verified import RESTS
from holdfast.runtime.account.words import At, Name, Part, Said, Sentence, sentence
from holdfast.runtime.record import Moved

NOT_KNOWN = {
    State.PROPOSED: "whether it will be sent: nothing was decided about it yet",
    State.WAITING: "whether it will be sent: it waits",
    State.ADMITTED: "whether it will be sent: it is allowed, and everything is checked again just before",
    State.CLAIMED: "whether it was sent: a worker holds it, and no attempt is recorded",
    State.DISPATCHED: "whether it took effect: it left, and no answer is recorded",
    State.PENDING: "how it ends: the outside took it as a long operation",
    State.UNKNOWN: "whether it took effect",
    State.ABANDONED: "whether it took effect: a person gave up finding out",
}
SHOWN = 6
UNGROUNDED = "no ground is recorded"


def what_is_unknown(trace: Trace, lives: Iterable[Life], *, whole: bool, covered: int | None) -> Iterator[Sentence]:
    """What the record cannot tell."""
    lives = tuple(lives)
    names = {life.id for life in lives}
    about = [move for move in trace.moves if whole or move.entry.effect in names]
    found = False
    for life in lives:
        for told in (*_effect(life), *said_otherwise(trace, life)):
            found = True
            yield told
    for told in (*_redacted(trace, about), *_uncovered(about, covered)):
        found = True
        yield told
    if not found:
        yield sentence(["Nothing that is recorded of it is open or in doubt."], [trace.record.run.id, trace.newest])


def _effect(life: Life) -> Iterator[Sentence]:
    what: list[Part] = [Name(life.tool or "a call"), f" {life.id}: "]
    move = next((move for move in reversed(life.moves) if move.entry.after), life.moves[-1])
    state = State(life.state) if life.state else State.PROPOSED
    if state in NOT_KNOWN:
        cause = (move.body or {}).get("cause")
        why: list[Part] = [" (", Said(cause), ")"] if cause else []
        yield sentence([At(move.entry.at_ms), " ", *what, "not known is ", NOT_KNOWN[state], *why, "."], [move])
    elif state is State.UNCONFIRMED:
        differs = str((life.moves[-1].body or move.body or {}).get("differs", ""))
        word = (
            "which of the two is right"
            if differs.startswith("differs")
            else "whether the world holds what was intended"
        )
        yield sentence([At(move.entry.at_ms), " ", *what, f"not known is {word}: ", Said(differs), "."], [move])
    elif state is State.COMMITTED and life.view is not None and life.view.next == "verify":
        yield sentence(
            [At(move.entry.at_ms), " ", *what, "not known is whether it holds: it is to be verified."], [move]
        )


def _redacted(trace: Trace, about: list[Moved]) -> Iterator[Sentence]:
    """Entries of which something was taken out."""
    gone = [move for move in about if move.body is None]
    stands_in = [move for move in about if move.body is not None and move.stands_in]
    told = [entry for entry in trace.record.beside if entry.kind == "redacted"]
    for those, word in ((gone, "were taken away whole"), (stands_in, "have stand-ins where values were redacted")):
        if those:
            numbers = ", ".join(f"/{move.entry.seq}" for move in those[:SHOWN])
            more = f" and {len(those) - SHOWN} more" if len(those) > SHOWN else ""
            yield sentence([f"Not known is what stood in entries that {word}: {numbers}{more}."], [*those, *told])


def _uncovered(about: list[Moved], covered: int | None) -> Iterator[Sentence]:
    """Entries that no checkpoint covers; ``covered``: the size of the newest one, None where nobody looked."""
    after = [move.entry for move in about if covered is not None and move.entry.pos > covered]
    if after:
        many = f"{len(after)} of its {len(about)} entries are" if len(after) > 1 else "Its last entry is"
        text = f"{many} not covered by a checkpoint: that nothing was cut off after them cannot be shown."
        yield sentence([text], [after[0], after[-1]])


# ------------------------------------------------------------------------------------------------- who moves next


def who_moves_next(trace: Trace, lives: Iterable[Life], *, whole: bool) -> Iterator[Sentence]:
    """Who is to do what, until when."""
    found = False
    for life in lives:
        for told in _todo(trace, life):
            found = True
            yield told
    if not whole:
        if not found:
            yield sentence(["Nobody: it has ended."], [life.moves[-1] for life in lives] or [trace.record.run.id])
        return
    resting = trace.notes(*RESTS, "reopened", "unblocked", "step", "resumed")
    last = resting[-1] if resting else None
    if last is not None and last.entry.kind in ("blocked", "stopped"):
        yield _stopped(last)
    elif last is not None and last.entry.kind == "done":
        if not found:
            yield sentence(["Nobody: the run is done and nothing of it is open."], [last])
    elif not found:
        on = last.entry if last is not None else trace.newest
        yield sentence(["Whoever drives the run: it is open, and no end of it is recorded."], [trace.record.run.id, on])


def _todo(trace: Trace, life: Life) -> Iterator[Sentence]:
    view, move = life.view, life.moves[-1]
    if view is None:
        if life.state in NOT_KNOWN:
            gone = " cannot be told any more: entries of it were taken out of the record."
            yield sentence(["Who moves next with ", Name(life.tool or "a call"), f" {life.id}", gone], [move])
        return
    if not is_open(view):
        return
    approval = trace.approval(life)
    asked = [approval.id] if approval is not None and view.state is State.WAITING else []
    owner = view.owner or "runtime"
    next_ = view.next or ("settle" if view.unsettled else "carry it on")
    parts: list[Part] = [Name(owner), ": ", Name(next_), " ", Name(life.tool), f" {life.id}"]
    parts += [f" (request {asked[0]})"] if asked else []
    parts += [", by ", At(view.due_ms)] if view.due_ms else []
    yield sentence([*parts, "."], [move, *asked])


def _stopped(move: Moved) -> Sentence:
    """The stop, and what would let the run go on."""
    body = move.body or {}
    stop: Any = body.get("stop")
    stop = stop if isinstance(stop, dict) else {}
    effect = str(stop.get("effect", ""))
    if move.entry.kind == "stopped":  # what is open of it is told beside it, and is all that anybody can still move
        return sentence(
            ["Nobody: the run is stopped and does not go on: ", Said(body.get("reason", "")), "."], [move, effect]
        )
    parts: list[Part] = ["A person: the run is ", move.entry.kind, " (", Name(stop.get("code", UNGROUNDED))]
    parts += ["): ", Said(body.get("reason", "")), "."]
    helps = stop.get("unblocks", ())
    for number, text in enumerate(helps if isinstance(helps, list) else ()):
        parts += [" It goes on by: " if not number else "; ", Said(text)]
    return sentence(parts, [move, effect])
