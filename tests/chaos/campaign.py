"""`make chaos`: at least 300 seeded faults on workers, their database, the wire between them and the outside.

    python -m tests.chaos.campaign [--seed N] [--faults N] [--each N]

Episodes on PostgreSQL and on SQLite in turn; each has its own outside, database and workers. Prints a line for each
episode and one for each kind of fault, and writes build/chaos.json. Exits with 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.fleet import LEASE, machines_allowed
from tests.chaos.judge import Judged, judge
from tests.chaos.scene import WORKERS, Scene

ROOT = Path(__file__).resolve().parents[2]
FAULTS_WANTED = 300
EACH = 25
KINDS = ("postgresql", "postgresql", "sqlite")
"""Two episodes in three are on PostgreSQL, which has most that can go wrong."""


def episode(kind: str, seed: int, count: int) -> Judged:
    """One, from nothing to its verdict."""
    with tempfile.TemporaryDirectory(prefix="holdfast-chaos-", ignore_cleanup_errors=True) as folder:
        with Scene(Path(folder), kind, seed) as scene:
            scene.trouble(count)
            settled = scene.settle()
            found = judge(scene, settled=settled)
            if found.broken:
                found.broken.append(scene.fleet.logs())
        return found


def main(given: list[str] | None = None) -> int:
    """Play, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=FAULTS_WANTED)
    parser.add_argument("--each", type=int, default=EACH, help="faults in an episode")
    parser.add_argument("--kind", choices=("postgresql", "sqlite"), help="one kind of store alone")
    chosen = parser.parse_args(given)
    began, verdicts, number = time.monotonic(), [], 0
    while sum(sum(one.faults.values()) for one in verdicts) < chosen.faults:
        kind = chosen.kind or KINDS[number % len(KINDS)]
        verdicts.append(episode(kind, chosen.seed * 1_000 + number, chosen.each))
        number += 1
        print(line(verdicts[-1], time.monotonic() - began), flush=True)
        for broken in verdicts[-1].broken:
            print(f"    {broken}", flush=True)
    return written(verdicts, chosen, time.monotonic() - began)


def line(one: Judged, seconds: float) -> str:
    """One episode in a line."""
    return (
        f"[{seconds:5.0f} s] {one.kind:<10} seed {one.seed}: {sum(one.faults.values())} faults, {one.orders} orders,"
        f" {one.calls} calls, {one.changes} changes; done {one.done}, dead {one.dead}, a person's {one.handed},"
        f" open with an owner {one.owned},"
        f" spent {one.spent}, late refused {one.late}, unsure {one.unsure}; broken {len(one.broken)}"
    )


def written(verdicts: list[Judged], chosen: argparse.Namespace, seconds: float) -> int:
    """The table and build/chaos.json; the exit code."""
    by: Counter[str] = Counter()
    for one in verdicts:
        by.update(one.faults)
    names = ("orders", "calls", "changes", "done", "dead", "handed", "owned", "spent", "late", "unsure", "entries")
    broken_names = ("doubles", "losses", "stuck")
    totals = {name: sum(getattr(one, name) for one in verdicts) for name in (*names, *broken_names)}
    broken = [sentence for one in verdicts for sentence in one.broken]
    print(f"\n{'fault':<42}{'times':>6}")
    for name, count in sorted(by.items()):
        print(f"{name:<42}{count:>6}")
    print(f"{'all':<42}{sum(by.values()):>6}")
    print(", ".join(f"{name} {count}" for name, count in totals.items()))
    goals: list[dict[str, Any]] = [
        {"id": "faults", "goal": f"at least {FAULTS_WANTED} faults", "measured": sum(by.values())},
        {"id": "double", "goal": "no change twice", "measured": totals["doubles"]},
        {"id": "loss", "goal": "none lost", "measured": totals["losses"]},
        {"id": "stuck", "goal": "none stuck (L13)", "measured": totals["stuck"]},
        {"id": "broken", "goal": "nothing else broken", "measured": len(broken)},
    ]
    for goal in goals:
        goal["met"] = goal["measured"] >= FAULTS_WANTED if goal["id"] == "faults" else goal["measured"] == 0
    settings = {"seed": chosen.seed, "workers": WORKERS, "lease": LEASE, "seconds": round(seconds)}
    settings["other machines"] = machines_allowed() or "every second worker, by a process-id namespace of its own"
    counts = {"faults": dict(by), **totals, "episodes": [msgspec.to_builtins(one) for one in verdicts]}
    (ROOT / "build").mkdir(exist_ok=True)
    whole = {"name": "chaos", "settings": settings, "counts": counts, "goals": goals}
    (ROOT / "build" / "chaos.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
