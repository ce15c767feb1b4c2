"""`make tamper`: what somebody who owns the file could do to a small store, and whether and where it is found.

    python -m tests.tamper.campaign [--seed N] [--share F]

Every byte of every entry and body is flipped; rows are deleted, swapped, put in, grafted and forged with all hashes;
checkpoints are changed, replaced and signed with other keys; the file is rolled back and forked. Prints a line for each
kind (tried, detected, located), what cannot be found by design, the speed of verification, and writes
build/tamper.json. Exits with 1 if anything was missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.tamper.attacks import Attack, Places, attacks, by_design
from tests.tamper.bed import Bed, looked
from tests.tamper.flips import Flip, flips, located, tried
from tests.tamper.world import World, make

ROOT = Path(__file__).resolve().parents[2]


class Tally:
    """Tried, detected, located by kind; and a sentence for each that was missed."""

    def __init__(self) -> None:
        """Nothing was tried yet."""
        self.cells: dict[str, Counter[str]] = {}
        self.missed: list[str] = []

    def add(self, kind: str, what: str, *, detected: bool, right: bool, said: object) -> None:
        """Count one attack."""
        cell = self.cells.setdefault(kind, Counter())
        cell.update({"tried": 1, "detected": int(detected), "located": int(detected and right)})
        if not (detected and right):
            self.missed.append(f"{kind}: {what}: {'located wrongly' if detected else 'NOT DETECTED'}: {said}")

    @property
    def total(self) -> Counter[str]:
        """Over all kinds."""
        return sum(self.cells.values(), Counter())

    def table(self) -> str:
        """A line for each kind."""
        lines = [f"{'attack':<44}{'tried':>8}{'detected':>10}{'located':>10}"]
        for kind, cell in [*self.cells.items(), ("all", self.total)]:
            lines.append(f"{kind:<44}{cell['tried']:>8}{cell['detected']:>10}{cell['located']:>10}")
        return "\n".join(lines)


def flip_all(world: World, folder: Path, tally: Tally, seed: int, share: float) -> None:
    """Flip bytes: all of them, or a seeded share."""
    bed = Bed(world.store, folder, "flips")
    try:
        every = list(flips(bed, seed))
        if share < 1:
            every = random.Random(seed).sample(every, max(1, int(len(every) * share)))
        with bed.opened() as store:
            assert not looked(store).broken, "the store is whole before"
            for number, (flip, place) in enumerate(every, 1):
                found = tried(bed, store, flip)
                if found is not None:
                    tally.add(_kind(flip), f"{flip.column} of {place}, byte {flip.at}", detected=found.broken,
                              right=located(flip, place, found), said=found)  # fmt: skip
                if share == 1 and number % (len(every) // 10) == 0:
                    print(f"  flips: {number} of {len(every)}", flush=True)
            assert not looked(store).broken, "every flip was taken back"
    finally:
        bed.close()


def _kind(flip: Flip) -> str:
    return "byte flipped in a body or its salt" if flip.table == "entry_body" else "byte flipped in an entry"


def attempt(world: World, folder: Path, attack: Attack, tally: Tally) -> None:
    """One attack on a fresh copy."""
    bed = Bed(getattr(world, attack.on), folder)
    try:
        attack.do(bed)
        found = bed.verified(attack.heads, attack.keys)
    finally:
        bed.close()
    tally.add(attack.kind, attack.name, detected=found.broken, right=attack.where(found), said=found)


def undetectable(world: World, folder: Path, places: Places) -> list[dict[str, Any]]:
    """What a file alone cannot show: each tried, so that the list says what is so."""
    told = []
    for design in by_design(places):
        bed = Bed(world.store, folder)
        try:
            design.do(bed)
            told.append({"name": design.name, "why": design.why, "detected": bed.verified().broken})
        finally:
            bed.close()
    return told


def whole(world: World, folder: Path) -> list[str]:
    """Stores that must verify as they are; what is wrong otherwise."""
    wrong = []
    brought: dict[str, tuple[str, ...]] = {
        "store": world.heads,
        "yesterday": world.heads[:1],
        "fork": (world.heads[0], world.fork_head),
        "wide": (),
        "thin": (),
    }
    for name, heads in brought.items():
        bed = Bed(getattr(world, name), folder)
        try:
            keys = () if name in ("wide", "thin") else (world.keys[0],)
            found = bed.verified(heads, keys)
            if found.broken:
                wrong.append(f"{name} does not verify untouched: {found}")
        finally:
            bed.close()
    return wrong


def play(folder: Path, seed: int, share: float) -> tuple[Tally, list[dict[str, Any]], list[str], Places]:
    """The whole campaign, or a seeded share of it."""
    world = make(folder)
    beds = folder
    tally, wrong = Tally(), whole(world, beds)
    bed = Bed(world.store, beds)
    places = Places(bed)
    bed.close()
    flip_all(world, beds, tally, seed, share)
    every = list(attacks(world, places))
    if share < 1:
        dice = random.Random(seed)
        kinds = dict.fromkeys(attack.kind for attack in every)
        some = [dice.choice([attack for attack in every if attack.kind == kind]) for kind in kinds]
        rest = [attack for attack in every if attack not in some]
        every = some + dice.sample(rest, int(len(rest) * share))
    for attack in every:
        attempt(world, beds, attack, tally)
    return tally, undetectable(world, beds, places), wrong, places


def main(argv: Sequence[str] | None = None) -> int:
    """Play, print, write; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.tamper.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="how much of it to play")
    parser.add_argument("--no-speed", action="store_true", help="leave the measurement out")
    chosen = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-tamper-") as place:
        tally, design, wrong, places = play(Path(place), chosen.seed, chosen.share)
    total = tally.total
    print(f"\n{tally.table()}\n")
    print("not found in a file alone, by design (each was tried):")
    for one in design:
        print(f"  {one['name']}: {one['why']}{' (found all the same)' if one['detected'] else ''}")
    speed = None
    if not chosen.no_speed:
        from bench import verifying

        print("\nspeed of verification:", flush=True)
        speed = verifying.measure()
        verifying.show(speed)
    missed = [*wrong, *tally.missed]
    goals = [
        {"id": name, "goal": total["tried"], "measured": total[name], "met": total[name] == total["tried"]}
        for name in ("detected", "located")
    ]
    goals.append({"id": "whole before", "goal": 0, "measured": len(wrong), "met": not wrong})
    report = {
        "name": "tamper",
        "settings": {"seed": chosen.seed, "share": chosen.share, "entries": places.last, "checkpoints": places.sizes},
        "counts": {
            **total,
            "cells": [{"attack": kind, **cell} for kind, cell in tally.cells.items()],
            "by_design": design,
            "missed": missed,
            "speed": speed,
            "seconds": round(time.monotonic() - began, 1),
        },
        "goals": goals,
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "tamper.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for sentence in missed[:50]:
        print(f"✗ {sentence}")
    seconds = report["counts"]["seconds"]  # type: ignore[index]
    print(
        f"{total['tried']} tried, {total['detected']} detected, {total['located']} located; {seconds} s;"
        " build/tamper.json"
    )
    return 0 if all(goal["met"] for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
