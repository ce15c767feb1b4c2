"""Bisecting: the first commit at which a case fails, in a tree of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from holdfast.harness.regress.bisect import bisect
from holdfast.kernel.errors import BadValue
from tests.unit.harness.regress.project import project, tools


def git(folder: Path, *arguments: str) -> str:
    """One git command in a repository of this test."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.slow
def test_the_first_bad_commit_is_found_and_nothing_is_touched(tmp_path: Path) -> None:
    """Three commits, the second forgets keys: it is named; a file that was being written stays as it is."""
    case = project(tmp_path)
    case.write_text(case.read_text(encoding="utf-8") + '[[faults]]\nkind = "lost reply"\n', encoding="utf-8")
    tools(tmp_path, keyed=True)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "good")
    tools(tmp_path, keyed=False)
    git(tmp_path, "commit", "-qam", "forgets keys")
    (tmp_path / "notes.txt").write_text("a", encoding="utf-8")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "later")
    (tmp_path / "notes.txt").write_text("being written", encoding="utf-8")
    found = bisect(tmp_path, [case], good="HEAD~2", bad="HEAD")
    assert found.subject == "forgets keys"
    assert git(tmp_path, "status", "--short").split() == ["M", "notes.txt"]
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1
    with pytest.raises(BadValue, match="called good"):
        bisect(tmp_path, [case], good="HEAD~1", bad="HEAD")
