"""What was recorded beside what the code does now: the first field that differs, and which readings could explain it.

Entries are compared as bytes: kind, effect, states, author, token and the whole body. Nothing is left out. A time in a
body may come of a reading of the store's clock before the commit; :func:`instants` names the readings that could make
up a difference, and whoever plays back tries them: one is taken only if the code, run with it, gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from holdfast.kernel.canon import decode
from holdfast.store.evidence import Entry

FIELDS = ("kind", "effect", "before", "after", "by", "token")
_NUMBER = re.compile(r"\d+")
NOTHING = "(nothing)"


class Difference(NamedTuple):
    """The first field of an entry in which the code differs from the record; ``number`` counts entries of the run."""

    number: int
    field: str
    expected: Any
    actual: Any


def first_difference(number: int, expected: Sequence[Entry], actual: Sequence[Entry]) -> Difference | None:
    """The first difference of what one commit appended from the entries that begin at ``number``; None: the same."""
    if not actual:
        return Difference(number, "entry", said(expected[0]) if expected else NOTHING, NOTHING)
    for at, made in enumerate(actual):
        if at >= len(expected):
            return Difference(number + at, "entry", NOTHING, said(made))
        found = _of_one(number + at, expected[at], made)
        if found is not None:
            return found
    return None


def _of_one(number: int, expected: Entry, actual: Entry) -> Difference | None:
    for name in FIELDS:
        if getattr(expected, name) != getattr(actual, name):
            return Difference(number, name, getattr(expected, name), getattr(actual, name))
    if expected.body == actual.body:
        return None
    one = decode(expected.body) if expected.body is not None else None
    path, then, now = next(
        _differing("body", one, decode(actual.body or b"null")), ("body", expected.body, actual.body)
    )
    return Difference(number, path, then, now)


def _differing(path: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every place in which two values differ, in order of name."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            yield from _differing(f"{path}.{name}", one.get(name, NOTHING), other.get(name, NOTHING))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differing(f"{path}[{at}]", left, right)
    elif one != other or type(one) is not type(other):
        yield path, one, other


def instants(read_ms: int, expected: Sequence[Entry], actual: Sequence[Entry]) -> list[int]:
    """The readings of the clock that could explain how two rows of entries differ, given what was read was this.

    A body holds an instant plus a span, a span until an instant, or either of them in words; so the reading is off by
    as much as a number differs, one way or the other.
    """
    found: dict[int, None] = {}
    for one, other in zip(expected, actual, strict=False):
        if one.body is None or other.body is None or one.body == other.body:
            continue
        for _, then, now in _differing("", decode(one.body), decode(other.body)):
            for by_ms in _off(then, now):
                found |= {read_ms + by_ms: None, read_ms - by_ms: None}
    return list(found)


def _off(then: Any, now: Any) -> Iterator[int]:
    if isinstance(then, int) and isinstance(now, int) and not isinstance(then, bool):
        yield then - now
    elif isinstance(then, str) and isinstance(now, str):
        numbers = _NUMBER.findall(then), _NUMBER.findall(now)
        if len(numbers[0]) == len(numbers[1]):
            yield from (int(a) - int(b) for a, b in zip(*numbers, strict=True) if a != b and len(a) < 20 > len(b))


def said(entry: Entry) -> str:
    """An entry in a few words."""
    moved = f" {entry.before or '—'} → {entry.after}" if entry.after else ""
    return f"{entry.kind}{moved}{f' of {entry.effect}' if entry.effect else ''} by {entry.by}"
