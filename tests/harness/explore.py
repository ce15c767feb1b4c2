"""The exploration campaign: `python -m tests.harness.explore` explores everything and prints what it came to.

Every scenario with every single fault and up to two crashes is one task of a process pool. The table says apart what
was executed and what that stood for; the bounds, the alphabet and the laws that cannot tell are printed with it.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from holdfast.harness.explore.bounded import Explored, explore
from holdfast.harness.explore.landing import LANDING_TOOLS, everywhere, summary
from holdfast.harness.explore.replies import PROBE_FAULTS, SEND_FAULTS
from holdfast.harness.explore.scenario import EVERY_MOVE, FOUR, TOOLS, Bounds, Scenario, one, two
from holdfast.kernel.laws import blind
from tests.harness import measures, worlds_measured
from tests.harness.measures import RATE_WANTED

ROOT = Path(__file__).resolve().parents[2]

PAIRS = (
    ("fenced", "fenced", True),
    ("keyed", "keyed", True),
    ("fenced", "keyed", True),
    ("looked", "fenced", True),
    ("bare", "probed", True),
    ("keyed", "probed", False),
    ("bare", "fenced", False),
)


def everything() -> list[Scenario]:
    """One effect of the four protections: single faults with up to two crashes; the rest, and pairs, with one."""
    twice, once = Bounds(2, 1), Bounds(1, 1)
    scenarios = [one(tool, bounds=twice if tool in FOUR else once) for tool in TOOLS]
    scenarios += [one(tool, ruling="ask", bounds=once) for tool in (*FOUR, "conditional")]
    scenarios += [one(tool, bounds=once, provable=False) for tool in FOUR]
    scenarios += [two(first, second, same=same, bounds=once) for first, second, same in PAIRS]
    scenarios += [two(first, second, same=same, bounds=Bounds(2, 0)) for first, second, same in PAIRS]
    return scenarios


def sample() -> list[Scenario]:
    """What `make test` executes: the four protections and a pair, single faults with one crash, two crashes alone."""
    scenarios = [one(tool, bounds=Bounds(1, 1)) for tool in FOUR]
    scenarios += [one(tool, bounds=Bounds(2, 0)) for tool in FOUR]
    scenarios.append(two("fenced", "keyed", same=True, bounds=Bounds(2, 0)))
    return scenarios


def run(scenario: Scenario) -> tuple[Scenario, Explored]:
    """Explore one scenario to its end, in this process."""
    # The tree of choices holds no cycles; the collector would only walk it again and again.
    gc.disable()
    try:
        return scenario, explore(scenario)
    finally:
        gc.enable()


def row(scenario: Scenario, explored: Explored) -> dict[str, Any]:
    """One line of the table as data."""
    return {
        "scenario": explored.scenario,
        "proof_of_death": scenario.provable,
        "crashes": scenario.bounds.crashes,
        "faults": scenario.bounds.faults,
        "executed": explored.executed,
        "stood_for": explored.stood_for,
        "states": explored.states,
        "seconds": round(explored.seconds, 2),
        "findings": [{"law": f.broken.law, "why": f.broken.why, "script": f.script} for f in explored.findings],
    }


def measured(closed_seconds: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Everything that has a goal of its own, each printed as soon as it is there."""
    found: dict[str, Any] = {}
    goals: list[dict[str, Any]] = []
    for name, measure in (
        ("rates", measures.rates),
        ("four_effects", measures.four),
        ("shrinking", measures.shrinking),
        ("restores", worlds_measured.restores),
        ("virtual_time", worlds_measured.month),
        ("kept_failures", worlds_measured.kept_failures),
        ("engines", lambda: (measures.engines(), [])),
        ("closed", lambda: measures.at_will(closed_seconds)),
    ):
        found[name], wanted = measure()
        goals += wanted
        print(f"\n{name}:")
        for one_row in found[name] if isinstance(found[name], list) else [found[name]]:
            print(f"  {said(one_row)}", flush=True)
    return found, goals


