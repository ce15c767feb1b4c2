"""A requirement mark tells the truth: with its planted defect switched on, the marked test fails.

The tests that run in this process are run again by a pytest of their own, once for each defect, with that defect
planted before any of them is imported. Tests over real processes are flipped by the crash campaign instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.mutants import PLANTERS
from tests.tidy.tree import ROOT

IN_PROCESS = ("tests/unit", "tests/life", "tests/harness", "tests/contract")
LIMIT_S = 280


class Flipper:
    """Runs pytest in a process of its own, with a defect planted; what it says is read from what it writes."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("PYTEST_XDIST_WORKER", None)
        command = [sys.executable, "-m", "tests.harness.flipper"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def again(self, arguments: list[str], mutant: str = "") -> int:
        """The status that the run ended with."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = [LIMIT_S, mutant, "-q", "-p", "tests.harness.plant", "-p", "no:cacheprovider", *arguments]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Nobody asks any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=LIMIT_S)


@pytest.fixture(scope="module")
def flipper() -> Iterator[Flipper]:
    """One for all defects that this worker flips."""
    it = Flipper()
    yield it
    it.close()


@pytest.fixture(scope="module")
def marked(flipper: Flipper, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Defect -> the tests that must fail with it. Whichever worker comes first collects them for all."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    target = folder / "requirements.json"
    with (folder / "requirements.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            folders = [folder for folder in IN_PROCESS if (ROOT / folder).is_dir()]
            flipper.again(["--collect-only", "--requirements", str(target), "-m", "not postgres", *folders])
    found: dict[str, set[str]] = {}
    for requirement in json.loads(target.read_text(encoding="utf-8")).values():
        for proof in requirement["tests"]:
            if "postgres" in proof["test"]:
                continue  # the shared suite once more, on a server: it is flipped where it is written
            # The parameters of a test are its own affair: one of them has to notice.
            found.setdefault(proof["mutant"] or "", set()).add(proof["test"].split("[")[0])
    return found


def test_there_are_marks_to_flip(marked: dict[str, set[str]]) -> None:
    """The first ten defects are each named by a test that runs in this process."""
    assert len(set(marked) & set(PLANTERS)) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("mutant", PLANTERS)
def test_marked_tests_fail_with_their_defect(
    mutant: str, marked: dict[str, set[str]], flipper: Flipper, tmp_path: Path
) -> None:
    """Each test marked with a defect has at least one case that fails while the defect is planted."""
    nodes = sorted(marked.get(mutant, set()))
    if not nodes:
        assert mutant in PLANTERS  # No mark names it: the hunt is its only proof.
        return
    report = tmp_path / "report.xml"
    quick = ("--tb=no", "-m", "not postgres", "-o", "junit_family=xunit1")
    flipper.again([*quick, f"--junit-xml={report}", *nodes], mutant)
    failed = {
        f"{case.get('file')}::{str(case.get('name')).split('[')[0]}"
        for case in ET.parse(report).getroot().iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert set(nodes) - failed == set()
