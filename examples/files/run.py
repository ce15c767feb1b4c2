"""Walk through the contracts for files; prints what lies in the directory after each step."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import holdfast as hf
from examples.files import tools
from examples.files.spawn import running

HERE = Path(__file__).resolve().parent
LENA = hf.Key.make("lena")
"""The approver of this walk: a key made for it and kept nowhere."""

DIES = """
import asyncio, os, signal, sys
import holdfast as hf
from examples.files import folder, tools

honest = folder.Folder._rename
def dying(self, old, new, flag):
    if sys.argv[3] == "after":
        honest(self, old, new, flag)
    os.kill(os.getpid(), signal.SIGKILL)
folder.Folder._rename = dying

async def main():
    async with hf.open(sys.argv[1], tools=tools.TOOLS, policy=sys.argv[2], environment="prod") as app:
        run = await app.begin(hf.Intent(goal="write the page", purpose="page", principal="editor"))
        await run.call(tools.write_file(path="drafts/page.txt", text="second"))
asyncio.run(main())
"""
"""A worker that is killed at the one step that makes the change, before it or after it."""


def dies(store: str, policy: str | Path, when: str) -> int:
    """Run that worker to its end; its exit code."""
    command = [sys.executable, "-c", DIES, store, str(policy), when]
    return subprocess.run(command, cwd=HERE.parents[1], check=False, timeout=60).returncode  # noqa: S603 -- ours


def lies(root: Path) -> dict[str, str]:
    """What everybody sees in the directory, read without holdfast."""
    shown = (p for p in sorted(root.rglob("*")) if p.is_file() and not p.relative_to(root).as_posix().startswith("."))
    return {path.relative_to(root).as_posix(): path.read_text() for path in shown}


async def walk(root: Path, store: str) -> None:
    """Die at the decisive step, go on, escape, meet another program, delete with an approval, undo."""

    def say(step: str, outcome: hf.Outcome) -> None:
        print(f"{step:<52} {type(outcome).__name__:<9} {lies(root)}")

    page = root / "drafts" / "page.txt"
    page.write_text("first")
    code = dies(store, HERE / "policy.cedar", "before")
    print(f"{'a worker is killed between writing and renaming':<52} exit {code:<4} {lies(root)}")
    async with hf.open(store, tools=tools.TOOLS, policy=HERE / "policy.cedar", environment="prod") as app:
        app.approvers.add(LENA, groups=["librarians"])
        run = await app.begin(hf.Intent(goal="write the page", purpose="page", principal="editor"))
        again = tools.write_file(path="drafts/page.txt", text="second")
        say("the next worker takes it up", await run.call(again))
        say("the planner repeats itself: the same effect", await run.call(again))
        say("a path that leads out", await run.call(tools.write_file(path="drafts/../../etc", text="x")))
        moved = await run.call(tools.move_file(path="drafts/page.txt", target="page.txt"))
        say("move it", moved)
        delete = tools.delete_file(path="page.txt")
        waiting = await run.call(delete)
        say("delete asks", waiting)
        assert isinstance(waiting, hf.Waiting)
        await app.approve(waiting.request, key=LENA)
        (root / "page.txt").write_text("by hand")
        say("another program edits it after the approval", await run.call(delete))
        anew = await run.call(delete)
        assert isinstance(anew, hf.Waiting)
        await app.approve(anew.request, key=LENA)
        deleted = await run.call(delete)
        say("approved on the present content, deleted", deleted)
        assert isinstance(deleted, hf.Verified)
        undo = await run.undo(deleted.effect, reason="it is still wanted")
        assert isinstance(undo, hf.Waiting)
        await app.approve(undo.request, key=LENA)
        say("restored from its backup, with an approval", await undo.settled())


def main() -> None:
    """Make a directory, walk, remove it."""
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "site") as (root, _):
        os.environ["FILES_ROOT"] = root
        asyncio.run(walk(Path(root), f"sqlite:{Path(name) / 'walk.db'}"))


if __name__ == "__main__":
    main()
