"""When an absence is final and when a key may go out again, each to the millisecond."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel.answers import Absent
from holdfast.kernel.finality import final_absence, final_at_ms, no_resend
from tests.unit.kernel.records import CONTRACT, NOW_MS, sent

FENCED = replace(CONTRACT, fenced=True)
TIMELY = replace(CONTRACT, enforces_send_by=True)
KEYED = replace(CONTRACT, keyed_ms=60_000, resends=2)


def test_without_a_ground_nothing_is_ever_final() -> None:
    """Not found, however often and however much later, does not say that it did not happen."""
    assert final_absence(CONTRACT, sent(NOW_MS), Absent(final=True), NOW_MS + 10**9) == ""


def test_a_fence_makes_it_final_once_a_higher_token_was_seen_and_what_landed_would_show() -> None:
    """The claim of the outside, a token above those of all attempts, and the time a change takes to be seen."""
    view = sent(NOW_MS, NOW_MS + 10, token=3)
    taken = replace(view, token=5, absent_ms=NOW_MS + 1_000)
    assert final_absence(FENCED, taken, Absent(final=True), NOW_MS + 1_299) == ""
    said = final_absence(FENCED, taken, Absent(final=True), NOW_MS + 1_300)
    assert said == "the resource refuses token 4: it has seen 5"
    assert final_absence(FENCED, taken, Absent(final=False), NOW_MS + 1_300) == ""
    assert final_absence(CONTRACT, taken, Absent(final=True), NOW_MS + 1_300) == ""
    assert final_absence(FENCED, replace(taken, token=4), Absent(final=True), NOW_MS + 1_300) == ""
    fresh = replace(taken, absent_ms=0)
    assert final_absence(FENCED, fresh, Absent(final=True), NOW_MS + 1_300) == ""
    assert final_absence(replace(FENCED, visible_within_ms=0), fresh, Absent(final=True), NOW_MS) != ""


def test_a_send_by_that_the_outside_keeps_makes_it_final_after_it() -> None:
    """Counted from the latest send-by of all attempts, with the skew of clocks and the time a change takes to show."""
    view = sent(NOW_MS, NOW_MS + 100)
    last_ms = NOW_MS + 100 + 500 + 50 + 300
    assert final_absence(TIMELY, view, Absent(), last_ms) == ""
    assert "send-by" in final_absence(TIMELY, view, Absent(), last_ms + 1)
    assert final_absence(TIMELY, view, Absent(), last_ms + 1, steady_ms=NOW_MS + 601) == ""
    assert final_absence(TIMELY, replace(view, operation="op"), Absent(), last_ms + 1) == ""


def test_a_dead_sender_makes_it_final_when_nothing_of_its_can_land_any_more() -> None:
    """Counted from the proof of its death, or from when the clock was steady again, whichever is later."""
    view = sent(NOW_MS, dead_since_ms=NOW_MS + 1_000)
    last_ms = NOW_MS + 1_000 + 2_000 + 300
    assert final_absence(CONTRACT, view, Absent(), last_ms - 1) == ""
    assert "proved dead" in final_absence(CONTRACT, view, Absent(), last_ms)
    assert final_absence(CONTRACT, view, Absent(), last_ms, steady_ms=NOW_MS + 1_001) == ""
    assert final_absence(CONTRACT, replace(view, operation="op"), Absent(), last_ms) == ""


@pytest.mark.parametrize(("probes", "pause_ms"), [(0, 100), (1, 200), (5, 3_200), (6, 6_400), (9, 6_400)])
def test_the_next_probe_waits_longer_each_time_up_to_a_bound(probes: int, pause_ms: int) -> None:
    """Without a ground to wait for it is the pause alone, doubled six times at most."""
    assert final_at_ms(CONTRACT, sent(NOW_MS, probes=probes), NOW_MS) == NOW_MS + pause_ms


def test_the_next_probe_comes_when_an_absence_could_be_final_if_that_is_sooner() -> None:
    """The earlier of the grounds that may come; never one that has passed, never for an operation."""
    view = sent(NOW_MS, probes=6)
    assert final_at_ms(TIMELY, view, NOW_MS) == NOW_MS + 500 + 50 + 300 + 1
    dead = replace(view, dead_since_ms=NOW_MS - 1_900)
    assert final_at_ms(CONTRACT, dead, NOW_MS) == NOW_MS - 1_900 + 2_000 + 300
    assert final_at_ms(TIMELY, dead, NOW_MS) == NOW_MS - 1_900 + 2_000 + 300
    assert final_at_ms(TIMELY, replace(dead, operation="op"), NOW_MS) == NOW_MS + 6_400
    assert final_at_ms(TIMELY, view, NOW_MS + 2_000) == NOW_MS + 2_000 + 6_400
    assert final_at_ms(TIMELY, replace(view, probes=0), NOW_MS) == NOW_MS + 100


@pytest.mark.parametrize(
    ("more", "at_ms", "why"),
    [
        ({}, NOW_MS, ""),
        ({"resends": 1}, NOW_MS, ""),
        ({"resends": 2}, NOW_MS, "2 resends were made, as many as the contract allows"),
        ({}, NOW_MS + 60_000 - 2_000 - 50 - 1, ""),
        ({}, NOW_MS + 60_000 - 2_000 - 50, "the key window closed for resending 0 ms ago"),
        ({}, NOW_MS + 60_000, "the key window closed for resending 2050 ms ago"),
    ],
)
def test_a_key_goes_out_again_within_its_window_and_as_often_as_may_be(
    more: dict[str, Any], at_ms: int, why: str
) -> None:
    """The window counts from the first dispatch, less what the last resend may take to land and clocks may differ."""
    assert no_resend(KEYED, sent(NOW_MS, NOW_MS + 5, **more), at_ms) == why


def test_without_a_key_nothing_goes_out_again() -> None:
    """A tool whose outside honours no key is never sent a second time."""
    assert no_resend(CONTRACT, sent(NOW_MS), NOW_MS) == "the outside honours no key"
