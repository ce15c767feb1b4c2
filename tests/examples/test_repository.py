"""The repository example over real smart HTTP, judged by git itself run beside the server: refs, history, reflogs."""

from __future__ import annotations

import fnmatch
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from examples.repository import plumbing, tools
from examples.repository.run import by_hand, switch
from examples.repository.spawn import running

ROOT = Path(__file__).resolve().parents[2]
POLICY = 'permit (principal, action, resource) when { context.environment == "test" };'
REASON = "real git, real sockets: the outside itself misbehaves, no defect is planted in holdfast"


class Judge:
    """Git, run on the bare repository itself."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder / "site.git", url

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def subjects(self, branch: str = "main") -> list[str]:
        """The subjects of a branch's commits, newest first, without the first of all."""
        return self.git("log", "--format=%s", branch).splitlines()[:-1]

    def moves(self, branch: str = "main") -> int:
        """How often the branch was moved since it was made, by the server's own reflog."""
        return len((self.folder / "logs" / "refs" / "heads" / branch).read_text().splitlines()) - 1

    def late(self) -> list[str]:
        """Let every push that is held back arrive now; what git answered each."""
        request = urllib.request.Request(self.url.rpartition("/")[0] + "/late", b"", method="POST")
        with urllib.request.urlopen(request, timeout=20) as reply:
            return list(json.load(reply))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A fresh repository behind a server of its own; the example's tools point at it."""
    with running(tmp_path) as (url, _process):
        monkeypatch.setenv("REPOSITORY_URL", url)
        monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
        yield Judge(tmp_path, url)


def opened(tmp_path: Path, policy: str = POLICY) -> hf.App:
    """An application that may do everything with the repository."""
    return hf.open(f"sqlite:{tmp_path / 'r.db'}", tools=tools.TOOLS, policy=policy, environment="test")


def page(text: str = "hello\n", **more: Any) -> hf.Call:
    """The call that most tests make: one file on main."""
    return tools.commit_files(branch="main", files={"page.txt": text}, message="add the page", **more)


async def commit(tmp_path: Path, call: hf.Call | None = None, purpose: str = "page") -> hf.Outcome:
    """Open, call once, close."""
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose=purpose, principal="p"))
        return await run.call(call or page())


def test_the_walk_runs_and_git_counts_what_it_says(tmp_path: Path) -> None:
    """The program examples/repository/run.py ends well, and every line's count is git's own."""
    env = {**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "examples.repository.run"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line[50:].split()) for line in done.stdout.splitlines()]
    assert lines == [
        "Verified git counts 1 on main, 1 on work/page",
        "Verified git counts 1 on main, 2 on work/page",
        "Verified git counts 1 on main, 2 on work/page",
        "Verified git counts 1 on main, 3 on work/page",
        "Failed git counts 1 on main, 3 on work/page",
        "Waiting git counts 1 on main, 3 on work/page",
        "Refused git counts 2 on main, 3 on work/page",
        "Verified git counts 5 on main, 3 on work/page",
        "Verified git counts 2 on main, 3 on work/page",
    ]


@pytest.mark.req("1.1c", mutant=None, reason=REASON)
@pytest.mark.parametrize("fault", ["drop_reply", "no_reply", "hang_up"])
async def test_a_push_whose_reply_is_lost_is_one_commit(site: Judge, tmp_path: Path, fault: str) -> None:
    """Cut off after the work, silent so that curl pushes again, or cut off before it: one commit, verified."""
    switch(site.url, **{fault: 1})
    out = await commit(tmp_path)
    assert isinstance(out, hf.Verified), out
    assert (site.subjects(), site.moves()) == (["add the page"], 1)
    key = site.git("log", "-1", "--format=%(trailers:key=Holdfast-Key,valueonly)", "main")
    async with opened(tmp_path) as app:
        recorded = (await app.store.read(out.effect)).effect
    assert recorded is not None
    assert key == recorded.key


