"""`make crash`: at least 500 seeded kills of real worker processes, judged by the books of real outsides.

    python -m tests.crash.campaign [--seed N] [--at-once N] [--scale F]

First the payment service with all its faults, then every other outside of the examples. Prints for each of the two
one line per tool and stage of its life (tried, one change, none, with a named owner, broken), then the score over both,
and writes build/crash.json. Exits with 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.crash import cases
from tests.crash.judge import Judged, judge, judge_outside
from tests.crash.outside_stage import Outsides, outside_stage
from tests.crash.outsides import ON_POSTGRES
from tests.crash.scene import Case, Ground, Ran, Stage, stage

ROOT = Path(__file__).resolve().parents[2]
KILLS_WANTED = 500
OUTSIDE_KILLS_WANTED = 300
ORDER = (
    "undisturbed",
    "before dispatch",
    "dispatch commit",
    "on the wire",
    "reply to record",
    "record to told",
    "in recovery",
    "three in a row",
    "at random",
    "with a fault",
    "repeated calls",
)
VERBS = {
    "runtime": "record to told",
    "admit": "before dispatch",
    "claim": "before dispatch",
    "dispatch": "dispatch commit",
    "body": "on the wire",
    "observe": "reply to record",
    "reconcile": "record to told",
    "settle": "record to told",
    "verify": "record to told",
    "caller": "record to told",
    "look": "record to told",
}


def where(case: Case) -> str:
    """The stage of life in which a case was killed: the table's second column."""
    if case.fault is not None:
        return "with a fault"
    if case.calls > 1:
        return "repeated calls"
    if not case.kills:
        return "undisturbed"
    if not isinstance(case.kills[0], str):
        return "at random"
    if len(case.kills) > 1:
        return "in recovery" if len(case.kills) == 2 else "three in a row"
    address = case.kills[0]
    if address.startswith(("runtime/store.commit", "dispatch/look.")):
        return "before dispatch"
    return "on the wire" if "body.send" in address else VERBS[address.partition("/")[0]]


class Tally:
    """Figures by (kind of tool, stage of life), and the score."""

    def __init__(self, verdicts: Iterable[Judged] = ()) -> None:
        """Count these, if there are any yet."""
        self.cells: dict[tuple[str, str], Counter[str]] = {}
        self.total: Counter[str] = Counter()
        self.broken: list[str] = []
        self.diverged: list[str] = []
        for judged in verdicts:
            self.add(judged)

    def add(self, judged: Judged) -> None:
        """Count one verdict."""
        ran = judged.ran
        figures = {
            "tried": 1,
            "kills": ran.kills,
            "exactly_one": int(judged.exactly_one and not judged.broken),
            "none": int(judged.changes == 0 and not judged.broken),
            "owned": int(judged.owned > 0 and not judged.broken),
            "broken": int(bool(judged.broken)),
            "silent_repeats": judged.silent_repeats,
            "lost": judged.lost,
            "unowned": judged.unowned,
            "replayed": judged.replayed,
            "not_comparable": judged.aside,
            "diverged": len(judged.diverged),
        }
        self.cells.setdefault((ran.case.kind, where(ran.case)), Counter()).update(figures)
        self.total.update(figures)
        if judged.broken:
            self.broken.append(judged.sentence)
        self.diverged += judged.diverged

    def counts(self) -> dict[str, Any]:
        """The figures as data."""
        cells = [{"tool": kind, "killed": name, **cell} for (kind, name), cell in self.cells.items()]
        return {**dict(sorted(self.total.items())), "cells": cells, "sentences": self.broken}

    def table(self) -> str:
        """The figures as text, a line per kind and stage."""
        kinds = list(dict.fromkeys(kind for kind, _ in self.cells))
        lines = [f"{'tool':<24}{'killed':<18}{'tried':>6}{'kills':>7}{'one':>6}{'none':>6}{'owned':>7}{'broken':>8}"]
        for kind in kinds:
            for stage_name in ORDER:
                cell = self.cells.get((kind, stage_name))
                if cell is not None:
                    lines.append(_line(kind, stage_name, cell))
        lines.append(_line("all", "", self.total))
        lines.append("one, none: changes outside. owned: still in doubt, and a named person has it with a due time.")
        return "\n".join(lines)


def _line(kind: str, stage_name: str, cell: Counter[str]) -> str:
    return (
        f"{kind:<24}{stage_name:<18}{cell['tried']:>6}{cell['kills']:>7}{cell['exactly_one']:>6}"
        f"{cell['none']:>6}{cell['owned']:>7}{cell['broken']:>8}"
    )


