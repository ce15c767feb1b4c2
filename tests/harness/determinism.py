"""Equal plays, equal bytes: `python -m tests.harness.determinism [SEEDS]` plays 1,000 seeds twice, and once elsewhere.

A seed chooses a case, a fault of its grid, a planner, and the world's dice. The third round is another interpreter with
another hash seed. Exit code 1: a digest differs, and which.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cache

from holdfast.harness.case.case import Case
from holdfast.harness.faults.fault import Fault
from holdfast.harness.faults.grid import faults_of
from holdfast.harness.planners import NINE
from holdfast.harness.play.bundle import bundle, digest
from holdfast.harness.play.play import play
from holdfast.harness.suite.plan import Task, done
from tests.unit.harness.case import refunds
from tests.unit.harness.play import desk

CASES = (desk.case(), desk.case(desk.CLOSE, desk.ALSO), refunds.case(), refunds.case(policy=refunds.CLOSED))
EACH = "import sys; from tests.harness.determinism import digests; print('\\n'.join(digests(range({}))))"


@cache
def grid(number: int) -> tuple[Case, tuple[Fault, ...]]:
    """A case and the faults of its grid."""
    case = CASES[number]
    return case, tuple(faults_of(case, play(case).points))


def digests(seeds: Iterable[int]) -> list[str]:
    """The digest of the play that each seed chooses."""
    found = []
    for seed in seeds:
        dice = random.Random(seed)
        case, faults = grid(dice.randrange(len(CASES)))
        planner = dice.choice(("", *NINE))
        struck = tuple(dice.sample(faults, dice.randrange(3)))
        found.append(digest(bundle(done(case, Task(case=0, faults=struck, planner=planner, seed=seed)))))
    return found


def main(count: int) -> int:
    """Three rounds; what differs is printed."""
    began = time.process_time()
    here = digests(range(count))
    again = digests(range(count))
    environment = dict(os.environ) | {"PYTHONHASHSEED": "4242", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, "-c", EACH.format(count)]
    done_ = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    there = done_.stdout.split()
    wrong = [seed for seed in range(count) if not here[seed] == again[seed] == there[seed]]
    print(
        f"{count} seeds, {len(set(here))} different plays, played three times, once in a process of another hash seed: "
        f"{len(wrong)} differ {wrong[:10] or ''} ({time.process_time() - began:.1f} s of processor time in this one)"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
