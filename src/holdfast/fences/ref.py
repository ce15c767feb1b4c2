"""A git ref: a stale pusher is refused by the remote, whatever it is, by compare-and-swap.

    MAIN = fences.Ref("ssh://git@example.com/site.git", "refs/heads/main")

    def publish(fx: hf.Fx, *, commit: str) -> dict[str, object]:
        return MAIN.push(fx.token, commit, repository="/srv/site.git")

    @publish.probe
    def _probe(look: hf.Look) -> ...:
        return MAIN.found(look)

Beside the ref lies its door, ``refs/fences/…``: a blob with the highest token and the tokens of the last writes. Every
push moves ref and door together (``--atomic``), each only from the value that was read (``--force-with-lease``), which
the server checks under its own lock. So a push that was built before a newer one landed is refused, however late it
arrives, also when its sender had compared the tokens long before. Declare ``refs/fences/*`` as a side effect.

Promises: `Stale` and `DidNotHappen` are raised only when this push moved no ref and cannot any more; what is left in
doubt is `Unsure` (a push that was cut off, an answer that was lost, a remote that cannot be read afterwards).
The local repository is only read, except for objects that no ref reaches.

Does not promise anything against who pushes to the ref without its door: **all writers must** push both, which a
pre-receive hook or a protected branch can enforce. Needs git 2.29, and a server that takes atomic pushes and refs
outside of ``refs/heads`` (GitHub, GitLab, Gitea and plain git do).
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast.fences.door import Door, Unsure, checked
from holdfast.kernel.answers import Found
from holdfast.kernel.errors import BadValue
from holdfast.tools.fx import Look
from holdfast.tools.signals import DidNotHappen

TRIES: Final = 8
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF: Final = re.compile(r"refs/[A-Za-z0-9._/-]{1,200}")
_REJECTED: Final = re.compile(r"\[(remote )?rejected\]")
_ELSEWHERE: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


class _Rejected(Exception):  # noqa: N818 - never leaves this module.
    """The server answered that it moved nothing."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a door's blob. The mark makes each one a value that was never there before."""

    door: Door = Door()
    mark: str = ""


class _Seen(msgspec.Struct, frozen=True):
    """What the remote holds: the commit of the ref, the blob of its door ("": there is none), and what is in it."""

    commit: str
    blob: str
    door: Door


class Ref:
    """One ref of a remote behind a door. `fence` is where the door is kept; `timeout_s` bounds each method."""

    def __init__(self, remote: str, ref: str = "refs/heads/main", *, fence: str = "", timeout_s: float = 30.0) -> None:
        self.remote = remote
        self.ref = _named(ref)
        self.fence = _named(fence or f"refs/fences/{ref.removeprefix('refs/')}")
        self._timeout_s = timeout_s

    def push(
        self, token: int, commit: str, *, repository: str | os.PathLike[str], expect: str | None = None
    ) -> dict[str, object]:
        """Point the ref at a commit of this repository, if it is at `expect` (None: where it is now; "": not there).

        Raises Stale or DidNotHappen (nothing was moved, and will not be), or Unsure.
        """
        if not _COMMIT.fullmatch(commit):
            raise DidNotHappen(f"{commit[:80]!r} is no whole commit id; nothing was pushed")
        git = _Git(Path(repository), self._timeout_s)
        seen = self._seen(git)
        seen.door.refuse(f"{self.remote} {self.ref}", checked(token))
        old = seen.commit if expect is None else expect
        done = {"token": token, "commit": commit, "was": old}
        ours = self._blob(git, seen.door.wrote(token))
        try:
            git.push(self.remote, {self.ref: (old, commit), self.fence: (seen.blob, ours)})
        except _Rejected as no:
            if not self._landed(git, seen, token, ours, no):
                raise DidNotHappen(f"the remote refused to move {self.ref}: {no}; nothing was pushed") from no
        return done

    def shut(self, token: int) -> Door:
        """From now on lower tokens are refused. Raises Stale where a higher one was seen, or Unsure."""
        with tempfile.TemporaryDirectory(prefix="holdfast-ref-") as folder:
            git = _Git(Path(folder), self._timeout_s)
            git.must("init", "--quiet", "--bare", "--template=", folder)
            return self._shut(git, checked(token))

    def found(self, look: Look) -> Found:
        """For a probe: shut the door on whoever was sent before, then say what they did."""
        with tempfile.TemporaryDirectory(prefix="holdfast-ref-") as folder:
            git = _Git(Path(folder), self._timeout_s)
            git.must("init", "--quiet", "--bare", "--template=", folder)
            seen = self._seen(git)
            door = seen.door if seen.door.highest > look.token else self._shut(git, checked(look.token))
            return door.found(f"{self.remote} {self.ref}", look)

    def _shut(self, git: _Git, token: int) -> Door:
        for _ in range(TRIES):
            seen = self._seen(git)
            seen.door.refuse(f"{self.remote} {self.ref}", token)
            if seen.door.highest == token:
                return seen.door
            raised = seen.door.raised(token)
            try:
                git.push(self.remote, {self.fence: (seen.blob, self._blob(git, raised))})
            except _Rejected:
                continue  # Another push moved the door in between: look again.
            return raised
        raise Unsure(f"{self.fence} moved {TRIES} times while it was being raised to {token}")

    def _landed(self, git: _Git, before: _Seen, token: int, ours: str, no: _Rejected) -> bool:
        """Whether a rejected push was made after all, with no copy of it under way any more. Raises Stale or Unsure.

        Git's HTTP library repeats a request by itself when a connection dies before a byte of the reply: the second one
        then meets what the first one did, and is rejected. So the door is read anew. Where it is as it was before, it
        is moved: every copy of our push names its old value, so none can land after that.
        """
        try:
            now = self._seen(git)
            if now.blob == before.blob:
                git.push(self.remote, {self.fence: (now.blob, self._blob(git, now.door.raised(token)))})
                return False
        except (_Rejected, DidNotHappen) as trouble:
            raise Unsure(f"rejected ({no}), and then {self.fence} could not be moved: {trouble}") from no
        if now.blob == ours:
            return True
        if token in before.door.written or token <= now.door.forgotten:
            raise Unsure(f"rejected ({no}), and {self.fence} does not tell what this push did")
        if token in now.door.written:
            return True
        now.door.refuse(f"{self.remote} {self.ref}", token)
        return False

    def _seen(self, git: _Git) -> _Seen:
        """The ref and its door as they are in the remote now. Raises DidNotHappen: nothing was pushed by reading."""
        for _ in range(TRIES):
            lines = git.must("ls-remote", "--quiet", "--", self.remote, self.ref, self.fence).splitlines()
            at = {name: value for value, _, name in (line.partition("\t") for line in lines)}
            blob = at.get(self.fence, "")
            if blob and git.ask("cat-file", "-e", blob)[0]:
                git.ask("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", self.remote, self.fence)
            if not blob or not git.ask("cat-file", "-e", blob)[0]:
                kept = msgspec.json.decode(git.must("cat-file", "blob", blob), type=_Kept) if blob else _Kept()
                return _Seen(at.get(self.ref, ""), blob, kept.door)
        raise DidNotHappen(f"{self.fence} moved {TRIES} times while it was being read; nothing was pushed")

    def _blob(self, git: _Git, door: Door) -> str:
        kept = _Kept(door=door, mark=secrets.token_hex(8))
        return git.must("hash-object", "-w", "--stdin", stdin=msgspec.json.encode(kept).decode() + "\n")