def phase(scene: Ground, name: str, wanted: Sequence[Case]) -> list[Ran]:
    """Play some cases, and say how far it is."""
    began, done = time.monotonic(), 0

    def tick(_: Ran) -> None:
        nonlocal done
        done += 1
        if len(wanted) >= 50 and done % max(1, len(wanted) // 5) == 0:
            print(f"  {name}: {done} of {len(wanted)}", flush=True)

    played = scene.play_all(wanted, tick)
    kills = sum(ran.kills for ran in played)
    print(f"{name}: {len(played)} cases, {kills} kills, {time.monotonic() - began:.1f} s", flush=True)
    return played


def play(scene: Stage, seed: int, scale: float) -> Tally:
    """Every phase in turn; each case is judged at the end, when nothing can land any more."""

    def some(all_of_them: list[Case], count: int) -> list[Case]:
        return cases.shuffled(all_of_them, seed)[: max(1, int(count * scale))]

    base = phase(scene, "undisturbed", cases.undisturbed())
    single = phase(scene, "every point", some(cases.every_point(base), 1_000))
    rans = [
        *base,
        *single,
        *phase(scene, "in recovery", some(cases.in_recovery(single), 260)),
        *phase(scene, "three in a row", cases.twice_in_a_row(single, seed + 1, max(1, int(40 * scale)))),
        *phase(scene, "at random", cases.at_random(seed + 2, max(1, int(84 * scale)))),
        *phase(scene, "with faults", cases.with_faults(seed + 3, max(1, int(126 * scale)))),
        *phase(scene, "repeated calls", cases.repeated(seed + 4, max(1, int(42 * scale)))),
    ]
    books = scene.books()
    return Tally(judge(ran, books) for ran in rans)


def play_outsides(scene: Outsides, seed: int, scale: float) -> Tally:
    """The same over every other outside, but for the faults: each has its own, and its own tests play them."""

    def some(all_of_them: list[Case], count: int) -> list[Case]:
        return cases.shuffled(all_of_them, seed)[: max(1, int(count * scale))]

    kinds = [*cases.OUTSIDES]
    try:
        scene.of(ON_POSTGRES)
        kinds.append((ON_POSTGRES, False))
    except Exception as error:
        print(f"{ON_POSTGRES}: not run, no server could be started: {error}", flush=True)
    base = phase(scene, "outsides, undisturbed", cases.undisturbed(kinds))
    single = phase(scene, "outsides, every point", some(cases.every_point(base), 1_000))
    rans = [
        *base,
        *single,
        *phase(scene, "outsides, in recovery", some(cases.in_recovery(single), 220)),
        *phase(scene, "outsides, three in a row", cases.twice_in_a_row(single, seed + 1, max(1, int(33 * scale)))),
        *phase(scene, "outsides, at random", cases.at_random(seed + 2, max(1, int(48 * scale)), kinds)),
        *phase(scene, "outsides, repeated", cases.repeated(seed + 4, max(1, int(24 * scale)), kinds)),
    ]
    return Tally(judge_outside(ran, scene.found(ran)) for ran in rans)


def goals(tally: Tally, others: Tally | None = None) -> list[dict[str, Any]]:
    """What is promised, what was measured: of the payment service, and of the other outsides with it."""
    total = tally.total + others.total if others else tally.total
    wanted = {"kills": (tally.total["kills"], KILLS_WANTED)}
    if others:
        wanted["kills over the other outsides"] = (others.total["kills"], OUTSIDE_KILLS_WANTED)
    return [
        *({"id": id_, "goal": goal, "measured": n, "met": n >= goal} for id_, (n, goal) in wanted.items()),
        *(
            {"id": name, "goal": 0, "measured": total[name], "met": total[name] == 0}
            for name in ("silent_repeats", "lost", "unowned", "broken", "diverged")
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Play, print, write; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each phase to play")
    chosen = parser.parse_args(argv)
    began = time.monotonic()
    with stage(chosen.at_once) as scene:
        payments = play(scene, chosen.seed, chosen.scale)
    with outside_stage(chosen.at_once) as wide:
        others = play_outsides(wide, chosen.seed, chosen.scale)
    seconds = round(time.monotonic() - began, 1)
    print(f"\nthe payment service\n{payments.table()}\n\nthe other outsides\n{others.table()}\n")
    reached = goals(payments, others)
    report = {
        "name": "crash",
        "settings": {"seed": chosen.seed, "at_once": chosen.at_once, "scale": chosen.scale},
        "counts": {**payments.counts(), "outsides": others.counts(), "seconds": seconds},
        "goals": reached,
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "crash.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for sentence in payments.broken + others.broken + payments.diverged + others.diverged:
        print(f"✗ {sentence}")
    total = payments.total + others.total
    print(
        f"{total['replayed']} entries played back, {total['diverged']} runs diverged,"
        f" {total['not_comparable']} entries were not comparable"
    )
    print(
        f"silent repeats {total['silent_repeats']}, lost {total['lost']}, records without owner, next act and due time"
        f" {total['unowned']}; {total['kills']} kills in {total['tried']} cases, {seconds} s; build/crash.json"
    )
    return 0 if all(goal["met"] for goal in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
