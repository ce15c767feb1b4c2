"""What a bundle costs: bytes, and the time to write, read and check one, for a run of 400 steps with one effect each.

A step is a recorded answer of a planner with one call, which is dispatched and verified. Times are the median of
several rounds in one process, without starting an interpreter; checking a bundle includes reading it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holdfast as hf
from bench.workload import POLICY, tools
from holdfast.gate.logkey import origin
from holdfast.gate.notes import verifier_of
from holdfast.gate.signing import Key
from holdfast.runtime.bundle import check, cover_of, pack, read
from holdfast.runtime.record import record_of
from holdfast.runtime.sealer import Evidence, Sealing
from holdfast.store import open_store

STEPS = 400
ROUNDS = 5


async def _ran(url: str) -> str:
    calls = [hf.Proposed("touch", {"slot": f"s.{n}", "amount": 100 + n}) for n in range(STEPS)]
    async with hf.open(url, tools=tools(), policy=POLICY, environment="bench", recover=False) as app:
        run = await app.begin(hf.Intent(goal="measure", principal="bench", purpose="bundle"))
        report = await run.drive(hf.Scripted(calls, says="done"), max_steps=STEPS + 1)
        if report.state != "done":
            raise RuntimeError(f"the run was to be done, and is {report.state}: {report.reason}")
        return run.id


def bundle(folder: str | None = None) -> dict[str, Any]:
    """Bytes, and milliseconds to pack and to read and check, of one sealed and signed bundle."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bundle-", dir=folder) as place:
        os.environ["HOLDFAST_STATE_DIR"] = f"{place}/state"
        url = f"sqlite:{place}/bench.db"
        run = asyncio.run(_ran(url))
        store = open_store(url)
        try:
            key = Key.make(origin(store))
            key.save(Path(place, "log.pem"))
            sealing = Sealing(store, Evidence(key=Path(place, "log.pem")), "bench")
            sealing.seal()
            record = record_of(store, run)
            cover = cover_of(record, store.tree())
            data = pack(record, cover, key)
            found = check(read(data), [verifier_of(key)])
            if not found.sealed or found.effects != STEPS:
                raise RuntimeError(f"the bundle does not hold: {found.faults}")
            timed = {
                "record_ms": _median(lambda: record_of(store, run)),
                "pack_ms": _median(lambda: pack(record, cover_of(record, store.tree()), key)),
                "read_ms": _median(lambda: read(data)),
                "check_ms": _median(lambda: check(read(data), [verifier_of(key)])),
            }
            sealing.close()
        finally:
            store.close_now()
    counts = {"steps": STEPS, "entries": found.entries, "effects": found.effects, "bytes": len(data)}
    return {**counts, "bytes_per_step": round(len(data) / STEPS), "rounds": ROUNDS, **timed}


def _median(what: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter_ns()
        what()
        took.append((time.perf_counter_ns() - begun) / 1e6)
    return round(statistics.median(took), 1)
