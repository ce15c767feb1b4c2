"""One contender in a race: a process of its own that opens the store, waits for the start, commits, and
tells.

Run as a program: dsn, schema, the number of the starting gate, and batches of changes as JSON on standard
input. Prints `ready`, then one JSON line: the verdicts of every batch, and how often the store had to plan
anew.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
import psycopg

from holdfast.kernel.commit import Applied, Change
from holdfast.store.postgres import open_postgres
from holdfast.store.postgres_batch import PostgresBatch
from holdfast.store.postgres_calls import called


def told(verdict: object) -> dict[str, object]:
    """A verdict as the parent reads it."""
    if isinstance(verdict, Applied):
        return {"part": "", "token": verdict.effect.token if verdict.effect is not None else 0}
    return {"part": getattr(verdict, "part", type(verdict).__name__), "token": 0}


def hang_before_commit() -> None:
    """Planted: everything is written, nothing committed, and the process stays there until it is killed."""

    def hang(batch: PostgresBatch, calls: list[object]) -> None:
        called(batch._db, calls)
        print("holding", flush=True)
        sys.stdin.readline()

    PostgresBatch._commit = hang


async def main(dsn: str, schema: str, gate: str, *planted: str) -> None:
    batches = msgspec.json.decode(sys.stdin.readline(), type=list[list[Change]])
    if "hang" in planted:
        hang_before_commit()
    store = open_postgres(dsn, schema=schema)
    with psycopg.connect(dsn, autocommit=True) as door:
        print("ready", flush=True)
        # The parent holds this lock until every contender stands here.
        door.execute("SELECT pg_advisory_lock_shared(%s)", (int(gate),))
        verdicts = [[told(verdict) for verdict in await store.commit_all(batch)] for batch in batches]
    print(msgspec.json.encode({"verdicts": verdicts, "redone": store.count()["redone"]}).decode(), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
