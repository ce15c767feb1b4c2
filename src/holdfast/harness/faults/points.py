"""Where a play stands: its waits by name, and which faults strike at them.

Decides whether a fault fits a wait, by what it names and not by position. Promises that every wait is noted, struck or
not, so that what was never touched can be shown. Does not say what a fault does.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from holdfast.harness.faults.fault import KINDS, NONE, Fault, Point
from holdfast.kernel.errors import BadValue
from holdfast.runtime.drive import VERBS

if TYPE_CHECKING:
    from holdfast.store.memory import Books

STEPS = frozenset({*VERBS, "propose", "drive", "begin", "saw", "put_in_force"})
"""Functions that a wait is named after: the verbs, and what comes before and between them."""


class Struck(NamedTuple):
    """A fault that struck, and where."""

    fault: Fault
    point: Point


class Strikes:
    """The faults of one play, and every wait that it passed."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """None of them has struck. Raises BadValue for one that could strike nowhere."""
        self.faults = tuple(faults)
        for fault in self.faults:
            sound(fault)
        self.points: list[Point] = []
        self.struck: list[Struck] = []
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._fitted = [0] * len(self.faults)
        self.looks_back = any(fault.kind in ("stale", "inconsistent") for fault in self.faults)

    def reach(self, call: str, tool: str, at: str) -> list[Fault]:
        """A wait is reached: note it, and say what strikes there."""
        name = (call, verb(), at)
        self._counts[name] += 1
        point = Point(call, tool, name[1], at, self._counts[name])
        self.points.append(point)
        found = []
        for number, fault in enumerate(self.faults):
            if fits(fault, point):
                self._fitted[number] += 1
                if fault.nth <= self._fitted[number] < fault.nth + fault.times:
                    found.append(fault)
                    self.struck.append(Struck(fault, point))
        return found

    @property
    def missed(self) -> tuple[Fault, ...]:
        """The faults that never struck: their point was not reached."""
        there = {id(struck.fault) for struck in self.struck}
        return tuple(fault for fault in self.faults if id(fault) not in there)


def sound(fault: Fault) -> None:
    """Raises BadValue for a fault of no kind, at a port at which its kind does not strike, or never."""
    kind = KINDS.get(fault.kind)
    if kind is None:
        why = f"no fault is called {fault.kind!r}; there are {', '.join(KINDS)}"
    elif fault.at and fault.at not in kind.at:
        why = f"{fault.kind} does not strike at {fault.at}; it strikes at {', '.join(kind.at)}"
    elif fault.nth < 1 or fault.times < 1:
        why = f"waits are counted from 1, and a fault strikes at least once; nth={fault.nth}, times={fault.times}"
    else:
        return
    raise BadValue(path="$.faults", why=why, value_type="Fault")


def fits(fault: Fault, point: Point) -> bool:
    """Whether a fault means this wait."""
    return (
        (point.at == fault.at if fault.at else point.at in KINDS[fault.kind].at)
        and fault.tool in ("", point.tool)
        and fault.call in ("", point.call or NONE)
        and fault.verb in ("", point.verb or NONE)
    )


def verb() -> str:
    """The step in which the running code waits: the innermost function on the stack that is one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the one way to know who is asking
    while frame is not None:
        name = frame.f_code.co_name
        if name in STEPS:
            return name
        frame = frame.f_back
    return ""


def call_of(books: Books, effect: str) -> tuple[str, str]:
    """An effect as reports name it (``refund#1``, a later generation ``refund#1.2``), and its tool."""
    view = books.effects.get(effect)
    if view is None:
        return "", ""
    first: dict[str, None] = {}
    for other in books.effects.values():
        if other.tool == view.tool:
            first.setdefault(other.identity)
    number = list(first).index(view.identity) + 1
    more = f".{view.generation}" if view.generation > 1 else ""
    return f"{view.tool}#{number}{more}", view.tool
