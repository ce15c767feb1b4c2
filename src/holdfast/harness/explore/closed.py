"""Closed exploration: every state that an alphabet leads to, until no new one appears.

A state is concrete; what tells two apart is its abstract key (:mod:`.keys`). What holds when nothing new appears holds
for every planner over the alphabet, for any length, any number of crashes and any interleaving it names. States are
met in the order of how many events it takes to get there, so the first violation has as few as any.

Promises: a result says *closed* only if the last state was expanded; the abstraction is audited by expanding one merged
state in so many in full, and comparing. Liveness is checked as: once faults cease, from every state rest is reachable.
"""

from __future__ import annotations

import random
import time
from array import array
from typing import NamedTuple

from holdfast.harness.explore.alphabet import FAIR, AtWillMachine, Held
from holdfast.harness.explore.keys import Keys
from holdfast.harness.explore.machine import GO, Script
from holdfast.harness.explore.scenario import Scenario
from holdfast.harness.explore.turns import Ended
from holdfast.kernel.laws import Broken

AUDIT_EVERY = 1_000


class Closed(NamedTuple):
    """What a closed exploration came to. ``closed`` False: it was stopped, and nothing is claimed beyond the states."""

    scenario: str
    closed: bool
    states: int
    transitions: int
    frontier: int
    rests: int
    stranded: int | None
    """States from which rest is not reachable once faults cease; None: not checked, for it was not closed."""
    audited: int
    audit: tuple[str, ...]
    """Merged states whose successors differ from those of the state they were taken for."""
    broken: Broken | None
    script: Script
    events: int
    seconds: float


class Search:
    """The states met so far, and the transitions between them."""

    def __init__(self, scenario: Scenario, *, audit_every: int, seed: int) -> None:
        """Stand before the first state."""
        self.scenario = scenario
        self.machine = AtWillMachine(scenario)
        self.machine.naming = False
        self.keys = Keys(self.machine)
        self.met: dict[tuple[int, ...], int] = {}
        self.parent = array("i")
        self.by = array("H")
        self.names: dict[str, int] = {}
        self.source, self.target, self.how = array("i"), array("i"), array("H")
        self.rests: set[int] = set()
        self.todo: list[tuple[Held, int, str]] = []
        self.later: list[tuple[Held, int, str]] = []
        self.events = 0
        self.samples: list[tuple[Held, tuple[str, ...], int]] = []
        self._draw = random.Random(seed)  # noqa: S311 - a sample that is the same each time
        self._every = audit_every

    def settle(self) -> tuple[str, ...]:
        """Go on to the next state in which there is a choice; what may happen there."""
        machine = self.machine
        while True:
            options = machine.options()
            if len(options) > 1:
                return options
            machine.take(options[0])

    def meet(self, options: tuple[str, ...], before: int, option: str) -> tuple[int, bool]:
        """The number of the state that the machine stands in, and whether it is a new one."""
        key = self.keys.key()
        known = self.met.get(key)
        if known is None:
            known = self.met[key] = len(self.parent)
            self.parent.append(before)
            self.by.append(self.name(option))
            self.link(before, known, option)
            return known, True
        self.link(before, known, option)
        if self._draw.random() * self._every < 1:
            self.samples.append((self.machine.hold(), options, known))
        return known, False

    def name(self, option: str) -> int:
        """An option as a small number."""
        return self.names.setdefault(option, len(self.names))

    def link(self, before: int, after: int, option: str) -> None:
        """Remember a transition."""
        if before >= 0:
            self.source.append(before)
            self.target.append(after)
            self.how.append(self.name(option))

    def go(self, state: int, option: str) -> None:
        """Take one option and everything that follows from it by itself, as far as it is new."""
        machine = self.machine
        while True:
            try:
                machine.take(option)
                options = self.settle()
            except Ended:
                if machine.broken is None:
                    self.rests.add(state)
                    return
                raise
            state, new = self.meet(options, state, option)
            if not new:
                return
            held = machine.hold()
            self.later += [(held, state, other) for other in options[1:]]
            option = options[0]

    def run(self, limit: int, seconds: float) -> bool:
        """Until no new state appears, a law breaks (Ended), or there are too many. Whether it closed."""
        until = time.process_time() + seconds
        options = self.settle()
        root, _ = self.meet(options, -1, GO)
        held = self.machine.hold()
        self.todo = [(held, root, option) for option in options]
        while self.todo:
            while self.todo:
                here, state, option = self.todo.pop()
                self.machine.back(here)
                self.go(state, option)
                if len(self.parent) >= limit or time.process_time() > until:
                    return False
            self.todo, self.later = self.later, []
            self.events += 1
        return True

    def way(self, state: int, last: str) -> list[str]:
        """The options that lead to a state, and one more."""
        names = {number: option for option, number in self.names.items()}
        found = [last]
        while self.parent[state] >= 0:
            found.append(names[self.by[state]])
            state = self.parent[state]
        return found[::-1]

    def stranded(self) -> int:
        """How many states do not reach rest by what goes on once faults have ceased."""
        if not len(self.parent):
            return 0
        fair = {number for option, number in self.names.items() if option in FAIR}
        back: dict[int, list[int]] = {}
        for before, after, how in zip(self.source, self.target, self.how, strict=True):
            if how in fair:
                back.setdefault(after, []).append(before)
        reached = set(self.rests)
        stack = list(reached)
        while stack:
            for before in back.get(stack.pop(), ()):
                if before not in reached:
                    reached.add(before)
                    stack.append(before)
        return len(self.parent) - len(reached)

    def audit(self) -> list[str]:
        """Expand each sampled state that was merged, and compare with what the kept one led to."""
        wanted = {state for _, _, state in self.samples}
        kept: dict[int, dict[int, int]] = {}
        for before, after, how in zip(self.source, self.target, self.how, strict=True):
            if before in wanted:
                kept.setdefault(before, {})[how] = after
        wrong: list[str] = []
        for held, options, state in self.samples:
            came: dict[int, int] = {}
            for option in options:
                led = self.after(held, option)
                if led is not None:
                    came[self.name(option)] = led
            if came != kept.get(state, {}):
                names = {number: option for option, number in self.names.items()}
                there = kept.get(state, {})
                differ = [names[how] for how in {*came, *there} if came.get(how) != there.get(how)]
                wrong.append(f"state {state}: {', '.join(sorted(differ))} led elsewhere")
        return wrong

    def after(self, held: Held, option: str) -> int | None:
        """The number of the state that an option leads to; None: to rest. -1: to one that was never met."""
        self.machine.back(held)
        try:
            self.machine.take(option)
            self.settle()
        except Ended:
            return None if self.machine.broken is None else -2
        return self.met.get(self.keys.key(), -1)


