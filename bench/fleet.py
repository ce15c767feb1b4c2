"""Several processes on one PostgreSQL: effects, claims, takeover, a server that restarts, a store that grows.

``python -m bench.fleet rates|claims|takeover|restart|growth`` prints one JSON object. Every contestant has the same
server in the same sitting, with its durability on; processes open and warm up first and begin together. The rate is of
all their effects over the time from the first beginning to the last end.

Promises that each effect counted ended verified. Does not separate the server's CPU from the machine's: it is said.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
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
"""HOLDFAST_BENCH_MOST bounds them: the largest takes a quarter of an hour to fill."""
MEASURED = 1_000
PARTS = ("rates", "claims", "takeover", "restart", "growth")
CLAIMED = 400


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


class _Nothing:
    """A planner that is done at once: what is left is the claim and the end."""

    async def propose(self, view: Any) -> hf.Answer:  # noqa: ARG002  A script reads nothing.
        """Done."""
        return hf.Answer(done=True)


def _app(url: str) -> Any:
    return hf.open(url, tools=tools(), policy=POLICY, environment="bench")


async def _submitted(url: str, many: int, name: str) -> None:
    async with _app(url) as app:
        for number in range(many):
            said = await app.submit(hf.Intent(goal="nothing", principal="bench", purpose=f"{name}.{number}"))
            if said.run is None:
                raise TypeError(f"an intent was not accepted: {said}")


def claims() -> dict[str, Any]:
    """Queued runs that one worker claims, has planned (done at once) and ends, a second."""
    found: dict[str, Any] = {}
    with running() as url, tempfile.TemporaryDirectory(prefix="holdfast-claims-") as folder:
        os.environ["HOLDFAST_STATE_DIR"] = folder
        for kind, address in (("PostgreSQL", url), ("SQLite", f"sqlite:{folder}/bench.db")):
            asyncio.run(_submitted(address, CLAIMED, "claims"))
            found[kind] = asyncio.run(_claimed(address))
    return found


async def _claimed(url: str) -> dict[str, float]:
    async with _app(url) as app:
        start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        worked = await app.work({"": _Nothing}, at_once=16, stays="empty")
        wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
    if worked.done < CLAIMED:
        raise TypeError(f"{worked.done} of {CLAIMED} runs ended")
    return {"per_second": CLAIMED / (wall_ns / 1e9), "cpu_us": cpu_ns / 1e3 / CLAIMED}


def takeover() -> dict[str, Any]:
    """From kill -9 of the worker that drives a run to the instant at which another one holds it, on one machine."""
    found: dict[str, Any] = {}
    with running() as url, tempfile.TemporaryDirectory(prefix="holdfast-takeover-") as folder:
        os.environ["HOLDFAST_STATE_DIR"] = folder
        for kind, address in (("PostgreSQL", url), ("SQLite", f"sqlite:{folder}/bench.db")):
            took = sorted(asyncio.run(_taken_over(address, number)) for number in range(ROUNDS))
            found[kind] = {"p50_ms": took[len(took) // 2], "worst_ms": took[-1]}
    return found


async def _taken_over(url: str, number: int) -> float:
    await _submitted(url, 1, f"takeover.{number}")
    holder = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs yet
        [sys.executable, "-m", "bench.fleet", "hold", url], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    if holder.stdout.readline().strip() != "holding":
        raise RuntimeError("the first worker did not get the run")
    held = asyncio.Event()
    at_ns = 0

    class Held(_Nothing):
        async def propose(self, view: Any) -> hf.Answer:
            nonlocal at_ns
            at_ns = at_ns or time.perf_counter_ns()
            held.set()
            return await super().propose(view)

    async with _app(url) as app:
        work = asyncio.create_task(app.work({"": Held}, stays="empty"))
        await asyncio.sleep(1.5)  # it is there, and looks for work, when the other one dies
        killed_ns = time.perf_counter_ns()
        holder.kill()
        holder.wait()
        await asyncio.wait_for(held.wait(), 60)
        await work
    return (at_ns - killed_ns) / 1e6


async def _hold(url: str) -> None:
    class Waits(_Nothing):
        async def propose(self, view: Any) -> hf.Answer:
            print("holding", flush=True)
            await asyncio.sleep(600)
            return await super().propose(view)

    async with _app(url) as app:
        await app.work({"": Waits}, stays="empty")


def restart() -> dict[str, Any]:
    """From when a killed server answers again to the first effect, by a process that was there all the while."""
    from tests.chaos.database import running as server_running

    with tempfile.TemporaryDirectory(prefix="holdfast-restart-") as folder:
        os.environ["HOLDFAST_STATE_DIR"] = f"{folder}/state"
        with server_running(Path(folder)) as database:
            took = sorted(asyncio.run(_decided(database, number)) for number in range(ROUNDS))
    return {"p50_ms": took[len(took) // 2], "worst_ms": took[-1]}


async def _decided(database: Any, number: int) -> float:
    async with _app(database.url) as app:
        run = await app.begin(hf.Intent(goal="restart", principal="bench", purpose=f"restart.{number}"))
        await _calls(run, 5, f"before.{number}")
        database.kill()
        after = asyncio.create_task(_calls(run, 1, f"after.{number}"))
        await asyncio.to_thread(database.start)
        start_ns = time.perf_counter_ns()
        await after
        return (time.perf_counter_ns() - start_ns) / 1e6


def growth() -> dict[str, Any]:
    """The cost of an effect on stores that hold 10^4, 10^5 and 10^6 effects already, on both databases."""
    found: dict[str, Any] = {}
    most = int(os.environ.get("HOLDFAST_BENCH_MOST", SIZES[1]))
    with tempfile.TemporaryDirectory(prefix="holdfast-growth-") as folder, running() as url:
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
    if sys.argv[1] == "hold":
        asyncio.run(_hold(sys.argv[2]))
    else:
        parts = {"rates": rates, "claims": claims, "takeover": takeover, "restart": restart, "growth": growth}
        print(json.dumps(parts[sys.argv[1]]()))
