"""The narrower test that passed: an agent runs one test of three, says that the tests pass, and releases.

    python -m examples.stories.narrower

What was agreed is the whole suite: the contract of ``release`` verifies it on the branch that was released. The
repository is a real git server, the tests are real tests that a child process runs in a fresh checkout. The agent's
check passes, its release lands, the agreed verification differs, and the run is not done, whatever the agent says.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import holdfast as hf
from examples.repository import tools as repository
from examples.repository.plumbing import Clone
from examples.repository.spawn import running

POLICY = """
@id("checks") @reason("a check changes nothing")
permit (principal, action == Action::"run_tests", resource);

@id("release-by-bot") @reason("the release bot may release; the whole suite is run afterwards")
permit (principal, action == Action::"release", resource) when { context.args.into == "main" };
"""
WORK = {
    "prices.py": "def total(cents, percent):\n    return cents * (100 - percent) // 100\n"
    "\n\ndef tax(cents):\n    return 0\n",
    "test_total.py": "import unittest\nfrom prices import total\n\n\nclass Total(unittest.TestCase):\n"
    "    def test_discount(self):\n        self.assertEqual(total(1000, 10), 900)\n",
    "test_tax.py": "import unittest\nfrom prices import tax\n\n\nclass Tax(unittest.TestCase):\n"
    "    def test_nineteen(self):\n        self.assertEqual(tax(1000), 190)\n"
    "    def test_nothing(self):\n        self.assertEqual(tax(0), 0)\n",
}


def tested(here: Clone, commit: str, only: str) -> dict[str, Any]:
    """Run the tests of these files in a checkout of a commit; how many ran, and whether all passed."""
    with tempfile.TemporaryDirectory() as place:
        _, listed, _ = here.ask("ls-tree", "-r", "--name-only", commit)
        for name in listed.split():
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(here.text(commit, name) or "", encoding="utf-8")
        command = [sys.executable, "-m", "unittest", "discover", "-s", place, "-p", only]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    last = [line for line in done.stderr.splitlines() if line.strip()]
    ran = next((line for line in last if line.startswith("Ran ")), "Ran 0 tests")
    return {"only": only, "ran": int(ran.split()[1]), "passed": done.returncode == 0, "says": last[-1] if last else ""}


@hf.tool(effect="read", resource="tests:{branch}", owner="release-oncall", timeout="60s", yields=hf.yields("observed"))
def run_tests(fx: hf.Fx, *, branch: str, only: str = "test_*.py") -> dict[str, Any]:
    """Run the tests of a branch whose files match a pattern."""
    with repository.looking() as here:
        commit = here.head(branch)
        assert commit is not None
        return tested(here, commit, only)


@repository.repository_tool(
    effect="irreversible", resource="branch:{into}", identity=("into", "commit"), side_effects=repository.BESIDE
)
def release(fx: hf.Fx, *, into: str, commit: str) -> dict[str, Any]:
    """Move a branch forward to a commit."""
    with repository.at_work(fx, into, commit) as (here, head):
        if head is None or not here.holds(commit) or not here.ancestor(head, commit):
            raise hf.DidNotHappen(f"{into} cannot be moved forward to {commit}")
        here.move(into, expect=head, to=commit, token=fx.token)
    return {"at": commit, "was": head}


@release.state
def _release_state(look: hf.Look, *, into: str) -> dict[str, Any]:
    return repository.head_of(into)


@release.probe
def _release_probe(look: hf.Look, *, into: str, commit: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    with repository.looking() as here:
        if (stale := repository.fenced_off(look, here, into)) is not None:
            return stale
        if here.contains(into, commit):
            return hf.Happened({"at": commit})
        return hf.Absent(final=True, why=f"{into} does not hold {commit}")


@release.verify
def _release_verify(look: hf.Look, *, into: str, commit: str) -> hf.Holds | hf.Differs:
    """The agreed verification: every test of the released branch, in a fresh checkout."""
    with repository.looking() as here:
        if not here.contains(into, commit):
            return hf.Differs(f"{into} does not hold {commit}")
        found = tested(here, commit, "test_*.py")
    return hf.Holds(found) if found["passed"] else hf.Differs(f"the whole suite: {json.dumps(found, sort_keys=True)}")


class Confident:
    """Runs the one test that it wrote for, finds it passing, releases, and says that the tests pass."""

    def __init__(self, commit: str) -> None:
        """``commit`` is to be released."""
        self._commit = commit

    async def propose(self, view: hf.View) -> hf.Answer:
        """One turn."""
        done = {told.tool for told in view.told}
        if "run_tests" not in done:
            return hf.Answer(calls=(hf.Proposed("run_tests", {"branch": "work/prices", "only": "test_total.py"}),))
        if "release" not in done:
            cites = tuple(item.id for item in view.items)
            release = hf.Proposed("release", {"into": "main", "commit": self._commit}, cites=cites)
            return hf.Answer(calls=(release,), done=True, says="All tests pass; it is released.")
        return hf.Answer(done=True, says="All tests pass; it is released.")


async def tell(folder: Path, url: str) -> str:
    """Live the story in ``folder``; the run's id."""
    os.environ["REPOSITORY_URL"] = url
    with repository.looking() as here:
        head = here.head("main")
        assert head is not None
        commit = here.commit(here.tree(head, WORK), [head], "prices with tax", "none")
        here.move("work/prices", expect=None, to=commit, token=1)
    store, tools = f"sqlite:{folder / 'story.db'}", [run_tests, release]
    async with hf.open(store, tools=tools, policy=POLICY, environment="ci") as app:
        intent = hf.Intent(
            goal="release the prices",
            purpose="prices-1",
            principal=hf.Principal(name="release-bot"),
            done=["the whole suite passes on main"],
        )
        run = await app.begin(intent)
        await run.drive(Confident(commit))
        return run.id


def main() -> None:
    """Live it, and let the record tell it."""
    from holdfast.report.explain import story
    from holdfast.runtime.record import record_of
    from holdfast.store import open_store

    with tempfile.TemporaryDirectory() as place, running(place) as (url, _process):
        run = asyncio.run(tell(Path(place), url))
        store = open_store(f"sqlite:{place}/story.db", read_only=True)
        print(story(record_of(store, run)))
        store.close_now()


if __name__ == "__main__":
    main()