def close(
    scenario: Scenario,
    *,
    limit: int = 2_000_000,
    seconds: float = 600.0,
    audit_every: int = AUDIT_EVERY,
    seed: int = 1,
) -> Closed:
    """Explore until no new state appears, a law breaks, ``limit`` states are met, or so many ``seconds`` of one core
    are over.
    """
    started = time.process_time()
    search = Search(scenario, audit_every=audit_every, seed=seed)
    closed, broken = False, None
    script: Script = ()
    trying: tuple[int, str] = (0, GO)
    go = search.go

    def watched(state: int, option: str) -> None:
        nonlocal trying
        trying = (state, option)
        go(state, option)

    search.go = watched  # type: ignore[method-assign]
    try:
        closed = search.run(limit, seconds)
    except Ended:
        broken = search.machine.broken
        closed = broken is None  # at rest before the first choice
        script = retold(scenario, search.way(*trying)) if len(search.parent) else ()
    stranded = search.stranded() if closed else None
    wrong = search.audit() if closed else []
    return Closed(
        scenario.name,
        closed,
        len(search.parent),
        len(search.source),
        len(search.todo) + len(search.later),
        len(search.rests),
        stranded,
        len(search.samples) if closed else 0,
        tuple(wrong),
        broken,
        script,
        search.events,
        time.process_time() - started,
    )


def retold(scenario: Scenario, way: list[str]) -> Script:
    """The same way as events at their addresses, for :func:`~holdfast.harness.explore.bounded.play`."""
    machine = AtWillMachine(scenario)
    todo = iter(way)
    machine.run(lambda _, options: found if (found := next(todo, GO)) in options else GO)
    return machine.trail
