"""Store time: monotone, and suspicious of a clock that jumps."""

from __future__ import annotations

import pytest

from holdfast.store.clock import JUMP_MS, Measure, StoreClock, boot_ms, wall_ms


class Hands:
    """Two clocks that a test sets."""

    def __init__(self) -> None:
        self.wall, self.boot = 1_000_000_000, 500

    def clock(self) -> StoreClock:
        return StoreClock(lambda: self.wall, lambda: self.boot)


def test_store_time_is_the_highest_of_what_was_recorded_and_the_wall() -> None:
    """It follows the wall clock forward, stands still while that goes back, and never falls below a recorded
    time.
    """
    hands = Hands()
    clock = hands.clock()
    assert clock.now_ms() == 1_000_000_000
    hands.wall += 10
    assert clock.now_ms() == 1_000_000_010
    hands.wall -= 8
    assert clock.now_ms() == 1_000_000_010
    clock.seen(1_000_000_500)
    clock.seen(3)
    assert clock.now_ms() == 1_000_000_500


@pytest.mark.parametrize(("wall_by", "boot_by", "jumped"), [
    (JUMP_MS, 0, 0),
    (JUMP_MS + 1, 0, JUMP_MS + 1),
    (-JUMP_MS - 1, 0, -JUMP_MS - 1),
    (0, JUMP_MS + 1, -JUMP_MS - 1),
    (10 * JUMP_MS, 10 * JUMP_MS, 0),
])  # fmt: skip
def test_a_jump_is_wall_time_that_boot_time_does_not_share(wall_by, boot_by, jumped) -> None:
    """Only a difference between the two clocks beyond the bound is a jump; a machine that slept has none."""
    hands = Hands()
    clock = hands.clock()
    hands.wall += wall_by
    hands.boot += boot_by
    assert clock.jumped_ms() == jumped


def test_an_accepted_clock_is_the_new_measure() -> None:
    """After accepting, the same offset is no jump, and the next one is measured from there."""
    hands = Hands()
    clock = hands.clock()
    hands.wall += 2 * JUMP_MS
    assert clock.jumped_ms() == 2 * JUMP_MS
    clock.accept()
    assert clock.jumped_ms() == 0
    hands.wall -= 2 * JUMP_MS
    assert clock.jumped_ms() == -2 * JUMP_MS


@pytest.mark.parametrize(("behind", "jumped"), [(JUMP_MS, 0), (JUMP_MS + 1, -JUMP_MS - 1)])
def test_opening_far_behind_what_is_recorded_is_a_jump_back(behind, jumped) -> None:
    """A store that recorded a later time than the wall shows now was written under another clock."""
    clock = Hands().clock()
    clock.opened(1_000_000_000 + behind)
    assert clock.jumped_ms() == jumped
    clock.accept()
    assert clock.jumped_ms() == 0


@pytest.mark.req("1.4d", mutant=None, reason="the test holds the boot clock still, and nothing else")
def test_a_boot_clock_that_stands_still_is_a_doubt_and_never_trust() -> None:
    """Where the clock that nobody can set is frozen, time that passes by the wall alone is not relied on."""
    hands = Hands()
    clock = hands.clock()
    for _ in range(3):
        hands.wall += JUMP_MS // 2
        clock.now_ms()
    assert clock.jumped_ms() == JUMP_MS + JUMP_MS // 2
    assert clock.counts_from_ms(hands.wall) == hands.wall


def test_a_leap_ahead_stays_in_doubt_and_a_clock_that_was_behind_does_not() -> None:
    """A clock that leapt and was set right is doubted still, from a look at the time alone; one that was behind and
    was set right is not.
    """
    hands = Hands()
    ahead, behind = hands.clock(), hands.clock()
    hands.wall -= 2 * JUMP_MS
    assert behind.jumped_ms() == -2 * JUMP_MS
    hands.wall += 2 * JUMP_MS
    assert behind.jumped_ms() == 0
    hands.wall += 3 * JUMP_MS
    ahead.now_ms()
    hands.wall -= 3 * JUMP_MS
    assert ahead.jumped_ms() == 3 * JUMP_MS
    assert ahead.measure.leapt_ms == 3 * JUMP_MS


def test_two_that_open_at_once_agree_on_one_measure() -> None:
    """What one process measured a moment apart from another is taken over, so that they do not write it back and
    forth; a measure that a leap lies between is not.
    """
    hands = Hands()
    first = StoreClock(lambda: hands.wall, lambda: hands.boot, "boot 1")
    hands.wall += 3
    second = StoreClock(lambda: hands.wall, lambda: hands.boot, "boot 1")
    assert first.measure != second.measure
    second.learn(first.measure)
    assert first.measure == second.measure
    second.learn(first.measure._replace(offset_ms=first.measure.offset_ms - 2 * JUMP_MS))
    assert first.measure == second.measure


def test_a_process_of_no_known_boot_leaves_the_measure_of_others_alone() -> None:
    """Where the boot has no name, what another process left is kept as it is."""
    hands = Hands()
    kept = Measure(leapt_ms=0, steady_ms=5, ahead_ms=7, boot="boot 1", offset_ms=9)
    clock = hands.clock()
    clock.opened(1, kept)
    assert clock.measure == kept
    assert clock.now_ms() == hands.wall + 7


def test_the_machines_own_clocks_are_milliseconds() -> None:
    """The wall clock counts from 1970 and the boot clock from boot."""
    assert wall_ms() > 1_700_000_000_000
    assert 0 < boot_ms() < wall_ms()
