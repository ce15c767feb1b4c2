"""The second part of ``make bench``: planners and models, the example outsides, and the command line's start.

Each measurement is a process of its own on a new store. What cannot be run because a part is not installed is *not
run*, with the reason; what is installed and could not be measured is named at the end, and the bench does not pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import fleet, gate, planning, rounds
from bench import outsides as every
from bench import startup as fresh

Say = Callable[[str], None]
EVIDENCE = ("seal", "verify", "bundle", "replay", "trial", "telemetry")
PLANNING = ("steps", "model", "view", "recording")


def measure_planning(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Every part of planning."""
    found = {}
    for part in PLANNING:
        reason = planning.no_models() if part == "model" else ""
        folder = [arguments.folder] if arguments.folder else []
        found[part] = {"not_run": reason} if reason else _asked("bench.planning", part, *folder)
        say(f"planning: {part}")
    return found


def measure_outsides(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Every outside, in the order of its table."""
    found = {}
    for name in every.OUTSIDES:
        reason = every.missing(name)
        folder = [arguments.folder] if arguments.folder else []
        found[name] = {"not_run": reason} if reason else _asked("bench.outsides", name, *folder)
        say(f"outside: {name}")
    return found


def measure_startup(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """The command line."""
    try:
        found: dict[str, Any] = fresh.startup(folder=arguments.folder)
    except (RuntimeError, OSError) as error:
        found = {"commands": {"failed": str(error)}}
    say("start-up")
    return found


def measure_gate(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Every part of the gate."""
    found = {}
    for part in gate.PARTS:
        found[part] = _asked("bench.gate", part, *([arguments.folder] if arguments.folder else []))
        say(f"gate: {part}")
    return found


def measure_evidence(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Every part of what evidence costs."""
    found = {}
    for part in EVIDENCE:
        asked = _asked("bench.evidence", part, *(["--folder", arguments.folder] if arguments.folder else []))
        found[part] = asked.get(part, asked)
        say(f"evidence: {part}")
    return found


def measure_fleet(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:  # noqa: ARG001  # servers of its own
    """Every part of several processes on one server, and the reconciler's throughput."""
    found = {}
    for part in fleet.PARTS:
        found[part] = _asked("bench.fleet", part)
        say(f"fleet: {part}")
    found["reconcile"] = _asked("bench.drift", "--effects", "10000", "--one")
    say("fleet: reconcile")
    return found


def show_fleet(out: Console, counts: dict[str, Any]) -> None:
    """A line a figure, as each part gives it."""
    _figures(out, "fleet", _here(out, counts))


def show_evidence(out: Console, counts: dict[str, Any]) -> None:
    """A line a figure, as each part gives it."""
    _figures(out, "evidence", _here(out, counts))


def _figures(out: Console, title: str, here: dict[str, Any]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("part", "figure", "value"):
        table.add_column(column)
    for part, figures in here.items():
        for name, value in figures.items():
            table.add_row(part, name, str(value))
    out.print(table)


def _asked(*arguments: str) -> dict[str, Any]:
    """What a measuring process prints, or how it failed: one outside that fails must not hide the others."""
    try:
        return rounds.asked_json(*arguments)
    except (RuntimeError, ValueError, OSError) as error:
        return {"failed": str(error).strip().splitlines()[-1]}


def unmeasured(counts: dict[str, Any]) -> list[str]:
    """What is here and could not be measured, with the reason."""
    return [f"{name}: {got['failed']}" for name, got in counts.items() if "failed" in got]


def _here(out: Console, counts: dict[str, Any]) -> dict[str, Any]:
    """What was measured; the rest is said."""
    for name, got in counts.items():
        if "not_run" in got:
            out.print(f"{name}: not run: {got['not_run']}", markup=False)
        elif "failed" in got:
            out.print(f"{name}: not measured: {got['failed']}", markup=False)
    return {name: got for name, got in counts.items() if "not_run" not in got and "failed" not in got}


def show_planning(out: Console, counts: dict[str, Any]) -> None:
    """Steps, the view and the recording as tables."""
    here = _here(out, counts)
    table = Table("a step of one effect", "wall us", "CPU us", title="Planning (medians; differences in italics)")

    def row(name: str, took: dict[str, float], *, less: bool = False) -> None:
        style = "italic" if less else None
        table.add_row(name, f"{took['wall_us']:.0f}", f"{took['cpu_us']:.0f}", style=style)

    if (steps := here.get("steps")) is not None:
        row("called by the program, told at once", steps["called"])
        row("the same calls as a drive makes them", steps["ahead"])
        row("driven, scripted planner", steps["driven"])
        row("  overhead of planning: driven less the same calls", steps["overhead"], less=True)
        row("  driven less called", steps["against_called"], less=True)
    if (model := here.get("model")) is not None:
        for name in ("whole", "streamed"):
            got = model[name]
            row(f"model behind a loopback server, {name}", got["step"])
            table.add_row("  of it the server's own", f"{got['server_us']:.0f}", "")
            row("  without the server, less a scripted step", got["over_scripted"], less=True)
    if (view := here.get("view")) is not None:
        row(f"driven, scripted planner, {view['items']} items seen", view["step_with_items"])
        row(
            "  less the same without items; the drive's first reading is shared by its steps",
            view["items_cost"],
            less=True,
        )
    out.print(table)
    if model is not None:
        out.print(f"opening the first model's planner, with its imports: {model['opened_ms']:.0f} ms")
    if view is not None:
        _show_view(out, view)
    if (recording := here.get("recording")) is not None:
        written = Table("answer", "its bytes", "bytes in the store", "wall us", "CPU us", title="Recording an answer")
        for name in ("small", "20 kB"):
            got = recording[name]
            sizes = (f"{got['answer_bytes']}", f"{got['bytes']:.0f}")
            written.add_row(name, *sizes, f"{got['wall_us']:.0f}", f"{got['cpu_us']:.0f}")
        out.print(written)


def _show_view(out: Console, view: dict[str, Any]) -> None:
    columns = ("read back ms", "fold ms", "first build ms", "build ms", "document ms", "characters", "items shown")
    table = Table("view of", *columns, title=f"Building a view with {view['items']} items")
    for name, got in (("items", view["nothing_told"]), ("items and outcomes", view["with_told"])):
        times = (f"{got[key]:.2f}" for key in ("read_ms", "fold_ms", "first_ms", "build_ms", "document_ms"))
        shown = view["items"] - got["items_not_shown"]
        told = f"{name} ({got['told']} told)" if got["told"] else name
        table.add_row(told, *times, str(got["document_characters"]), str(shown))
    out.print(table)


def show_gate(out: Console, counts: dict[str, Any]) -> None:
    """Decisions, the share of an effect, and reloads as tables."""
    here = _here(out, counts)
    if (decisions := here.get("decisions")) is not None:
        table = Table("rules", "decision", "p50 us", "p99 us", "a second", title="One decision")
        for name, got in decisions.items():
            for way in ("computed", "remembered"):
                took = got[way]
                figures = (f"{took['p50_us']:.1f}", f"{took['p99_us']:.1f}", f"{took['per_second']:,.0f}")
                table.add_row(f"{got['rules']}, {name}", way, *figures)
        out.print(table)
    if (share := here.get("share")) is not None:
        table = Table("policy", "gate us", "effect us", "share", title="The gate's share of an effect's CPU, 16 runs")
        for name, got in share.items():
            table.add_row(name, f"{got['policy_us']:.0f}", f"{got['effect_us']:.0f}", f"{got['share']:.1%}")
        out.print(table)
    if (reload := here.get("reload")) is not None:
        columns = ("reloads", "effects/s", "dispatch commits", "retries", "per 1000", "p50 ms", "p99 ms", "reload ms")
        table = Table("a reload", *columns, title="64 runs while the policy changes")
        for name, got in reload.items():
            figures = (f"{got['retries_per_1000']:.2f}", f"{got['p50_ms']:.1f}", f"{got['p99_ms']:.1f}")
            took = f"{got['reload_ms']:.1f}" if got["reload_ms"] is not None else "-"
            counted = (str(got["commits"]), str(got["retries"]))
            table.add_row(name, str(got["reloads"]), f"{got['per_second']:.0f}", *counted, *figures, took)
        out.print(table)


def show_outsides(out: Console, counts: dict[str, Any]) -> None:
    """One row for each outside."""
    here = _here(out, counts)
    columns = ("effects", "effects/s", "p50 ms", "worst ms", "CPU us")
    table = Table("outside", *columns, "what an effect is", title="One run through each example outside")
    for name, got in here.items():
        figures = (f"{got['per_second']:.1f}", f"{got['p50_ms']:.1f}", f"{got['worst_ms']:.1f}", f"{got['cpu_us']:.0f}")
        table.add_row(name, str(got["effects"]), *figures, got["note"])
    out.print(table)


def show_startup(out: Console, counts: dict[str, Any]) -> None:
    """One row for each command."""
    here = _here(out, counts)
    table = Table(
        "command", "processes", "min ms", "median ms", "worst ms", "CPU ms", title="Start-up, fresh processes"
    )
    for name, got in here.items():
        table.add_row(
            name, str(got["processes"]), *(f"{got[key]:.0f}" for key in ("min_ms", "median_ms", "worst_ms", "cpu_ms"))
        )
    out.print(table)
