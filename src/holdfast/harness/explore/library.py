"""What exploring is for people who own tools: contracts in, plain data out.

``bounded`` executes every schedule within its bounds; ``closed`` goes on until no new state appears. Each returns what
it did and what it did not: alphabet, bounds, abstraction, counts, seconds, and every violation as a case to paste. The
two are never mixed: a bounded result says nothing beyond its bounds, and a closed one that was stopped says so.

Promises: a contract of somebody's own becomes a virtual tool with the same protections (fence, key window, condition,
send-by, probe, state, verification), over shipped verbs. Does not enter a tool's body and says nothing about whether
the contract is true: ``holdfast tool prove`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from holdfast.harness.explore.alphabet import FAIR
from holdfast.harness.explore.bounded import Finding
from holdfast.harness.explore.closed import AUDIT_EVERY, Closed, close
from holdfast.harness.explore.executor import executor
from holdfast.harness.explore.parallel import explore_over
from holdfast.harness.explore.replies import PROBE_FAULTS, SEND_FAULTS
from holdfast.harness.explore.scenario import (
    FOUR,
    TICK_MS,
    TOOLS,
    Bounds,
    Call,
    Protections,
    Scenario,
    closed_over,
    one,
)
from holdfast.harness.explore.shrink import shrink
from holdfast.kernel.errors import BadValue
from holdfast.kernel.laws import blind
from holdfast.kernel.model import Contract

Told = Callable[[dict[str, Any]], None]
"""Hears of each scenario as soon as it is through, with its violations shrunk."""

CRASHES = ("crash", "crash flushed", "crash in flight", "resume", "land")
ABSTRACTION = (
    f"time stands still while a worker works and passes in ticks of {TICK_MS} ms; every span of a contract is in ticks",
    "times count from now and are cut off where nothing looks further back",
    "tokens are ranks; names, keys and workers are numbered as they come up",
    "an effect that ended and was told is left out, but for what its identity answers; what it cost is kept",
)
BOUNDS = (
    "one planner, whose call is recorded whole or lost with its worker, and who hears an outcome before it calls again",
    "a clock that is never set back; a new worker for each that dies",
)


def bounded(
    tools: Sequence[str | Contract] = FOUR,
    *,
    effects: int = 1,
    crashes: int = 2,
    faults: int = 1,
    engine: str = "local",
    merge: bool = True,
    reduced: bool = False,
    told: Told | None = None,
) -> dict[str, Any]:
    """Every schedule of so many effects within so many crashes and faults. Raises BadValue for what makes no sense.

    With one effect each tool is explored alone; with more, each begins a plan of that many calls on one resource.
    """
    names, own = _tools(tools)
    _at_least(effects=(effects, 1), crashes=(crashes, 0), faults=(faults, 0))
    scenarios = [_plan(names, own, first, effects, Bounds(crashes, faults)) for first in range(len(names))]
    runs: list[dict[str, Any]] = []
    on = executor(engine)
    try:
        for scenario in scenarios:
            explored, wall = explore_over(scenario, on, merge=merge, reduced=reduced)
            row = {
                "scenario": explored.scenario,
                "executed": explored.executed,
                "stood_for": explored.stood_for,
                "states": explored.states,
                "choices": explored.choices,
                "seconds": round(explored.seconds, 3),
                "wall_seconds": round(wall, 3),
                "findings": [found_data(scenario, found) for found in explored.findings],
            }
            runs.append(row)
            if told is not None:
                told(row)
    finally:
        on.close()
    return {
        "mode": "bounded",
        "tools": names,
        "alphabet": {
            "crashes": CRASHES,
            "moves": scenarios[0].moves,
            "at a send": SEND_FAULTS,
            "at a read": ("stale", "differs", *PROBE_FAULTS),
        },
        "bounds": {"effects": effects, "crashes": crashes, "faults": faults},
        "merged": merge,
        "reduced": reduced,
        "engine": on.name,
        "runs": runs,
        "findings": sum(len(row["findings"]) for row in runs),
        "cannot_tell": blind(),
    }


def closed(
    tools: Sequence[str | Contract] = FOUR[:3],
    *,
    effects: int = 1,
    workers: int = 2,
    ruling: str = "allow",
    together: bool = False,
    people: tuple[str, ...] = ("attest",),
    limit: int = 2_000_000,
    seconds: float = 600.0,
    audit_every: int = AUDIT_EVERY,
    told: Told | None = None,
) -> dict[str, Any]:
    """Until no new state appears: for every planner over the alphabet, of any length. Raises BadValue.

    Tools are explored one by one, or ``together`` in one alphabet; with more than one effect in flight always together.
    ``people`` are decide, halt, lift and attest. ``seconds`` of one core, and ``limit`` states, end it unclosed.
    """
    names, own = _tools(tools)
    _at_least(effects=(effects, 1), workers=(workers, 1))
    groups = [tuple(names)] if together or effects > 1 else [(name,) for name in names]
    runs: list[dict[str, Any]] = []
    for group in groups:
        scenario = closed_over(*group, own=own, ruling=ruling, effects=effects, workers=workers, people=people)
        came = close(scenario, limit=limit, seconds=seconds, audit_every=audit_every)
        row = closed_data(scenario, came)
        runs.append(row)
        if told is not None:
            told(row)
    return {
        "mode": "closed",
        "tools": names,
        "alphabet": {
            "planner": ("call", "repeat", "amend"),
            "crashes": (*CRASHES, "pause", "pause past the check"),
            "people": people,
            "time": ("tick",),
            "at a send": SEND_FAULTS,
            "at a read": ("stale", "differs", *PROBE_FAULTS),
        },
        "bounds": {"effects": effects, "workers": workers, "said": BOUNDS},
        "abstraction": ABSTRACTION,
        "liveness": f"asked once it is closed: whether every state leads to rest by {', '.join(sorted(FAIR))}",
        "runs": runs,
        "closed": all(row["closed"] for row in runs),
        "findings": sum(len(row["findings"]) for row in runs),
        "cannot_tell": blind(),
    }


def closed_data(scenario: Scenario, came: Closed) -> dict[str, Any]:
    """One closed exploration as plain data; its violation shrunk."""
    found = [found_data(scenario, Finding(came.broken, came.script))] if came.broken is not None else []
    return {
        "scenario": came.scenario,
        "closed": came.closed,
        "states": came.states,
        "transitions": came.transitions,
        "frontier": came.frontier,
        "rests": came.rests,
        "stranded": came.stranded,
        "audited": came.audited,
        "audit": list(came.audit),
        "events": came.events,
        "seconds": round(came.seconds, 3),
        "findings": found,
    }


def found_data(scenario: Scenario, found: Finding) -> dict[str, Any]:
    """A violation as plain data: what broke, the schedule, and the shrunk case to paste."""
    shrunk = shrink(scenario, found.script, found.broken.law)
    return {
        "law": found.broken.law,
        "why": found.broken.why,
        "events": len(found.script),
        "script": [list(event) for event in shrunk.script],
        "executions": shrunk.executions,
        "seconds": round(shrunk.seconds, 3),
        "case": shrunk.case(),
    }


def _tools(tools: Sequence[str | Contract]) -> tuple[list[str], tuple[Protections, ...]]:
    """The names, and the protections of those that are somebody's own. One of our names may not be taken."""
    own = tuple(Protections.of(tool) for tool in tools if isinstance(tool, Contract))
    names = [tool.name if isinstance(tool, Contract) else tool for tool in tools]
    known = {*TOOLS, *(tool.name for tool in own)}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        why = f"no such tool: {', '.join(unknown)}" if unknown else "no tool is named"
        raise BadValue(path="tools", why=f"{why}; virtual tools are {', '.join(TOOLS)}", value_type="str")
    return names, own


def _plan(names: list[str], own: tuple[Protections, ...], first: int, effects: int, bounds: Bounds) -> Scenario:
    if effects == 1:
        return one(names[first], own=own, bounds=bounds)
    tools = [names[(first + place) % len(names)] for place in range(effects)]
    calls = tuple(Call(tool, order=chr(65 + place)) for place, tool in enumerate(tools))
    moves = ("pause", "halt", "jump:lease", "jump:window")
    return Scenario(f"{'+'.join(tools)}, one resource", calls, bounds=bounds, moves=moves, own=own)


def _at_least(**wanted: tuple[int, int]) -> None:
    for name, (given, least) in wanted.items():
        if given < least:
            raise BadValue(path=name, why=f"it is at least {least}, not {given}", value_type="int")


__all__ = ["bounded", "closed"]
