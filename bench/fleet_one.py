"""One process of holdfast among several on one store: ``python -m bench.fleet_one URL RUNS EACH NAME``.

It opens the store, begins its runs, says ``ready``, begins at the first line of its input, and prints one JSON object.
Every effect is the one of :mod:`bench.workload`: judged, claimed, committed before its body is entered, verified.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import holdfast as hf
from bench.workload import POLICY, tools


async def main(url: str, runs: int, each: int, name: str) -> dict[str, Any]:
    """One measurement."""
    async with hf.open(url, tools=tools(), policy=POLICY, environment="bench") as app:
        handles = [
            await app.begin(hf.Intent(goal="measure", principal="bench", purpose=f"{name}.{n}")) for n in range(runs)
        ]
        warm = await app.begin(hf.Intent(goal="warm", principal="bench", purpose=f"{name}.warm"))
        await _calls(warm, 20, f"{name}.warm", [])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        took_ns: list[int] = []
        before, start_ns, cpu_ns = app.store.count(), time.time_ns(), time.process_time_ns()
        await asyncio.gather(*(_calls(h, each, f"{name}.{n}", took_ns) for n, h in enumerate(handles)))
        end_ns, cpu_ns, after = time.time_ns(), time.process_time_ns() - cpu_ns, app.store.count()
    return {
        "start_ns": start_ns,
        "end_ns": end_ns,
        "cpu_ns": cpu_ns,
        "took_ns": sorted(took_ns),
        "effects": runs * each,
        "commits": after["batches"] - before["batches"],
        "changes": after["changes"] - before["changes"],
    }


async def _calls(handle: hf.RunHandle, each: int, slot: str, took_ns: list[int]) -> None:
    """Propose, wait for the outcome on disk, propose the next."""
    for number in range(each):
        start_ns = time.perf_counter_ns()
        out = await handle.call(hf.Call("touch", {"slot": f"{slot}.{number}", "amount": 100}))
        took_ns.append(time.perf_counter_ns() - start_ns)
        if not isinstance(out, hf.Verified):
            raise TypeError(f"a no-op did not end verified: {out}")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))))
