"""Store time: monotone, and suspicious of a clock that jumps."""

from __future__ import annotations

import pytest

from holdfast.store.clock import JUMP_MS, StoreClock, boot_ms, wall_ms


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


def test_the_machines_own_clocks_are_milliseconds() -> None:
    """The wall clock counts from 1970 and the boot clock from boot."""
    assert wall_ms() > 1_700_000_000_000
    assert 0 < boot_ms() < wall_ms()
