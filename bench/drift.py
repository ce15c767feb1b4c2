"""How fast doubts are cleared up, and how fast a store is compared with the outside: effects a second.

    python -m bench.drift --effects 10000 [--store postgresql://…]

The outside is a server of its own on the loopback: each probe and each verification is one request and one answer.
First all effects are brought into doubt (every reply is lost, and nobody can be asked); then the outside can be asked
again, and the recoverer takes all of them up: asked, found, verified. Then a reconciler looks at every one of them.
Prints what was done, the seconds, the rate, CPU milliseconds for each effect, and how often the disk was waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import holdfast as hf
from holdfast.runtime.drift.pacing import Pace
from holdfast.runtime.drift.rounds import Reconciler

POLICY = '@id("all") permit (principal, action, resource);'
AT_ONCE = 64
RUNS = 64
LINES = 32


class Outside:
    """A server that knows keys, on a port of its own; a few connections are kept to it."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.answers = False
        self.asked = 0
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._serving: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        for _ in range(LINES):
            self._idle.put_nowait(await asyncio.open_connection(host, port))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        while not self._idle.empty():
            self._idle.get_nowait()[1].close()
        await asyncio.gather(*self._serving)  # each ends with its line
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                known = line.decode().strip() in self.keys
                writer.write(b"yes\n" if known else b"no\n")
                await writer.drain()
        writer.close()

    async def knows(self, key: str) -> bool:
        """One request and one answer."""
        self.asked += 1
        reader, writer = line = await self._idle.get()
        try:
            writer.write(f"{key}\n".encode())
            return await reader.readline() == b"yes\n"
        finally:
            self._idle.put_nowait(line)


def tool_of(outside: Outside) -> hf.Tool[..., Any]:
    """A change whose reply is always lost, and that can be asked about."""

    @hf.tool(
        effect="compensable", resource="slot:{slot}", identity=("slot",), owner="bench", lands_within="1s",
        timeout="5s", retry_after="1ms", probes=1000,
    )  # fmt: skip
    async def mark(fx: hf.Fx, *, slot: str) -> None:  # noqa: ARG001  # it is what the resource names
        """Mark a slot; the answer never comes."""
        outside.keys.add(fx.key)
        raise ConnectionResetError("the reply was lost")

    @mark.probe
    async def _probe(look: hf.Look) -> hf.Happened | hf.Absent | hf.CannotTell:
        if not outside.answers:
            return hf.CannotTell("nobody answers yet")
        return hf.Happened() if await outside.knows(look.key) else hf.Absent(why="not known")

    @mark.verify
    async def _verify(look: hf.Look) -> hf.Holds | hf.Differs:
        return hf.Holds() if await outside.knows(look.key) else hf.Differs("not known")

    @mark.undo
    def _undo(_look: hf.Look, *, slot: str) -> hf.Call:
        return hf.Call("mark", {"slot": f"un-{slot}"})

    return mark


async def doubts(app: hf.App, effects: int) -> int:
    """Bring so many effects into doubt; how many are."""
    runs = [
        await app.begin(hf.Intent(goal="mark", purpose=f"mark {n}", principal="bench"))
        for n in range(min(RUNS, effects))
    ]
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with room:
            await runs[number % len(runs)].call(hf.Call("mark", {"slot": f"{number}"}), patience=0)

    await asyncio.gather(*(one(number) for number in range(effects)))
    return int(app.store.status()["unknown"])


async def timed(name: str, done: int, app: hf.App, work: Any) -> dict[str, Any]:
    """Time one piece of work."""
    before, cpu_s, start_s = app.store.count(), _cpu_s(), time.perf_counter()
    effects = await work()
    took_s, used_s, after = time.perf_counter() - start_s, _cpu_s() - cpu_s, app.store.count()
    return {
        "what": name,
        "effects": effects or done,
        "seconds": round(took_s, 3),
        "per_second": round((effects or done) / took_s, 1),
        "cpu_ms_each": round(used_s * 1_000 / max(1, effects or done), 3),
        "syncs": after["syncs"] - before["syncs"],
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measured(store: str, effects: int) -> list[dict[str, Any]]:
    """All of it on one store."""
    async with (
        Outside() as outside,
        hf.open(store, tools=[tool_of(outside)], policy=POLICY, recover=False) as app,
    ):
        unknown = await doubts(app, effects)
        assert unknown == effects, f"{unknown} of {effects} are in doubt"
        outside.answers = True

        async def cleared() -> int:
            while await app.recover():
                pass  # each round takes up all that is due
            return effects

        async def compared() -> int:
            reconciler = Reconciler(app, Pace(per_second=0, at_once=16))
            came = await reconciler.round(everything=True)
            await reconciler.stop()
            assert came.counts.get("same") == effects, came
            return effects

        rows = [await timed("unknown effects found and verified", effects, app, cleared)]
        states = Counter(view.state.value for view in app.store.effects(limit=effects))
        assert states == {"verified": effects}, states
        rows.append(await timed("verified effects looked at again", effects, app, compared))
    return rows


def main() -> None:
    """Print one JSON line for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effects", type=int, default=10_000)
    parser.add_argument("--store", default="")
    parser.add_argument("--one", action="store_true", help="print one JSON object with the rates alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        store = given.store or f"sqlite:{Path(folder) / 'bench.db'}"
        rows = asyncio.run(measured(store, given.effects))
        if given.one:
            print(json.dumps({row["what"]: row["per_second"] for row in rows}))
            return
        for row in rows:
            print(json.dumps({**row, "store": store.partition(":")[0]}))


if __name__ == "__main__":
    main()
