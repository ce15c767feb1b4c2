"""Shrinking: from a schedule that breaks a law to a short one that breaks the same law.

By meaning: whole events are taken out, first what the planner and people did, then faults, then crashes; then calls of
the plan, requests to people, and arguments that make no difference. What is left is 1-minimal; then every shorter
selection of it is tried, shortest first. The best so far is always kept, so a shrink that runs out still answers.

Promises: the answer breaks the same law when it is played. Does not promise the shortest schedule there is: only the
shortest among selections of the one it was given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from holdfast.harness.explore.bounded import play
from holdfast.harness.explore.machine import Script
from holdfast.harness.explore.scenario import Scenario
from holdfast.kernel.laws import Broken

EXECUTIONS = 200
FIRST = ("call", "repeat", "amend", "other", "decline", "approve", "halt", "lift", "attest", "moved", "jump", "tick")
"""What is taken out first: what the planner, people and time did. Faults of a call follow, then crashes and pauses."""


class Shrunk(NamedTuple):
    """A short schedule, the law it breaks, and what it took to find: executions, and seconds of one core."""

    scenario: Scenario
    script: Script
    broken: Broken
    executions: int
    seconds: float = 0.0

    def case(self) -> str:
        """The schedule as Python that can be pasted into a test."""
        lines = "".join(f"    ({address!r}, {option!r}),\n" for address, option in self.script)
        return (
            f"# {self.broken.law}: {self.broken.why}\n"
            f"scenario = {self.scenario!r}\n"
            f"script = (\n{lines})\n"
            f"assert play(scenario, script)[1].law == {self.broken.law!r}\n"
        )


class _Shrinking:
    """The best so far, and what was spent on it."""

    def __init__(self, scenario: Scenario, script: Script, law: str, executions: int) -> None:
        self.scenario, self.script, self.law = scenario, script, law
        self.left = executions
        self.spent = 0
        self.why: Broken | None = None

    def breaks(self, scenario: Scenario, script: Script) -> bool:
        """Whether this breaks the same law; then it is the best so far."""
        if self.spent >= self.left:
            return False
        self.spent += 1
        _, broken = play(scenario, script)
        if broken is None or broken.law != self.law:
            return False
        self.scenario, self.script, self.why = scenario, script, broken
        return True

    def fewer_events(self) -> None:
        """Take events out one by one, by meaning, until none can go."""
        shorter = True
        while shorter:
            shorter = False
            for place in sorted(range(len(self.script)), key=lambda at: (_rank(self.script[at][1]), -at)):
                if self.breaks(self.scenario, (*self.script[:place], *self.script[place + 1 :])):
                    shorter = True
                    break

    def smaller_plans(self) -> None:
        """A plan with fewer calls, nobody to ask, and no bound that plays no part."""
        for smaller in _smaller(self.scenario):
            self.breaks(smaller, self.script)

    def shortest(self) -> None:
        """Every shorter selection of what is left, shortest first."""
        script = self.script
        for size in range(1, len(script) - 1):
            if any(self.breaks(self.scenario, attempt) for attempt in combinations(script, size)):
                return


def shrink(scenario: Scenario, script: Script, law: str, *, executions: int = EXECUTIONS) -> Shrunk:
    """The shortest selection of a script's events, on the smallest plan, that still breaks this law."""
    started = time.process_time()
    at = _Shrinking(scenario, script, law, executions)
    if not at.breaks(scenario, script):
        raise ValueError(f"the schedule does not break {law} when it is played")
    at.fewer_events()
    at.smaller_plans()
    at.shortest()
    assert at.why is not None
    return Shrunk(at.scenario, at.script, at.why, at.spent, time.process_time() - started)


def _rank(option: str) -> int:
    what = option.partition(":")[0]
    if what in FIRST:
        return 0
    return 2 if what.startswith(("crash", "pause", "resume")) else 1


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Plans that ask for less, each one step away."""
    if len(scenario.calls) > 1:
        for place in range(len(scenario.calls)):
            yield scenario._replace(calls=(*scenario.calls[:place], *scenario.calls[place + 1 :]))
    if scenario.ruling != "allow":
        yield scenario._replace(ruling="allow")
    if scenario.deadline_ms is not None:
        yield scenario._replace(deadline_ms=None)
    if scenario.granted_until_ms:
        yield scenario._replace(granted_until_ms=0)
