"""Planted defects of schedules: slots begun beside their schedule, named by the clock, unbounded, or not by the day."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from msgspec.structs import replace

from holdfast.runtime import begin, queue_slots, schedules
from tests.harness.planted import Put


def _slot_apart(put: Put) -> None:
    """The run of a slot is recorded first, and the schedule goes on in a commit of its own."""
    honest = schedules.submit

    async def apart(desk: Any, intent: Any, *, moves: Any = (), **how: Any) -> Any:
        said = await honest(desk, intent, **how)
        for known, moved in moves:
            await schedules._put(desk, known, moved, "went on", "")
        return said

    put(schedules, "submit", apart)


def _slot_is_a_time(put: Put) -> None:
    """What a run is for is when somebody looked, and not which slot it is."""
    looks = count()
    put(schedules, "purpose_of", lambda schedule, slot_ms: f"holdfast:schedule/{schedule.name} at look {next(looks)}")


def _misses_unbounded(put: Put) -> None:
    """Whatever was missed is made up for."""
    honest = schedules.due_slots
    put(
        schedules,
        "due_slots",
        lambda schedule, now_ms: honest(replace(schedule, misses="all", most=10_000), now_ms),
    )


PLANT: dict[str, Callable[[Put], None]] = {
    "slot-apart": _slot_apart,
    "slot-is-a-time": _slot_is_a_time,
    "misses-unbounded": _misses_unbounded,
    "own-purpose-for-all": lambda put: put(begin, "OwnIntent", begin.Intent),
    "slots-as-intervals": lambda put: put(queue_slots, "_by_the_clock", lambda cron: cron),
}
