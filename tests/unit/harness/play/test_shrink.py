"""Shrinking: what is left is 1-minimal, fails in the same way, and took no more plays than it may."""

from __future__ import annotations

import pytest

from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.play import play
from holdfast.harness.play.scripts import Script
from holdfast.harness.play.shrink import _smaller, counterexample, failure, shrink
from tests.unit.harness.play.desk import ALSO, CLOSE, case, trusting

LOST = Fault(kind="lost reply", call="close#1", verb="dispatch", at="body.send")
FAULTS = (Fault(kind="clock back", at="store.commit", nth=3), LOST, Fault(kind="lost reply", call="close#2"))
MISTAKEN = case(CLOSE, ALSO, tools=trusting, allowed=case().allowed)


def found():
    """A play with two calls and three faults, that fails because a tool's contract promises keys that nobody reads."""
    return play(MISTAKEN, FAULTS, planner=lambda _world: Script([CLOSE], [ALSO], says="done"))


@pytest.mark.req("3.5c", mutant="any-failure-will-do")
def test_what_is_left_is_minimal_and_fails_as_it_did():
    """No single smaller step of what is left fails in the same way: each was played here again."""
    whole = found()
    small = shrink(MISTAKEN, whole)
    assert failure(whole) != ("", "")
    assert failure(small.played) == failure(whole)
    assert small.minimal
    assert small.events <= 4
    for faults, lines, words in _smaller(small):
        again = play(MISTAKEN, faults, seed=small.played.seed, planner=Script(*lines, says=words))
        assert failure(again) != failure(whole), (faults, lines, words)


def test_another_failure_is_not_accepted():
    """A play that fails by a forbidden change is not shrunk to one that fails because nothing was done."""
    whole = play(case(), (), planner=Script([CLOSE], [ALSO], says=""))
    assert failure(whole) == ("forbidden", "")
    assert [call for turn in shrink(case(), whole).script for call in turn] == [ALSO]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_never_more_plays_than_it_may(most):
    """The bound holds, the best so far is given, and it is not called minimal where something was left to try."""
    count = 0

    def plays(*given, **more):
        nonlocal count
        count += 1
        return play(*given, **more)

    small = shrink(MISTAKEN, found(), most=most, plays=plays)
    assert count == small.plays == most
    assert failure(small.played) == failure(found())
    assert not small.minimal


def test_a_smaller_play_that_cannot_be_played_is_none():
    """One that raises is passed over, and the best so far stays."""
    calls = 0

    def plays(*given, **more):
        nonlocal calls
        calls += 1
        if calls % 3 == 2:
            raise RuntimeError("stuck")
        return play(*given, **more)

    assert failure(shrink(MISTAKEN, found(), plays=plays).played) == failure(found())


def test_a_counterexample_is_lines_whatever_the_words_are():
    """An argument with a line break or an escape code stays on its line, so that what is pasted stays a comment."""
    from holdfast.runtime.planner import Proposed

    whole = play(case(), (), planner=Script([Proposed("close", {"ticket": "t_2"})], says="\x1b[2J\nclosed t_1"))
    small = shrink(case(), whole)
    assert all(line.isprintable() for line in counterexample(small))


def test_what_does_not_fail_is_not_shrunk():
    """A passing play has nothing to make small."""
    with pytest.raises(ValueError, match="does not fail"):
        shrink(case(), play(case()))
