"""Walk through the contracts for deployments; prints what the service's books say after each step."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import holdfast as hf
from examples.deployment import tools
from examples.deployment.client import DeploymentClient
from examples.deployment.spawn import running

HERE = Path(__file__).resolve().parent
ROSA = hf.Key.make("rosa")
"""The approver of this walk: a key made for it and kept nowhere."""


async def walk(folder: Path, outside: DeploymentClient) -> None:
    """Roll out, lose the accept, be declined, cancel, two in a row, production with an approval, undo."""

    def say(step: str, outcome: hf.Outcome) -> None:
        rollouts = [f"{row['version']} {row['status']}" for row in outside.send("GET", "/books")["deployments"]]
        print(f"{step:<46} {type(outcome).__name__:<9} {'; '.join(rollouts)}")

    def staging(version: str) -> hf.Call:
        return tools.deploy(environment="staging", version=version)

    store = f"sqlite:{folder / 'walk.db'}"
    async with hf.open(store, tools=tools.TOOLS, policy=HERE / "policy.cedar", environment="ops") as app:
        app.approvers.add(ROSA, groups=["release-oncall"])
        run = await app.begin(hf.Intent(goal="release", purpose="release-4", principal="releaser"))
        accepted = await run.call(staging("v1"), patience="0s")
        say("accepted: it takes its time", accepted)
        assert isinstance(accepted, hf.Waiting)
        say("some time later", await accepted.settled())
        outside.send("POST", "/switches", {"drop_reply": 1})
        say("the reply to the next one is lost", await run.call(staging("v2")))
        outside.send("POST", "/unhealthy", {"version": "v3"})
        say("the service declines v3 at its end", await run.call(staging("v3")))
        rolling = await run.call(staging("v4"), patience="0s")
        assert isinstance(rolling, hf.Waiting)
        say("stop v4 while it rolls", await run.call(tools.cancel_deployment(deployment=rolling.request)))
        say("so v4 did not happen", await rolling.settled())
        five = await run.call(staging("v5"), patience="0s")
        say("v6 while v5 still rolls: not yet", await run.call(staging("v6"), patience="0s"))
        assert isinstance(five, hf.Waiting)
        await five.settled()
        six = await run.call(staging("v6"))
        say("one after the other", six)
        assert isinstance(six, hf.Verified)
        production = tools.deploy(environment="production", version="v6")
        asked = await run.call(production)
        say("production asks", asked)
        assert isinstance(asked, hf.Waiting)
        await app.approve(asked.request, key=ROSA)
        say("approved", await run.call(production))
        undone = await run.undo(six.effect, reason="v6 is slow")
        say("undo v6 on staging: roll out what ran before", undone)
    print("staging has run", ", ".join(entry["version"] for entry in outside.environment("staging")["history"]))


def main() -> None:
    """Start the service, walk, end it."""
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "books.sqlite") as (url, _):
        os.environ["DEPLOYMENT_URL"] = url
        asyncio.run(walk(Path(name), DeploymentClient(url)))


if __name__ == "__main__":
    main()
