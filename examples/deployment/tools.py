"""Deployments under holdfast: an effect that is accepted now and over later.

Read ``deploy`` first. Its body returns ``hf.Accepted``; from then on the effect is *pending*, and its probe is asked
until the rollout is done (``Happened``) or is over without having changed anything: declined by the service, or
cancelled. ``cancel_deployment`` touches the rollout and not the environment, which the pending effect still holds.

The address comes from ``DEPLOYMENT_URL``.
"""

from __future__ import annotations

import json
import os
from typing import Any

import holdfast as hf
from examples.deployment.client import DeploymentClient, Refused, Unreachable


def service() -> DeploymentClient:
    """The service that is named by the environment."""
    return DeploymentClient(os.environ["DEPLOYMENT_URL"])


@hf.tool(
    effect="compensable",
    resource="environment:{environment}",
    identity=("environment", "version"),
    keyed="24h",
    fenced=True,
    conditional=True,
    lands_within="5s",
    timeout="5s",
    # A rollout that the service declined is not begun again by itself. A request that was lost is sent again under its
    # key, which is what `resends` bounds.
    attempts=1,
    # Asked again after 100 ms, 200 ms … 6.4 s: for about twenty minutes, then its owner looks.
    retry_after="100ms",
    probes=200,
    owner="release-oncall",
    acts_with="the deploy token of the release bot",
    enforced_at="holdfast gate, and the deployment service",
    side_effects=("an entry in the history of the environment", "the instances of the environment are restarted"),
    did_not_happen=(Refused, Unreachable),
)
def deploy(fx: hf.Fx, *, environment: str, version: str) -> hf.Accepted:
    """Roll a version out to an environment, if what runs there is still what was read before."""
    running = json.loads(fx.expect)["running"]
    begun = service().deploy(environment, version, key=fx.key, token=fx.token, running=running)
    return hf.Accepted(begun["id"])


@deploy.state
def _deploy_state(look: hf.Look, *, environment: str) -> dict[str, Any]:
    return {"running": service().environment(environment)["running"]}


@deploy.probe
def _deploy_probe(look: hf.Look, *, environment: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    """How the rollout stands. One that is over without a change is final once no older request can begin another."""
    begun = service().under(look.key)
    if begun is None:
        return hf.Absent(why="no rollout was accepted under this key yet")
    if begun["status"] == "done":
        return hf.Happened({"deployment": begun["id"], "previous": begun["previous"]})
    if begun["status"] == "rolling":
        return hf.CannotTell(f"{begun['id']} is being rolled out")
    service().raise_fence(environment, look.token)
    return hf.Absent(final=True, why=f"{begun['id']} was {begun['status']}: {begun['why']}")


@deploy.verify
def _deploy_verify(look: hf.Look, *, environment: str, version: str) -> hf.Holds | hf.Differs:
    """The environment runs the version, and its history has this rollout once."""
    now = service().environment(environment)
    mine = [entry for entry in now["history"] if entry["deployment"] == look.value["deployment"]]
    if now["running"] == version and len(mine) == 1:
        return hf.Holds({"running": version})
    return hf.Differs(f"{environment} runs {now['running'] or 'nothing'}; this rollout is {len(mine)} times in history")


@deploy.undo
def _deploy_undo(look: hf.Look, *, environment: str) -> hf.Call:
    """Roll the version out that ran before."""
    begun = service().under(look.key)
    previous = begun["previous"] if begun is not None else ""
    if not previous:
        raise LookupError(f"nothing ran in {environment} before, and an environment cannot be emptied")
    return hf.Call("deploy", {"environment": environment, "version": previous})


@hf.tool(
    effect="irreversible",
    resource="deployment:{deployment}",
    identity=("deployment",),
    keyed="24h",
    lands_within="5s",
    timeout="5s",
    retry_after="100ms",
    owner="release-oncall",
    acts_with="the deploy token of the release bot",
    enforced_at="holdfast gate, and the deployment service",
    did_not_happen=(Refused, Unreachable),
)
def cancel_deployment(fx: hf.Fx, *, deployment: str) -> dict[str, Any]:
    """Stop a rollout that is not over; the environment keeps what it had. A rollout is its own key: once is enough."""
    return {"status": service().cancel(deployment)["status"]}


@cancel_deployment.probe
def _cancel_probe(look: hf.Look, *, deployment: str) -> hf.Happened | hf.Absent:
    status = service().deployment(deployment)["status"]
    return hf.Happened({"status": status}) if status == "cancelled" else hf.Absent(why=f"it is {status}")


@cancel_deployment.verify
def _cancel_verify(look: hf.Look, *, deployment: str) -> hf.Holds | hf.Differs:
    status = service().deployment(deployment)["status"]
    return hf.Holds({"status": status}) if status == "cancelled" else hf.Differs(f"it is {status}")


TOOLS: list[hf.Tool[..., Any]] = [deploy, cancel_deployment]
