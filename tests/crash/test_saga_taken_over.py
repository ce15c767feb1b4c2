"""A program is killed in the middle of its saga, and nobody starts it again: a worker finds the run, and ends it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.kernel.model import Run
from holdfast.store import open_store
from tests.contract.postgres_server import server
from tests.crash.saga_worker import SagaPlan
from tests.crash.test_saga_kills import CASES, ENDS, Starting, judged, place, replaced, start

pytestmark = pytest.mark.slow
__all__ = ["place", "server", "start"]
ROOT = Path(__file__).resolve().parents[2]
WORKER = "tests/crash/saga_shop.py"
MIDDLES = {
    "forward": "body/outside.write#2:after",  # the room is booked, and nobody was told
    "back": "body/outside.write#3:after",  # the room is cancelled, and nobody was told
    "stuck after the boundary": "body/outside.write#3:before",  # the payment was about to be made
}
RUN_ENDS = {"forward": "done", "back": "stopped", "stuck after the boundary": "open"}


def worker(plan: SagaPlan, file: str = WORKER, until: str = "--until-empty") -> subprocess.CompletedProcess[str]:
    """`holdfast work` on the store of a plan, until nothing is queued or held, or until it has nothing to do."""
    Path(plan.folder, "holdfast.toml").write_text('environment = "prod"\n', encoding="utf-8")
    env = os.environ | {
        "HOLDFAST_STORE": plan.url, "HOLDFAST_STATE_DIR": f"{plan.folder}/state_worker", "PYTHONPATH": str(ROOT),
        "SAGA_FOLDER": plan.folder, "SAGA_REFUSED": " ".join(plan.refused),
    }  # fmt: skip
    line = [sys.executable, "-m", "holdfast.cli.main", "work", str(ROOT / file), until, "--json"]
    return subprocess.run(line, cwd=plan.folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def run_of(plan: SagaPlan) -> Run:
    """The one run of a store."""
    store = open_store(plan.url, read_only=True, state_dir=Path(plan.state_dir))
    try:
        (found,) = store.runs()
    finally:
        store.close_now()
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.req("1.9b", mutant=None, reason="real processes; a job that is missing is planted in one process")
def test_a_saga_whose_program_was_killed_is_ended_by_a_worker_that_nobody_told(
    case: str, start: Starting, place: Callable[[], SagaPlan]
) -> None:
    """Forward, back, and stuck: the outside's books hold each change once, what was to be offset is, the run ends."""
    plan = replaced(place(), refused=CASES[case], at=MIDDLES[case], ends=True)
    assert start(plan) == -signal.SIGKILL
    assert not Path(plan.folder, "state").exists()
    said = worker(plan)
    assert said.returncode == 0, said.stderr
    worked = json.loads(said.stdout)["data"]
    assert (worked["taken_over"], worked["drives"]) == (1, 1), worked
    judged(plan, case)
    run = run_of(plan)
    assert run.state == RUN_ENDS[case], run
    assert ENDS[case] in run.reason or case == "stuck after the boundary"


def test_a_worker_without_the_programs_calls_leaves_the_saga_to_one_that_has_them(
    start: Starting, place: Callable[[], SagaPlan]
) -> None:
    """It is put back into the queue, and is no dead letter; the worker that knows the saga ends it."""
    plan = replaced(place(), at=MIDDLES["forward"], ends=True)
    assert start(plan) == -signal.SIGKILL
    Path(plan.folder, "other.py").write_text(
        "from tests.crash.saga_shop import policy, tools\nfrom holdfast.runtime.planner import Scripted\n"
        "planner = Scripted([])\n",
        encoding="utf-8",
    )
    said = worker(plan, f"{plan.folder}/other.py", "--drain")
    assert json.loads(said.stdout)["data"]["drives"] == 0, said
    with sqlite3.connect(f"{plan.folder}/outside.db") as file:
        assert file.execute("SELECT count(*) FROM change").fetchone() == (2,)
    assert worker(plan).returncode == 0
    judged(plan, "forward")
