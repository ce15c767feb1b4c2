"""Every fault at every point that a case passes.

Decides which single faults there are: each wait that a play passed can be struck by each kind that strikes there.
Promises that every one is named, so that it can be played again by itself, and strikes nowhere before its point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from holdfast.harness.faults.fault import KINDS, NONE, Fault, Point

if TYPE_CHECKING:
    from holdfast.harness.case.case import Case


def strikes_at(point: Point, kinds: Iterable[str] = ()) -> Iterator[Fault]:
    """Every fault that can strike at a point, named so that it strikes there and nowhere before."""
    wanted = set(kinds)
    for kind in KINDS.values():
        if point.at in kind.at and (not wanted or kind.name in wanted):
            call, verb = point.call or NONE, point.verb or NONE
            yield Fault(kind=kind.name, at=point.at, call=call, verb=verb, nth=point.nth)


def faults_of(case: Case, points: Iterable[Point], kinds: Iterable[str] = ()) -> list[Fault]:
    """The single faults that a case can be struck by, once each, in the order of its points."""
    found: dict[Fault, None] = {}
    for point in points:
        for fault in strikes_at(point, kinds):
            if fault.kind == "moved" and case.moved is None:
                continue
            found.setdefault(fault)
    return list(found)
