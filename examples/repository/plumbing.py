"""What a client does to a git repository over its URL: read it afresh, build commits, push by compare and swap.

Decides what of git's answers is a clear *no* (`Refused`) and what is doubt (`InDoubt`). Promises that every reading is
a fetch of its own into an empty clone, so nothing is answered from a cache; that a commit is the same commit, with the
same id, whenever it is built from the same inputs; and that a push moves all its refs or none, each only from the value
that the caller names, which the server checks again under its own lock.

Does not promise that a push which was cut off has not landed, or will not. It knows nothing of holdfast.
"""

# ruff: noqa: N818 -- these are answers, named after what git said

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TRAILER = "Holdfast-Key"
FENCES = "refs/fences/"
AUTHOR = ("release-bot", "release-bot@example.invalid")
RAISES = 8


class Refused(Exception):
    """Git or the server said no: no ref was moved."""


class Unreadable(Exception):
    """The repository could not be read, so nothing was pushed."""


class InDoubt(OSError):
    """A push was cut off, or its answer was lost: it may have landed, or may still land."""


class Conflict(Refused):
    """A merge would need a person: which paths."""


def is_branch(name: str) -> bool:
    """Whether git would take this as the name of a branch."""
    done = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False)  # noqa: S603, S607
    return done.returncode == 0 and not name.startswith("-")


def is_commit(name: str) -> bool:
    """Whether this is a whole commit id, and no name that could mean another commit tomorrow."""
    return re.fullmatch(r"[0-9a-f]{40}", name) is not None


def head_at(url: str, branch: str, timeout_s: float) -> str | None:
    """The commit that a branch points at in the repository now, without fetching anything."""
    with tempfile.TemporaryDirectory(prefix="repository-") as folder:
        code, out, said = Clone(url, Path(folder), timeout_s).ask("ls-remote", "--quiet", url, f"refs/heads/{branch}")
    if code:
        raise Unreadable(said)
    return out.split()[0] if out.strip() else None


