"""Bisecting: since which commit a case fails, played in a tree of its own with the case as it is now.

Decides how one commit is judged: the case's files of today are laid over the checked-out tree, so that the case is the
same at every commit and the code under it is not. A commit at which it cannot be played is skipped. Promises that the
working tree, its index and its HEAD are not touched. Which commit is looked at next is git's business.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.kernel.errors import BadValue

SKIP = 125
"""What ``git bisect run`` takes for a commit of which nothing can be said."""
FOUND = re.compile(r"^([0-9a-f]{7,40}) is the first bad commit", re.MULTILINE)
STEP = re.compile(r"^\[([0-9a-f]{40})\] (.*)$", re.MULTILINE)


class Bisected(NamedTuple):
    """The first commit at which the case fails; empty where git could not tell, and then ``said`` says why."""

    commit: str
    subject: str
    looked_at: tuple[str, ...]
    said: str


def bisect(
    repository: Path,
    cases: Sequence[Path],
    *,
    good: str,
    bad: str,
    path: Iterable[str] = (),
    tell: Callable[[str], None] = lambda _line: None,
) -> Bisected:
    """Find the first bad commit between a good and a bad one. ``path`` are folders of the tree to import from.

    Raises BadValue where git refuses the commits, or a case lies outside the repository.
    """
    root = Path(_git(repository, "rev-parse", "--show-toplevel").strip())
    good, bad = (_git(root, "rev-parse", "--verify", f"{name}^{{commit}}").strip() for name in (good, bad))
    inside = [_inside(case, root) for case in cases]
    with tempfile.TemporaryDirectory(prefix="holdfast-bisect-") as folder:
        tree, today = Path(folder) / "tree", Path(folder) / "today"
        for name in inside:
            _copy(root / name, today / name)
        _git(root, "worktree", "add", "--detach", "--quiet", str(tree), bad)
        try:
            for end, wanted in ((good, 0), (bad, 1)):
                _git(tree, "checkout", "--quiet", "--detach", end)
                came = judged(tree, today, inside, tuple(path))
                if came != wanted:
                    word = {0: "passes", 1: "fails"}.get(came, "cannot be played")
                    why = f"the case {word} at {end[:12]}, which was called {'bad' if wanted else 'good'}"
                    raise BadValue(path="$.git", why=why, value_type="commit")
            _git(tree, "bisect", "start", bad, good)
            said = _run(tree, _judging(tree, today, inside, tuple(path)), tell)
            commit = FOUND.search(said)
            name = commit.group(1) if commit else ""
            subject = _git(root, "show", "-s", "--format=%s", name).strip() if name else ""
            return Bisected(name, subject, tuple(sha for sha, _ in STEP.findall(said)), "" if name else said[-2000:])
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def judged(tree: Path, today: Path, cases: Sequence[str], path: Sequence[str]) -> int:
    """Whether the commit that is checked out is good: 0, bad: 1, or cannot be judged: 125."""
    laid = [_lay(today / name, tree / name) for name in cases]
    try:
        environment = dict(os.environ) | {
            "PYTHONDONTWRITEBYTECODE": "1"
        }  # two commits' files may have one time and size
        folders = [str(tree / part) for part in path]
        if folders:
            environment["PYTHONPATH"] = os.pathsep.join(folders)
        command = [sys.executable, "-P", "-m", "holdfast", "test", *cases, "--jobs", "1", "--no-shrink"]
        command += ["--out", str(today / "rows.jsonl"), "--regressions", str(today / "none")]
        ended = subprocess.run(  # noqa: S603  # our own interpreter
            command, cwd=tree, env=environment, capture_output=True, check=False
        )
    finally:
        for undo in reversed(laid):
            undo()
    return ended.returncode if ended.returncode in (0, 1) else SKIP


def _judging(tree: Path, today: Path, cases: Sequence[str], path: Sequence[str]) -> list[str]:
    program = (
        "import sys; from pathlib import Path; from holdfast.harness.regress.bisect import judged; "
        f"sys.exit(judged(Path({str(tree)!r}), Path({str(today)!r}), {list(cases)!r}, {list(path)!r}))"
    )
    return [sys.executable, "-P", "-c", program]


def _run(tree: Path, command: list[str], tell: Callable[[str], None]) -> str:
    lines: list[str] = []
    line = shlex.join(command)
    with subprocess.Popen(  # noqa: S603  # a line made of quoted parts
        ["git", "bisect", "run", "sh", "-c", line],  # noqa: S607  # found on PATH by design
        cwd=tree,
        env=_plain(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for said in process.stdout:
            lines.append(said)
            if STEP.match(said) or FOUND.match(said):
                tell(said.rstrip())
    return "".join(lines)


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  # no shell
        ["git", *arguments],  # noqa: S607  # found on PATH by design
        cwd=where,
        env=_plain(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BadValue(
            path="$.git",
            why=f"git {' '.join(arguments)} said: {done.stderr.strip() or done.stdout.strip()}",
            value_type="str",
        )
    return done.stdout


def _plain() -> dict[str, str]:
    """The environment without what names another repository (as within a hook), and with words that can be read."""
    return {name: said for name, said in os.environ.items() if not name.startswith("GIT_")} | {"LC_ALL": "C"}


def _inside(case: Path, root: Path) -> str:
    try:
        return case.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise BadValue(path="$.case", why=f"{case} is not in {root}", value_type="Path") from None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _lay(source: Path, target: Path) -> Callable[[], None]:
    """Lay the files of today over the tree; gives what puts the tree back, so that git can check out the next."""
    kept = Path(f"{target}.kept")
    if target.exists():
        target.rename(kept)
    _copy(source, target)

    def undo() -> None:
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()
        if kept.exists():
            kept.rename(target)

    return undo
