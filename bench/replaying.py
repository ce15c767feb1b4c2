"""How fast a run is played back: a run of 400 steps with one effect each, driven again from its record.

The figure is steps (recorded answers of the planner, each with a call that was admitted, claimed, dispatched, committed
and verified) a second of CPU in one process, without starting an interpreter; the median of several rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from typing import Any

from bench.bundles import ROUNDS, STEPS, _ran
from holdfast.runtime.record import record_of
from holdfast.runtime.replay.play import play
from holdfast.store import open_store


def replay(folder: str | None = None) -> dict[str, Any]:
    """Steps and entries a second of CPU, and that nothing diverged."""
    with tempfile.TemporaryDirectory(prefix="holdfast-replay-", dir=folder) as place:
        os.environ["HOLDFAST_STATE_DIR"] = f"{place}/state"
        url = f"sqlite:{place}/bench.db"
        run = asyncio.run(_ran(url))
        store = open_store(url)
        try:
            record = record_of(store, run)
        finally:
            store.close_now()
    took = []
    for _ in range(ROUNDS):
        begun = time.process_time_ns()
        found = play(record)
        took.append((time.process_time_ns() - begun) / 1e9)
        if not found.same or found.aside:
            raise RuntimeError(f"it was to play back, and does not: {found.divergence} {found.how}")
    seconds = statistics.median(took)
    return {
        "steps": STEPS,
        "entries": found.entries,
        "decisions": found.judged,
        "answers": found.answers,
        "rounds": ROUNDS,
        "steps_per_s": round(STEPS / seconds),
        "entries_per_s": round(found.entries / seconds),
    }
