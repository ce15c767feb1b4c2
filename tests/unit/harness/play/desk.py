"""A case for tests of plays: a ticket is closed by a tool that can be asked, and whose service honours keys."""

from __future__ import annotations

import asyncio
from typing import Any

import holdfast as hf
from holdfast.harness.case.case import Allow, Case
from holdfast.harness.play.scripts import Careful
from holdfast.harness.world.memory import MemoryWorld
from holdfast.runtime.planner import Proposed

FREE = '@id("all")\npermit(principal, action, resource);\n'
CLOSE = Proposed("close", {"ticket": "t_1"})
ALSO = Proposed("close", {"ticket": "t_2"})


def world(seed: int) -> MemoryWorld:
    """Two tickets."""
    return MemoryWorld(seed, tables={"tickets": {"t_1": {"state": "open"}, "t_2": {"state": "open"}}})


def tools(world: Any, *, keyed: bool = True, slow_s: float = 0) -> list[Any]:
    """One tool; ``keyed`` says whether the service keeps the promise that its contract makes."""
    service = world.service("desk", keyed=keyed)

    @hf.tool(
        effect="irreversible", resource="ticket:{ticket}", identity=("ticket",), owner="desk", keyed="24h",
        timeout="2s", lands_within="5s", retry_after="1s",
    )  # fmt: skip
    async def close(fx: hf.Fx, *, ticket: str) -> dict[str, str]:
        """Close a ticket."""

        async def works() -> None:
            await asyncio.sleep(slow_s)
            service.merge("tickets", ticket, {"state": "closed"}, fx=fx, operation="close")

        await asyncio.shield(works())  # whoever gives it up does not stop it
        return {"ticket": ticket}

    @close.probe
    def _(look: hf.Look, *, ticket: str) -> hf.Happened | hf.Absent:
        done = any(done.key == look.key for done in world.log())
        return hf.Happened({"ticket": ticket}) if done else hf.Absent()

    @close.verify
    def _(look: hf.Look, *, ticket: str) -> hf.Holds | hf.Differs:
        there = service.get("tickets", ticket)["state"]
        return hf.Holds() if there == "closed" else hf.Differs(f"it is {there}")

    return [close]


def trusting(world: Any) -> list[Any]:
    """The same tool over a service that reads no keys: what its contract says of it is wrong."""
    return tools(world, keyed=False)


def case(*calls: Proposed, says: str = "", **more: Any) -> Case:
    """A case in which these calls are made (by default t_1 is closed), one a turn, by a planner that stops at doubt."""
    given: dict[str, Any] = {
        "name": "a ticket",
        "world": world,
        "tools": tools,
        "intent": hf.Intent(goal="close ticket t_1", purpose="t_1", principal="agent"),
        "planner": Careful(*((call,) for call in calls or (CLOSE,)), says=says),
        "policy": FREE,
        "allowed": (Allow(place="tickets/t_1/state", to="closed"),),
    }
    return Case(**(given | more))
