"""What `make explore` measures besides its table: rates, four effects, closed exploration, engines, shrinking.

Each gives rows of plain data and goals (id, goal, measured, met). Seconds are of one core, but for those of the wall.
"""

from __future__ import annotations

import importlib.util
import time
from typing import Any

from holdfast.harness.explore.bounded import explore
from holdfast.harness.explore.executor import executor, uncollected
from holdfast.harness.explore.library import closed
from holdfast.harness.explore.parallel import explore_over
from holdfast.harness.explore.scenario import FOUR, Bounds, Call, Scenario, one
from tests.harness.mutants import MUTANTS, hunt

Row = dict[str, Any]
RATE_WANTED, RATE_FLOOR = 20_000, 5_000
ALPHABET = ("fenced", "keyed", "probed")
"""Three tools; each call of one is made with three classes of arguments: as it is, repeated, amended."""


def goal(what: str, wanted: float, measured: float | str, *, met: bool) -> Row:
    """One goal as the campaigns keep them."""
    return {"id": what, "goal": wanted, "measured": measured, "met": met}


def rates() -> tuple[Row, list[Row]]:
    """Schedules executed in a second of one core, unmerged, for one effect of each protection."""
    found = [uncollected(_unmerged, one(tool)) for tool in FOUR]
    rate = round(sum(e.executed for e in found) / sum(e.seconds for e in found))
    goals = [
        goal("schedules a second and core, executed", RATE_WANTED, rate, met=rate >= RATE_WANTED),
        goal("the same, floor", RATE_FLOOR, rate, met=rate >= RATE_FLOOR),
    ]
    return {"executed_per_second": rate, "executed": sum(e.executed for e in found)}, goals


def _unmerged(scenario: Scenario) -> Any:
    return explore(scenario, merge=False, limit=4_000)


def four_effects(bounds: Bounds, *, merge: bool) -> Scenario:
    """Four effects, one of each protection, each on a resource of its own."""
    calls = tuple(Call(tool, order=chr(65 + i), account="wxyz"[i]) for i, tool in enumerate(FOUR))
    return Scenario(f"four effects, {'merged' if merge else 'each executed'}", calls, bounds=bounds)


def four() -> tuple[list[Row], list[Row]]:
    """Four effects: two crashes, each schedule executed; one fault and two crashes, merged."""
    rows, goals = [], []
    for bounds, merge, wanted_s in ((Bounds(2, 0), False, 5.0), (Bounds(2, 1), True, 60.0)):
        came = uncollected(lambda plan, merge=merge: explore(plan, merge=merge), four_effects(bounds, merge=merge))
        seconds = round(came.seconds, 1)
        rows.append(
            {
                "scenario": came.scenario,
                "crashes": bounds.crashes,
                "faults": bounds.faults,
                "executed": came.executed,
                "stood_for": came.stood_for,
                "states": came.states,
                "seconds": seconds,
                "findings": len(came.findings),
            }
        )
        goals.append(
            goal(
                f"{came.scenario}, {bounds.crashes} crashes, {bounds.faults} faults, s",
                wanted_s,
                seconds,
                met=seconds <= wanted_s and not came.findings,
            )
        )
    return rows, goals


def at_will(seconds: float) -> tuple[list[Row], list[Row]]:
    """Closed exploration over the alphabet: what closes, in what time, and how far the rest comes in ``seconds``."""
    rows: list[Row] = []
    goals: list[Row] = []
    plans = (
        ("one in flight, one at work", 1, 1, 60.0),
        ("one in flight, two at work", 1, 2, 60.0),
        ("two in flight, one at work", 2, 1, 120.0),
        ("two in flight, two at work (open goal)", 2, 2, 0.0),
    )
    for what, effects, workers, wanted_s in plans:
        data = closed(ALPHABET, effects=effects, workers=workers, seconds=seconds)
        spent = round(sum(row["seconds"] for row in data["runs"]), 1)
        met = data["closed"] and not data["findings"] and not any(row["audit"] for row in data["runs"])
        rows.append({"what": what, **{name: data[name] for name in ("closed", "findings", "runs", "bounds")}})
        if wanted_s:
            said = spent if data["closed"] else f"not closed after {spent}"
            goals.append(goal(f"closed: {what}, s", wanted_s, said, met=met and spent <= wanted_s))
    return rows, goals


def engines() -> list[Row]:
    """One exploration over each engine that is here, in seconds of the wall, and what it stood for."""
    plan = one("probed", bounds=Bounds(1, 1))
    rows = []
    names = ["local", "processes:2"] + (["ray://local"] if importlib.util.find_spec("ray") is not None else [])
    for name in names:
        began = time.monotonic()
        engine = executor(name)
        try:
            came, wall_s = explore_over(plan, engine, wanted=16)
        finally:
            engine.close()
        began_s = time.monotonic() - began - wall_s
        rows.append(
            {
                "engine": name,
                "wall_seconds": round(wall_s, 2),
                "begin_and_end_seconds": round(began_s, 2),
                "executed": came.executed,
                "stood_for": came.stood_for,
            }
        )
    if len(names) == 2:
        rows.append({"engine": "ray://local", "not_run": "ray is not installed here (extra ray)"})
    return rows


def shrinking() -> tuple[Row, list[Row]]:
    """Every planted defect hunted and shrunk: the most executions and the most seconds that one took."""
    found = [hunted.shrunk for name in MUTANTS if (hunted := hunt(name)).shrunk is not None]
    most = max(shrunk.executions for shrunk in found)
    longest = round(max(shrunk.seconds for shrunk in found), 2)
    goals = [
        goal("executions to shrink, at most", 200, most, met=most <= 200),
        goal("seconds to shrink, at most", 3, longest, met=longest <= 3),
    ]
    return {"hunted": len(MUTANTS), "shrunk": len(found), "executions": most, "seconds": longest}, goals
