"""Patterns over places: what an allowed or a forbidden change names.

A pattern is a place in which a part may hold ``*`` (anything within that part); a part that is ``**`` stands for any
number of parts. Nothing else is special: a ``?`` or a bracket in a file's name is that character.

Decides which place a pattern takes: the one that it names, also for what differs below it. Does not decide what may be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from holdfast.harness.case.case import ANY, Allow
from holdfast.harness.world.difference import ABSENT, Difference, at_place, same

DEEP: Final = "**"


def taken(pattern: str, place: str) -> str | None:
    """The place that the pattern names and at or below which ``place`` is; None if it names no such place."""
    names, parts = pattern.split("/"), place.split("/")
    if DEEP in names:
        return place if _deep(tuple(names), tuple(parts)) else None
    if len(names) > len(parts) or not all(_fits(name, part) for name, part in zip(names, parts, strict=False)):
        return None
    return "/".join(parts[: len(names)])


def touches(pattern: str, place: str) -> bool:
    """Whether the pattern names the place, something above it, or something below it."""
    names, parts = pattern.split("/"), place.split("/")
    for name, part in zip(names, parts, strict=False):
        if name == DEEP:
            return True
        if not _fits(name, part):
            return False
    return True


def covers(allow: Allow, one: Difference, after: Mapping[str, Any]) -> str | None:
    """The place that an allowed change takes with this difference; None if it does not allow it."""
    place = taken(allow.place, one.place)
    if place is None:
        return None
    now = at_place(after, place)
    if allow.gone or now is ABSENT:
        return place if allow.gone and now is ABSENT and place == one.place else None
    return place if fits(allow.to, now) else None


def fits(wanted: Any, value: Any) -> bool:
    """Whether a value is the one that is wanted; ``"*"`` at any depth fits whatever is there."""
    if isinstance(wanted, str) and wanted == ANY:
        return True
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return wanted.keys() == value.keys() and all(fits(wanted[name], value[name]) for name in wanted)
    if isinstance(wanted, list | tuple) and isinstance(value, list | tuple):
        return len(wanted) == len(value) and all(fits(a, b) for a, b in zip(wanted, value, strict=True))
    return same(wanted, value)


def exactness(allow: Allow) -> tuple[int, int, int]:
    """How exactly it is said what may be: the more exact of two is asked first."""
    names = allow.place.split("/")
    return (sum("*" not in name for name in names), len(names), 0 if allow.to == ANY and not allow.gone else 1)


@lru_cache(maxsize=4096)
def _of(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(piece) for piece in name.split("*")), re.DOTALL)


def _fits(name: str, part: str) -> bool:
    return name == part or ("*" in name and _of(name).fullmatch(part) is not None)


@lru_cache(maxsize=65536)
def _deep(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether the parts, or the first of them, are what a pattern with ``**`` names."""
    if not names:
        return True  # what is below what it names is covered as well
    if names[0] == DEEP:
        return any(_deep(names[1:], parts[cut:]) for cut in range(len(parts) + 1))
    return bool(parts) and _fits(names[0], parts[0]) and _deep(names[1:], parts[1:])
