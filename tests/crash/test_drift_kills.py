"""A reconciler that is killed at any of its waits leaves one record and one repair; the outside's books judge."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from holdfast.kernel.model import State
from holdfast.runtime.drift.records import every
from holdfast.store import open_store
from tests.contract.postgres_server import server

__all__ = ["server"]

ROOT = Path(__file__).resolve().parents[2]


class Place(NamedTuple):
    """A folder with a catalogue in it, and the address of a store."""

    folder: Path
    store: str


Play = Callable[[Place, str, str], int]
EVERY = 6
"""One wait of so many is killed at, before and after, in the ordinary run; HOLDFAST_ALL_KILLS=1 takes them all."""


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """Plays one process: a folder, what is spoiled, and the point at which it ends."""
    state = tmp_path_factory.mktemp("state")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    env = {**os.environ, "PYTHONPATH": paths, "HOLDFAST_STATE_DIR": str(state)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.drift_worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def played(place: Place, what: str, point: str) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        place.folder.mkdir(exist_ok=True)
        process.stdin.write(f"{place.folder}\t{place.store}\t{what}\t{point}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield played
    process.stdin.close()
    process.wait(timeout=30)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Gives a place of its own for each case, by name: a store in a file, or in a schema of one server."""
    schemas: list[str] = []
    dsn = request.getfixturevalue("server") if request.param == "postgresql" else ""

    def made(name: str) -> Place:
        folder = tmp_path / name
        if not dsn:
            return Place(folder, f"sqlite:{folder / 'holdfast.db'}")
        schemas.append(f"hf_drift_{os.getpid()}_{name}")
        return Place(folder, f"{dsn}{'&' if '?' in dsn else '?'}schema={schemas[-1]}")

    yield made
    for schema in schemas:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def judged(place: Place, what: str) -> None:
    """By the catalogue's own tables: what was lost is there once, what was too much is gone, and nothing else moved."""
    folder = place.folder
    with sqlite3.connect(folder / "catalogue.sqlite") as outside:
        products = [sku for (sku,) in outside.execute("SELECT sku FROM products ORDER BY sku")]
        requests = [request for (request,) in outside.execute("SELECT request FROM changes ORDER BY number")]
    assert products == ["cup"]
    verbs = [verb for verb in ("insert", "delete") for request in requests if f'"verb": "{verb}"' in request]
    assert verbs == (["insert"] if what == "missing" else ["insert", "insert", "delete"])
    before = os.environ.get("HOLDFAST_STATE_DIR")
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    try:
        store = open_store(place.store, read_only=True)
        try:
            [drift] = every(store)
            assert (drift.what, drift.state, drift.times) == (what, "repaired", 1)
            repairs = [view for view in store.effects() if view.purpose.startswith("holdfast:drift/")]
            [mended] = [view for view in repairs if view.state is State.VERIFIED]
            chain = {view.id: view.previous for view in repairs}
            assert drift.repair in chain, "which effect repairs it is on disk before that effect is"
            linked = mended.id
            while linked != drift.repair:  # an earlier generation, that was proved absent after a kill
                linked = chain[linked]
            store.verify()
        finally:
            store.close_now()
    finally:
        if before is None:
            del os.environ["HOLDFAST_STATE_DIR"]
        else:
            os.environ["HOLDFAST_STATE_DIR"] = before


@pytest.mark.slow
@pytest.mark.req("1.3a", "1.3c", mutant="drift-repair-unlinked")
@pytest.mark.parametrize("what", ["missing", "orphan"])
def test_reconciler_killed_at_any_wait_repairs_once(what: str, play: Play, place: Callable[[str], Place]) -> None:
    """Killed before or after any wait on store, outside or body, and started again: one change, one record, no more."""
    whole = place("whole")
    assert play(whole, what, "seed") == 0
    assert play(whole, what, "") == 0
    judged(whole, what)
    waits = (whole.folder / "trace").read_text(encoding="ascii").split()
    assert {"store.commit#1", "body.send#1", "look.verify#1", "look.list_outside#1"} <= set(waits)
    points = [f"{wait}:{side}" for wait in dict.fromkeys(waits) for side in ("before", "after")]
    if not os.environ.get("HOLDFAST_ALL_KILLS"):
        body = [point for point in points if point.startswith("body.")]
        points = [*body, *(point for point in points[::EVERY] if point not in body)]
    killed = 0
    for number, point in enumerate(points):
        case = place(f"k{number}")
        assert play(case, what, "seed") == 0
        killed += play(case, what, point) == -signal.SIGKILL
        assert play(case, what, "") == 0, point
        judged(case, what)
    assert killed >= len(points) * 3 // 4, "a wait on a timer may come in another order; most are the same"
