"""A sentence of an account: its pieces, and the ids that it rests on.

Words of ours are plain texts; whatever others wrote is marked as such, so that a page can frame it. Decides nothing.
Promises that a sentence without an id cannot be made. Does not write anything out: that is the page's part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.runtime.record import Moved
from holdfast.store.evidence import Entry


class Said(NamedTuple):
    """A text that somebody else wrote: a goal, a reason, a planner's words, what an outside answered."""

    text: Any


class Value(NamedTuple):
    """A JSON value that somebody else chose: arguments, a result."""

    value: Any


class Name(NamedTuple):
    """The name of a person, a worker, a tool or a rule."""

    text: Any


class At(NamedTuple):
    """A moment."""

    ms: int


class Long(NamedTuple):
    """A length of time."""

    ms: int


class Most(NamedTuple):
    """An amount of money, as it was declared."""

    minor: int
    currency: str


Part = str | Said | Value | Name | At | Long | Most


class Sentence(NamedTuple):
    """A sentence in pieces, with every id it rests on: entries as ``ru_…/17``, effects, requests, items, grants."""

    parts: tuple[Part, ...]
    rests_on: tuple[str, ...]
    pos: int = 0
    """Where it stands in time: the place in the store of the first entry that it rests on."""


def ref(entry: Entry) -> str:
    """The name of an entry."""
    return f"{entry.run}/{entry.seq}"


def sentence(parts: Iterable[Part], on: Iterable[Moved | Entry | str]) -> Sentence:
    """A sentence that rests on these; entries are named, and the first of them says when it is told."""
    ids: list[str] = []
    pos = 0
    for ground in on:
        entry = ground.entry if isinstance(ground, Moved) else ground
        if isinstance(entry, str):
            ids.append(entry)
            continue
        pos = pos or entry.pos or entry.seq
        ids += [*([entry.effect] if entry.effect else ()), ref(entry)]
    rests_on = tuple(dict.fromkeys(name for name in ids if name))
    assert rests_on, "a sentence rests on something"
    return Sentence(tuple(parts), rests_on, pos)


NAMED = 20
"""So many effects are named in one sentence; it rests on all of them."""


def more(count: int) -> tuple[Part, ...]:
    """How many stand behind a sentence beside those that it names."""
    return (f" and {count - NAMED} more",) if count > NAMED else ()


def listed(names: Iterable[Any], last: str = "and") -> tuple[Part, ...]:
    """Names in a row."""
    found = [Name(name) for name in names]
    parts: list[Part] = []
    for number, name in enumerate(found):
        if number:
            parts.append(f" {last} " if number == len(found) - 1 else ", ")
        parts.append(name)
    return tuple(parts)
