"""A reconciler that mends one drift, and is killed at one of its waits; forked from a process that is imported once.

    python -m tests.crash.drift_worker

Reads lines ``FOLDER STORE SEED POINT`` (with tabs) from its standard input, each in a process of its own: SEED is what
to spoil (missing, orphan), POINT is a wait as ``port.method#nth:before`` or ``…:after``, ``seed``, or empty. Answers
with the exit code. Every wait of a worker is appended to ``FOLDER/trace``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from examples.database import books
from holdfast.runtime.drift.rounds import Reconciler
from tests.harness import mutants
from tests.unit.runtime.drift.catalogue import BRISK, OTHERS, Catalogue, inserted, opened

ROUNDS = 400


class Waits:
    """Counts the waits of this process, and ends it at the one that was named."""

    def __init__(self, folder: Path, point: str) -> None:
        self._point = point
        self._trace = folder / "trace"
        self._seen: Counter[str] = Counter()

    def over(self, owner: Any, port: str, *methods: str) -> None:
        """Count what is awaited of a port."""
        for method in methods:
            setattr(owner, method, self._counted(getattr(owner, method), f"{port}.{method}"))

    def _counted(self, honest: Any, name: str) -> Any:
        async def counted(*given: Any, **named: Any) -> Any:
            self._seen[name] += 1
            address = f"{name}#{self._seen[name]}"
            with self._trace.open("a") as file:
                file.write(f"{address}\n")
            self._reach(f"{address}:before")
            came = await honest(*given, **named)
            self._reach(f"{address}:after")
            return came

        return counted

    def _reach(self, address: str) -> None:
        if address == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


async def seed(store: str, folder: Path, what: str) -> None:
    """One product, recorded as inserted, and then what makes it a drift."""
    catalogue = Catalogue(folder)
    async with opened(store, recover=False) as app:
        await inserted(app, "cup")
    if what == "missing":
        catalogue.lose("cup", books_too=True)
    else:
        books.insert(catalogue.url, "ghost", "Ghost", 1, key=OTHERS, token=0)


async def mend(store: str, folder: Path, point: str) -> None:
    """Look until nothing is live any more, as a service does; or end at the point."""
    Catalogue(folder)
    waits = Waits(folder, point)
    async with opened(store) as app:
        reconciler = Reconciler(app, BRISK)
        waits.over(app.store, "store", "commit", "later", "flush")
        waits.over(reconciler._looks, "look", "probe", "verify", "list_outside", "undo")
        waits.over(app._bodies, "body", "send")
        for _ in range(ROUNDS):
            came = await reconciler.round(everything=True)
            if came.ran and not app.store.tally().live_drifts():
                break
            await asyncio.sleep(0.02)
        await reconciler.stop()


def main() -> None:
    """One process a line."""
    stack = contextlib.ExitStack()
    if planted := os.environ.get("HOLDFAST_MUTANT"):
        stack.enter_context(mutants.planted(planted))
    print("ready", flush=True)
    for line in sys.stdin:
        place, store, what, point = line.rstrip("\n").split("\t")
        folder = Path(place)
        child = os.fork()
        if child == 0:
            os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
            asyncio.run(seed(store, folder, what) if point == "seed" else mend(store, folder, point))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
