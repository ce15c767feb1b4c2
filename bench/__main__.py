"""``make bench``: the engine beside its peers, then planners, example outsides and the command line's start.

Prints tables and writes build/bench.json. ``--only PART`` (repeatable) measures parts alone; what the file holds of the
others stays, each with the settings of its own sitting. Exits 0 when everything was measured, whether or not a goal was
met: a goal missed is a finding, said in the table and explained in docs/explain/speed.md. What needs something that is
not installed is *not run* and says so. Exits 1 when something of ours could not be measured.
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

from bench import disk, engine, hands, restart, rounds

BUILD = Path(__file__).resolve().parent.parent / "build"
PARTS = ("engine", "gate", "evidence", "fleet", "planning", "outsides", "startup")
PACKAGES = ("holdfast", "apsw", "cedarpy", "msgspec", "dbos", "langgraph", "langgraph-checkpoint-sqlite")
BESIDE = ("boto3", "moto", "openai", "psycopg", "pydantic-ai-slim")

out = Console(width=132)
err = Console(stderr=True)


def settings(arguments: argparse.Namespace, *, part: str) -> dict[str, Any]:
    """Everything a reader needs to run this part again."""
    versions = {}
    for package in PACKAGES if part == "engine" else (*PACKAGES[:4], *BESIDE):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    said: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "sqlite": apsw.sqlite_lib_version(),
        "store": "SQLite, write-ahead log, synchronous=FULL",
        "load_average": os.getloadavg(),
        "versions": versions,
    }
    if part == "engine":
        said |= {"rounds": arguments.rounds, "each": rounds.EACH, "peer_each": rounds.PEER_EACH}
    else:
        said["disk"] = disk.probe(arguments.folder)
    return said


def main(given: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds at each level of the engine (default 5)")
    parser.add_argument("--records", type=int, default=restart.RECORDS, help="records before the kill")
    parser.add_argument("--folder", default=None, help="where the stores are made (default: the temporary folder)")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part alone; may be repeated")
    arguments = parser.parse_args(given)
    whole = earlier(BUILD / "bench.json")
    started = time.monotonic()
    short: list[str] = []

    def say(line: str) -> None:
        err.print(f"[{time.monotonic() - started:5.0f} s] {line}", highlight=False, markup=False)

    for part in PARTS:
        if arguments.only and part not in arguments.only:
            continue
        said = settings(arguments, part=part)
        introduce(part, said)
        if part == "engine":
            counts, goals = engine.measure(arguments, say)
            engine.show(out, counts, goals)
            short += engine.unmeasured(counts)
            # The engine's figures stand at the top, where they have always been.
            whole["settings"] = said | {"sittings": whole["settings"].get("sittings", {})}
            whole["counts"] |= counts
            whole["goals"] = goals
        else:
            counts = getattr(hands, f"measure_{part}")(arguments, say)
            getattr(hands, f"show_{part}")(out, counts)
            short += [f"{part}: {line}" for line in hands.unmeasured(counts)]
            said["load_average_after"] = os.getloadavg()
            whole["settings"].setdefault("sittings", {})[part] = said
            whole["counts"][part] = counts
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    for line in short:
        err.print(f"not measured: {line}", markup=False)
    return 1 if short else 0


def earlier(file: Path) -> dict[str, Any]:
    """What the file holds of an earlier sitting; a new document where there is none that can be read."""
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        if all(isinstance(whole[name], dict) for name in ("settings", "counts")):
            return {"name": "bench", "goals": [], **whole}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {"name": "bench", "settings": {}, "counts": {}, "goals": []}


def introduce(part: str, said: dict[str, Any]) -> None:
    """Under which settings a part is measured."""
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    out.print(f"\n[bold]{part}[/bold]: Python {said['python']}, {said['machine']}\n{versions}")
    load = ", ".join(f"{one:.1f}" for one in said["load_average"])
    probed = f"; disk, 4 KiB and fdatasync: p50 {said['disk']['p50_us']:.0f} us" if "disk" in said else ""
    out.print(f"{said['store']} (SQLite {said['sqlite']}); load {load}{probed}\n")


if __name__ == "__main__":
    sys.exit(main())
