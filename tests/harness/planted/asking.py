"""Planted defects of what a planner is told of a call that was proposed anew by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.kernel.model import State
from holdfast.kernel.outcomes import outcome_of
from holdfast.runtime import view
from holdfast.runtime.run import RunHandle
from tests.harness.planted import Put


def the_first_try_is_the_answer(put: Put) -> None:
    """What a refused call comes to when it is proposed anew is not waited for, and nobody is told of it."""
    honest = RunHandle.carry

    async def carry(self: RunHandle, effect: str, wait_ms: int, untold: list[Any] | None = None) -> Any:
        before = len(untold or ())
        outcome = await honest(self, effect, wait_ms, untold)
        first = (untold or ())[before : before + 1]
        refused = first and first[0].state is State.REFUSED and first[0].successor
        return outcome_of(first[0]) if refused else outcome

    put(RunHandle, "carry", carry)
    put(view, "_newest", lambda name, effects: effects.known.get(name))


PLANT: dict[str, Callable[[Put], None]] = {"the-first-try-is-the-answer": the_first_try_is_the_answer}