@contextmanager
def clone(url: str, timeout_s: float) -> Iterator[Clone]:
    """An empty bare clone with everything the repository holds now; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="repository-"))
    try:
        here = Clone(url, folder, timeout_s)
        here.fetch()
        yield here
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Clone:
    """One reading of the repository, and what is built on it."""

    def __init__(self, url: str, folder: Path, timeout_s: float) -> None:
        self.url = url
        self.folder = folder
        self.end_s = time.monotonic() + timeout_s

    # ---- reading ---------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Read every branch and fence as they are now."""
        code, _, said = self.ask("init", "--quiet", "--bare", "--template=")
        refs = ("+refs/heads/*:refs/heads/*", f"+{FENCES}*:{FENCES}*")
        if not code:
            code, _, said = self.ask("fetch", "--quiet", "--prune", "--no-tags", self.url, *refs)
        if code:
            raise Unreadable(said)

    def head(self, branch: str) -> str | None:
        """The commit that a branch points at, or None where there is no such branch."""
        return self._value(f"refs/heads/{branch}")

    def holds(self, commit: str) -> bool:
        """Whether some branch reaches this commit."""
        code, out, _ = self.ask("branch", "--list", "--contains", commit)
        return not code and bool(out.strip())

    def contains(self, branch: str, commit: str) -> bool:
        """Whether the branch's history has this commit."""
        return self.ancestor(commit, f"refs/heads/{branch}")

    def ancestor(self, older: str, younger: str) -> bool:
        """Whether one commit is in the history of another."""
        code, _, _ = self.ask("merge-base", "--is-ancestor", older, younger)
        return code == 0

    def text(self, commit: str, path: str) -> str | None:
        """What a file holds in a commit."""
        code, out, _ = self.ask("cat-file", "blob", f"{commit}:{path}")
        return None if code else out

    def parents(self, commit: str) -> list[str]:
        """The parents of a commit, in order."""
        return self._must("show", "--no-patch", "--format=%P", commit).split()

    def keyed(self) -> dict[str, str]:
        """Every key that a commit on some branch carries, and that commit."""
        form = f"%H %(trailers:key={TRAILER},valueonly,separator=%x2C)"
        lines = (line.partition(" ") for line in self._must("log", "--branches", f"--format={form}").splitlines())
        return {key: commit for commit, _, key in lines if key}

    # ---- building --------------------------------------------------------------------------------

    def tree(self, parent: str, files: Mapping[str, str]) -> str:
        """The parent's tree with these files in it. Git itself refuses paths such as `../x` and `.git/x`."""
        self._must("read-tree", parent)
        for path, text in files.items():
            blob = self._must("hash-object", "-w", "--stdin", stdin=text)
            self._must("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        return self._must("write-tree")

    def merged(self, ours: str, theirs: str) -> str:
        """The tree in which both commits are merged; raises Conflict naming the paths."""
        code, out, said = self.ask("merge-tree", "--write-tree", "--name-only", "--no-messages", ours, theirs)
        if code == 1:
            raise Conflict(f"both sides changed {', '.join(out.splitlines()[1:])}")
        if code:
            raise Refused(said)
        return out.strip()

    def commit(self, tree: str, parents: list[str], message: str, key: str, at_s: int = 0) -> str:
        """A commit whose id follows from its inputs alone; without a time it is dated a second after its parent."""
        at_s = at_s or 1 + int(self._must("show", "--no-patch", "--format=%ct", parents[0]))
        lineage = [word for parent in parents for word in ("-p", parent)]
        text = f"{message.strip()}\n\n{TRAILER}: {key}\n"
        return self._must("commit-tree", tree, *lineage, stdin=text, date=f"{at_s} +0000")

    # ---- writing ---------------------------------------------------------------------------------

    def move(self, branch: str, *, expect: str | None, to: str | None, token: int) -> None:
        """Point a branch at a commit (None: remove it), if it still is what is expected, under a fencing token.

        The branch and its fence move together or not at all, so a sender whose token is no longer the highest cannot
        land, however late its push arrives. Raises Refused (nothing moved) or InDoubt.
        """
        fence = FENCES + branch
        seen, highest = self._fence(fence)
        if token < highest:
            raise Refused(f"token {token} is stale: branch {branch} has seen {highest}")
        raised = self._must("hash-object", "-w", "--stdin", stdin=f"{token}\n")
        try:
            self._push({f"refs/heads/{branch}": (expect, to), fence: (seen, raised)})
        except Refused as no:
            self._no_means_no(fence, token, raised, no)

    def _no_means_no(self, fence: str, token: int, raised: str, no: Refused) -> None:
        """Return if the push landed after all; raise the no only when it can be relied on, and InDoubt otherwise.

        Git's HTTP library sends a request again by itself when a kept-alive connection dies before a byte of the reply.
        The second push then meets what the first one did, and is rejected. No other push carries this token, so the
        fence tells: it is ours, and the first one landed; or it is lower, and once it is raised nothing of ours can.
        """
        try:
            self.fetch()
            seen, highest = self._fence(fence)
            if highest == token:
                return
            if highest < token:
                self._push({fence: (seen, raised)})
        except (Unreadable, Refused) as trouble:
            raise InDoubt(f"rejected ({no}), and then not to be read: {trouble}") from no
        if highest > token:
            raise InDoubt(f"rejected ({no}), and token {highest} has been seen since: it may have landed before that")
        raise no

    def raise_fence(self, branch: str, token: int) -> None:
        """From here on no push with a lower token lands on this branch. Raises Refused if a higher one was seen."""
        fence = FENCES + branch
        for _ in range(RAISES):
            seen, highest = self._fence(fence)
            if token < highest:
                raise Refused(f"token {token} is stale: branch {branch} has seen {highest}")
            raised = self._must("hash-object", "-w", "--stdin", stdin=f"{token}\n")
            try:
                self._push({fence: (seen, raised)})
            except Refused:
                pass  # Another push moved the fence in between: look again.
            else:
                self.fetch()
                return
            self.fetch()
        raise Refused(f"the fence of {branch} moved {RAISES} times while it was being raised")

    def _push(self, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
        leases = [f"--force-with-lease={ref}:{old or ''}" for ref, (old, _) in moves.items()]
        specs = [f"{new or ''}:{ref}" for ref, (_, new) in moves.items()]
        code, out, said = self.ask("push", "--porcelain", "--atomic", *leases, self.url, *specs)
        if not code:
            return
        answers = [line for line in out.splitlines() if line.startswith("!")]
        # A line that says "rejected" is an answer; "remote failure" says that none came.
        if answers and all(re.search(r"\[(remote )?rejected\]", line) for line in answers):
            raise Refused("; ".join(" ".join(line.split()[1:]) for line in answers))
        raise InDoubt(said or out)

    # ---- running git -----------------------------------------------------------------------------

    def _fence(self, ref: str) -> tuple[str | None, int]:
        """The object that a fence points at, and the token in it: the highest that was seen; 0 if none ever was."""
        value = self._value(ref)
        return (None, 0) if value is None else (value, int(self._must("cat-file", "blob", value)))

    def _value(self, ref: str) -> str | None:
        code, out, _ = self.ask("rev-parse", "--verify", "--quiet", ref)
        return None if code else out.strip()

    def _must(self, *arguments: str, stdin: str = "", date: str = "") -> str:
        """A local command; what it refuses was refused before anything left."""
        code, out, said = self.ask(*arguments, stdin=stdin, date=date)
        if code:
            raise Refused(said)
        return out.strip()

    def ask(self, *arguments: str, stdin: str = "", date: str = "") -> tuple[int, str, str]:
        """Run git in this clone, in a process group of its own, so that its children end with it when time is up."""
        name, mail = AUTHOR
        environment = {
            "PATH": os.environ["PATH"], "LC_ALL": "C", "GIT_DIR": str(self.folder), "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail, "GIT_COMMITTER_DATE": date,
        }  # fmt: skip
        process = subprocess.Popen(  # noqa: S603 -- git, with arguments that are never a shell's
            ["git", *arguments],  # noqa: S607 -- the git of this machine
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            out, said = process.communicate(stdin, timeout=max(0.0, self.end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, said = process.communicate()
            said = f"git {arguments[0]} was cut off: the time was up"
        return process.returncode, out, said.strip()