class _Git:
    """Git in one repository, within one time."""

    def __init__(self, repository: Path, timeout_s: float) -> None:
        self._repository = repository
        self._end_s = time.monotonic() + timeout_s

    def push(self, remote: str, moves: Mapping[str, tuple[str, str]]) -> None:
        """Move refs all or none, each from its old value ("": not there). Raises _Rejected or Unsure."""
        leases = [f"--force-with-lease={ref}:{old}" for ref, (old, _) in moves.items()]
        specs = [f"{new}:{ref}" for ref, (_, new) in moves.items()]
        code, out, said = self.ask("push", "--porcelain", "--atomic", "--no-follow-tags", *leases, "--", remote, *specs)
        if not code:
            return
        answers = [line for line in out.splitlines() if line.startswith("!")]
        # A line that says "rejected" is an answer; "remote failure" says that none came.
        if answers and all(_REJECTED.search(line) for line in answers):
            raise _Rejected("; ".join(" ".join(line.split()[1:]) for line in answers))
        raise Unsure(f"git push: {said or out}")

    def must(self, *arguments: str, stdin: str = "") -> str:
        """A command that changes nothing in the remote. Raises DidNotHappen with what git said."""
        code, out, said = self.ask(*arguments, stdin=stdin)
        if code:
            raise DidNotHappen(f"git {arguments[0]}: {said or f'exit code {code}'}; nothing was pushed")
        return out.strip()

    def ask(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Run git with the user's own configuration, in a process group that ends with it when time is up."""
        environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        process = subprocess.Popen(  # noqa: S603 - git, with arguments that are never a shell's.
            ["git", "-C", str(self._repository), "-c", "gc.auto=0", "-c", "maintenance.auto=false", *arguments],  # noqa: S607 - the git of this machine.
            env=environment | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, said = process.communicate(stdin, timeout=max(0.0, self._end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, said = process.communicate()
            said = f"git {arguments[0]} was cut off: the time was up"
        return process.returncode, out, said.strip()


def _named(ref: str) -> str:
    """A ref by its whole name. Raises BadValue."""
    if not _REF.fullmatch(ref) or ".." in ref or "//" in ref or ref.endswith(("/", ".", ".lock")):
        raise BadValue(path="ref", why="a ref is given by its whole name, as refs/heads/main", value_type="str")
    return ref
