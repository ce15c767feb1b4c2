"""Walk through the repository's contracts; prints what git itself says after each step."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import holdfast as hf
from examples.repository import tools
from examples.repository.plumbing import clone
from examples.repository.spawn import running

HERE = Path(__file__).resolve().parent
MIRA = hf.Key.make("mira")
"""The approver of this walk: a key made for it and kept nowhere."""


def switch(url: str, **switches: int) -> None:
    """Make the server misbehave around the next pushes."""
    request = urllib.request.Request(  # noqa: S310 -- our own loopback address
        url.rpartition("/")[0] + "/switches", json.dumps(switches).encode(), method="POST"
    )
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 -- as above


def git(folder: Path, *arguments: str) -> str:
    """What the repository itself says: git, run beside it, past the server and past holdfast."""
    command = ["git", "-C", str(folder / "site.git"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def by_hand(url: str, branch: str, path: str, text: str) -> str:
    """Somebody else commits and pushes, without holdfast."""
    with clone(url, 10) as here:
        head = here.head(branch)
        assert head is not None
        commit = here.commit(here.tree(head, {path: text}), [head], "by hand", "none")
        here.move(branch, expect=head, to=commit, token=0 if branch == "main" else 10**6)
        return commit


async def walk(folder: Path, url: str) -> None:
    """Branch, commit, lose a reply, meet another actor, merge with an approval, take back."""

    def say(step: str, outcome: hf.Outcome) -> None:
        commits = git(folder, "rev-list", "--count", "main") + " on main"
        if git(folder, "branch", "--list", "work/page"):
            commits += ", " + git(folder, "rev-list", "--count", "work/page") + " on work/page"
        print(f"{step:<50} {type(outcome).__name__:<9} git counts {commits}")

    store = f"sqlite:{folder / 'walk.db'}"
    async with hf.open(store, tools=tools.TOOLS, policy=HERE / "policy.cedar", environment="prod") as app:
        app.approvers.add(MIRA, groups=["maintainers"])
        run = await app.begin(hf.Intent(goal="publish the page", purpose="page-7", principal="editor"))
        main = git(folder, "rev-parse", "main")
        say("create a branch", await run.call(tools.create_branch(branch="work/page", at=main)))
        page = tools.commit_files(branch="work/page", files={"page.txt": "hello\n"}, message="add the page")
        switch(url, drop_reply=1)
        first = await run.call(page)
        say("commit; the server's reply to the push is lost", first)
        say("the planner repeats itself: the same effect", await run.call(page))
        about = tools.commit_files(branch="work/page", files={"about.txt": "we\n"}, message="add a page about us")
        switch(url, no_reply=1)
        say("no byte comes back, and curl pushes it again", await run.call(about))
        outside = tools.commit_files(branch="work/page", files={"../etc": "x"}, message="escape")
        say("a path that leaves the repository", await run.call(outside))
        merge = tools.merge(into="main", commit=git(folder, "rev-parse", "work/page"))
        waiting = await run.call(merge)
        say("merge asks", waiting)
        assert isinstance(waiting, hf.Waiting)
        await app.approve(waiting.request, key=MIRA)
        by_hand(url, "main", "news.txt", "news\n")
        say("somebody else pushes to main after the approval", await run.call(merge))
        again = await run.call(merge)
        assert isinstance(again, hf.Waiting)
        await app.approve(again.request, key=MIRA)
        merged = await run.call(merge)
        say("approved on the present main, merged", merged)
        assert isinstance(merged, hf.Verified)
        undo = await run.undo(merged.effect, reason="the page is not ready")
        assert isinstance(undo, hf.Waiting)
        await app.approve(undo.request, key=MIRA)
        say("taken back, with an approval", await undo.settled())


def main() -> None:
    """Start the server, walk, end it."""
    with tempfile.TemporaryDirectory() as name, running(name) as (url, _):
        os.environ["REPOSITORY_URL"] = url
        asyncio.run(walk(Path(name), url))


if __name__ == "__main__":
    main()
