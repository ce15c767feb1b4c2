"""The demo as a user runs it: real processes, real SIGKILL, judged by what it reports of the outside's own books."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.runtime.record import record_of
from holdfast.runtime.replay.play import play
from holdfast.store import open_store


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], Path]:
    """One run of ``holdfast demo --json``."""
    folder = tmp_path_factory.mktemp("demo") / "stage"
    command = [sys.executable, "-m", "holdfast.cli.main", "demo", "--json", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return document["data"], folder


@pytest.mark.req("W1", mutant=None, reason="real processes; the same defects are planted in tests/crash")
def test_a_worker_killed_after_paying_pays_twice_without_and_once_with(played: tuple[dict, Path]) -> None:
    """W1: 2 changes outside without holdfast, 1 with it, and that one is verified."""
    story = next(s for s in played[0]["stories"] if s["id"] == "W1")
    assert story["without"]["outside_changes"] == 2
    assert story["with"]["outside_changes"] == 1
    assert story["with"]["state"] == "verified"
    assert story["with"]["known_after_kill"] == "dispatched"
    assert story["verdict"] == "pass"


W2 = {
    "W2": "the target changed after it was approved",
    "W2b": "expired",
    "W2c": "a key or a membership has ended",
    "W2d": "the policy changed after it was approved",
}


@pytest.mark.req("W2", mutant=None, reason="real processes; tests/unit/runtime/test_outlived.py plants the defect")
@pytest.mark.parametrize("name", W2)
def test_an_approval_that_outlived_its_world_is_refused_and_asked_anew(played: tuple[dict, Path], name: str) -> None:
    """W2: the old yes pays without holdfast; with it nothing is sent, it says why, and a new request is raised."""
    story = next(s for s in played[0]["stories"] if s["id"] == name)
    assert story["without"]["outside_changes"] == 1
    assert story["with"]["outside_changes"] == 0
    assert story["with"]["state"] == "refused"
    assert W2[name] in story["with"]["reason"]
    assert story["with"]["successor"]
    assert story["verdict"] == "pass"


@pytest.mark.req("W2", mutant=None, reason="real processes; the race of one approval is planted in the explorer")
def test_two_workers_with_one_approval_change_the_world_once(played: tuple[dict, Path]) -> None:
    """W2: two changes without, one with."""
    story = next(s for s in played[0]["stories"] if s["id"] == "W2e")
    assert (story["without"]["outside_changes"], story["with"]["outside_changes"]) == (2, 1)
    assert (story["with"]["state"], story["verdict"]) == ("verified", "pass")


@pytest.mark.req("W3", mutant=None, reason="real processes; tests/unit/runtime/test_outlived.py plants the defects")
@pytest.mark.parametrize(("name", "changes"), [("W3", 0), ("W3b", 1)])
def test_an_agent_that_resumes_from_old_context_reads_again_before_it_writes(
    played: tuple[dict, Path], name: str, changes: int
) -> None:
    """W3: without, it writes on old data; with it the stale item is found first, then the right write or none."""
    story = next(s for s in played[0]["stories"] if s["id"] == name)
    assert story["without"]["outside_changes"] == 1
    assert story["with"]["outside_changes"] == changes
    assert story["with"]["sent_before_it_was_found"] == 0
    assert "read bank again" in story["with"]["stale"][0]
    assert "went stale" in story["with"]["refused"]
    assert story["verdict"] == "pass"


@pytest.mark.req("W4", mutant=None, reason="the lying body is the defect; without the read the story says done")
def test_a_confident_done_over_a_wrong_world_ends_blocked(played: tuple[dict, Path]) -> None:
    """W4: the same body and the same words; with holdfast the run is blocked, with the difference."""
    story = next(s for s in played[0]["stories"] if s["id"] == "W4")
    assert "Done!" in story["without"]["said"]
    assert story["without"]["outside_changes"] == story["with"]["outside_changes"] == 0
    assert story["with"]["said"] == "blocked"
    assert "no refund of 1500 is listed" in story["with"]["reason"]


@pytest.mark.req("1.10b", mutant=None, reason="the defect is the changed byte itself: an unchanged store verifies")
def test_a_changed_byte_of_the_log_is_found_and_located(played: tuple[dict, Path]) -> None:
    """One byte of one body is changed in a copy of the file; the entry is named."""
    tamper = played[0]["tamper"]
    assert tamper["detected"] is True
    assert tamper["entry"].startswith("ru_")
    assert tamper["field"] == "body"


def test_the_store_that_the_demo_leaves_can_be_inspected(played: tuple[dict, Path]) -> None:
    """The printed commands work on what is left behind, after every process has ended."""
    data, folder = played
    effect = next(s for s in data["stories"] if s["id"] == "W1")["with"]["effect"]
    env = {**os.environ, "HOLDFAST_STATE_DIR": str(folder / "state")}
    for command, code in ((("effect", "show", effect), 0), (("run", "list"), 0), (("evidence", "verify"), 0)):
        done = subprocess.run(
            [sys.executable, "-m", "holdfast.cli.main", *command],
            cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, (command, done.stdout, done.stderr)
        assert done.stdout.strip()


def test_the_demo_refuses_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    """A folder with somebody's files in it is left as it is, with a clear error."""
    (tmp_path / "precious.txt").write_text("mine")
    command = [sys.executable, "-m", "holdfast.cli.main", "demo", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "was not made by the demo" in done.stderr
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.req("1.8b", mutant=None, reason="the player's defects are planted beside its own tests")
@pytest.mark.parametrize("name", ["holdfast.db", "confident.db"])
def test_what_the_demo_leaves_is_played_back_to_the_same_entries(played: tuple[dict, Path], name: str) -> None:
    """Kills, outlived approvals, stale items and all: no run of the demo's own stores diverges."""
    store = open_store(played[1] / name, read_only=True)
    try:
        records = [record_of(store, run.id) for run in store.runs()]
    finally:
        store.close_now()
    found = [play(record) for record in records]
    assert found
    assert [(one.divergence, one.how) for one in found if not one.same] == []
    assert {aside.why for one in found for aside in one.aside} <= {"it is about an effect of another run"}
