"""A small case for tests: one tool that refunds invoices, in a world of two of them."""

from __future__ import annotations

from typing import Any

import holdfast as hf
from holdfast.harness.case.case import Allow, Case
from holdfast.harness.play.scripts import Script
from holdfast.harness.world.memory import MemoryWorld
from holdfast.runtime.planner import Proposed

FREE = '@id("all")\npermit(principal, action, resource);\n'
ASKS = '@id("money-asks")\n@approvers("finance")\npermit(principal, action, resource) when { context.approved };\n'
CLOSED = '@id("no-money")\nforbid(principal, action, resource);\n'

REFUND = Proposed("refund", {"invoice": "in_1", "cents": 1200})
OTHER = Proposed("refund", {"invoice": "in_2", "cents": 70})


def world(seed: int) -> MemoryWorld:
    """Two invoices."""
    return MemoryWorld(
        seed, tables={"invoices": {"in_1": {"cents": 1200, "refunded": 0}, "in_2": {"cents": 70, "refunded": 0}}}
    )


def tools(world: Any) -> list[Any]:
    """One tool, that nobody can ask afterwards what it did."""
    service = world.service("billing")

    @hf.tool(
        effect="irreversible",
        resource="invoice:{invoice}",
        identity=("invoice",),
        owner="billing",
        no_probe="the service keeps no list of requests",
    )
    async def refund(fx: hf.Fx, *, invoice: str, cents: int) -> dict[str, int]:
        """Refund an invoice."""
        service.merge("invoices", invoice, {"refunded": cents}, fx=fx, operation="refund")
        return {"refunded": cents}

    return [refund]


def case(*calls: Proposed, says: str = "Refunded in_1.", **more: Any) -> Case:
    """A case in which these calls are made (by default the right one), one a turn, and then this is said."""
    planner = Script(*((call,) for call in calls or (REFUND,)), says=says)
    given: dict[str, Any] = {
        "name": "a refund",
        "world": world,
        "tools": tools,
        "intent": hf.Intent(goal="refund invoice in_1", purpose="in_1", principal="agent"),
        "planner": planner,
        "policy": FREE,
        "allowed": (Allow(place="invoices/in_1/refunded", to=1200),),
    }
    return Case(**(given | more))
