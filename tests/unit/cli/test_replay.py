"""``holdfast run replay`` in processes of its own: of a store, of a bundle elsewhere, and without any network."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.bundle import bundle
from holdfast.cli.main import run as command
from holdfast.cli.shared import Shared
from tests.adapters.archiving import Life
from tests.unit.runtime.replay.playing import Scene, called

UNSHARE = shutil.which("unshare")
TRIED = [UNSHARE or "unshare", "--user", "--map-root-user", "--net"]


@pytest.fixture(name="scene", scope="module")
def _scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, str]:
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_STATE_DIR", str(folder / "state"))
        scene = Scene(folder)
        run = asyncio.run(called(scene)).run.id
        (folder / "holdfast.toml").write_text('store = "sqlite:h.db"\n')
        bundle(run, output=folder / "run.bundle", shared=Shared(config=str(folder)))
    return scene, run


def replayed(*arguments: str, cwd: Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The command in a process that has no state directory and nothing of this one's environment but its path."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "HOLDFAST_STATE_DIR": str(cwd / "state")}
    command = [*before, sys.executable, "-m", "holdfast", "run", "replay", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


def data(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What ``--json`` said."""
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


def test_a_run_of_the_store_is_played_back(scene: tuple[Scene, str]) -> None:
    """Exit code 0, and the sentence with the figures; the run by a beginning of its id."""
    done = replayed(scene[1][:8], cwd=scene[0].folder)
    assert done.returncode == 0, done.stderr
    assert "✓ no divergence in" in done.stdout
    assert "0 dispatches" in done.stdout


@pytest.mark.req("1.8b", mutant=None, reason="a process of its own; the player's defects are planted beside its tests")
def test_a_bundle_is_played_back_elsewhere_by_a_process_without_a_network(
    scene: tuple[Scene, str], tmp_path: Path
) -> None:
    """No store, no state, no tools, no interface: the same figures as at home, and the outside's books do not move."""
    permitted = (
        UNSHARE is not None and not subprocess.run([*TRIED, "true"], check=False, capture_output=True).returncode
    )
    alone = TRIED if permitted else []
    if permitted:
        linked = "import socket; print([name for _, name in socket.if_nameindex()])"
        inside = subprocess.run([*alone, sys.executable, "-c", linked], check=True, capture_output=True, text=True)
        assert inside.stdout.strip() == "['lo']"  # and that one is down
    else:
        print("not run without a network: this machine lets nobody make a network namespace")
    at_home = data(replayed(scene[1], "--json", cwd=scene[0].folder))
    books = list(scene[0].boxes.sent)
    shutil.copy(scene[0].folder / "run.bundle", tmp_path / "given")
    done = replayed("given", "--json", cwd=tmp_path, before=tuple(alone))
    assert done.returncode == 0, done.stderr
    there = data(done)
    assert {k: v for k, v in there.items() if k != "source"} == {k: v for k, v in at_home.items() if k != "source"}
    assert (there["same"], there["dispatches"]) == (True, 0)
    assert scene[0].boxes.sent == books
    assert not (tmp_path / "h.db").exists()


@pytest.mark.req("1.8b", mutant=None, reason="what a process has loaded is nothing that a defect of ours could hide")
def test_the_process_loads_no_tool_and_no_door_out(scene: tuple[Scene, str], tmp_path: Path) -> None:
    """What carries calls to bodies is not even imported while a run is played back."""
    shutil.copy(scene[0].folder / "run.bundle", tmp_path / "given")
    code = (
        "import sys; from holdfast.cli.replay import replay; page = replay('given'); "
        "print(page.exit_code, [m for m in ('holdfast.tools.body', 'holdfast.app', 'http.client') if m in sys.modules])"
    )
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"


def test_what_is_neither_a_run_nor_a_file_is_refused(scene: tuple[Scene, str]) -> None:
    """Exit code 2, as for every id that is not known."""
    done = replayed("ru_nothing", cwd=scene[0].folder)
    assert done.returncode == 2


def test_an_archived_run_is_replayed_and_bundled_from_its_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What left the store as Parquet plays back from there, can be handed out as a bundle, and that plays back too."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    life: Any = Life(tmp_path)
    (archived, _) = life.live("a", "b")
    life.seal()
    store, where = ("--store", f"sqlite:{life.path}"), ("--archive", str(life.out))
    wanted = ("--before", "2999-01-31", "-o", str(life.out), "--as", "ada", "--reason", "it is old")
    assert command(["evidence", "archive", *wanted, *store]) == 0
    assert command(["run", "replay", archived, *store]) == 2
    assert command(["run", "replay", archived, *where, *store]) == 0
    assert "no divergence" in capsys.readouterr().out
    assert command(["run", "bundle", archived, "-o", "b.tar", *where, *store]) == 0
    assert command(["run", "replay", "b.tar"]) == 0
