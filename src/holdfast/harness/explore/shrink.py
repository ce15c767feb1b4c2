"""Shrinking: from a schedule that breaks a law to a short one that breaks the same law.

First events are taken out one by one as long as the law stays broken (a schedule that is 1-minimal, which is not
minimal); then every shorter selection of what is left is tried, shortest first. The best so far is always kept, so a
shrink that runs out of executions still answers.

Promises: the answer breaks the same law when it is played. Does not promise the shortest schedule there is: only the
shortest among selections of the one it was given.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from holdfast.harness.explore.bounded import play
from holdfast.harness.explore.machine import Script
from holdfast.harness.explore.scenario import Scenario
from holdfast.kernel.laws import Broken

EXECUTIONS = 200


class Shrunk(NamedTuple):
    """A short schedule, the law it breaks, and how many executions it took to find."""

    scenario: Scenario
    script: Script
    broken: Broken
    executions: int

    def case(self) -> str:
        """The schedule as Python that can be pasted into a test."""
        lines = "".join(f"    ({address!r}, {option!r}),\n" for address, option in self.script)
        return (
            f"# {self.broken.law}: {self.broken.why}\n"
            f"scenario = {self.scenario!r}\n"
            f"script = (\n{lines})\n"
            f"assert play(scenario, script)[1].law == {self.broken.law!r}\n"
        )


def shrink(scenario: Scenario, script: Script, law: str, *, executions: int = EXECUTIONS) -> Shrunk:
    """The shortest selection of a script's events that still breaks this law."""
    spent = 0

    def breaks(attempt: Script) -> Broken | None:
        nonlocal spent
        spent += 1
        _, broken = play(scenario, attempt)
        return broken if broken is not None and broken.law == law else None

    best, why = script, breaks(script)
    if why is None:
        raise ValueError(f"the schedule does not break {law} when it is played")
    shorter = True
    while shorter and spent < executions:
        shorter = False
        for i in reversed(range(len(best))):
            attempt = (*best[:i], *best[i + 1 :])
            broken = breaks(attempt)
            if broken is not None:
                best, why, shorter = attempt, broken, True
                break
            if spent >= executions:
                break
    for size in range(1, len(best) - 1):
        for attempt in combinations(best, size):
            if spent >= executions:
                return Shrunk(scenario, best, why, spent)
            broken = breaks(attempt)
            if broken is not None:
                return Shrunk(scenario, attempt, broken, spent)
    return Shrunk(scenario, best, why, spent)
