"""The difference between two states of a world, place by place, down to the field that is another one.

    for one in difference(before, after):
        print(one)                      # invoices/in_1/refunded: 0 → 1200

Decides what one difference is: a record that is there or gone is one, whole; within a record that was there before and
is there now, each field is its own, and an array or a text is one value. Promises that two states without a difference
are equal, types included (``1`` is neither ``true`` nor ``1.0``), and that the order is the same in any process.

Does not say who made a difference, nor whether it may be: that is the oracle's.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

SHOWN_CHARS: Final = 120
SHOWN_LINES: Final = 12


class Absent:
    """What is not there. One object, so that it is none of the values that JSON has."""

    def __repr__(self) -> str:
        """As it is printed."""
        return "—"


ABSENT: Final = Absent()


class Difference(msgspec.Struct, frozen=True):
    """One difference: the place, and what was and is there; :data:`ABSENT` for nothing."""

    place: str
    before: Any = ABSENT
    after: Any = ABSENT

    @property
    def kind(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        if self.before is ABSENT:
            return "added"
        return "removed" if self.after is ABSENT else "changed"

    def __str__(self) -> str:
        """On one line, long values shortened."""
        return f"{self.place}: {shown(self.before)} → {shown(self.after)}"

    def lines(self) -> tuple[str, ...]:
        """To read: one line, or for texts of several lines the lines that differ. Whoever shows them escapes them."""
        old, new = self.before, self.after
        texts = [value for value in (old, new) if isinstance(value, str)]
        if not any("\n" in text for text in texts) or len(texts) + (ABSENT in (old, new)) < 2:
            return (str(self),)
        was, now = (value.splitlines() if isinstance(value, str) else [] for value in (old, new))
        if was == now:  # they differ in how lines end
            return (str(self),)
        unified = [line for line in difflib.unified_diff(was, now, lineterm="", n=1) if line[:3] not in ("---", "+++")]
        more = len(unified) - SHOWN_LINES
        left_out = (f"  … and {more} more lines",) if more > 0 else ()
        return (f"{self.place}: {self.kind}", *(f"  {_cut(line)}" for line in unified[:SHOWN_LINES]), *left_out)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Everything that is not as it was, in the order of places."""
    found = [
        one
        for place in before.keys() | after.keys()
        for one in _at(place, before.get(place, ABSENT), after.get(place, ABSENT))
    ]
    return tuple(sorted(found, key=lambda one: one.place))


def _at(place: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() | new.keys():
            yield from _at(f"{place}/{segment(name)}", old.get(name, ABSENT), new.get(name, ABSENT))
    elif not same(old, new):
        yield Difference(place, old, new)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one and the same, types included."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def segment(name: str) -> str:
    """The name of a field as a part of a place: ``/`` and ``~`` in it are written as in a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def at_place(state: Mapping[str, Any], place: str) -> Any:
    """What is at a place, down to a field; :data:`ABSENT` where nothing is."""
    if place in state:
        return state[place]
    above, slash, name = place.rpartition("/")
    if not slash:
        return ABSENT
    value = at_place(state, above)
    return value.get(unsegmented(name), ABSENT) if isinstance(value, dict) else ABSENT


def unsegmented(part: str) -> str:
    """The name of a field, from a part of a place."""
    return part.replace("~1", "/").replace("~0", "~")


def leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every field below a place with its value, the place itself where it holds no fields."""
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from leaves(f"{place}/{segment(name)}", value[name])
    else:
        yield place, value


def shown(value: Any) -> str:
    """A value on one line, shortened."""
    return repr(value) if value is ABSENT else _cut(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… ({len(text)} characters)"
