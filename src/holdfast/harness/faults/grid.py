"""Every fault at every point that a case passes: the grid case by fault, as it fills.

Decides which single faults there are for a case: it is played once as it is, and each wait that it passed can be struck
by each kind that strikes there. Promises that every cell is named, so that any of them can be played again by itself.
What a fault makes possible (a probe after a lost reply) is passed only under that fault: with ``deeper`` those points
are struck as well, by one fault more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from holdfast.harness.faults.fault import KINDS, Fault, Point

if TYPE_CHECKING:
    from holdfast.harness.case.case import Case
    from holdfast.harness.play.play import Played

Plays = Callable[["Case", tuple[Fault, ...]], "Played"]


class Cell(NamedTuple):
    """One square of the grid: the case under these faults, and what it came to."""

    case: str
    faults: tuple[Fault, ...]
    played: Played


def strikes_at(point: Point, kinds: Iterable[str] = ()) -> Iterator[Fault]:
    """Every fault that can strike at a point, named so that it strikes there and nowhere before."""
    wanted = set(kinds)
    for kind in KINDS.values():
        if point.at in kind.at and (not wanted or kind.name in wanted):
            yield Fault(kind=kind.name, at=point.at, call=point.call, verb=point.verb, nth=point.nth)


def faults_of(case: Case, points: Iterable[Point], kinds: Iterable[str] = ()) -> list[Fault]:
    """The single faults that a case can be struck by, once each, in the order of its points."""
    found: dict[Fault, None] = {}
    for point in points:
        for fault in strikes_at(point, kinds):
            if fault.kind == "moved" and case.moved is None:
                continue
            found.setdefault(fault)
    return list(found)


def grid(case: Case, play: Plays, *, kinds: Iterable[str] = (), deeper: bool = False) -> Iterator[Cell]:
    """The case without a fault, then under each single fault; with ``deeper`` also under pairs whose second strikes at
    a point that only the first one opened.
    """
    first = play(case, case.faults)
    yield Cell(case.name, case.faults, first)
    known = set(first.points)
    for fault in faults_of(case, first.points, kinds):
        played = play(case, (*case.faults, fault))
        yield Cell(case.name, (*case.faults, fault), played)
        if deeper:
            opened = [point for point in dict.fromkeys(played.points) if point not in known]
            for second in faults_of(case, opened, kinds):
                both = (*case.faults, fault, second)
                yield Cell(case.name, both, play(case, both))
