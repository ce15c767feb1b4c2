"""LangGraph with its SQLite checkpointer and durability "sync": one thread a run, one no-op node an effect.

``python -m bench.peers.langgraph_sqlite FOLDER RUNS EACH threads|async`` prints one JSON object. ``threads`` is
SqliteSaver with one thread a run (its lock serialises the writes), ``async`` is AsyncSqliteSaver on one loop. Both
savers switch to the write-ahead log themselves and sync in full.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class Doing(TypedDict):
    """What a run carries from step to step."""

    number: int
    each: int
    slot: str


def touch(state: Doing) -> dict[str, Any]:
    """Nothing, and a small answer."""
    return {"number": state["number"] + 1, "slot": f"s.{state['number']}"}


def graph(saver: Any) -> Any:
    """One node that follows itself until all steps are taken."""
    built = StateGraph(Doing)
    built.add_node("touch", touch)
    built.add_edge(START, "touch")
    built.add_conditional_edges("touch", lambda s: "touch" if s["number"] < s["each"] else END)
    return built.compile(checkpointer=saver)


def config(name: str, each: int) -> dict[str, Any]:
    """A thread of its own, with room for all steps."""
    return {"configurable": {"thread_id": name}, "recursion_limit": each + 10}


def one(app: Any, name: str, each: int) -> list[int]:
    """A run with the synchronous saver; nanoseconds of each step."""
    took_ns, last_ns = [], time.perf_counter_ns()
    for _ in app.stream(
        {"number": 0, "each": each, "slot": ""}, config(name, each), durability="sync", stream_mode="updates"
    ):
        now_ns = time.perf_counter_ns()
        took_ns.append(now_ns - last_ns)
        last_ns = now_ns
    return took_ns


async def aone(app: Any, name: str, each: int) -> list[int]:
    """A run with the asynchronous saver."""
    took_ns, last_ns = [], time.perf_counter_ns()
    async for _ in app.astream(
        {"number": 0, "each": each, "slot": ""}, config(name, each), durability="sync", stream_mode="updates"
    ):
        now_ns = time.perf_counter_ns()
        took_ns.append(now_ns - last_ns)
        last_ns = now_ns
    return took_ns


def threads(path: str, runs: int, each: int) -> tuple[list[int], int, int]:
    """Every run in a thread of its own."""
    with SqliteSaver.from_conn_string(path) as saver, ThreadPoolExecutor(runs) as pool:
        app = graph(saver)
        one(app, "warm", 10)
        start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        took = list(pool.map(lambda n: one(app, f"r{n}", each), range(runs)))
        return [t for run in took for t in run], time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns


async def on_one_loop(path: str, runs: int, each: int) -> tuple[list[int], int, int]:
    """Every run a task of one loop."""
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        app = graph(saver)
        await aone(app, "warm", 10)
        start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        took = await asyncio.gather(*(aone(app, f"r{n}", each) for n in range(runs)))
        return [t for run in took for t in run], time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns


def main(folder: str, runs: int, each: int, way: str) -> dict[str, Any]:
    """One measurement."""
    path = str(Path(folder) / "langgraph.db")
    took_ns, wall_ns, cpu_ns = (
        threads(path, runs, each) if way == "threads" else asyncio.run(on_one_loop(path, runs, each))
    )
    with sqlite3.connect(path) as db:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
        sync = db.execute("PRAGMA synchronous").fetchone()[0]
        (recorded,) = db.execute("SELECT count(*) FROM checkpoints").fetchone()
    if recorded < runs * each:
        raise RuntimeError(f"{recorded} checkpoints on record of {runs * each}")
    return {"wall_ns": wall_ns, "cpu_ns": cpu_ns, "took_ns": sorted(took_ns), "journal": mode, "synchronous": sync}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
