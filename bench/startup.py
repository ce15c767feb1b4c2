"""How long a user waits for the command line: fresh processes, from starting them to their end.

Every command is started once unmeasured, so that bytecode and disk are warm, and then takes turns with the others.
``python -c pass`` is the interpreter alone, for comparison. The CPU time of the process is beside it,
which a busy machine moves less. Promises that each command ended with 0. Does not promise
the first start after an installation, which also compiles.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROCESSES = 5
LIMIT_S = 60


def holdfast() -> list[str]:
    """The installed command; where there is none, what it runs."""
    script = Path(sys.executable).with_name("holdfast")
    return [str(script)] if script.exists() else [sys.executable, "-m", "holdfast.cli.main"]


def commands() -> dict[str, list[str]]:
    """What is started; ``init`` is given a new folder each time."""
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "holdfast --help": [*holdfast(), "--help"],
        "holdfast init": [*holdfast(), "init"],
    }


def startup(processes: int = PROCESSES, folder: str | None = None) -> dict[str, dict[str, Any]]:
    """Milliseconds of each command over so many fresh processes."""
    with tempfile.TemporaryDirectory(prefix="holdfast-startup-", dir=folder) as place:
        got: dict[str, list[tuple[float, float]]] = {name: [] for name in commands()}
        for number in range(1 + processes):
            for name, command in commands().items():
                more = [f"{place}/project-{number}"] if name == "holdfast init" else []
                took = _took_ms([*command, *more], place)
                got[name] += [took] if number else []
    return {name: _figures(took) for name, took in got.items()}


def _figures(got: list[tuple[float, float]]) -> dict[str, Any]:
    wall = [took for took, _ in got]
    return {
        "processes": len(got),
        "min_ms": min(wall),
        "median_ms": statistics.median(wall),
        "worst_ms": max(wall),
        "cpu_ms": statistics.median(cpu for _, cpu in got),
    }


def _took_ms(command: list[str], place: str) -> tuple[float, float]:
    """Wall and CPU time of one process."""
    env = os.environ | {"HOLDFAST_STATE_DIR": f"{place}/state"}
    before, began_ns = _children_ms(), time.perf_counter_ns()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=env, cwd=place)
    took_ns = time.perf_counter_ns() - began_ns
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return took_ns / 1e6, _children_ms() - before


def _children_ms() -> float:
    """CPU time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e3