def said(found: dict[str, Any]) -> str:
    """A row in a line; closed runs one below the other."""
    flat = ", ".join(f"{name} {value}" for name, value in found.items() if name not in ("runs", "bounds"))
    for run_of in found.get("runs", ()):
        flat += "\n    " + ", ".join(f"{n} {v}" for n, v in run_of.items() if n not in ("audit", "findings"))
        flat += "".join(f"\n      ! {wrong}" for wrong in run_of["audit"][:3])
        flat += "".join(f"\n      ✗ {broken['law']}: {broken['why']}" for broken in run_of["findings"])
    return flat


def main(argv: Sequence[str] | None = None) -> int:
    """Explore, print, write build/explore.json; 1 if a law broke or the floor was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.explore", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--closed-seconds", type=float, default=60.0, help="for each closed exploration, of one core")
    parser.add_argument("--sample", action="store_true", help="what make test executes")
    chosen = parser.parse_args(argv)
    scenarios = sample() if chosen.sample else everything()
    print("alphabet: crash, crash flushed, crash in flight, resume, land;", ", ".join(EVERY_MOVE))
    print("          decline (where asked), moved (where there is a state), at send:", ", ".join(SEND_FAULTS))
    print("          at a probe or verification: stale, differs,", ", ".join(PROBE_FAULTS))
    print("laws that cannot tell everything yet:")
    for law, why in blind().items():
        print(f"  {law}: {why}")
    print(
        f"\n{'scenario':<30}{'crashes':>8}{'faults':>7}{'executed':>11}{'stood for':>12}"
        f"{'states':>10}{'seconds':>9}{'/s':>8}"
    )
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with ProcessPoolExecutor(max_workers=chosen.jobs) as pool:
        for scenario, explored in pool.map(run, scenarios):
            line = row(scenario, explored)
            rows.append(line)
            name = line["scenario"] + ("" if scenario.provable else ", no proof of death")
            print(
                f"{name:<30}{line['crashes']:>8}{line['faults']:>7}{line['executed']:>11}{line['stood_for']:>12}"
                f"{line['states']:>10}{line['seconds']:>9.1f}{explored.per_second:>8.0f}",
                flush=True,
            )
            for found in line["findings"]:
                print(f"  ✗ {found['law']}: {found['why']}\n    {found['script']}")
    landed = list(everywhere(LANDING_TOOLS[:1] if chosen.sample else LANDING_TOOLS))
    print(f"\nhalt, end of grant, deadline and revocation, each at every wait of the seven verbs:\n{summary(landed)}")
    missed = [end for end in landed if end.broken is not None or end.dispatched_after]
    for end in missed:
        print(f"  ✗ {end.scenario}, {end.course}: {end.move} at {end.address}: {end.broken or 'dispatched afterwards'}")
    executed, stood_for = sum(r["executed"] for r in rows), sum(r["stood_for"] for r in rows)
    busy = sum(r["seconds"] for r in rows)
    found = sum(len(r["findings"]) for r in rows)
    share = round(stood_for / busy)
    goals = [
        {"id": "schedules that break a law", "goal": 0, "measured": found, "met": found == 0},
        {"id": "dispatch commits after a landing", "goal": 0, "measured": len(missed), "met": not missed},
        {"id": "stood for, a second and core", "goal": RATE_WANTED, "measured": share, "met": share >= RATE_WANTED},
    ]
    more, wanted = measured(chosen.closed_seconds) if not chosen.sample else ({}, [])
    goals += wanted
    report = {
        "name": "explore",
        "settings": {"jobs": chosen.jobs, "sample": chosen.sample, "cannot_tell": blind()},
        "counts": {
            "executed": executed,
            "stood_for": stood_for,
            "seconds": round(time.monotonic() - began, 1),
            "scenarios": rows,
            "landings": len(landed),
            **more,
        },
        "goals": goals,
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "explore.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n{executed} schedules executed, standing for {stood_for}; {share}/s a core stood for")
    for goal in goals:
        print(f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['id']}: {goal['measured']} (goal {goal['goal']})")
    return 0 if found == 0 and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
