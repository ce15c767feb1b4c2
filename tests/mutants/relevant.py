"""Which tests are asked about a changed line: those that run it, first the fast ones, then those that go deep.

A measured run of the fast tests that stay in this process says which test runs which line and how long it takes; it is
kept beside the sessions for as long as nothing it rests on has changed. What starts a process of its own is not among
the tests, for that process would import the honest module.

Promises: whoever is asked runs the line. Does not promise that a test which takes longer, or comes after as many as are
asked, would not have noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
LAYERS = ("effect", "gate", "kernel")
KEPT_IN = ROOT / "build" / "mutants"

FIRST_S, THEN_S = 1.5, 4.0
MOST_TESTS = 120


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{folder}/test_{name}.py" for name in names)


FAST = (
    "tests/unit/effect",
    "tests/unit/kernel",
    "tests/unit/gate",
    *_in("unit", "app", "attacks_records", "attacks_gate", "clock_jumps"),
    *_in("unit/tools", "contract", "difference"),
    *_in("unit/store", "heads", "carried"),
    *_in(
        "unit/runtime", "run", "begin", "deadlines", "recover", "stops", "release", "people", "items", "resume", "view",
        "outlived", "cancel", "jobs", "submit", "approvers", "grants", "overload", "saga", "owed", "schedules",
        "redact", "queue_slots", "queue_cases", "trial",
    ),
    "tests/unit/runtime/account",
    *_in("unit/runtime/replay", "playback"),
    *_in("unit/runtime/drift", "classes"),
    *_in("contract", "store_contract", "documents_contract", "clock_contract", "room_contract", "queued_contract"),
    "tests/life",
    *_in("harness", "found"),
    "tests/harness/test_mutants.py::test_a_planted_defect_is_found_and_shrunk",
    "tests/mutants/test_campaign.py::test_a_defect_of_the_sample_is_caught",
)  # fmt: skip
"""Tests that take little time and stay in this process."""

PLAIN = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", "-m", "not postgres")


class Relevant:
    """Lines, the tests that run them, and how long each test takes."""

    def __init__(self, lines: dict[str, dict[str, list[str]]], took_s: dict[str, float]) -> None:
        """``lines``: module -> line -> tests."""
        self._lines = lines
        self._took_s = took_s

    def to(self, module: str, first: int, last: int, *, within: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tests that run any of these lines: the module's own and the fast ones, and then, if those notice nothing,
        the others, those first that run most of the module.

        ``within``: the lines lie in a function. What does not runs at import: any test that uses the module may notice.
        """
        rows = self._lines.get(module, {})
        use = Counter(test for tests in rows.values() for test in tests)
        found = {test for line in range(first, last + 1) for test in rows.get(str(line), ())}
        if not (within and found):
            found = set(use)
        own = f"/test_{Path(module).stem}.py::"
        at_once = self._up_to(FIRST_S, sorted(found, key=lambda test: (own not in test, self._cost(test), test)))
        rest = sorted(found.difference(at_once), key=lambda test: (-use[test], test))
        return at_once, self._up_to(THEN_S, rest)

    def _cost(self, test: str) -> float:
        return self._took_s.get(test, THEN_S)

    def _up_to(self, most_s: float, order: Iterable[str]) -> tuple[str, ...]:
        chosen: list[str] = []
        total_s = 0.0
        for test in order:
            if len(chosen) == MOST_TESTS:
                break
            if total_s + self._cost(test) <= most_s:
                total_s += self._cost(test)
                chosen.append(test)
        return tuple(chosen)


def _digest() -> str:
    """Of everything that the measured run rests on."""
    files = [path for layer in LAYERS for path in (SRC / "holdfast" / layer).rglob("*.py")]
    for name in FAST:
        path = ROOT / name.partition("::")[0]
        files += path.rglob("*.py") if path.is_dir() else [path]
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:12]


def measured(folder: Path) -> Relevant:
    """As the last measured run found it, or one made now. Raises RuntimeError if a test fails as things stand."""
    kept = KEPT_IN / f"relevant-{_digest()}.json"
    if not kept.exists():
        KEPT_IN.mkdir(parents=True, exist_ok=True)
        for old in KEPT_IN.glob("relevant-*.json"):
            old.unlink()
        kept.write_text(json.dumps(_measure(folder)), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    return Relevant(found["lines"], found["took_s"])


def _measure(folder: Path) -> dict[str, object]:
    """One run of the tests under Coverage, which notes the test that each line is run by."""
    data, report, terms = folder / "lines.sqlite", folder / "times.xml", folder / "terms"
    sources = ",".join(f"holdfast.{layer}" for layer in LAYERS)
    terms.write_text(f"[run]\ndynamic_context = test_function\nsource_pkgs = {sources}\ndata_file = {data}\n")
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={terms}", "-m", "pytest", *PLAIN]
    command += [f"--basetemp={folder / 'm'}", f"--junitxml={report}", *FAST]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{SRC}"}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(f"as things stand the tests do not pass, so nothing is told by them:\n{said.stdout[-3000:]}")
    took_s: Counter[str] = Counter()
    for case in ET.parse(report).getroot().iter("testcase"):
        name = str(case.get("name")).partition("[")[0]
        took_s[f"{str(case.get('classname')).replace('.', '/')}.py::{name}"] += float(case.get("time") or 0)
    found = CoverageData(str(data))
    found.read()
    lines: dict[str, dict[str, list[str]]] = {}
    for file in sorted(found.measured_files()):
        rows = {
            str(line): sorted(name for name in map(_node, contexts) if name in took_s)
            for line, contexts in found.contexts_by_lineno(file).items()
        }
        lines[str(Path(file).relative_to(SRC / "holdfast"))] = {line: tests for line, tests in rows.items() if tests}
    return {"lines": lines, "took_s": took_s}


def _node(context: str) -> str:
    """A test by its file, from the dotted name that Coverage has for it."""
    module, _, name = context.rpartition(".")
    return f"{module.replace('.', '/')}.py::{name}"
