"""Merging: two schedules that meet in one state go on alike, so only one of them has to.

The key of a state between programs is concrete: the heads of every chain (which bind all entries, with their times),
what is buffered, the outside, the workers, the bounds that are left, and what the laws remember. Left out are only the
counters of addresses and the trail, which nothing that runs can see.

Promises: what a merged exploration says it *stood for* is what an unmerged one executes; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from holdfast.harness.explore.machine import Machine
from holdfast.harness.explore.virtual import Course
from holdfast.store.memory import Books


class Node:
    """A state that was met: how many schedules ended below it, and which other states they ran into."""

    __slots__ = ("children", "ends")

    def __init__(self) -> None:
        """Nothing below it yet."""
        self.ends = 0
        self.children: list[Node] = []


class Merging:
    """The states met so far, and the one the present schedule last passed."""

    def __init__(self, machine: Machine) -> None:
        """Watch a machine."""
        self._machine = machine
        self._met: dict[Hashable, Node] = {}
        # A suspended program is told apart by its course; kept here, so that no identity is used twice.
        self._kept: dict[int, Course] = {}
        self.root = self.node = Node()

    def meet(self) -> bool:
        """Whether the machine's state was met before; counts the schedule there if it was."""
        key = self._key()
        known = self._met.get(key)
        child = known if known is not None else Node()
        self.node.children.append(child)
        self.node = child
        if known is None:
            self._met[key] = child
        return known is not None

    def end(self) -> None:
        """The present schedule came to its own end."""
        self.node.ends += 1

    @property
    def states(self) -> int:
        """How many states were told apart."""
        return len(self._met)

    def stood_for(self) -> int:
        """How many schedules there are, counting those that were not run twice."""
        totals: dict[int, int] = {}
        stack = [self.root]
        while stack:
            node = stack[-1]
            waiting = [child for child in node.children if id(child) not in totals]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            totals[id(node)] = node.ends + sum(totals[id(child)] for child in node.children)
        return totals[id(self.root)]

    def _key(self) -> Hashable:
        m = self._machine
        store = m.store
        for held in m.paused:
            self._kept[id(held.course)] = held.course
        return (
            _books(store.current),
            None if store.durable is store.current else _books(store.durable),
            store.writer,
            m.clock_ms,
            m.offset_ms,
            m.outside.log,
            m.outside.fences,
            m.outside.moved,
            tuple([(f.request.key, f.request.token, f.by_ms) for f in m.outside.flights]),
            m.running,
            m.dead,
            m.born,
            tuple([(id(held.course), held.sending) for held in m.paused]),
            m.queue,
            m.told,
            m.blocked,
            m.last,
            m.crashes,
            m.faults,
            m.fresh,
            m.states,
        )


def _books(books: Books) -> tuple[Any, ...]:
    return (tuple([run.head for run in books.runs.values()]), books.token, books.high_ms)
