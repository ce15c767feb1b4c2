"""How long after a kill the first decision comes, with a hundred thousand records; and what a run takes on disk.

A writer process fills a store and is killed with SIGKILL in the middle of its work. A fresh process then opens the
store and asks for one decision; what is timed is from the call of ``hf.open`` to the effect being admitted, imports
aside. ``python -m bench.restart fill FOLDER RECORDS`` and ``… decide FOLDER`` are the two processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import holdfast as hf
from bench.workload import POLICY, tools
from holdfast.effect.admit import Proposal, admit, propose
from holdfast.kernel.model import State

RECORDS = 100_000
STEPS = 400
ROUNDS = 5
FILL_LIMIT_S = 600


async def _fill(folder: Path, records: int) -> None:
    """Work until somebody kills us; says when there are enough records."""
    async with hf.open(f"sqlite:{folder}/bench.db", tools=tools(), policy=POLICY, environment="bench") as app:
        handles = [await app.begin(hf.Intent(goal="fill", principal="bench", purpose=f"p{n}")) for n in range(64)]

        async def work(handle: hf.RunHandle, name: int) -> None:
            number = 0
            while True:
                await handle.call(hf.Call("touch", {"slot": f"{name}.{number}", "amount": 100}))
                number += 1

        tasks = [asyncio.create_task(work(handle, n)) for n, handle in enumerate(handles)]
        said = False
        while True:
            await asyncio.wait(tasks, timeout=0.05)
            there = app.store.reading.source.db.execute("SELECT coalesce(max(pos), 0) FROM entry").get
            if there >= records and not said:
                said = True
                print(there, flush=True)


async def _decide(folder: Path) -> dict[str, float]:
    """Open what the dead writer left, and have one new call decided."""
    start_ns = time.perf_counter_ns()
    async with hf.open(
        f"sqlite:{folder}/bench.db", tools=tools(), policy=POLICY, environment="bench", recover=True
    ) as app:
        opened_ns = time.perf_counter_ns() - start_ns
        run = await app.begin(hf.Intent(goal="after", principal="bench", purpose=f"after-{os.getpid()}"))
        checked, resource, cost = app.prepared("touch", {"slot": "first", "amount": 100})
        effect = await propose(
            app.ports, Proposal(run=run.record, tool="touch", args=checked, resource=resource, cost=cost, by="bench")
        )
        await admit(app.ports, effect)
        decided_ns = time.perf_counter_ns() - start_ns
        view = (await app.store.read(effect)).effect
        if view is None or view.state is not State.ADMITTED:
            raise RuntimeError(f"the first decision was not admitted: {view}")
        left = sum(1 for v in app.store.open_effects() if v.id != effect)
    return {"opened_ms": opened_ns / 1e6, "decided_ms": decided_ns / 1e6, "open_effects_found": left}


def restart(records: int = RECORDS, folder: str | None = None) -> dict[str, Any]:
    """Fill, kill, decide; the median of several fresh processes on the same dead writer's store."""
    with tempfile.TemporaryDirectory(prefix="holdfast-restart-", dir=folder) as place:
        env = os.environ | {"HOLDFAST_STATE_DIR": f"{place}/state"}
        writer = subprocess.Popen(
            [sys.executable, "-m", "bench.restart", "fill", place, str(records)], stdout=subprocess.PIPE, env=env
        )
        assert writer.stdout is not None
        there = int(writer.stdout.readline() or 0)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        if there < records:
            raise RuntimeError("the writer ended before it had written enough records")
        log_bytes = Path(place, "bench.db-wal").stat().st_size
        took = []
        for _ in range(ROUNDS):
            command = [sys.executable, "-m", "bench.restart", "decide", place]
            took.append(json.loads(subprocess.run(command, check=True, capture_output=True, env=env).stdout))
    took.sort(key=lambda t: t["decided_ms"])
    # The first process after the kill found most to do; it is shown apart, and counted in the median.
    return {
        "records": there,
        "log_bytes_at_kill": log_bytes,
        **took[len(took) // 2],
        "worst_ms": took[-1]["decided_ms"],
    }


async def _storage(folder: Path) -> dict[str, float]:
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    path = folder / "bench.db"

    async def size(steps: int) -> int:
        async with hf.open(f"sqlite:{path}", tools=tools(), policy=POLICY, environment="bench") as app:
            run = await app.begin(hf.Intent(goal="weigh", principal="bench", purpose=f"of {steps} steps"))
            for number in range(steps):
                await run.call(hf.Call("touch", {"slot": f"{steps}.{number}", "amount": 100}))
        return path.stat().st_size

    empty = await size(0)
    one, two = await size(STEPS) - empty, await size(2 * STEPS) - empty
    return {"bytes": one, "bytes_per_step": one / STEPS, "bytes_per_step_later": (two - one) / (2 * STEPS)}


def storage(folder: str | None = None) -> dict[str, float]:
    """Bytes that a 400-step run adds to the file, and what a step of a run twice as long adds after it."""
    with tempfile.TemporaryDirectory(prefix="holdfast-storage-", dir=folder) as place:
        return asyncio.run(_storage(Path(place)))


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        asyncio.run(asyncio.wait_for(_fill(Path(sys.argv[2]), int(sys.argv[3])), FILL_LIMIT_S))
    else:
        print(json.dumps(asyncio.run(_decide(Path(sys.argv[2])))))
