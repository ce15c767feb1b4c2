"""One exploration over many workers: the tree of choices is cut into subtrees, and each is one task.

Promises: the schedules executed without merging are exactly those of one worker, and with merging what they stand for
is. Each worker merges within its own subtree, so more may be executed than by one; nothing is counted twice.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from holdfast.harness.explore.bounded import Explored, explore
from holdfast.harness.explore.executor import Executor, Local
from holdfast.harness.explore.machine import Machine, Snapshot
from holdfast.harness.explore.reduction import Reduced
from holdfast.harness.explore.scenario import Scenario
from holdfast.harness.explore.turns import Ended

Way = tuple[str, ...]
"""The options taken at the first choices of a schedule."""

SUBTREES = 64


class Task(NamedTuple):
    """One subtree to explore."""

    scenario: Scenario
    under: Way
    merge: bool
    reduced: bool
    stop_after: int


def subtrees(scenario: Scenario, wanted: int = SUBTREES, *, reduced: bool = False) -> list[Way]:
    """The roots of about so many subtrees that together are the whole tree, the largest ones cut first."""
    machine: Machine = Reduced(scenario) if reduced else Machine(scenario)
    done: list[Way] = []
    todo: deque[tuple[Way, Snapshot, tuple[str, ...]]] = deque()

    def on(way: Way) -> None:
        """Go on to the next choice below a way."""
        try:
            options = machine.options()
            while len(options) == 1:
                machine.take(options[0])
                options = machine.options()
        except Ended:
            done.append(way)
        else:
            todo.append((way, machine.save(), options))

    on(())
    while todo and len(todo) + len(done) < wanted:
        way, here, options = todo.popleft()
        for option in options:
            machine.load(here)
            try:
                machine.take(option)
            except Ended:
                done.append((*way, option))
            else:
                on((*way, option))
    return [*done, *(way for way, _, _ in todo)]


def run_task(task: Task) -> Explored:
    """Explore one subtree, wherever this runs."""
    return explore(task.scenario, merge=task.merge, reduced=task.reduced, under=task.under, stop_after=task.stop_after)


def explore_over(
    scenario: Scenario,
    engine: Executor | None = None,
    *,
    merge: bool = True,
    reduced: bool = False,
    stop_after: int = 1,
    wanted: int = SUBTREES,
) -> tuple[Explored, float]:
    """Every schedule, over an engine; what came of it, and the seconds on the clock of the wall."""
    began = time.monotonic()
    engine = engine or Local()
    ways = subtrees(scenario, 1 if isinstance(engine, Local) else wanted, reduced=reduced)
    parts = list(engine.map(run_task, [Task(scenario, way, merge, reduced, stop_after) for way in ways]))
    return together(scenario, parts), time.monotonic() - began


def together(scenario: Scenario, parts: list[Explored]) -> Explored:
    """The sum of what the subtrees came to."""
    return Explored(
        scenario.name,
        sum(part.executed for part in parts),
        sum(part.stood_for for part in parts),
        sum(part.states for part in parts),
        sum(part.choices for part in parts),
        tuple(finding for part in parts for finding in part.findings),
        sum(part.seconds for part in parts),
    )
