"""Schedules judged by the books of the virtual outside: for what no law over the ledger can see.

A defect may make the ledger agree with itself about something that is not so. Here a judge looks at what the outside
logged and at what the run was promised, and nothing else. The search is breadth first over scripts of events, each
executed from its first step, so that what it finds is as short as any there is within its alphabet.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.harness.explore.bounded import Script
from holdfast.harness.explore.machine import GO, Machine
from holdfast.harness.explore.scenario import Scenario

Judge = Callable[[Machine], str]
"""What a finished schedule did that was not promised, in words; empty if nothing."""

MOST_EVENTS = 3


def within_budget(machine: Machine) -> str:
    """The outside was changed more often than the run may change it."""
    may, log = machine.scenario.budget.effects, machine.outside.log
    return f"the outside was changed {len(log)} times, and the run may {may}" if may and len(log) > may else ""


def play(scenario: Scenario, script: Script) -> tuple[Machine, list[tuple[str, str]]]:
    """One schedule, and every event that might have happened besides after the last one of its script."""
    todo = list(script)
    offered: list[tuple[str, str]] = []

    def choose(machine: Machine, options: tuple[str, ...]) -> str:
        here = machine.address()
        if todo:
            if todo[0][0] == here and todo[0][1] in options:
                return todo.pop(0)[1]
        else:
            offered.extend((here, option) for option in options if option != GO)
        return GO

    machine = Machine(scenario)
    machine.run(choose)
    return machine, offered


def search(scenario: Scenario, judge: Judge, most: int = MOST_EVENTS) -> tuple[Script | None, str, int]:
    """The shortest script that a judge objects to, its objection, and how many schedules were executed."""
    wave: list[Script] = [()]
    executed = 0
    for _ in range(most + 1):
        longer: list[Script] = []
        for script in wave:
            machine, offered = play(scenario, script)
            executed += 1
            if said := judge(machine):
                return script, said, executed
            longer += [(*script, event) for event in offered]
        wave = longer
    return None, "", executed
