"""A worker looks for drifts beside its work where it is told to: one of several, by the place in the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples.database import books
from holdfast.kernel.documents import Rounds
from holdfast.runtime.drift.records import every
from holdfast.store import open_store
from tests.unit.runtime.drift.catalogue import ASKS, OTHERS, Catalogue
from tests.unit.runtime.drift.conftest import catalogue

__all__ = ["catalogue"]
PLANNER = """
from examples.database.tools import TOOLS as tools
policy = {policy!r}
class planner:
    async def propose(self, view):
        raise AssertionError("nothing is queued")
"""


def looked(url: str) -> tuple[int, list[str]]:
    """How many rounds were ended in the store, and what was found: class and state of each drift."""
    store = open_store(url, read_only=True)
    try:
        place = store.document("rounds", "reconciler")
        return (place.rounds if isinstance(place, Rounds) else 0), [f"{d.what} {d.state}" for d in every(store)]
    finally:
        store.close_now()


@pytest.mark.req("1.3a", mutant=None, reason="the option is read in a process of its own, where nothing can be planted")
@pytest.mark.parametrize("told", ["option", "file", "not"])
def test_a_worker_looks_for_drifts_where_it_is_told_to(catalogue: Catalogue, tmp_path: Path, told: str) -> None:
    """What nobody recorded is found by one of two workers while both go on; without the option nobody looks."""
    url = f"sqlite:{tmp_path / 's.db'}"
    open_store(url).close_now()
    books.insert(catalogue.url, "stray", "Stray", 1, key=OTHERS, token=0)
    (tmp_path / "crew.py").write_text(PLANNER.format(policy=ASKS))
    config = [f"store = {json.dumps(url)}", *(['reconcile = "1s"'] if told == "file" else [])]
    (tmp_path / "holdfast.toml").write_text("\n".join(config))
    words = ["work", "crew.py", *(["--reconcile"] if told == "option" else [])]
    around = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    line = [sys.executable, "-m", "holdfast", *words]
    workers = [
        subprocess.Popen(line, cwd=tmp_path, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for worker in workers:
            assert worker.stderr is not None
            assert "worker" in worker.stderr.readline()  # it heeds signals from here on
        for _ in range(100 if told != "not" else 20):
            time.sleep(0.1)
            came = looked(url)
            if came[1]:
                break
        assert [worker.poll() for worker in workers] == [None, None], workers[0].stderr.read()  # type: ignore[union-attr]
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        ends = [(worker.communicate(timeout=30), worker.returncode) for worker in workers]
    assert [code for _, code in ends] == [0, 0], ends
    if told == "not":
        assert looked(url) == (0, [])
    else:
        assert came[1]
        assert came[1][0].startswith("orphan")
