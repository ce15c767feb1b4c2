"""The shop of the chaos tests, as a process has it that is told by its environment to be odd.

``STOP_AT`` names the moment at which it stops itself (SIGSTOP), once: ``plan:before``, ``look:before``, or an address
of :mod:`tests.crash.points`, as in ``claim/store.commit#1:before`` or ``body/wire.send#1:after``. ``WORDS`` are
other words in one contract, and so another version of that tool. ``HOLDFAST_MUTANT`` names a planted defect.

A file that `holdfast work` is given. Promises that nothing else differs from :mod:`tests.chaos.shop`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import msgspec

import holdfast as hf
from examples.payments import tools as payments
from holdfast.runtime.planner import View
from holdfast.runtime.worker.driven import Driven
from tests.chaos import shop
from tests.crash.defects import plant
from tests.crash.points import Points, verb, watch_wire

STOP_AT = os.environ.get("STOP_AT", "")
WORDS = os.environ.get("WORDS", "")

points = Points(STOP_AT, "stop", os.environ.get("TRACE", ""))
policy = shop.policy
SETTLED_S = 0.3


def said_otherwise(tool: Any) -> Any:
    """The tool with other words in its contract."""
    twin = shop.brisk(tool, {})
    twin._draft = msgspec.structs.replace(twin._draft, description=WORDS)
    return twin


async def settled(stopping: bool) -> None:
    """Let what is written be on disk: a process that is stopped inside a transaction holds the lock of its file."""
    if stopping:
        await asyncio.sleep(SETTLED_S)


def watched(honest: Callable[..., Any], label: str) -> Callable[..., Any]:
    """A step of a run's store as a point."""

    async def step(self: Any, *given: Any) -> Any:
        here = STOP_AT.startswith(f"{verb()}/{label}#")
        await settled(here)
        address = points.enter(label, verb())
        answer = await honest(self, *given)
        await settled(here)
        points.reach(address, "after")
        return answer

    return step


def looked(honest: Callable[..., Any]) -> Callable[..., Any]:
    """The outside's answer to a verification, which this process stops before it is told."""

    def paid(*given: Any) -> Any:
        if STOP_AT == "look:before":
            time.sleep(SETTLED_S)
        points.reach("look", "before")
        return honest(*given)

    return paid


class Refunds(shop.Refunds):
    """The shop's planner, which may stop on its way to its first answer."""

    async def propose(self, view: View) -> hf.Answer:
        """As the shop's."""
        await settled(STOP_AT == "plan:before")
        points.reach("plan", "before")
        return await super().propose(view)


plant(os.environ.get("HOLDFAST_MUTANT", ""))
tools = [said_otherwise(tool) if WORDS and tool.name == "refund" else tool for tool in shop.tools]
planners = {**shop.planners, "": Refunds, "refunds": Refunds}
if STOP_AT or os.environ.get("TRACE"):
    watch_wire(points)
    payments.paid = looked(payments.paid)
    for method in ("commit", "later", "flush"):
        setattr(Driven, method, watched(getattr(Driven, method), f"store.{method}"))
