"""``make bench``: the whole engine beside its peers, its parts, its restart, its storage, and the goals.

Prints tables and writes build/bench.json. Exits 0 when everything was measured, whether or not a goal was met: a goal
missed is a finding, said in the table and explained in docs/explain/speed.md. Exits 1 when something of ours could
not be measured.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import apsw
from rich.console import Console
from rich.table import Table

from bench import disk, restart, rounds
from bench.goals import judged
from bench.parts import PARTS
from bench.rounds import LEVELS, PEERS, Figure

BUILD = Path(__file__).resolve().parent.parent / "build"
PACKAGES = ("holdfast", "apsw", "cedarpy", "msgspec", "dbos", "langgraph", "langgraph-checkpoint-sqlite")

out = Console(width=132)
err = Console(stderr=True)


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything a reader needs to run this again."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "sqlite": apsw.sqlite_lib_version(),
        "store": "SQLite, write-ahead log, synchronous=FULL",
        "rounds": arguments.rounds,
        "each": rounds.EACH,
        "peer_each": rounds.PEER_EACH,
        "load_average": os.getloadavg(),
        "versions": versions,
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds at each level (default 5)")
    parser.add_argument("--records", type=int, default=restart.RECORDS, help="records before the kill")
    parser.add_argument("--folder", default=None, help="where the stores are made (default: the temporary folder)")
    arguments = parser.parse_args()
    said = settings(arguments)
    before = disk.probe(arguments.folder)
    started = time.monotonic()

    def say(line: str) -> None:
        err.print(f"[{time.monotonic() - started:5.0f} s] {line}")

    figures: list[Figure] = []
    for level in LEVELS:
        figures += rounds.compete(level, arguments.rounds, arguments.folder, say)
    parts = {}
    for level in LEVELS:
        for decisions in ("remembered", "computed"):
            asked = {"decisions": decisions}
            part = rounds.ours(level, arguments.folder, asked | {"parts": True})
            counted = rounds.ours(level, arguments.folder, asked | {"count": True})
            parts[f"{level}, {decisions}"] = part | {"statements": counted["statements"]}
    say("parts of the time")
    again = restart.restart(arguments.records, arguments.folder)
    say(f"restart with {again['records']} records")
    weight = restart.storage(arguments.folder)
    say("storage of a 400-step run")
    explorer = _explorer()
    say("explorer")
    after = disk.probe(arguments.folder)
    goals = judged(figures, again, weight, explorer)
    peers = {name: rounds.missing(name) or "run" for name in PEERS}
    _print(said, figures, parts, (before, after), peers, goals)
    counts = {
        "disk": {"before": before, "after": after},
        "rates": [figure._asdict() for figure in figures],
        "parts": parts,
        "peers": peers,
        "restart": again,
        "storage": weight,
        "explorer": explorer,
    }
    BUILD.mkdir(exist_ok=True)
    whole = {"name": "bench", "settings": said, "counts": counts, "goals": goals}
    (BUILD / "bench.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if "reason" in explorer:
        err.print(f"not measured: explorer: {explorer['reason']}")
        return 1
    return 0


def _explorer() -> dict[str, Any]:
    try:
        return rounds.asked_json("bench.explorer")
    except RuntimeError as error:
        return {"reason": str(error).strip().splitlines()[-1]}


def _print(
    said: dict[str, Any],
    figures: list[Figure],
    parts: dict[str, Any],
    disks: tuple[dict[str, float], dict[str, float]],
    peers: dict[str, str],
    goals: list[dict[str, Any]],
) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    out.print(f"Python {said['python']}, {said['machine']}\n{versions}\n{said['store']} (SQLite {said['sqlite']})")
    out.print(f"disk, 4 KiB and fdatasync: p50 {disks[0]['p50_us']:.0f} us before, {disks[1]['p50_us']:.0f} us after\n")
    table = Table(
        "runs", "who", "effects/s", "of rounds", "p50 ms", "p99 ms", "CPU us", "syncs", title="Durable effects"
    )
    for figure in sorted(figures, key=lambda f: f.runs):
        who = figure.who if figure.way else f"holdfast, {figure.who}"
        spread = f"{min(figure.rounds):.0f}-{max(figure.rounds):.0f}"
        syncs = f"{figure.more['syncs']:.2f}" if "syncs" in figure.more else ""
        row = (
            f"{figure.per_second:.0f}",
            spread,
            f"{figure.p50_ms:.1f}",
            f"{figure.p99_ms:.1f}",
            f"{figure.cpu_us:.0f}",
        )
        table.add_row(str(figure.runs), f"{who} ({figure.way})" if figure.way else who, *row, syncs)
    out.print(table)
    for name, why in peers.items():
        if why != "run":
            out.print(f"{name}: not run: {why}")
    split = Table("runs", "decisions", *PARTS, "SQL statements", title="CPU per effect by part, us (measured apart)")
    for name, part in parts.items():
        runs, decisions = name.split(", ")
        split.add_row(runs, decisions, *(f"{part['parts_us'][p]:.0f}" for p in PARTS), f"{part['statements']:.1f}")
    out.print(split)
    verdicts = Table("goal", "measured", "met", title="Goals")
    for goal in goals:
        verdicts.add_row(goal["goal"], str(goal["measured"]), "yes" if goal["met"] else "NO")
    out.print(verdicts)


if __name__ == "__main__":
    sys.exit(main())
