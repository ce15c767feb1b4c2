"""A witness that is a branch of a git repository: one file for each log, one commit for each push, never a force push.

The ``git`` of the machine does it, with its own credentials, in a folder that is thrown away: the branch's last commit
is fetched, the file in it is compared with our log, and a commit with the newest note goes on top. A branch that others
moved meanwhile is fetched and compared again. Nothing of the repository is ever checked out, and no hook of ours runs.

Promises bounds on time and on what a repository may send, and that nothing of what git says about an address is passed
on: it may hold a password.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from holdfast.kernel.checkpoint import MAX_BYTES
from holdfast.kernel.errors import BadConfig
from holdfast.runtime.witness.ours import NotPushed, Ours, compared

BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
WHOLE_S = 30.0
TRIES = 4
ASKING = ("ls-remote", "fetch")
BOUNDED = ("sh", "-c", 'ulimit -f 131072 && exec "$@"', "sh")
"""Whoever answers a question of ours writes no file of more than 64 MiB here (128 where a block is a kibibyte)."""

OF_THE_USER = ("GIT_SSH", "GIT_SSL", "GIT_CONFIG", "GIT_PROXY", "GIT_HTTP")
"""Settings of the environment that say how to reach a repository; the others would say which one this is."""

QUIET = {
    "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0",
}  # fmt: skip
CONFIG = (
    "user.name=holdfast", "user.email=holdfast@localhost", "commit.gpgsign=false", "core.hooksPath=/dev/null",
    "http.followRedirects=false", "protocol.ext.allow=never", "gc.auto=0", "core.autocrlf=false",
)  # fmt: skip


class Git:
    """``git:PATH-or-URL#branch``."""

    def __init__(self, place: str, branch: str, whole_s: float = WHOLE_S) -> None:
        """Raises BadConfig for what can be no repository or no branch."""
        if not place or place.startswith("-") or "::" in place:
            raise _bad(f'"{_shown(place)}" is no path and no address of a git repository')
        if not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith(("/", ".lock", ".")):
            raise _bad(f'"{branch}" is no name of a branch')
        self._place = place
        self._ref = f"refs/heads/{branch}"
        self._whole_s = whole_s
        self.name = f"git:{_shown(place)}#{branch}"

    def push(self, ours: Ours) -> str:
        """A commit with the note on top of the branch, unless it is there. Raises NotPushed, Forked."""
        with tempfile.TemporaryDirectory(prefix="holdfast-git-", ignore_cleanup_errors=True) as folder:
            work = _Work(folder, time.monotonic() + self._whole_s)
            work.git("init", "--quiet", "--bare", ".")
            for _ in range(TRIES):
                tip = self._tip(work)
                if compared(ours, _kept(work, tip, ours.origin)) >= ours.sealed.size:
                    return ""
                commit = _commit(work, tip, ours)
                if work.tried("push", "--quiet", "--no-verify", self._place, f"{commit}:{self._ref}") == 0:
                    return ""
                if self._tip(work) == tip:
                    raise NotPushed("the repository did not take the commit")
        raise NotPushed(f"others moved the branch {TRIES} times meanwhile")

    def _tip(self, work: _Work) -> str:
        """The branch's last commit, fetched; empty where there is no such branch yet."""
        listed = work.git("ls-remote", self._place, self._ref).decode("utf-8", "replace").splitlines()
        if not any(line.endswith(f"\t{self._ref}") for line in listed):  # it lists what ends so, too
            return ""
        work.git("fetch", "--quiet", "--no-tags", "--depth=1", self._place, self._ref)
        return work.git("rev-parse", "FETCH_HEAD").decode("ascii").strip()


def _name(origin: str) -> str:
    """The file of a log: its name with what a file name cannot hold as a dash."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", origin).lstrip(".-") + ".checkpoint"


def _kept(work: _Work, tip: str, origin: str) -> str:
    """The note in the log's file at a commit; empty where there is none. Raises NotPushed for one that cannot be."""
    if not tip or not work.git("ls-tree", "--name-only", tip, "--", _name(origin)):
        return ""
    size = work.git("cat-file", "-s", f"{tip}:{_name(origin)}").decode("ascii").strip()
    if int(size) > MAX_BYTES:
        raise NotPushed(f"the log's file there is longer than {MAX_BYTES} bytes")
    return work.git("cat-file", "blob", f"{tip}:{_name(origin)}").decode("utf-8", "replace")


def _commit(work: _Work, tip: str, ours: Ours) -> str:
    blob = work.git("hash-object", "-w", "--stdin", given=ours.sealed.note.encode()).decode("ascii").strip()
    work.git("read-tree", tip) if tip else work.git("read-tree", "--empty")
    work.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{_name(ours.origin)}")
    tree = work.git("write-tree").decode("ascii").strip()
    parent = ("-p", tip) if tip else ()
    said = f"{ours.origin}: {ours.sealed.size} entries"
    return work.git("commit-tree", tree, *parent, "-m", said).decode("ascii").strip()


class _Work:
    """git in one folder, until an instant."""

    def __init__(self, folder: str, until_s: float) -> None:
        self._folder = folder
        self._until_s = until_s

    def git(self, *words: str, given: bytes = b"") -> bytes:
        """What it prints. Raises NotPushed."""
        code, out = self._run(words, given)
        if code:
            raise NotPushed(f"git {words[0]} ended with exit code {code}")
        return out

    def tried(self, *words: str) -> int:
        """Its exit code."""
        return self._run(words, b"")[0]

    def _run(self, words: tuple[str, ...], given: bytes) -> tuple[int, bytes]:
        settings = [part for setting in CONFIG for part in ("-c", setting)]
        bounded = BOUNDED if words[0] in ASKING else ()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith(OF_THE_USER)
        }
        environment |= QUIET | {"GIT_DIR": self._folder, "GIT_INDEX_FILE": str(Path(self._folder, "index"))}
        environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10")
        out = Path(self._folder, "out")
        printed = out.open("wb")
        try:
            process = subprocess.Popen(  # noqa: S603  # the machine's git, with words that were judged
                [*bounded, "git", *settings, *words],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NotPushed(f"git was not started: {error.strerror}") from None
        finally:
            printed.close()
        try:
            process.communicate(given, timeout=max(0.1, self._until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise NotPushed(f"git {words[0]} was not through in time") from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if out.stat().st_size > 2 * MAX_BYTES:
            raise NotPushed(f"git {words[0]} answered more than {2 * MAX_BYTES} bytes")
        return process.returncode, out.read_bytes()


def _shown(place: str) -> str:
    """An address without a user's name or password, and without its query."""
    return re.sub(r"^([a-z+]+://)[^/]*@", r"\1", place).partition("?")[0]


def _bad(why: str) -> BadConfig:
    return BadConfig(file="hf.Evidence or holdfast.toml", key="witnesses", nearest=None, why=why)
