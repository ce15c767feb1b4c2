"""The deployment example on its service in a process of its own, judged by the service's own books."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from examples.deployment import tools
from examples.deployment.client import DeploymentClient, Refused
from examples.deployment.sandbox import sandbox
from examples.deployment.spawn import running
from holdfast.harness.prove import Verdict, prove
from holdfast.kernel.model import State

ROOT = Path(__file__).resolve().parents[2]
POLICY = "permit (principal, action, resource);"
REASON = "the service is real and misbehaves by itself; no defect is planted in holdfast"
LONG_MS = 3_600_000


class Judge(DeploymentClient):
    """The service's books, past holdfast."""

    def rollouts(self) -> list[str]:
        return [f"{row['version']} {row['status']}" for row in self.send("GET", "/books")["deployments"]]

    def ran(self) -> list[str]:
        return [row["version"] for row in self.send("GET", "/books")["history"]]

    def refusals(self) -> list[str]:
        return list(self.send("GET", "/books")["refusals"])

    def pass_time(self) -> None:
        """Let every rollout that is under way come to its end."""
        self.send("POST", "/clock", {"advance_ms": LONG_MS})


def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rollout_ms: int) -> Iterator[Judge]:
    with running(tmp_path / "books.sqlite", rollout_ms=rollout_ms) as (url, _process):
        monkeypatch.setenv("DEPLOYMENT_URL", url)
        monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
        yield Judge(url)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A service whose rollouts are over at once when they are asked about."""
    yield from outside(tmp_path, monkeypatch, 0)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A service whose rollouts are over when the test says so."""
    yield from outside(tmp_path, monkeypatch, LONG_MS)


def opened(tmp_path: Path, policy: str = POLICY) -> hf.App:
    """An application that may deploy."""
    return hf.open(f"sqlite:{tmp_path / 'd.db'}", tools=tools.TOOLS, policy=policy, environment="ops")


async def begun(app: hf.App, purpose: str = "release") -> hf.RunHandle:
    """The run that most tests use."""
    return await app.begin(hf.Intent(goal="release", purpose=purpose, principal="releaser"))


def deploy(version: str, environment: str = "staging") -> hf.Call:
    """The call that most tests make."""
    return tools.deploy(environment=environment, version=version)


