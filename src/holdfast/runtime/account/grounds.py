"""What an effect rested on: each cited item, how old it was at the decision and when it left, and who said otherwise.

Promises to tell what the record knew at the decision apart from what it learned afterwards. Does not say which source
is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from holdfast.runtime.account.trace import DECIDING, Life, Seen, Trace
from holdfast.runtime.account.words import NAMED, At, Long, Name, Part, Said, Sentence, Value, more, sentence
from holdfast.runtime.record import Moved


class Ground(NamedTuple):
    """One cited item of one effect; times are None where the effect did not come that far."""

    seen: Seen | None
    name: str
    decided_age_ms: int | None
    decided_stale_ms: int
    sent_age_ms: int | None
    sent_stale_ms: int
    before: tuple[Seen, ...]
    """Items that were on record at the decision and outranked or contradicted it."""
    since: tuple[Seen, ...]
    """Items that say otherwise and came after it."""


def decision_of(life: Life) -> Moved | None:
    """The last decision before anything left; the last of all where nothing did."""
    found: Moved | None = None
    for move in life.moves:
        if move.entry.after == "dispatched":
            break
        if move.entry.kind in DECIDING:
            found = move
    return found


def first_sent(life: Life) -> Moved | None:
    """Its first attempt."""
    return next((move for move in life.moves if move.entry.after == "dispatched"), None)


def grounds(trace: Trace, life: Life) -> Iterator[Ground]:
    """Each item that the effect cites."""
    decided, sent = decision_of(life), first_sent(life)
    last = sent or decided or life.first
    for name in trace.cited(life):
        then = trace.item(name, last.entry.seq)
        known = then or trace.item(name)
        before = _others(trace, known, last.entry.seq)
        every = _others(trace, trace.item(name), None)
        since = tuple(one for one in every if one.name not in {other.name for other in before})
        yield Ground(
            seen=known,
            name=name,
            decided_age_ms=_age(known, decided),
            decided_stale_ms=known.stale_ms(decided.entry.at_ms) if known is not None and decided is not None else 0,
            sent_age_ms=_age(known, sent),
            sent_stale_ms=known.stale_ms(sent.entry.at_ms) if known is not None and sent is not None else 0,
            before=before,
            since=since,
        )


def _age(seen: Seen | None, move: Moved | None) -> int | None:
    return max(0, move.entry.at_ms - seen.seen_ms) if seen is not None and move is not None else None


def _others(trace: Trace, seen: Seen | None, before: int | None) -> tuple[Seen, ...]:
    """Items that outrank or contradict one, as it stood then."""
    if seen is None:
        return ()
    names = dict.fromkeys(name for name in (seen.outranked_by, *seen.conflicts) if name)
    found = (trace.item(name, before) for name in names)
    return tuple(one for one in found if one is not None and one.digest != seen.digest)


def resting(trace: Trace, lives: Iterable[Life]) -> Iterator[Sentence]:
    """What they rested on: a sentence for each item as it stood, with every effect that rested on it."""
    together: dict[Any, list[tuple[Life, Ground]]] = {}
    for life in lives:
        for ground in grounds(trace, life):
            as_it_stood = (ground.name, tuple(other.name for other in ground.before), _when(ground))
            together.setdefault(as_it_stood, []).append((life, ground))
    for those in together.values():
        yield _rested(those)


def _when(ground: Ground) -> tuple[bool, int]:
    seen = ground.seen
    return bool(ground.sent_stale_ms or ground.decided_stale_ms), seen.move.entry.seq if seen is not None else 0


def _rested(those: list[tuple[Life, Ground]]) -> Sentence:
    """One item, and what was done on it."""
    ground = those[0][1]
    seen = ground.seen
    parts: list[Part] = []
    on: list[Any] = []
    for number, (life, one) in enumerate(those):
        if number < NAMED:
            parts += [", " if number else "", Name(life.tool or "a call"), f" {life.id}", *_old(one)]
        sent = first_sent(life)
        on += [life.first, *([sent] if sent is not None else ())]
    parts += [*more(len(those)), f" rested on {ground.name}"]
    if seen is None:
        return sentence([*parts, ", which is not in the record."], on)
    parts += [
        ", which ",
        Name(seen.source),
        " gave as ",
        Name(seen.item),
        *_about(seen),
        *_content(seen),
        " at ",
        At(seen.seen_ms),
    ]
    if ground.sent_stale_ms or ground.decided_stale_ms:
        parts += [", and which was stale"]
    elif seen.fresh_until_ms:
        parts += [", and which was fresh until ", At(seen.fresh_until_ms)]
    for other in ground.before:
        parts += ["; ", Name(other.source), f" said otherwise ({other.name})", *_content(other)]
        on += [other.name, other.move]
    return sentence([*parts, "."], [*on, seen.move, seen.name])


def _old(ground: Ground) -> tuple[Part, ...]:
    if ground.sent_age_ms is not None:
        return (" (left when it was ", Long(ground.sent_age_ms), " old)")
    return (" (decided when it was ", Long(ground.decided_age_ms), " old)") if ground.decided_age_ms is not None else ()


def said_otherwise(trace: Trace, life: Life) -> Iterator[Sentence]:
    """What was learned after it left that speaks against what it rested on."""
    for ground in grounds(trace, life):
        for other in ground.since if life.sent else ():
            parts: list[Part] = [At(other.seen_ms), " ", Name(other.source), f" said otherwise ({other.name})"]
            parts += [
                *_content(other),
                f" than {ground.name}, on which ",
                Name(life.tool or "a call"),
                f" {life.id} rests",
            ]
            after = other.seen_ms >= (sent.entry.at_ms if (sent := first_sent(life)) is not None else 0)
            parts += [": that was recorded after it had left." if after else "."]
            yield sentence(parts, [other.move, other.name, ground.name, life.id, life.first])


def _about(seen: Seen) -> tuple[Part, ...]:
    return (" about ", Said(seen.about)) if seen.about else ()


def _content(seen: Seen) -> tuple[Part, ...]:
    if seen.content is None:
        return ()
    return (" ", Said(seen.content) if isinstance(seen.content, str) else Value(seen.content))
