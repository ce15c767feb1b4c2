"""The grid: every point by every kind, each fault struck where it is named and nowhere before."""

from __future__ import annotations

import random

import pytest

from holdfast.harness.faults.fault import KINDS
from holdfast.harness.faults.grid import faults_of, strikes_at
from holdfast.harness.play.play import play
from tests.unit.harness.play.desk import ALSO, CLOSE, case

TWO = case(CLOSE, ALSO)
SAMPLE = 40


def test_each_point_is_struck_by_each_kind_that_strikes_there():
    """Of every point there is a fault of every kind for its port, once, and no other."""
    points = play(TWO).points
    found = faults_of(TWO, points)
    assert len(set(found)) == len(found)
    assert len(found) == sum(point.at in kind.at for point in points for kind in KINDS.values() if kind.name != "moved")
    assert {fault.kind for fault in faults_of(TWO, points, ["late"])} == {"late"}


@pytest.mark.req("3.5a", mutant=None, reason="what a fault then does is planted where faults act")
def test_a_fault_of_the_grid_strikes_at_its_point_and_nowhere_before():
    """A seeded sample: the first point struck is the one that it was made of, and the play up to there is the same."""
    points = play(TWO).points
    pairs = [(point, fault) for point in points for fault in strikes_at(point) if fault.kind != "moved"]
    nameless = [pair for pair in pairs if not pair[0].call and pair[1].kind == "crash before"]
    for point, fault in [*nameless, *random.Random(5).sample(pairs, SAMPLE)]:
        played = play(TWO, (fault,))
        assert played.struck, fault
        assert played.struck[0][1] == point
        before = points.index(point)
        assert played.points[: before + 1] == points[: before + 1]
