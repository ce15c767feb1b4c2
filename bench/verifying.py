"""How fast a store is verified, beside what hashing the same bytes costs and nothing else.

    python -m bench.verifying [--entries N]

The pure limit is one Python process that hashes the very leaves of the store in a tight loop; beside it the same over
every byte that verification has to hash: leaves, bodies with their salts, and the nodes of the tree. The pass over
entries, bodies and tree is measured with one and with two processes, and the whole audit with the fold of every row.
The store is made by the real writer.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holdfast as hf
from bench.workload import POLICY, tools
from holdfast.gate.signing import Key, good
from holdfast.kernel.checkpoint import origin_of
from holdfast.runtime.sealer import Evidence, Sealing
from holdfast.store import audit, open_store, rows
from holdfast.store.access import SqliteAccess
from holdfast.store.evidence import leaf_bytes

ENTRIES = 300_000
RUNS = 64


async def _fill(path: Path, entries: int) -> None:
    """Work until there are enough entries, and end what was begun."""
    async with hf.open(f"sqlite:{path}", tools=tools(), policy=POLICY, environment="bench") as app:
        handles = [await app.begin(hf.Intent(goal="fill", principal="bench", purpose=f"p{n}")) for n in range(RUNS)]
        enough = asyncio.Event()

        async def work(handle: hf.RunHandle, name: int) -> None:
            number = 0
            while not enough.is_set():
                await handle.call(hf.Call("touch", {"slot": f"{name}.{number}", "amount": 100}))
                number += 1

        tasks = [asyncio.create_task(work(handle, n)) for n, handle in enumerate(handles)]
        while app.store.reading.source.db.execute(rows.LAST_POS).get < entries:
            await asyncio.wait(tasks, timeout=0.05)
        enough.set()
        await asyncio.gather(*tasks)


def _seal(path: Path, folder: Path) -> None:
    store = open_store(path)
    try:
        Key.make(origin_of(str(store.status()["store"]))).save(folder / "log.pem")
        sealing = Sealing(store, Evidence(key=folder / "log.pem"), "bench")
        sealing.seal()
        sealing.close()
    finally:
        store.close_now()


def _best(work: Callable[[], Any], rounds: int = 3) -> float:
    """The quickest of some rounds, in seconds: what else the machine did meanwhile is not our measure."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def _bytes_of(store: Any) -> tuple[list[bytes], list[bytes]]:
    """The leaves of the store, and what its commitments are over, as they are hashed."""
    leaves, bodies = [], []
    names = ["ru_store", *(run.id for run in store.runs(RUNS + 1))]
    for name in names:
        for entry in store.entries(name):
            leaves.append(b"\x00" + leaf_bytes(entry))
            bodies.append(b"holdfast\0commitment\0\0\x10" + (entry.salt or b"") + (entry.body or b""))
    return leaves, bodies


def _hashed(parts: list[bytes]) -> Callable[[], None]:
    def work() -> None:
        sha = hashlib.sha256
        for part in parts:
            sha(part).digest()

    return work


def measure(folder: str | None = None, entries: int = ENTRIES) -> dict[str, Any]:
    """All figures, in entries per second."""
    before = os.environ.get("HOLDFAST_STATE_DIR")
    with tempfile.TemporaryDirectory(prefix="holdfast-verifying-", dir=folder) as place:
        os.environ["HOLDFAST_STATE_DIR"] = f"{place}/state"
        path = Path(place, "bench.db")
        try:
            asyncio.run(_fill(path, entries))
            _seal(path, Path(place))
            return _measured(path)
        finally:
            os.environ.pop("HOLDFAST_STATE_DIR")
            if before is not None:
                os.environ["HOLDFAST_STATE_DIR"] = before


def _measured(path: Path) -> dict[str, Any]:
    store = open_store(path, read_only=True)
    try:
        db: Any = store.reading.source.db
        count = int(db.execute(rows.LAST_POS).get)
        leaves, bodies = _bytes_of(store)
        assert len(leaves) == count, "every entry is hashed"
        nodes = [b"\x01" + bytes(64)] * count
        gc.collect()
        gc.disable()
        leaf_s = _best(_hashed(leaves))
        same_s = leaf_s + _best(_hashed(bodies)) + _best(_hashed(nodes))
        one_s = _best(lambda: audit.sweep(db, SqliteAccess(str(path)), good))
        two_s = _best(lambda: audit.sweep(db, SqliteAccess(str(path)), good, jobs=2))
        gc.enable()
        start = time.perf_counter()
        store.verify(good, jobs=2)
        audit_s = time.perf_counter() - start
    finally:
        gc.enable()
        store.close_now()
    rates = {"leaves": leaf_s, "same_bytes": same_s, "one": one_s, "two": two_s, "audit": audit_s}
    figures: dict[str, Any] = {name: round(count / seconds) for name, seconds in rates.items()}
    ratios = {
        "one_to_leaves": leaf_s / one_s, "two_to_leaves": leaf_s / two_s,
        "one_to_same_bytes": same_s / one_s, "two_to_same_bytes": same_s / two_s,
    }  # fmt: skip
    return {"entries": count, **figures, **{name: round(ratio, 3) for name, ratio in ratios.items()}}


def show(figures: dict[str, Any]) -> None:
    """A line for each figure."""
    lines = {
        "leaves": "SHA-256 of the leaves alone, one core",
        "same_bytes": "SHA-256 of leaves, bodies and nodes, one core",
        "one": "entries, bodies and tree, one process",
        "two": "entries, bodies and tree, two processes",
        "audit": "the whole audit, two processes, with folds",
    }
    print(f"  {figures['entries']} entries")
    for name, what in lines.items():
        ratio = f"  {figures[f'{name}_to_leaves']:.2f} of the leaves" if f"{name}_to_leaves" in figures else ""
        ratio += f", {figures[f'{name}_to_same_bytes']:.2f} of the same bytes" if ratio else ""
        print(f"  {what:<48}{figures[name]:>10} entries/s{ratio}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.verifying", description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    show(measure(entries=parser.parse_args().entries))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
