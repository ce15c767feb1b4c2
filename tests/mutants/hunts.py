"""Every planted defect of the engine that this campaign answers for, and what finds it.

Three ways. *Laws*: a small scenario is explored until one of the laws named for the defect breaks, and the schedule is
shrunk. *Books*: schedules of a small scenario are judged by what the virtual outside logged. *Situation*: the real
application over a store of its own is led through a few named events, and the outside's books are the judge.

Promises: the counterexample was executed with the defect and objected to, and executed without it and was not. Does not
promise that a defect has no shorter one.
"""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from holdfast.harness.explore.bounded import explore
from holdfast.harness.explore.bounded import play as played
from holdfast.harness.explore.scenario import Bounds, Call, Scenario, one
from holdfast.harness.explore.shrink import shrink
from holdfast.kernel.amounts import Budget
from tests.harness.mutants import MUTANTS, planted
from tests.mutants import books
from tests.mutants.situations import SITUATIONS

EVENTS_WANTED = 6


class Found(NamedTuple):
    """What became of one hunt. ``by`` is empty if the defect got away; the events are as they would be read out."""

    name: str
    by: str
    why: str
    executed: int
    events: tuple[str, ...]
    seconds: float
    case: str = ""
    """The counterexample as Python that can be pasted, where it is one."""
    healthy: bool = True
    """Whether the same events without the defect are objected to by nobody."""

    @property
    def caught(self) -> bool:
        """Found, short enough, and by the defect alone."""
        return bool(self.by) and self.healthy and len(self.events) <= EVENTS_WANTED


class Explored(NamedTuple):
    """A scenario, and the laws of which one must break."""

    scenario: Scenario
    laws: tuple[str, ...]


class Booked(NamedTuple):
    """A scenario, and who looks at the outside's log."""

    scenario: Scenario
    judge: books.Judge


LAPSE = one("keyed", ruling="ask", bounds=Bounds(0, 1), moves=("jump:approval",))
PAIR = Scenario("keyed twice, one paid for", (Call("keyed"), Call("keyed", order="B", account="y")))

NEW: dict[str, Explored | Booked] = {
    "lease-never-expires": Explored(one("keyed", bounds=Bounds(1, 0), moves=(), provable=False), ("L13",)),
    "approval-of-the-tool": Explored(one("keyed", ruling="ask", bounds=Bounds(0, 1), moves=("amend",)), ("L5",)),
    "approval-past-its-end": Explored(LAPSE, ("L5",)),
    "delivered-twice": Explored(one("keyed", bounds=Bounds(0, 1), moves=("repeat",)), ("L2",)),
    "refusal-is-done": Explored(one("probed", bounds=Bounds(0, 1), moves=()), ("L3",)),
    "refusal-is-failure": Explored(one("keyed", bounds=Bounds(0, 3), moves=("repeat",)), ("L2",)),
    "stale-read-accepted": Explored(one("lagging", bounds=Bounds(0, 2), moves=()), ("L2",)),
    "silence-is-absence": Explored(one("fenced", bounds=Bounds(0, 2), moves=()), ("L3",)),
    "shared-token": Explored(one("keyed", bounds=Bounds(0, 1), moves=("pause",)), ("L6",)),
    "claimed-by-two": Explored(one("keyed", bounds=Bounds(0, 1), moves=("pause",)), ("L6",)),
    "stop-at-admission-only": Explored(one("keyed", bounds=Bounds(0, 1), moves=("halt",)), ("L7",)),
    "budget-forgets-unknown": Booked(PAIR._replace(bounds=Bounds(0, 1), budget=Budget(effects=1)), books.within_budget),
    "verified-by-its-own-reply": Explored(one("probed", bounds=Bounds(0, 1), moves=()), ("L12",)),
    "resent-past-its-window": Explored(one("keyed", bounds=Bounds(0, 2), moves=("jump:window",)), ("L2",)),
}
"""Beyond those of tests.harness.mutants, which are all explored."""

NAMES: tuple[str, ...] = (*MUTANTS, *NEW, *SITUATIONS)
FIRST_TEN = tuple(name for name, mutant in MUTANTS.items() if mutant.first_ten)


def hunt(name: str, folder: Path) -> Found:
    """Hunt one defect; ``folder`` is for stores of real applications."""
    started = time.monotonic()
    if name in SITUATIONS:
        found = _lived(name, folder)
    elif isinstance(how := NEW.get(name), Booked):
        found = _booked(name, how)
    else:
        found = _explored(name, how or Explored(MUTANTS[name].scenario, MUTANTS[name].laws))
    return found._replace(seconds=time.monotonic() - started)


def _explored(name: str, how: Explored) -> Found:
    with planted(name):
        explored = explore(how.scenario, laws=how.laws)
        if not explored.findings:
            return Found(name, "", "", explored.executed, (), 0.0)
        first = explored.findings[0]
        shrunk = shrink(how.scenario, first.script, first.broken.law)
    _, healthy = played(shrunk.scenario, shrunk.script)
    events = tuple(f"{option} at {address}" for address, option in shrunk.script)
    executed = explored.executed + shrunk.executions
    by = f"law {shrunk.broken.law}"
    return Found(name, by, shrunk.broken.why, executed, events, 0.0, shrunk.case(), healthy is None)


def _booked(name: str, how: Booked) -> Found:
    with planted(name):
        script, why, executed = books.search(how.scenario, how.judge)
    if script is None:
        return Found(name, "", "", executed, (), 0.0)
    healthy = how.judge(books.play(how.scenario, script)[0])
    events = tuple(f"{option} at {address}" for address, option in script)
    return Found(name, "the outside's log", why, executed, events, 0.0, healthy=not healthy)


def _lived(name: str, folder: Path) -> Found:
    """The fewest of a situation's events, in their order, at whose end the books say something else than was told."""
    situation = SITUATIONS[name]
    executed = 0

    def lived(events: tuple[str, ...]) -> str:
        nonlocal executed
        executed += 1
        place = folder / f"{name}-{executed}"
        place.mkdir()
        return situation.live(events, place)

    events, why = situation.events, ""
    with planted(name):
        why = lived(events)
        if not why:
            return Found(name, "", "", executed, (), 0.0)
        for size in range(1, len(situation.events)):
            shorter = next(((e, w) for e in combinations(situation.events, size) if (w := lived(e))), None)
            if shorter is not None:
                events, why = shorter
                break
    healthy = lived(events)
    return Found(name, "the outside's books", why, executed, events, 0.0, healthy=not healthy)
