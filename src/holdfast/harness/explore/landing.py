"""Landings: each way in which a right may end, at every wait of every verb, one after the other.

A course is a schedule in which one thing goes wrong (none, a lost reply, a crash …), so that between them all seven
verbs wait somewhere. Each wait of each course is found first, then played again with the end landing exactly there.

Promises: what is counted was executed; a wait at which nothing could end any more (a spent approval) is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from holdfast.harness.explore.machine import GO, Machine, Script
from holdfast.harness.explore.scenario import LAPSES, Bounds, Scenario, lapsing
from holdfast.kernel.laws import Broken
from holdfast.kernel.life import VERBS
from holdfast.kernel.model import State
from holdfast.store.memory import Books

SEND = "A1 dispatch body.send #0"
COURSES: tuple[Script, ...] = (
    (),
    ((SEND, "lost reply"),),
    ((SEND, "late"),),
    ((SEND, "vanish"),),
    ((SEND, "never left"),),
    ((SEND, "refused"),),
    ((SEND, "crash"),),
    ((SEND, "crash in flight"),),
    (("A1 dispatch store.commit #0", "crash"),),
)
"""What goes wrong besides, in a schedule that an end lands in."""

LANDING_TOOLS = ("fenced", "keyed", "probed", "bare", "long")


class Landed(NamedTuple):
    """One schedule with one end in it: where it landed, and what came after."""

    scenario: str
    move: str
    course: Script
    address: str
    verb: str
    dispatched_after: int
    was_unknown: bool
    ends: tuple[State, ...]
    broken: Broken | None


def everywhere(tools: tuple[str, ...] = LANDING_TOOLS, moves: tuple[str, ...] = LAPSES) -> Iterator[Landed]:
    """Every end at every wait of every course, for each tool, allowed and asked about."""
    for tool in tools:
        for ruling in ("allow", "ask"):
            for move in moves:
                scenario = lapsing(tool, ruling=ruling, moves=(move,), bounds=Bounds(2, 2))
                if move not in scenario.moves:
                    continue
                for course in COURSES:
                    for address, verb in waits(scenario, course, move):
                        yield land(scenario, course, address, verb, move)


def waits(scenario: Scenario, course: Script, move: str) -> list[tuple[str, str]]:
    """The addresses of a course at which this end may land, each with the verb that waits there."""
    found: dict[str, str] = {}
    todo = dict(course)

    def choose(machine: Machine, options: tuple[str, ...]) -> str:
        address = machine.address()
        if todo.get(address) in options:
            return todo.pop(address)
        if move in options:
            job = machine.jobs[-1] if machine.jobs else None
            found.setdefault(address, job.verb() if job is not None else "idle")
        return GO

    Machine(scenario).run(choose)
    return list(found.items())


def land(scenario: Scenario, course: Script, address: str, verb: str, move: str) -> Landed:
    """Play a course with one end landing at one wait."""
    todo = dict(course)
    before: list[tuple[int, bool]] = []

    def choose(machine: Machine, options: tuple[str, ...]) -> str:
        here = machine.address()
        if todo.get(here) in options:
            return todo.pop(here)
        if here == address and not before and move in options:
            books = machine.store.current
            unknown = any(view.state is State.UNKNOWN for view in books.effects.values())
            before.append((dispatches(books, move), unknown))
            return move
        return GO

    machine = Machine(scenario)
    broken = machine.run(choose)
    books = machine.store.durable
    count, unknown = before[0]
    ends = tuple(view.state for view in books.effects.values())
    after = dispatches(books, move) - count
    return Landed(scenario.name, move, course, address, verb, after, unknown, ends, broken)


def dispatches(books: Books, move: str) -> int:
    """Attempts that rest on the right in question. A spent approval is not used again by sending under the same key."""
    attempts = (attempt for view in books.effects.values() for attempt in view.attempts)
    return sum(not attempt.resend or move not in ("revoke approval", "revoke key") for attempt in attempts)


def summary(landed: list[Landed]) -> str:
    """How many, where, and what came of it, for people."""
    by_verb = Counter(one.verb for one in landed)
    by_move = Counter(one.move for one in landed)
    after = sum(one.dispatched_after for one in landed)
    unknown = [one for one in landed if one.was_unknown]
    still = sum(State.UNKNOWN in one.ends for one in unknown)
    places = "  ".join(f"{verb} {by_verb[verb]}" for verb in (*VERBS, "propose", "step", "tell", "idle"))
    return (
        f"{len(landed)} landings at {len({(o.scenario, o.course, o.address) for o in landed})} waits\n"
        f"  by verb: {places}\n"
        f"  by what ended: {'  '.join(f'{move} {count}' for move, count in sorted(by_move.items()))}\n"
        f"  dispatch commits that followed: {after}\n"
        f"  on an unknown: {len(unknown)}; {still} are unknown to the end, the others became known by evidence"
    )
