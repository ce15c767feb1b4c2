"""The pytest plugin: nothing without its option, cases with it, and failures that read as those of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.harness.regress.project import project, tools


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of pytest in a folder of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_cases_are_collected_only_when_asked_for(tmp_path: Path) -> None:
    """Without the option no case is seen; with it each is an item, under xdist as well."""
    project(tmp_path)
    tools(tmp_path, keyed=True)
    assert ran(tmp_path).returncode == 5, "no tests were collected"
    done = ran(tmp_path, "--holdfast", "-n", "2")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_failure_reads_as_on_the_command_line(tmp_path: Path) -> None:
    """The page with the small case is the failure's text, and no traceback through the harness."""
    project(tmp_path)
    done = ran(tmp_path, "--holdfast", "--holdfast-faults", "all")
    assert done.returncode == 1
    assert "lost reply at refund#1 dispatch body.send" in done.stdout
    assert "coverage:" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_fixtures_make_worlds_applications_and_planners(tmp_path: Path) -> None:
    """A test by hand takes what it needs from the three."""
    (tmp_path / "test_hand.py").write_text(
        "import holdfast as hf\n"
        "def test_it(world, app, planner):\n"
        "    it = world(tables={'t': {'a': {'n': 1}}})\n"
        "    assert it.state() == {'t/a': {'n': 1}}\n"
        "    with app([], environment='x') as opened:\n"
        "        run = opened.begin(hf.Intent(goal='g', purpose='p', principal='a'))\n"
        "        assert run.drive(planner([], says='nothing')).state == 'done'\n",
        encoding="utf-8",
    )
    done = ran(tmp_path, "--holdfast")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
