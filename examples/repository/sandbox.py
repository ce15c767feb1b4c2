"""The sandbox in which the repository's contracts are proved: a git server of its own, with a relay in front of it.

    holdfast tool prove commit_files --sandbox examples/repository/sandbox.py

The books are the reflogs of the bare repository, read by git beside the server. A push takes several requests, and
git's own HTTP library sends one again by itself where no byte of a reply came: the relay disturbs each of them in turn.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from examples.repository.spawn import running
from holdfast.harness.prove import Relay


class Repository:
    """One server, one relay; every trial gets a branch of its own."""

    page = 8
    """The history is listed as a whole; so many commits and one more stand for several pages."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        # What was started is ended also where a later line raises: nobody calls __exit__ then.
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-prove-"))) / "site.git"
            url, _ = stack.enter_context(running(self.folder.parent))
            self.relay = stack.enter_context(Relay(url))
            stack.callback(_point_at, os.environ.get("REPOSITORY_URL"))
            _point_at(self.relay.url)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def arguments(self, n: int) -> dict[str, Any]:
        """A branch that nobody has touched; or none yet, where one is to be made."""
        root, branch = self._git("rev-parse", "main"), f"b{n}"
        if self._tool == "create_branch":
            return {"branch": branch, "at": root}
        self._git("update-ref", "-m", "sandbox", f"refs/heads/{branch}", root)
        match self._tool:
            case "merge":
                return {"into": branch, "commit": self._commit(f"side{n}", root, "side")}
            case "take_back":
                return {"branch": branch, "commit": self._commit(branch, root, "to be taken back")}
            case "delete_branch":
                return {"branch": branch, "at": root}
        return {"branch": branch, "files": {f"{n}.txt": f"text {n}\n"}, "message": f"commit {n}"}

    def refused(self, n: int) -> dict[str, Any]:
        """The same on a branch, or with a commit, that there is not."""
        args = self.arguments(n)
        if self._tool == "commit_files":
            return {**args, "branch": f"nobody{n}"}
        return {**args, "commit" if "commit" in args else "at": "1" * 40}

    def books(self, args: dict[str, Any]) -> int:
        """How often the branch was moved by a push, or is gone after one; foreign hands leave their own words."""
        branch = args.get("branch") or args["into"]
        if self._tool == "delete_branch":
            return int(not self._git("branch", "--list", branch))
        lines = (self.folder / "logs" / "refs" / "heads" / branch).read_text() if self._git(
            "branch", "--list", branch
        ) else ""  # fmt: skip
        return len([line for line in lines.splitlines() if line.endswith("\tpush")])

    def foreign_change(self, args: dict[str, Any]) -> None:
        """A colleague commits to the branch, or makes it first."""
        branch = args.get("branch") or args["into"]
        self._commit(branch, self._git("rev-parse", "main"), "a colleague's")

    def snapshot(self, args: dict[str, Any]) -> dict[str, str]:
        """Every other ref of the repository."""
        own = f"refs/heads/{args.get('branch') or args['into']}"
        refs = (line.split(" ") for line in self._git("for-each-ref", "--format=%(refname) %(objectname)").splitlines())
        return {name: value for name, value in refs if name != own}

    def _commit(self, branch: str, parent: str, message: str) -> str:
        """Put an empty commit on a branch, beside the server."""
        head = self._git("rev-parse", branch) if self._git("branch", "--list", branch) else parent
        made = self._git("commit-tree", f"{head}^{{tree}}", "-p", head, "-m", message)
        self._git("update-ref", "-m", "sandbox", f"refs/heads/{branch}", made)
        return made

    def _git(self, *arguments: str) -> str:
        who = ("-c", "user.name=colleague", "-c", "user.email=colleague@example.invalid")
        command = ["git", "-C", str(self.folder), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 -- git


def _point_at(url: str | None) -> None:
    """Let the tools talk to this address."""
    if url is None:
        os.environ.pop("REPOSITORY_URL", None)
    else:
        os.environ["REPOSITORY_URL"] = url


sandbox = Repository
"""What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
