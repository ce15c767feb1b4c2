"""What evidence costs: sealing it, checking it, bundling, driving a run again, judging again, telling of it.

    python -m bench.evidence [PART …] [--folder DIR]

``seal`` is CPU time for each entry of one checkpoint: lease, leaves, tree, signature, append, in batches of several
sizes. It is spent by the sealer's own thread; a writer pays nothing but the lock for two short transactions, each with
one sync of the sealer's. Rates of a wall clock are printed beside it and are the disk's affair.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import verifying
from bench.bundles import bundle
from bench.replaying import replay
from bench.telemetry import telemetry
from bench.trying import trial
from holdfast.gate.signing import Key
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.runtime.sealer import Evidence, Sealing
from holdfast.store import SqliteStore, open_store

BATCHES = {1: 200, 100: 50, 10_000: 5}
"""Entries in a checkpoint -> how many checkpoints are measured."""

ENTRIES_OF_AN_EFFECT = 6
"""Proposed, admitted, claimed, dispatched, committed, verified."""


def _write(store: SqliteStore, count: int) -> None:
    notes = tuple(Note(kind="told", by="bench", body={"n": n}) for n in range(count))
    store.commit_now(Change(run=STORE_RUN_ID, notes=notes))


def seal(folder: str | None = None) -> dict[str, Any]:
    """CPU and wall microseconds for each entry, by how many a checkpoint takes in."""
    measured = []
    with tempfile.TemporaryDirectory(prefix="holdfast-evidence-", dir=folder) as place:
        Key.make("log").save(Path(place, "log.pem"))
        store = open_store(Path(place, "bench.db"), state_dir=Path(place, "state"))
        sealing = Sealing(store, Evidence(key=Path(place, "log.pem")), "bench")
        _write(store, 1)
        sealing.seal()
        for batch, rounds in BATCHES.items():
            cpu_ns = wall_ns = 0
            for _ in range(rounds):
                _write(store, batch)
                cpu, wall = time.process_time_ns(), time.perf_counter_ns()
                sealed = sealing.seal()
                cpu_ns += time.process_time_ns() - cpu
                wall_ns += time.perf_counter_ns() - wall
                if sealed is None or sealed.size != sealing.tree.size():
                    raise RuntimeError("not everything was sealed")
            per = 1_000 * batch * rounds
            measured.append({
                "batch": batch, "checkpoints": rounds, "cpu_us_per_entry": round(cpu_ns / per, 3),
                "cpu_us_per_checkpoint": round(cpu_ns / (1_000 * rounds), 1),
                "wall_us_per_checkpoint": round(wall_ns / (1_000 * rounds), 1),
            })  # fmt: skip
        entries = sealing.tree.size()
        sealing.close()
        store.close_now()
    return {"entries": entries, "entries_of_an_effect": ENTRIES_OF_AN_EFFECT, "batches": measured}


PARTS: dict[str, Callable[[str | None], dict[str, Any]]] = {
    "bundle": bundle,
    "replay": replay,
    "seal": seal,
    "verify": verifying.measure,
    "trial": trial,
    "telemetry": lambda folder: telemetry(folder=folder),
}
"""What can be measured."""


def main() -> None:
    """Measure the parts that are named, or all, and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m bench.evidence", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--folder", default=None, help="where the stores are made; the disk that is measured")
    arguments = parser.parse_args()
    found = {name: PARTS[name](arguments.folder) for name in arguments.part or PARTS}
    print(json.dumps({"load_average": os.getloadavg(), **found}, indent=2))


if __name__ == "__main__":
    main()
