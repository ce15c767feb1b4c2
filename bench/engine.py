"""The engine's part of ``make bench``: beside its peers, its parts, its restart, its storage, and the goals."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import disk, restart, rounds
from bench.goals import judged
from bench.parts import PARTS
from bench.rounds import LEVELS, PEERS, Figure


def measure(arguments: argparse.Namespace, say: Callable[[str], None]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Counts and goals, the disk probed before and after everything else."""
    before = disk.probe(arguments.folder)
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
    counts = {
        "disk": {"before": before, "after": disk.probe(arguments.folder)},
        "rates": [figure._asdict() for figure in figures],
        "parts": parts,
        "peers": {name: rounds.missing(name) or "run" for name in PEERS},
        "restart": again,
        "storage": weight,
        "explorer": explorer,
    }
    return counts, judged(figures, again, weight, explorer)


def _explorer() -> dict[str, Any]:
    try:
        return rounds.asked_json("bench.explorer")
    except RuntimeError as error:
        return {"reason": str(error).strip().splitlines()[-1]}


def show(out: Console, counts: dict[str, Any], goals: list[dict[str, Any]]) -> None:
    """Rates, parts and goals as tables."""
    before, after = counts["disk"]["before"], counts["disk"]["after"]
    out.print(f"disk, 4 KiB and fdatasync: p50 {before['p50_us']:.0f} us before, {after['p50_us']:.0f} us after\n")
    table = Table(
        "runs", "who", "effects/s", "of rounds", "p50 ms", "p99 ms", "CPU us", "syncs", title="Durable effects"
    )
    for figure in sorted((Figure(**rate) for rate in counts["rates"]), key=lambda f: f.runs):
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
    for name, why in counts["peers"].items():
        if why != "run":
            out.print(f"{name}: not run: {why}", markup=False)
    split = Table("runs", "decisions", *PARTS, "SQL statements", title="CPU per effect by part, us (measured apart)")
    for name, part in counts["parts"].items():
        runs, decisions = name.split(", ")
        split.add_row(runs, decisions, *(f"{part['parts_us'][p]:.0f}" for p in PARTS), f"{part['statements']:.1f}")
    out.print(split)
    verdicts = Table("goal", "measured", "met", title="Goals")
    for goal in goals:
        verdicts.add_row(goal["goal"], str(goal["measured"]), "yes" if goal["met"] else "NO")
    out.print(verdicts)


def unmeasured(counts: dict[str, Any]) -> list[str]:
    """What of ours could not be measured."""
    explorer = counts["explorer"]
    return [f"explorer: {explorer['reason']}"] if "reason" in explorer else []
