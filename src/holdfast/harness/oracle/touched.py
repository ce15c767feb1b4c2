"""What an entry of a world's log touched: down to the field where the entry says what it did, else the places it names.

Decides how an entry is read. Promises that nothing is guessed: an entry whose arguments are not the changes themselves
touches its places, and what it made of them is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from holdfast.harness.world.difference import ABSENT, Difference, at_place, same, segment, unsegmented
from holdfast.harness.world.face import Done

TOOL: Final = "tool"
"""Who the log names for what came through a tool's body."""

WRITES: Final = ("put", "merge", "add", "remove")


class Unsaid:
    """What an entry does not say."""


UNSAID: Final = Unsaid()


class Touch(NamedTuple):
    """A place, and what it is afterwards: a value, :data:`ABSENT`, or :data:`UNSAID`."""

    place: str
    after: Any = UNSAID


def touched(entry: Done) -> tuple[Touch, ...]:
    """Everything that an entry touched, in its order."""
    changes = entry.args.get("changes")
    if not isinstance(changes, list) or not all(_is_change(one) for one in changes):
        return tuple(Touch(place) for place in entry.places)
    found = tuple(touch for one in changes for touch in _touches(*one))
    told = {place for place in entry.places if any(related(place, touch.place) for touch in found)}
    return found if told == set(entry.places) else tuple(Touch(place) for place in entry.places)


def _is_change(one: Any) -> bool:
    return isinstance(one, list) and len(one) in (2, 3) and one[0] in WRITES and isinstance(one[1], str)


def _touches(how: str, place: str, value: Any = None) -> Iterator[Touch]:
    if how == "remove":
        yield Touch(place, ABSENT)
    elif how in ("merge", "add") and isinstance(value, dict):
        for name in sorted(value):
            yield Touch(f"{place}/{segment(name)}", value[name] if how == "merge" else UNSAID)
    else:
        yield Touch(place, value)


def related(one: str, other: str) -> bool:
    """Whether one of two places is the other, or lies below it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def of_others(one: Difference, log: Iterable[Done]) -> bool:
    """Whether somebody else made this difference: the log says so, the value is the one they gave, no tool gave one."""
    theirs = unsaid = False
    for entry in log:
        for touch in touched(entry):
            if entry.by == TOOL:
                if touch.place == one.place:
                    return False
                unsaid = unsaid or related(touch.place, one.place)
            elif touch.after is not UNSAID:
                theirs = theirs or _gives(touch, one)
    if theirs:
        return True
    silent = (touch for entry in log if entry.by != TOOL for touch in touched(entry) if touch.after is UNSAID)
    return not unsaid and any(related(touch.place, one.place) for touch in silent)


def undone(after: Mapping[str, Any], log: Iterable[Done]) -> Iterator[tuple[str, str, Any]]:
    """What others wrote and nobody wrote over, and that is not there: place, by whom, and what they wrote."""
    last: dict[str, tuple[str, Any]] = {}
    for entry in log:
        for touch in touched(entry):
            for place in [place for place in last if related(place, touch.place)]:
                del last[place]
            last[touch.place] = entry.by, touch.after
    for place, (by, value) in last.items():
        if by == TOOL or value is UNSAID:
            continue
        now = at_place(after, place)
        gone = value in (None, ABSENT) and now in (None, ABSENT)  # not every world keeps a field that holds nothing
        if not gone and not same(value, now):
            yield place, by, value


def _gives(touch: Touch, one: Difference) -> bool:
    """Whether what was written is what differs now."""
    if touch.place == one.place:
        return one.after is ABSENT if touch.after is ABSENT else same(touch.after, one.after)
    if not one.place.startswith(f"{touch.place}/"):
        return False
    value = touch.after
    for part in one.place[len(touch.place) + 1 :].split("/"):
        value = value.get(unsegmented(part), ABSENT) if isinstance(value, dict) else ABSENT
    return one.after is ABSENT if value is ABSENT else same(value, one.after)
