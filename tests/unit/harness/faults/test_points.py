"""Points and what a fault names: it means the waits that it names, and one that could strike nowhere is an error."""

from __future__ import annotations

import pytest

from holdfast.harness.faults.fault import Fault, Point
from holdfast.harness.faults.points import Strikes, fits
from holdfast.kernel.errors import BadValue

SEND = Point("refund#1", "refund", "dispatch", "body.send", 1)
BEGIN = Point("", "", "begin", "store.commit", 1)


def test_what_a_fault_leaves_open_fits_anything():
    """Empty fields fit any call, step and tool, but only ports at which the kind strikes."""
    assert fits(Fault(kind="lost reply"), SEND)
    assert not fits(Fault(kind="lost reply"), BEGIN)
    assert fits(Fault(kind="crash after", tool="refund"), SEND)
    assert not fits(Fault(kind="crash after", tool="mail"), SEND)
    assert not fits(Fault(kind="crash after", verb="observe"), SEND)
    assert fits(Fault(kind="crash after"), BEGIN)


def test_a_dash_means_a_wait_of_no_call():
    """``-`` fits where there is no call, and nowhere else: a grid's fault at a nameless wait strikes no other."""
    assert fits(Fault(kind="crash after", call="-"), BEGIN)
    assert not fits(Fault(kind="crash after", call="-", at="body.send"), SEND)


def test_a_fault_strikes_at_its_count_and_as_often_as_it_says():
    """nth=2, times=2: the second and the third wait that fit are struck, with the points at which that was."""
    fault = Fault(kind="crash after", at="store.commit", nth=2, times=2)
    strikes = Strikes([fault])
    found = [bool(strikes.reach("refund#1", "refund", "store.commit")) for _ in range(5)]
    assert found == [False, True, True, False, False]
    assert [struck.point.nth for struck in strikes.struck] == [2, 3]
    assert strikes.missed == ()


def test_a_fault_whose_point_is_not_reached_is_told():
    """What never struck is among the missed."""
    fault = Fault(kind="lost reply", call="refund#9")
    strikes = Strikes([fault])
    strikes.reach("refund#1", "refund", "body.send")
    assert strikes.missed == (fault,)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(kind="lots reply"), "no fault is called 'lots reply'"),
        (Fault(kind="lost reply", at="store.commit"), "does not strike at store.commit"),
        (Fault(kind="lost reply", nth=0), "counted from 1"),
        (Fault(kind="lost reply", times=0), "at least once"),
    ],
)
def test_a_fault_that_could_strike_nowhere_is_an_error(fault, why):
    """No such kind, a port at which it does not strike, or a count of nothing: said before anything is played."""
    with pytest.raises(BadValue, match=why):
        Strikes([fault])