async def test_a_push_that_arrives_after_it_was_given_up_is_rejected_by_the_fence(site: Judge, tmp_path: Path) -> None:
    """A held push is proved absent by the fence and sent anew; when the old one arrives, the server turns it away."""
    switch(site.url, act_late=1)
    out = await commit(tmp_path)
    assert isinstance(out, hf.Verified), out
    [answer] = site.late()
    assert "ng refs/heads/main" in answer
    assert (site.subjects(), site.moves()) == (["add the page"], 1)


async def test_without_the_fence_the_late_push_would_land(site: Judge) -> None:
    """The judge can see a late push: with nothing in its way it lands, and git shows it."""
    switch(site.url, act_late=1)
    with plumbing.clone(site.url, 10) as here:
        head = here.head("main")
        assert head is not None
        made = here.commit(here.tree(head, {"a": "1"}), [head], "late", "k")
        with pytest.raises(plumbing.InDoubt):
            here.move("main", expect=head, to=made, token=1)
    assert site.subjects() == []
    site.late()
    assert site.subjects() == ["late"]


async def test_a_branch_that_moved_between_read_and_push_is_not_overwritten(
    site: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another actor pushes right before our push leaves: compare and swap refuses, and only theirs is there."""
    honest = plumbing.Clone.commit

    def slow(self: plumbing.Clone, *arguments: Any) -> str:
        made = honest(self, *arguments)
        if arguments[3] != "none":
            by_hand(site.url, "main", "page.txt", "theirs\n")
        return made

    monkeypatch.setattr(plumbing.Clone, "commit", slow)
    out = await commit(tmp_path)
    assert isinstance(out, hf.Failed), out
    assert site.subjects() == ["by hand"]
    assert site.git("show", "main:page.txt") == "theirs"


def test_one_body_delivered_twice_pushes_one_commit(site: Judge) -> None:
    """The same recorded call sent twice builds the same commit id, and the branch moves once."""
    head = site.git("rev-parse", "main")
    fx = hf.Fx(key="k", token=7, expect=json.dumps({"head": head}))
    given = {"branch": "main", "files": {"page.txt": "hello\n"}, "message": "add the page"}
    first = tools.commit_files.body(fx, **given)
    with pytest.raises((plumbing.Refused, hf.DidNotHappen)):
        tools.commit_files.body(hf.Fx(key="k", token=6, expect=fx.expect), **given)
    assert tools.commit_files.body(hf.Fx(key="k", token=8, expect=fx.expect), **given) == first
    assert (site.subjects(), site.moves()) == (["add the page"], 1)


@pytest.mark.req("2.4c", mutant=None, reason="the repository itself lists what a push wrote")
async def test_what_a_push_writes_beside_the_branch_is_declared(site: Judge, tmp_path: Path) -> None:
    """The only ref that a commit moves beside its branch is the fence, and the contract declares it."""
    before = site.git("for-each-ref", "--format=%(refname)").splitlines()
    assert isinstance(await commit(tmp_path), hf.Verified)
    new = set(site.git("for-each-ref", "--format=%(refname)").splitlines()) - set(before)
    assert new == {"refs/fences/main"}
    assert all(
        any(fnmatch.fnmatch(ref, declared) for declared in tools.commit_files.contract.side_effects) for ref in new
    )


def test_a_path_that_leaves_the_tree_is_refused(site: Judge) -> None:
    """Escapes are refused before a push: no ref moves, not even the fence."""
    refs = site.git("for-each-ref")
    fx = hf.Fx(key="k", token=7, expect=json.dumps({"head": site.git("rev-parse", "main")}))
    for path in ("../x", "/x", "a/../../x", ".git/config", "a/.GIT/x", "", "a//x"):
        with pytest.raises((plumbing.Refused, hf.DidNotHappen)):
            tools.commit_files.body(fx, branch="main", files={path: "x"}, message="escape")
    for branch in ("../x", "-x y", "a..b", "--mirror"):
        with pytest.raises((plumbing.Refused, hf.DidNotHappen)):
            tools.commit_files.body(fx, branch=branch, files={"x": "x"}, message="escape")
    assert site.git("for-each-ref") == refs


async def test_merges_conflicts_and_undo_are_what_git_shows(site: Judge, tmp_path: Path) -> None:
    """Forward, merge commit, conflict, take back: each outcome is what the branches say."""
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="life", principal="p"))
        root = site.git("rev-parse", "main")
        site.git("update-ref", "refs/heads/w", root)
        tip = by_hand(site.url, "w", "w.txt", "1\n")
        forward = await run.call(tools.merge(into="main", commit=tip))
        assert forward.unwrap()["how"] == "moved forward"
        assert site.git("rev-parse", "main") == tip
        by_hand(site.url, "w", "w.txt", "2\n")
        by_branch = await run.call(tools.commit_files(branch="main", files={"m.txt": "m\n"}, message="m"))
        merged = await run.call(tools.merge(into="main", commit=site.git("rev-parse", "w")))
        assert merged.unwrap()["how"] == "merge commit"
        assert site.git("show", "main:w.txt") == "2"
        # Something stands on it by now, so it cannot be taken back on its own.
        assert isinstance(await run.undo(by_branch.effect, reason="no"), hf.Failed)
        assert isinstance(await run.undo(merged.effect, reason="too early"), hf.Verified)
        assert site.git("rev-parse", "main") == by_branch.unwrap()["commit"]
        by_hand(site.url, "w", "m.txt", "other\n")
        conflict = await run.call(tools.merge(into="main", commit=site.git("rev-parse", "w")))
        assert isinstance(conflict, hf.Failed)
        assert "m.txt" in conflict.reason


WORKER = """
import asyncio, os, signal, sys
import holdfast as hf
from examples.repository import plumbing, tools

point, store = sys.argv[1:]
honest = plumbing.Clone._push

def dying(self, moves):
    if point == "before" and "refs/heads/main" in moves:
        os.kill(os.getpid(), signal.SIGKILL)
    honest(self, moves)
    if point == "after" and "refs/heads/main" in moves:
        os.kill(os.getpid(), signal.SIGKILL)

plumbing.Clone._push = dying

async def main():
    policy = 'permit (principal, action, resource);'
    async with hf.open(store, tools=tools.TOOLS, policy=policy, environment="test") as app:
        run = await app.begin(hf.Intent(goal="g", purpose="page", principal="p"))
        call = tools.commit_files(branch="main", files={"page.txt": "hello\\n"}, message="add the page")
        print(type(await run.call(call)).__name__)

asyncio.run(main())
"""


@pytest.mark.req("1.1a", mutant=None, reason=REASON)
@pytest.mark.parametrize("point", ["before", "after"])
def test_a_worker_killed_around_the_push_leaves_one_commit(site: Judge, tmp_path: Path, point: str) -> None:
    """SIGKILL right before and right after the push: the next worker settles it, and git counts one commit."""
    command = [sys.executable, "-c", WORKER]
    store = f"sqlite:{tmp_path / 'r.db'}"
    killed = subprocess.run([*command, point, store], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert site.moves() == (point == "after")
    done = subprocess.run([*command, "", store], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "Verified", done.stderr
    assert (site.subjects(), site.moves()) == (["add the page"], 1)


async def test_the_shipped_policy_lets_work_branches_pass_and_asks_for_the_rest(site: Judge, tmp_path: Path) -> None:
    """Main takes no commit of an agent, and a merge waits for a maintainer."""
    policy = (ROOT / "examples" / "repository" / "policy.cedar").read_text()
    async with opened(tmp_path, policy) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="p", principal="p"))
        root = site.git("rev-parse", "main")
        assert isinstance(await run.call(page()), hf.Refused)
        assert isinstance(await run.call(tools.create_branch(branch="work/a", at=root)), hf.Verified)
        assert isinstance(await run.call(tools.merge(into="main", commit=root)), hf.Waiting)
    assert site.moves() == 0
