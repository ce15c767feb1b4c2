"""How fast decisions are judged again under another policy: recorded by the real runtime, tried in one process and two.

Twice: with every decision evaluated anew (each call has another amount, which rules read), and as history mostly is,
with few kinds of calls, whose answers are remembered by what rules can read of them. Starting the processes counts.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from typing import Any

import holdfast as hf
from holdfast.runtime.retrial import Asked, over_all

RUNS, CALLS = 500, 40
POLICY = """
@id("small") permit (principal, action == Action::"pay", resource) when { context.args.cents <= 500000 };
@id("large-ask") permit (principal, action == Action::"pay", resource)
when { context.args.cents > 500000 && context.approved };
"""
OTHER = POLICY.replace("500000", "250000")


@hf.tool(effect="read", resource="till:{till}", owner="bench")
async def pay(_fx: hf.Fx, *, till: str, cents: int) -> str:
    """Nothing leaves: what is measured is judging."""
    return f"{till} {cents}"


async def _recorded(url: str, step: int) -> None:
    async with hf.open(url, tools=[pay], policy=POLICY, accept_contracts=True, recover=False) as app:

        async def one(number: int) -> None:
            run = await app.begin(hf.Intent(goal="pay", purpose=f"p-{number}", principal="bench"))
            for call in range(CALLS):
                await run.call(pay(till=f"t-{number}-{call}", cents=(number * CALLS + call) * step % 500_000))

        for first in range(0, RUNS, 50):
            await asyncio.gather(*(one(number) for number in range(first, first + 50)))


def trial(folder: str | None = None) -> dict[str, Any]:
    """Decisions a second, by how many processes and whether answers could be remembered."""
    found: dict[str, Any] = {"decisions": RUNS * CALLS}
    for kind, step in (("computed", 61), ("remembered", 100_000)):
        with tempfile.TemporaryDirectory(prefix="holdfast-trial-", dir=folder) as place:
            os.environ["HOLDFAST_STATE_DIR"] = f"{place}/state"
            asyncio.run(_recorded(f"sqlite:{place}/bench.db", step))
            asked = Asked(f"{place}/bench.db", {"other.cedar": OTHER.encode()}, 0, keep=3)
            for jobs in (1, 2):
                begun = time.perf_counter()
                tried = over_all(asked, jobs=jobs)
                took_s = time.perf_counter() - begun
                if tried.judged != RUNS * CALLS or tried.apart or not tried.changed:
                    raise RuntimeError(f"{tried.judged} decisions were judged, {tried.changed} changed: {tried.apart}")
                found[f"{kind}_per_s_{jobs}"] = round(tried.judged / took_s)
    return found
