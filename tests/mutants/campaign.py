"""`make mutants`: planted defects that must be found and shrunk, then small changes that the fast tests should notice.

    python -m tests.mutants.campaign [--seed N] [--minutes M | --all] [--again] [--planted | --small]

Prints a line for each planted defect (what found it, after how many executions, how long its counterexample is), then
what became of a seeded share of the small changes to gate, effect and kernel, and each of those that survived with what
was said of it in tests/mutants/survivors.toml. Writes build/mutants.json. Exits with 1 if a planted defect got away, or
its counterexample is longer than six events: a share of small changes is a measure, and not a gate.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mutants import hunts, small

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 15.0


def hunted(folder: Path) -> list[hunts.Found]:
    """Every planted defect as it is found: a line, then what was objected to and the events that lead there."""
    print(f"{'planted defect':<32}{'found by':<22}{'executed':>9}{'events':>8}{'seconds':>9}")
    rows = []
    for name in hunts.NAMES:
        found = hunts.hunt(name, folder)
        rows.append(found)
        events = str(len(found.events)) if found.by else "-"
        by = found.by or "GOT AWAY"
        print(f"{name:<32}{by:<22}{found.executed:>9}{events:>8}{found.seconds:>9.2f}", flush=True)
        if found.by:
            print("\n".join(["    " + found.why, *(f"      {n}. {event}" for n, event in enumerate(found.events, 1))]))
        if not found.healthy:
            print(f"  the same events are objected to without {name}: {found.why}")
    return rows


def planted_goals(rows: list[hunts.Found]) -> list[dict[str, Any]]:
    """All found, and all short."""
    found = sum(bool(row.by) and row.healthy for row in rows)
    short = sum(row.caught for row in rows)
    first = sum(row.caught for row in rows if row.name in hunts.FIRST_TEN)
    ten = len(hunts.FIRST_TEN)
    return [
        {"id": "found", "goal": len(rows), "measured": found, "met": found == len(rows)},
        {
            "id": f"shrunk to at most {hunts.EVENTS_WANTED} events",
            "goal": len(rows),
            "measured": short,
            "met": short == len(rows),
        },
        {"id": "the first ten", "goal": ten, "measured": first, "met": first == ten},
    ]


def small_table(tried: small.Tried) -> str:
    """A line for each layer."""
    layers: dict[str, Counter[str]] = {}
    for module, cell in tried.by_module.items():
        layers.setdefault(module.partition("/")[0], Counter()).update(cell)
    lines = [f"{'small changes to':<32}{'possible':>10}{'tried':>8}{'noticed':>9}{'survived':>10}{'share':>8}"]
    for layer, cell in [*layers.items(), ("all", sum(layers.values(), Counter()))]:
        noticed = cell["tried"] - cell["survived"]
        share = f"{noticed / cell['tried']:.0%}" if cell["tried"] else "-"
        row = f"{cell['possible']:>10}{cell['tried']:>8}{noticed:>9}{cell['survived']:>10}{share:>8}"
        lines.append(f"{layer:<32}{row}")
    return "\n".join(lines)


def small_said(tried: small.Tried) -> str:
    """Each survivor with its judgement, those without one in the form in which it is to be given."""
    lines = []
    for survivor in sorted(tried.survivors, key=lambda one: (one.judgement or "!", one.small.named)):
        one = survivor.small
        judgement = f"{survivor.judgement}: {survivor.why}" if survivor.judgement else "NOT JUDGED"
        lines.append(f"{one.module} {one.where}\n  - {one.was}\n  + {one.now}\n    {judgement}")
    return "\n".join([*lines, *small.unjudged(tried.survivors)])


def small_counts(tried: small.Tried) -> dict[str, Any]:
    """The figures and the survivors as data."""
    by_judgement = Counter(one.judgement or "not judged" for one in tried.survivors)
    return {
        "possible": tried.possible,
        "tried": tried.tried,
        "noticed": tried.killed,
        "survived": len(tried.survivors),
        "judgements": dict(by_judgement),
        "seconds": round(tried.seconds, 1),
        "modules": {module: dict(cell) for module, cell in tried.by_module.items()},
        "survivors": [
            {
                "module": one.small.module,
                "where": one.small.where,
                "was": one.small.was,
                "now": one.small.now,
                "operator": one.small.spec.operator_name,
                "judgement": one.judgement,
                "why": one.why,
            }
            for one in tried.survivors
        ],
    }


def asked(argv: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="tests.mutants.campaign")
    parser.add_argument("--seed", type=int, default=1, help="the order in which small changes are tried")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long small changes are tried")
    parser.add_argument("--all", action="store_true", help="try every small change, however long it takes")
    parser.add_argument("--again", action="store_true", help="first try again what survived before")
    parser.add_argument("--only", default="", help="small changes to modules whose path this expression matches")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--planted", action="store_true", help="planted defects alone")
    which.add_argument("--small", action="store_true", help="small changes alone")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Hunt, try, print, write; 1 if a planted defect got away."""
    options = asked(argv)
    report: dict[str, Any] = {"name": "mutants", "settings": vars(options), "counts": {}, "goals": []}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-mutants-") as name:
        folder = Path(name)
        if not options.small:
            rows = hunted(folder)
            report["goals"] = planted_goals(rows)
            report["counts"]["mutants"] = [
                {
                    "name": row.name,
                    "by": row.by,
                    "why": row.why,
                    "executed": row.executed,
                    "events": list(row.events) if row.by else None,
                    "seconds": round(row.seconds, 3),
                    "case": row.case or None,
                }
                for row in rows
            ]
            for goal in report["goals"]:
                print(f"{goal['id']}: {goal['measured']} of {goal['goal']}")
        if not options.planted:
            budget_s = None if options.all else options.minutes * 60
            tried = small.attempt(folder, seed=options.seed, budget_s=budget_s, again=options.again, only=options.only)
            print(f"\n{small_said(tried)}\n\n{small_table(tried)}")
            report["counts"]["small"] = small_counts(tried)
            judged = sum(bool(one.judgement) for one in tried.survivors)
            goal = {"id": "survivors judged", "goal": len(tried.survivors), "measured": judged}
            report["goals"].append(goal | {"met": judged == len(tried.survivors)})
            print(f"survivors judged: {judged} of {len(tried.survivors)}; tried {tried.tried} of {tried.possible}")
    report["counts"]["seconds"] = round(time.monotonic() - started, 2)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "mutants.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("build/mutants.json")
    return 0 if all(goal["met"] for goal in report["goals"] if goal["id"] != "survivors judged") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
