"""DBOS on PostgreSQL: one workflow a run, one no-op step an effect, as its documentation writes them.

``python -m bench.peers.dbos_postgres URL RUNS EACH NAME`` is one process of it. It says ``ready``, begins at the first
line of its input, and prints one JSON object. The server's settings are those that every contestant has.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from dbos import DBOS


@DBOS.step()
async def touch(slot: str, amount: int) -> dict[str, Any]:
    """Nothing, and a small answer."""
    return {"slot": slot, "amount": amount}


@DBOS.workflow()
async def steps(name: str, each: int) -> list[int]:
    """So many steps, one after the other; nanoseconds of each."""
    took_ns = []
    for number in range(each):
        start_ns = time.perf_counter_ns()
        await touch(f"{name}.{number}", 100)
        took_ns.append(time.perf_counter_ns() - start_ns)
    return took_ns


async def main(url: str, runs: int, each: int, name: str) -> dict[str, Any]:
    """One measurement."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "run_admin_server": False,
            "log_level": "ERROR",
            "executor_id": name,
        }
    )
    DBOS.launch()
    try:
        await steps(f"{name}-warm", 10)
        print("ready", flush=True)
        sys.stdin.readline()
        start_ns, cpu_ns = time.time_ns(), time.process_time_ns()
        took = await asyncio.gather(*(steps(f"{name}.{n}", each) for n in range(runs)))
        end_ns, cpu_ns = time.time_ns(), time.process_time_ns() - cpu_ns
    finally:
        DBOS.destroy()
    return {
        "start_ns": start_ns,
        "end_ns": end_ns,
        "cpu_ns": cpu_ns,
        "took_ns": sorted(t for run in took for t in run),
        "effects": runs * each,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))))
