"""Coverage: which fault was played at which tool in which step of an effect's life, and what was not.

Decides what counts as tested: a fault that struck. Promises that a cell nobody touched is shown as such, and that what
cannot be (a lost reply at a claim) is not counted among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from holdfast.harness.faults.fault import KINDS
from holdfast.harness.oracle.verdict import Word, worst
from holdfast.harness.suite.run import Row

Square = tuple[str, str, str]
"""A kind of fault, a tool, a step."""


class Coverage(NamedTuple):
    """What was struck: how often each square was, the worst verdict there, and the squares that nobody touched."""

    struck: dict[Square, int]
    worst: dict[Square, Word]
    untested: tuple[Square, ...]

    @property
    def share(self) -> float:
        """Of the squares that there are, how many were touched."""
        every = len(self.struck) + len(self.untested)
        return len(self.struck) / every if every else 1.0


def coverage(rows: Iterable[Row]) -> Coverage:
    """Fold played rows. The squares that there are follow from the points that any of them passed."""
    there: dict[Square, None] = {}
    struck: Counter[Square] = Counter()
    words: dict[Square, list[Word]] = {}
    for row in rows:
        for point in row.points:
            for kind in KINDS.values():
                if point.at in kind.at and (kind.name != "moved" or row.moved):
                    there.setdefault((kind.name, point.tool, point.verb))
        for fault, point in row.struck:
            square = fault.kind, point.tool, point.verb
            struck[square] += 1
            words.setdefault(square, []).append(row.word)
    untested = tuple(square for square in there if square not in struck)
    return Coverage(dict(struck), {square: worst(found) for square, found in words.items()}, untested)
