"""The campaign of real deaths: ``python -m tests.harness.deaths`` kills a process at every wait of every worked case.

Each death is SIGKILL to a forked process over a real ledger file, a sample is of interpreters of their own, and each
play is compared with the same play in virtual time. Prints every difference as it is found, then how many died, how
many that is a second and a core, and what a death is made of.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from holdfast.harness.case.case import Case
from holdfast.harness.case.collect import collect
from holdfast.harness.death import Dies, Ground, How, Row, deaths, play

ROOT = Path(__file__).resolve().parents[2]
WANTED = 500
"""Deaths a second, on two cores."""
SHARES = 2
RATED = 60


def cases(where: Sequence[str]) -> list[Case]:
    """The worked cases, and the one of the tests."""
    return list(collect(where or ["examples/cases", "tests/unit/harness/death"], home=ROOT))


def share(given: tuple[tuple[str, ...], int, How]) -> list[Row]:
    """One share of the deaths of one case, in this process."""
    where, number, how = given
    return list(deaths(cases(where)[number], how))


def parts(case: Case) -> dict[str, float]:
    """Milliseconds of processor time: a bare fork that is killed; a life that dies at its first wait; one at its
    sixth.
    """
    took: dict[str, float] = {}
    with Ground(case) as ground:
        play(ground)
        began_s = _cpu_s()
        for _ in range(RATED):
            pid = os.fork()
            if pid == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(pid, 0)
        took["a bare fork that is killed"] = (_cpu_s() - began_s) * 1000 / RATED
        for nth in (1, 6):
            began_s = _cpu_s()
            _, told = play(ground, dies=lambda _life, nth=nth: Dies(nth, "crash before"), most_lives=RATED)
            took[f"a life that dies at its wait {nth}"] = (_cpu_s() - began_s) * 1000 / max(1, told.deaths)
    return took


def _cpu_s() -> float:
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, compare, print, write build/deaths.json; 1 if a play differs from its virtual one."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.deaths", description=__doc__)
    parser.add_argument("cases", nargs="*", help="files and folders with cases; by default the worked ones")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--each", type=int, default=1, help="of the single deaths every n-th")
    parser.add_argument("--interpreters", type=int, default=2, help="plays of each case in interpreters of their own")
    chosen = parser.parse_args(argv)
    where = tuple(chosen.cases)
    found = cases(where)
    hows = [How(each=chosen.each, interpreters=chosen.interpreters, part=n, parts=SHARES) for n in range(SHARES)]
    tasks = [(where, number, how) for number in range(len(found)) for how in hows]
    rows: list[Row] = []
    began = time.monotonic()
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        for (_, number, _), came in zip(tasks, pool.map(share, tasks), strict=True):
            rows += came
            died, differ = sum(row.deaths for row in came), [row for row in came if row.parted or row.left_out]
            print(f"{found[number].name:<32}{len(came):>5} plays{died:>6} died{len(differ):>4} to look at", flush=True)
            for row in differ:
                print(row, flush=True)
    return report(rows, time.monotonic() - began, parts(found[0]), chosen.jobs)


def report(rows: Sequence[Row], took_s: float, took: dict[str, float], jobs: int) -> int:
    """Say what it came to."""
    forked = [row for row in rows if not row.interpreters and row.deaths]
    died, cpu_s = sum(row.deaths for row in forked), sum(row.cpu_ms for row in forked) / 1000
    chains = [row for row in forked if row.deaths > 1]
    of_chains = sum(row.deaths for row in chains) / max(sum(row.cpu_ms for row in chains) / 1000, 1e-9)
    own = sum(row.deaths for row in rows if row.interpreters)
    differ = [row for row in rows if row.parted]
    a_core = died / max(cpu_s, 1e-9)
    words = Counter(row.real for row in rows if not row.left_out)
    print(f"\n{died} forked processes and {own} interpreters died in {len(rows)} plays")
    print(f"it took {took_s:.0f} s on {jobs} processes at a time")
    print(f"verdicts: {', '.join(f'{count} {word}' for word, count in words.items())}; differences: {len(differ)}")
    print(f"deaths a second and core, by processor time: {a_core:.0f}; in chains {of_chains:.0f}")
    for name, took_ms in took.items():
        print(f"  {name}: {took_ms:.1f} ms")
    rate = round(2 * of_chains)
    goals: list[dict[str, Any]] = [
        {"id": "plays that differ from virtual time", "goal": 0, "measured": len(differ), "met": not differ},
        {"id": "real deaths a second, two cores", "goal": WANTED, "measured": rate, "met": rate >= WANTED},
    ]
    for goal in goals:
        print(f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['id']}: {goal['measured']} (goal {goal['goal']})")
    kept = {
        "name": "deaths",
        "settings": {"jobs": jobs},
        "counts": {"plays": len(rows), "forked": died, "interpreters": own, "seconds": round(took_s, 1), "ms": took},
        "goals": goals,
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "deaths.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
