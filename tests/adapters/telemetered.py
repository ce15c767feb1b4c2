"""A worker with telemetry, to be killed: tools whose outside is a folder, and one run that meets everything.

``notice`` loses its first reply and cannot be looked for, so it is probed and sent again; ``pay`` is asked for, and its
first attempt never comes back. Every secret of a test stands in an argument, a value, a goal or what a planner says.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import holdfast as hf
from holdfast.runtime.planner import Made

ARGUMENT, VALUE, GOAL, PURPOSE, WORDS, WHY = (
    "argument-hunter2", "value-hunter3", "goal-hunter4", "purpose-hunter5", "words-hunter6", "why-hunter7",
)  # fmt: skip
SECRETS = (ARGUMENT, VALUE, GOAL, PURPOSE, WORDS, WHY)

POLICY = """
@id("notices-pass")
permit (principal, action == Action::"notice", resource);
@id("payments-ask")
permit (principal, action == Action::"pay", resource) when { context.approved };
"""


def tools(folder: Path, *, hangs: bool, seen: list[dict[str, str]] | None = None) -> list[Any]:
    """The tools over one folder; with ``hangs`` a payment is made and its body never comes back."""

    @hf.tool(
        effect="idempotent", resource="customer:{who}", identity=("who",), keyed="24h", lands_within="1s", owner="ops"
    )
    def notice(fx: hf.Fx, *, who: str) -> str:
        """Tell somebody; the first reply is lost."""
        if seen is not None:
            seen.append(fx.headers())
        place = folder / fx.key
        if not place.exists():
            place.write_text(who)
            raise ConnectionError(WHY)
        return VALUE

    @notice.probe
    async def not_findable(look: hf.Look) -> hf.CannotTell:
        return hf.CannotTell(WHY)

    @hf.tool(effect="irreversible", resource="invoice:{invoice}", identity=("invoice",), keyed="24h", owner="billing")
    async def pay(fx: hf.Fx, *, invoice: str) -> str:
        """Pay an invoice."""
        (folder / fx.key).write_text(invoice)
        if hangs:
            (folder / "entered").write_text(fx.trace)
            await asyncio.Event().wait()
        return VALUE

    @pay.probe
    async def paid(look: hf.Look) -> hf.Happened | hf.Absent:
        return hf.Happened(VALUE) if (folder / look.key).exists() else hf.Absent(why=WHY)

    @pay.verify
    async def holds(look: hf.Look) -> hf.Holds | hf.Differs:
        return hf.Holds() if (folder / look.key).exists() else hf.Differs(WHY)

    return [notice, pay]


def planner() -> hf.Scripted:
    """Both calls, then done."""
    made = Made(by="openai:m-1", model="m-1-0901", finish="stop", input_tokens=12, output_tokens=7)
    first = hf.Answer(calls=(hf.Proposed("notice", {"who": ARGUMENT}),), says=WORDS, made=made)
    return hf.Scripted([first, hf.Proposed("pay", {"invoice": ARGUMENT})], says=WORDS)


def intent() -> hf.Intent:
    """What the run is for."""
    return hf.Intent(goal=GOAL, purpose=PURPOSE, principal="clerk")


async def main(folder: Path, url: str, above: str) -> None:
    """Begin the run, under a span if there is one to be under, drive it, and wait to be killed."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": above})
    telemetry = hf.Telemetry(endpoint=url, content=bool(os.environ.get("CONTENT")))
    app = hf.open(f"sqlite:{folder / 'h.db'}", tools=tools(folder, hangs=True), policy=POLICY, telemetry=telemetry)
    async with app:
        with trace.use_span(trace.get_current_span(context)):
            run = await app.begin(intent())
        report = await run.drive(planner())
        (folder / "rested").write_text(report.state)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
