"""Store time between two looks at a server: told from the last one, for a moment, and never from a clock in doubt."""

from __future__ import annotations

from holdfast.store.clock import JUMP_MS, Measure
from holdfast.store.postgres_clock import FRESH_MS, ServerClock

WALL_MS = 1_800_000_000_000


class Boot:
    """This machine's clock that nobody can set."""

    ms = 5_000


def opened(boot: Boot) -> ServerClock:
    """A clock after its first look."""
    clock = ServerClock(lambda: boot.ms, "boot")
    clock.opened(WALL_MS, 0, Measure(), lambda _: None)
    return clock


def test_time_is_told_from_the_last_look_for_a_moment() -> None:
    """It goes on with this machine's clock, and after a second, or before any look, there is none to tell."""
    boot = Boot()
    clock = opened(boot)
    assert clock.told() is None
    assert clock.risen(WALL_MS, 0, 0, 0, 0) == WALL_MS
    boot.ms += FRESH_MS - 1
    assert clock.told() == WALL_MS + FRESH_MS - 1
    boot.ms += 1
    assert clock.told() is None


def test_time_that_was_told_is_not_taken_back() -> None:
    """A server whose clock goes a little slower is not told before what was told already."""
    boot = Boot()
    clock = opened(boot)
    clock.risen(WALL_MS, 0, 0, 0, 0)
    boot.ms += 900
    assert clock.told() == WALL_MS + 900
    assert clock.risen(WALL_MS + 895, 0, 0, 0, 0) == WALL_MS + 895
    assert clock.told() == WALL_MS + 900


def test_a_clock_in_doubt_is_looked_at_each_time() -> None:
    """After a leap nothing is told without a look, until somebody accepted it."""
    boot = Boot()
    clock = opened(boot)
    clock.risen(WALL_MS, 0, 0, 0, 0)
    clock.risen(WALL_MS + 2 * JUMP_MS, 0, 0, 0, 0)
    assert clock.told() is None
    clock.clock.accept()
    clock.risen(WALL_MS + 2 * JUMP_MS + 1, 0, 0, 0, 0)
    assert clock.told() == WALL_MS + 2 * JUMP_MS + 1
