"""User code type-checks and its mistakes are seen: strict mypy over programs as a user writes them."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SAID = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$", re.MULTILINE)
EXPECTED = re.compile(r"# E: ([\w, -]+)$")


@cache
def mypy() -> str:
    """What mypy says about both programs. Errors inside the package itself are the lint tier's business."""
    programs = [str(HERE / name) for name in ("user_code.py", "wrong_code.py")]
    # A configuration of its own: the project's would name other files.
    options = ["--config-file", "", "--strict", "--follow-imports=silent", "--no-error-summary"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            *options,
            "--cache-dir",
            str(ROOT / "build" / "mypy-users"),
            *programs,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
    )
    assert done.stderr == ""
    return done.stdout


def errors_of(name: str) -> set[tuple[int, str]]:
    return {(int(m["line"]), m["code"]) for m in SAID.finditer(mypy()) if Path(m["file"]).name == name}


def test_user_code_type_checks_in_strict_mode() -> None:
    """A program that uses tools as the guide says has no type error."""
    found = [line for line in mypy().splitlines() if "user_code.py" in line]
    assert found == []


def test_every_planted_mistake_is_seen_and_nothing_else() -> None:
    """A wrong call, a wrong companion and a misspelt option are errors on exactly their lines."""
    lines = (HERE / "wrong_code.py").read_text(encoding="utf-8").splitlines()
    planted = {
        (number, code)
        for number, line in enumerate(lines, 1)
        if (match := EXPECTED.search(line))
        for code in match[1].split(", ")
    }
    assert len(planted) > 10
    assert errors_of("wrong_code.py") == planted
