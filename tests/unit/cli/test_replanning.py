"""``holdfast run replay --planner`` and ``--policy`` in processes of their own: of a bundle, without a network."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.cli.bundle import bundle
from holdfast.cli.shared import Shared
from tests.unit.cli.test_replay import TRIED, UNSHARE, data, replayed
from tests.unit.runtime.replay.playing import POLICY, Scene
from tests.unit.runtime.replay.replanning import approved

PLANNERS = """
from holdfast.runtime.planner import Proposed, Scripted

def put(box, amount=1):
    return Proposed("put", {"box": box, "amount": amount})

same = Scripted([put("a"), put("b", 20), put("shut")], says="all put")
other = Scripted([put("a", 2)])

class Made:
    async def propose(self, view):
        return await same.propose(view)

nothing = 3
"""


@pytest.fixture(name="scene", scope="module")
def _scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, str]:
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_STATE_DIR", str(folder / "state"))
        scene = Scene(folder)
        run = asyncio.run(approved(scene)).run.id
        (folder / "holdfast.toml").write_text('store = "sqlite:h.db"\n')
        (folder / "planners.py").write_text(PLANNERS)
        bundle(run, output=folder / "run.bundle", shared=Shared(config=str(folder)))
    return scene, run


@pytest.fixture(name="elsewhere")
def _elsewhere(scene: tuple[Scene, str], tmp_path: Path) -> Path:
    """Another folder that has the bundle and the planners, and nothing else."""
    for name in ("run.bundle", "planners.py"):
        shutil.copy(scene[0].folder / name, tmp_path)
    return tmp_path


def test_a_planner_of_a_file_is_asked_over_the_store(scene: tuple[Scene, str]) -> None:
    """The same calls: exit code 0 and the sentence; an object or a class that makes one."""
    for name in ("same", "Made"):
        done = replayed(scene[1][:8], "--planner", f"planners.py:{name}", cwd=scene[0].folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no difference of behaviour" in done.stdout
        assert "3 requests answered from it, none sent" in done.stdout


@pytest.mark.req("1.8b", mutant=None, reason="a process of its own; the world's defects are planted beside its tests")
def test_a_bundle_is_planned_anew_elsewhere_by_a_process_without_a_network(
    scene: tuple[Scene, str], elsewhere: Path
) -> None:
    """No store, no tools, no interface; another amount is named, and the outside's books do not move."""
    permitted = (
        UNSHARE is not None and not subprocess.run([*TRIED, "true"], check=False, capture_output=True).returncode
    )
    if not permitted:
        print("not run without a network: this machine lets nobody make a network namespace")
    alone = tuple(TRIED) if permitted else ()
    books = (list(scene[0].boxes.sent), dict(scene[0].boxes.held))
    done = replayed("run.bundle", "--planner", "planners.py:other", "--json", cwd=elsewhere, before=alone)
    assert done.returncode == 1, done.stderr
    found = data(done)
    assert found["unrecorded"] == 'no recorded answer for put {"amount":2,"box":"a","note":""}'
    assert next((row["kind"], row["names"]) for row in found["calls"]) == ("changed", ["amount"])
    assert (found["answered_from_the_record"], found["fresh"]["state"]) == (0, "no recorded answer")
    assert (scene[0].boxes.sent, scene[0].boxes.held) == books
    assert not (elsewhere / "h.db").exists()


@pytest.mark.req("1.8b", mutant=None, reason="what a process has loaded is nothing that a defect of ours could hide")
def test_with_a_planner_of_a_file_no_tool_and_no_door_out_is_loaded(elsewhere: Path) -> None:
    """What carries calls to bodies, and what speaks to models, is not even imported."""
    code = (
        "import sys; from holdfast.cli.replay import replay; page = replay('run.bundle', planner='planners.py:same'); "
        "gone = ('holdfast.tools.body', 'holdfast.app', 'http.client', 'pydantic_ai'); "
        "print(page.exit_code, [m for m in gone if m in sys.modules])"
    )
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_STATE_DIR": str(elsewhere / "state")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--planner", "planners.py:nothing"), "is no planner"),
        (("--planner", "planners.py:missing"), "is no planner"),
        (("--planner", "gone.py:same"), "gone.py"),
        (("--planner", "same"), "--planner is a model such as openai:NAME"),
        (("--planner", "openai:m-1"), "OPENAI_API_KEY"),
        (("--planner", "planners.py:same", "--steps", "0"), "--steps"),
        (("--planner", "planners.py:same", "--policy", "p.cedar"), "ask one"),
    ],
)
def test_what_is_no_planner_is_refused(arguments: tuple[str, ...], words: str, elsewhere: Path) -> None:
    """Exit code 2, and what was meant; nothing was asked."""
    done = replayed("run.bundle", *arguments, cwd=elsewhere)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr


@pytest.mark.req("2.8c", mutant=None, reason="the trial's defects are planted beside its own tests")
def test_another_policy_is_tried_on_a_bundle_elsewhere(scene: tuple[Scene, str], elsewhere: Path) -> None:
    """The policy that was in force changes nothing; one that forbids names the first decision that differs."""
    (elsewhere / "same.cedar").write_text(POLICY)
    stricter = POLICY + '@id("none") forbid (principal, action == Action::"put", resource);\n'
    (elsewhere / "none.cedar").write_text(stricter)
    kept = replayed("run.bundle", "--policy", "same.cedar", "--json", cwd=elsewhere)
    assert (kept.returncode, data(kept)["changed"]) == (0, [])
    done = replayed("run.bundle", "--policy", "none.cedar", "--json", cwd=elsewhere)
    assert done.returncode == 1, done.stderr
    found = data(done)
    assert [(one["before"], one["after"]) for one in found["changed"]] == [
        ("allow", "refuse"),
        ("ask", "refuse"),
        ("allow", "refuse"),
    ]
    assert len(found["would_not_be_sent"]) == 3
    assert replayed(scene[1], "--policy", "none.cedar", cwd=elsewhere).returncode == 2  # there is no store here
