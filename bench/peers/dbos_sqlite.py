"""DBOS on SQLite: one workflow a run, one no-op step an effect, as its documentation writes them.

``python -m bench.peers.dbos_sqlite FOLDER RUNS EACH wal|as-shipped`` prints one JSON object. DBOS leaves the journal
mode to SQLite (a rollback journal); ``wal`` switches the file to the write-ahead log first, which is the setting that
holdfast uses. Both sync in full.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path
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


async def main(folder: str, runs: int, each: int, journal: str) -> dict[str, Any]:
    """One measurement."""
    path = Path(folder) / "dbos.db"
    if journal == "wal":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode=WAL")
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{path}",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    try:
        await steps("warm", 10)
        start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        took = await asyncio.gather(*(steps(f"r{n}", each) for n in range(runs)))
        wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
        with sqlite3.connect(path) as db:
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            sync = db.execute("PRAGMA synchronous").fetchone()[0]
            # Each step has to be on record, or it was no durable step.
            (recorded,) = db.execute("SELECT count(*) FROM operation_outputs").fetchone()
    finally:
        DBOS.destroy()
    if recorded < runs * each:
        raise RuntimeError(f"{recorded} steps on record of {runs * each}")
    return {
        "wall_ns": wall_ns,
        "cpu_ns": cpu_ns,
        "took_ns": sorted(t for run in took for t in run),
        "journal": mode,
        "synchronous": sync,
    }


if __name__ == "__main__":
    said = asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
    print(json.dumps(said))
