"""The explorer: every schedule of a scenario within its bounds, one by one.

Two ways that must agree: *by re-execution*, each schedule from its first step (the reference), and *from snapshots*,
each step of the tree of choices executed once. Both stop a branch at its first violation.

Promises: within the bounds and the alphabet that are printed, every schedule is executed. Promises nothing beyond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from holdfast.harness.explore.alphabet import AtWillMachine
from holdfast.harness.explore.machine import GO, Machine, Script, Snapshot
from holdfast.harness.explore.merge import Merging, Node
from holdfast.harness.explore.reduction import Reduced
from holdfast.harness.explore.scenario import Scenario
from holdfast.harness.explore.shared import Shared
from holdfast.harness.explore.turns import Ended
from holdfast.kernel.laws import Broken

Way = tuple["Way | None", str]
"""The choices of a schedule, the last one first; what they have in common is kept once."""


class Finding(NamedTuple):
    """A law that a schedule broke, and the schedule."""

    broken: Broken
    script: Script


class Explored(NamedTuple):
    """What an exploration came to."""

    scenario: str
    executed: int
    stood_for: int
    states: int
    choices: int
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def per_second(self) -> float:
        """Schedules executed in a second of one core's time."""
        return self.executed / self.seconds if self.seconds else 0.0


def explore(
    scenario: Scenario,
    *,
    merge: bool = True,
    stop_after: int = 1,
    limit: int | None = None,
    audit_every: int = 64,
    laws: tuple[str, ...] = (),
    reduced: bool = False,
    under: tuple[str, ...] = (),
    told: Callable[[Finding], None] | None = None,
) -> Explored:
    """Every schedule, from snapshots. Stops after so many findings, or so many schedules.

    ``laws``: look for these alone (none named: for all); a branch that breaks another one ends without a finding.

    ``merge``: end a schedule where it runs into a state that was met before, and count what it stands for.
    ``audit_every``: how many schedules share one full reading of the evidence.
    ``reduced``: leave out what says the same (:mod:`.reduction`). ``under``: only below these first choices.
    ``told`` hears of each finding at once.
    """
    machine = machine_of(scenario, reduced=reduced, shared=Shared())
    # The way is kept as a chain of choices; only a finding needs its addresses, and gets them when it is played.
    machine.naming = reduced
    way: Way | None = None
    ahead = list(reversed(under))
    merging = Merging(machine)
    if merge:
        machine.meet = merging.meet
    stack: list[tuple[Snapshot, str, Node, Way | None]] = []
    choices = 0

    def choose(machine: Machine, options: tuple[str, ...]) -> str:
        nonlocal choices, way
        if ahead:
            way = (way, ahead.pop())
            return way[1]
        choices += 1
        here = machine.save()
        node, before = merging.node, way
        stack.extend([(here, option, node, before) for option in options[:0:-1]])
        way = (before, options[0])
        return options[0]

    findings: list[Finding] = []
    executed = 0
    started = time.process_time()
    first = ""
    while True:
        broken = machine.run(choose) if not first else _from(machine, first, choose)
        executed += 1
        if not machine.merged:
            merging.end()
        if broken is None and executed % audit_every == 0:
            broken = audit(machine)
        if broken is not None and (not laws or broken.law in laws):
            findings.append(Finding(broken, machine.trail if reduced else trail(scenario, way)))
            if told is not None:
                told(findings[-1])
        if not stack or len(findings) >= stop_after or executed == limit:
            break
        here, first, merging.node, before = stack.pop()
        way = (before, first)
        machine.load(here)
    seconds = time.process_time() - started
    return Explored(scenario.name, executed, merging.stood_for(), merging.states, choices, tuple(findings), seconds)


def machine_of(scenario: Scenario, *, reduced: bool = False, shared: Shared | None = None) -> Machine:
    """The machine that a scenario is played on."""
    if scenario.at_will is not None:
        return AtWillMachine(scenario)
    return Reduced(scenario, shared=shared) if reduced else Machine(scenario, shared=shared)


def trail(scenario: Scenario, way: Way | None) -> Script:
    """The events of a schedule at their addresses: its choices are made again, from the first step, nothing shared."""
    todo: list[str] = []
    while way is not None:
        way, option = way
        todo.append(option)
    machine = machine_of(scenario)
    machine.run(lambda _, options: todo.pop() if todo else options[0])
    return machine.trail


def _from(machine: Machine, first: str, choose: Callable[[Machine, tuple[str, ...]], str]) -> Broken | None:
    """Go on from where the machine stands by taking one given option."""
    pending = [first]
    return machine.run(lambda m, options: pending.pop() if pending else choose(m, options))


def audit(machine: Machine) -> Broken | None:
    """Read all evidence that a schedule left behind."""
    try:
        machine.read_evidence()
    except Ended:
        return machine.broken
    return None


def explore_again(scenario: Scenario, *, stop_after: int = 1, limit: int | None = None) -> Explored:
    """Every schedule, each from its first step: the reference for the above."""
    executed, choices = 0, 0
    findings: list[Finding] = []
    started = time.process_time()
    prefix: list[int] = []
    while True:
        taken: list[tuple[int, int]] = []

        def choose(
            _: Machine, options: tuple[str, ...], prefix: list[int] = prefix, taken: list[tuple[int, int]] = taken
        ) -> str:
            index = prefix[len(taken)] if len(taken) < len(prefix) else 0
            taken.append((index, len(options)))
            return options[index]

        machine = Machine(scenario)
        broken = machine.run(choose)
        executed += 1
        choices += len(taken)
        if broken is not None:
            findings.append(Finding(broken, machine.trail))
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken or len(findings) >= stop_after or executed == limit:
            break
        prefix = [index for index, _ in taken]
        prefix[-1] += 1
    seconds = time.process_time() - started
    return Explored(scenario.name, executed, executed, 0, choices, tuple(findings), seconds)


def play(scenario: Scenario, script: Iterable[tuple[str, str]]) -> tuple[Machine, Broken | None]:
    """One schedule: the events of a script at their addresses, everything else as if nothing goes wrong.

    An event whose address is not met, or which is not offered there, does not happen.
    """
    todo: Mapping[str, list[str]] = {}
    todo = {}
    for address, option in script:
        todo.setdefault(address, []).append(option)

    def choose(machine: Machine, options: tuple[str, ...]) -> str:
        wanted = todo.get(machine.address())
        if wanted and wanted[0] in options:
            return wanted.pop(0)
        return GO

    machine = machine_of(scenario)
    broken = machine.run(choose)
    if broken is None:
        broken = audit(machine)
    return machine, broken