def test_the_walk_runs_and_the_books_say_what_it_says(tmp_path: Path) -> None:
    """The program examples/deployment/run.py ends well; outcomes and books agree line by line."""
    env = {**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "examples.deployment.run"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    said = [(line[46:57].strip(), line[57:].rpartition("; ")[2]) for line in lines]
    assert said == [
        ("Waiting", "v1 rolling"),
        ("Verified", "v1 done"),
        ("Verified", "v2 done"),
        ("Failed", "v3 declined"),
        ("Verified", "v4 cancelled"),
        ("Failed", "v4 cancelled"),
        ("Deferred", "v5 rolling"),
        ("Verified", "v6 done"),
        ("Waiting", "v6 done"),
        ("Verified", "v6 done"),
        ("Verified", "v5 done"),
    ]
    assert last == "staging has run v1, v2, v5, v6, v5"


@pytest.mark.req("2.2e", mutant=None, reason=REASON)
async def test_an_accepted_rollout_is_pending_until_the_service_is_through(slow: Judge, tmp_path: Path) -> None:
    """Accepted is neither done nor unknown: it waits with the operation's id, and is verified when it is over."""
    async with opened(tmp_path) as app:
        run = await begun(app)
        out = await run.call(deploy("v1"), patience="0s")
        assert isinstance(out, hf.Waiting), out
        assert (out.request, slow.rollouts()) == ("dp_1", ["v1 rolling"])
        view = (await app.store.read(out.effect)).effect
        assert view is not None
        assert view.state is State.PENDING
        slow.pass_time()
        assert isinstance(await out.settled(), hf.Verified)
    assert slow.ran() == ["v1"]


@pytest.mark.req("2.2e", mutant=None, reason=REASON)
async def test_a_rollout_that_is_declined_later_is_failed_and_not_begun_again(slow: Judge, tmp_path: Path) -> None:
    """The service's late no is proof: failed, the environment as before, one rollout in the books."""
    slow.send("POST", "/unhealthy", {"version": "v1"})
    async with opened(tmp_path) as app:
        run = await begun(app)
        out = await run.call(deploy("v1"), patience="0s")
        assert isinstance(out, hf.Waiting), out
        slow.pass_time()
        end = await out.settled()
        assert isinstance(end, hf.Failed), end
        await app.recover()
        assert app.store.open_effects() == []
    assert (slow.rollouts(), slow.ran()) == (["v1 declined"], [])


@pytest.mark.req("1.1c", mutant=None, reason=REASON)
@pytest.mark.parametrize("fault", ["drop_reply", "hang_up"])
async def test_a_request_whose_reply_is_lost_is_one_rollout(quick: Judge, tmp_path: Path, fault: str) -> None:
    """Lost after or before it was accepted: found or sent again under its key, one rollout."""
    quick.send("POST", "/switches", {fault: 1})
    async with opened(tmp_path) as app:
        out = await (await begun(app)).call(deploy("v1"))
    assert isinstance(out, hf.Verified), out
    assert (quick.rollouts(), quick.ran()) == (["v1 done"], ["v1"])


WORKER = """
import asyncio, os, signal, sys
import holdfast as hf
from examples.deployment import client, tools

when, store = sys.argv[1:]
honest = client.DeploymentClient.deploy

def dying(self, *given, **more):
    begun = honest(self, *given, **more)
    if when == "unwritten":
        os.kill(os.getpid(), signal.SIGKILL)
    return begun

client.DeploymentClient.deploy = dying

async def main():
    policy = "permit (principal, action, resource);"
    async with hf.open(store, tools=tools.TOOLS, policy=policy, environment="ops") as app:
        run = await app.begin(hf.Intent(goal="release", purpose="release", principal="releaser"))
        call = tools.deploy(environment="staging", version="v1")
        out = await run.call(call, patience="20s" if when == "" else "0s")
        if when == "written":
            os.kill(os.getpid(), signal.SIGKILL)
        print(type(out).__name__)

asyncio.run(main())
"""


@pytest.mark.req("1.1a", mutant=None, reason=REASON)
@pytest.mark.parametrize("when", ["unwritten", "written"])
def test_a_worker_that_dies_after_the_accept_leaves_one_rollout(slow: Judge, tmp_path: Path, when: str) -> None:
    """SIGKILL before and after the accept is written down: the next worker asks, and the books have one rollout."""
    command, store = [sys.executable, "-c", WORKER], f"sqlite:{tmp_path / 'd.db'}"
    killed = subprocess.run([*command, when, store], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert slow.rollouts() == ["v1 rolling"]
    slow.pass_time()
    done = subprocess.run([*command, "", store], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "Verified", done.stderr
    assert (slow.rollouts(), slow.ran()) == (["v1 done"], ["v1"])


async def test_two_rollouts_of_one_environment_never_overlap(slow: Judge, tmp_path: Path) -> None:
    """The second is not even sent while the first rolls: the lease on the environment keeps it, not the service."""
    async with opened(tmp_path) as app:
        run = await begun(app)
        first, second, other = await asyncio.gather(
            run.call(deploy("v1"), patience="0s"),
            run.call(deploy("v2"), patience="0s"),
            run.call(deploy("v1", "production"), patience="0s"),
        )
        kinds = sorted(type(out).__name__ for out in (first, second))
        assert kinds == ["Deferred", "Waiting"]
        assert isinstance(other, hf.Waiting)
        assert len(slow.rollouts()) == 2
        slow.pass_time()
        ahead = first if isinstance(first, hf.Waiting) else second
        assert isinstance(ahead, hf.Waiting)
        assert isinstance(await ahead.settled(), hf.Verified)
        behind = await run.call(deploy("v2" if ahead is first else "v1"), patience="0s")
        assert isinstance(behind, hf.Waiting), behind
        slow.pass_time()
        assert isinstance(await behind.settled(), hf.Verified)
    assert sorted(slow.ran()) == ["v1", "v1", "v2"]
    assert slow.refusals() == []


async def test_a_rollout_can_be_stopped_while_it_rolls_and_not_after(slow: Judge, tmp_path: Path) -> None:
    """A cancellation in time fails the rollout; one that is too late fails itself; the books say which was which."""
    async with opened(tmp_path) as app:
        run = await begun(app)
        for version, late in (("v1", False), ("v2", True)):
            rolling = await run.call(deploy(version), patience="0s")
            assert isinstance(rolling, hf.Waiting)
            if late:
                slow.pass_time()
            stopped = await run.call(tools.cancel_deployment(deployment=rolling.request))
            end = await rolling.settled()
            assert (type(stopped), type(end)) == ((hf.Failed, hf.Verified) if late else (hf.Verified, hf.Failed))
    assert (slow.rollouts(), slow.ran()) == (["v1 cancelled", "v2 done"], ["v2"])


async def test_undo_rolls_out_what_ran_before(quick: Judge, tmp_path: Path) -> None:
    """The offsetting effect is a rollout of its own; the first one is compensated, and the history keeps both."""
    async with opened(tmp_path) as app:
        run = await begun(app)
        assert isinstance(await run.call(deploy("v1")), hf.Verified)
        second = await run.call(deploy("v2"))
        assert isinstance(second, hf.Verified)
        assert isinstance(await run.undo(second.effect, reason="it is slow"), hf.Verified)
        view = (await app.store.read(second.effect)).effect
        assert view is not None
        assert view.state is State.COMPENSATED
    assert quick.ran() == ["v1", "v2", "v1"]


async def test_a_foreign_rollout_between_read_and_request_is_not_overrun(
    quick: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else deploys right before our request: the service compares, ours fails, theirs runs."""
    honest = DeploymentClient.deploy

    def late(self: DeploymentClient, *given: Any, **more: Any) -> dict[str, Any]:
        honest(self, "staging", "theirs")
        self.environment("staging")
        return honest(self, *given, **more)

    monkeypatch.setattr(DeploymentClient, "deploy", late)
    async with opened(tmp_path) as app:
        out = await (await begun(app)).call(deploy("ours"))
    assert isinstance(out, hf.Failed), out
    assert (quick.ran(), quick.refusals()) == (["theirs"], ["changed"])


def test_the_service_keeps_its_own_rules(slow: Judge) -> None:
    """Same key, one rollout; another body under it, a second rollout, or a lower token: refused, and written down."""
    first = slow.deploy("staging", "v1", key="k", token=5)
    assert slow.deploy("staging", "v1", key="k", token=6) == first
    for given in (
        {"version": "v2", "key": "k"},
        {"version": "v2", "key": "other"},
        {"version": "v2", "key": "late", "token": 4},
        {"version": "v2", "running": "v9"},
    ):
        with pytest.raises(Refused):
            slow.deploy("staging", **given)
    assert slow.refusals() == ["key_conflict", "busy", "fenced", "changed"]
    assert slow.rollouts() == ["v1 rolling"]


async def test_the_shipped_policy_asks_before_production(quick: Judge, tmp_path: Path) -> None:
    """Staging passes, production waits for a person, anything else is refused."""
    policy = (ROOT / "examples" / "deployment" / "policy.cedar").read_text()
    async with opened(tmp_path, policy) as app:
        run = await begun(app)
        assert isinstance(await run.call(deploy("v1")), hf.Verified)
        assert isinstance(await run.call(deploy("v1", "production")), hf.Waiting)
        assert isinstance(await run.call(deploy("v1", "prod")), hf.Refused)
    assert quick.ran() == ["v1"]


@pytest.mark.req("2.2d", mutant=None, reason="lying bodies are tried in tests/harness/test_prove_lies.py")
@pytest.mark.parametrize("tool", ["deploy", "cancel_deployment"])
async def test_the_contracts_hold_in_their_sandbox(tool: str) -> None:
    """Nothing is broken, and nothing but the token stays open, which the service's own test above proves."""
    proof = await prove(tool, sandbox(tool), tools.TOOLS)
    left = {f.check: f.evidence for f in proof.findings if f.verdict in (Verdict.BROKEN, Verdict.OPEN)}
    assert set(left) <= {"fenced"}, left
