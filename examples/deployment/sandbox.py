"""The sandbox in which the contracts for deployments are proved: a service of its own, with a relay in front of it.

    holdfast tool prove deploy --sandbox examples/deployment/sandbox.py

The books are read past the relay and past the tools. Time passes by the service's own clock.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from examples.deployment.client import DeploymentClient
from examples.deployment.spawn import running
from holdfast.harness.prove import Relay

ROLLOUT_MS = 0  # Over when it is next asked about: nobody here waits for an undo that was only accepted.
LONG_MS = 600_000


class Rollouts:
    """One service, one relay; every trial gets an environment of its own, which runs something already."""

    rollout_ms = ROLLOUT_MS

    def __enter__(self) -> Self:
        # What was started is ended also where a later line raises: nobody calls __exit__ then.
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-prove-"))
            url, _ = stack.enter_context(running(Path(folder) / "books.sqlite", rollout_ms=self.rollout_ms))
            self.relay = stack.enter_context(Relay(url))
            self.client = DeploymentClient(url)
            stack.callback(_point_at, os.environ.get("DEPLOYMENT_URL"))
            _point_at(self.relay.url)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def arguments(self, n: int) -> dict[str, Any]:
        """A second version for an environment."""
        self.client.deploy(f"e{n}", "v1")
        self.pass_time(self.rollout_ms)
        return {"environment": f"e{n}", "version": "v2"}

    def refused(self, n: int) -> dict[str, Any]:
        """A version without a name."""
        return {**self.arguments(n), "version": ""}

    def books(self, args: dict[str, Any]) -> list[Any]:
        """What came to run in the environment after its first version."""
        history = self.client.send("GET", "/books")["history"]
        return [row for row in history if row["environment"] == args["environment"]][1:]

    def foreign_change(self, args: dict[str, Any]) -> None:
        """A colleague deploys something else."""
        self.client.deploy(args["environment"], "theirs")
        self.pass_time(self.rollout_ms)

    def overwrite(self, args: dict[str, Any]) -> None:
        """A colleague deploys over it."""
        self.foreign_change(args)

    def snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        """Every other environment."""
        history = self.client.send("GET", "/books")["history"]
        return {f"history {row['id']}": row for row in history if row["environment"] != args.get("environment")}

    def pass_time(self, by_ms: int) -> None:
        """The service's clock goes forward."""
        self.client.send("POST", "/clock", {"advance_ms": by_ms})


class Cancellations:
    """The same service with rollouts that are still under way; nobody can take a cancellation back, so no hook does."""

    def __init__(self) -> None:
        self._rollouts = Rollouts()
        self._rollouts.rollout_ms = LONG_MS

    def __enter__(self) -> Self:
        self._rollouts.__enter__()
        self.relay, self.client = self._rollouts.relay, self._rollouts.client
        return self

    def __exit__(self, *_: object) -> None:
        self._rollouts.__exit__()

    def arguments(self, n: int) -> dict[str, Any]:
        """A rollout that is under way in an environment of its own."""
        return {"deployment": self.client.deploy(f"e{n}", "v1")["id"]}

    def refused(self, n: int) -> dict[str, Any]:
        """A rollout that there is not."""
        return {"deployment": f"dp_{10**6 + n}"}

    def books(self, args: dict[str, Any]) -> int:
        """Whether the rollout is cancelled."""
        return self._statuses().get(args["deployment"]) == "cancelled"

    def snapshot(self, args: dict[str, Any]) -> dict[str, str]:
        """Every other rollout."""
        return {name: status for name, status in self._statuses().items() if name != args["deployment"]}

    def pass_time(self, by_ms: int) -> None:
        """A rollout is its own key, which is never forgotten."""

    def _statuses(self) -> dict[str, str]:
        return {row["id"]: row["status"] for row in self.client.send("GET", "/books")["deployments"]}


def _point_at(url: str | None) -> None:
    """Let the tools talk to this address."""
    if url is None:
        os.environ.pop("DEPLOYMENT_URL", None)
    else:
        os.environ["DEPLOYMENT_URL"] = url


def sandbox(tool: str) -> Rollouts | Cancellations:
    """What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
    return Cancellations() if tool == "cancel_deployment" else Rollouts()
