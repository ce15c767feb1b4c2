"""A process under overload: principals who pay bills at a slow outside, all under the same limits.

Started with a store, the outside's address and, as JSON on its command line, who pays what. Prints how each call was
answered at first, as JSON, when everything that was accepted is through. With ``hold`` it never ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import httpx

import holdfast as hf

OUTSIDE = os.environ["OUTSIDE"]
LIMITS = hf.Limits(
    work={
        "payments": hf.Work(
            most=4, share=25, most_waiting=160, most_items=5, within="60s", pause="20ms", longest_pause="1s"
        )
    },
    runs=hf.Runs(most=20, per_principal=2, deadline="10m"),
)
POLICY = '@id("all")\n@reason("a test")\npermit (principal, action, resource);\n'


def asked(bill: str, by: str) -> None:
    """The outside is told that somebody is about to ask for something: its books then say what came in between."""
    httpx.post(f"{OUTSIDE}/asked", json={"bill": bill, "by": by}).raise_for_status()


async def sent(fx: hf.Fx, bill: str) -> Any:
    async with httpx.AsyncClient(timeout=8) as client:
        body = {"bill": bill, "by": fx.principal, "key": fx.key}
        return (await client.post(f"{OUTSIDE}/pay", json=body)).raise_for_status().json()


@hf.tool(
    effect="irreversible",
    resource="bill:{bill}",
    identity=("bill",),
    owner="accounts",
    keyed="24h",
    lands_within="1s",
    retry_after="100ms",
    work="payments",
)
async def pay(fx: hf.Fx, *, bill: str) -> Any:
    """Pay one bill."""
    return await sent(fx, bill)


@hf.tool(
    effect="irreversible",
    resource="bill:{bill}",
    identity=("bill", "parts"),
    owner="accounts",
    keyed="24h",
    work="payments",
    splits="parts",
)
async def pay_parts(fx: hf.Fx, *, bill: str, parts: list[str]) -> Any:
    """Pay some parts of one bill."""
    return await sent(fx, f"{bill}-{'-'.join(parts)}")


@hf.tool(
    effect="irreversible", resource="bill:{bill}", identity=("bill",), owner="accounts", keyed="24h", lands_within="1s",
    retry_after="100ms", work="payments", instead="slip", not_done="nothing is paid today",
)  # fmt: skip
async def pay_now(fx: hf.Fx, *, bill: str) -> Any:
    """Pay one bill, or nothing."""
    return await sent(fx, bill)


@hf.tool(effect="idempotent", resource="slip:{bill}", identity=("bill",), owner="accounts", keyed="24h", work="slips")
async def slip(fx: hf.Fx, *, bill: str) -> str:
    """Write down that a bill is to be paid another day."""
    return bill


@pay.probe
async def was_paid(look: hf.Look, *, bill: str) -> hf.Happened | hf.Absent:
    async with httpx.AsyncClient(timeout=8) as client:
        books = (await client.get(f"{OUTSIDE}/books")).json()
    return hf.Happened(bill) if bill in [row["bill"] for row in books["paid"]] else hf.Absent()


@pay_parts.probe
async def were_paid(look: hf.Look, *, bill: str, parts: list[str]) -> hf.Happened | hf.Absent:
    return await was_paid(look, bill=f"{bill}-{'-'.join(parts)}")


@pay_now.probe
async def was_paid_now(look: hf.Look, *, bill: str) -> hf.Happened | hf.Absent:
    return await was_paid(look, bill=bill)


@slip.probe
async def was_written(look: hf.Look, *, bill: str) -> hf.Happened | hf.Absent:
    return hf.Happened(bill)


async def pays(app: Any, who: str, calls: int, *, at_once: bool) -> list[str]:
    """One principal's bills, all at once or one after the other; how each call was answered at first."""
    answer = await app.submit(hf.Intent(goal="pay the bills", purpose=f"bills of {who}", principal=who))
    run = answer.run

    async def one(number: int) -> str:
        bill = f"{who}-{number}"
        if not at_once:
            await asyncio.to_thread(asked, bill, who)
        outcome = await run.call(pay(bill=bill))
        first = type(outcome).__name__
        if isinstance(outcome, hf.Deferred):
            await outcome.settled()
        return first

    if at_once:
        return list(await asyncio.gather(*(one(n) for n in range(calls))))
    return [await one(n) for n in range(calls)]


async def answers(app: Any, who: str) -> list[str]:
    """The answers to one call too long, and to one that could be done more cheaply, while the queue is full."""
    run = (await app.submit(hf.Intent(goal="more", purpose=f"more of {who}", principal=who))).run
    found = []
    for call in (pay_parts(bill=f"{who}-long", parts=list("abcdefg")), pay_now(bill=f"{who}-now")):
        outcome = await run.call(call)
        view = (await app.ports.store.read(outcome.effect)).effect
        found.append(view.admission["answer"])
    return found


async def main(url: str, plan: dict[str, Any]) -> None:
    async with hf.open(url, tools=[pay, pay_parts, pay_now, slip], policy=POLICY, limits=LIMITS) as app:
        print("ready", flush=True)
        works = [pays(app, who, calls, at_once=who in plan.get("at_once", ())) for who, calls in plan["pays"].items()]
        flood = asyncio.gather(*works)
        said: list[str] = []
        if flooding := plan.get("flood"):
            while app.store.document("meter", f"waiting:payments/principal:{flooding}") is None:
                await asyncio.sleep(0.01)
            while app.store.document("meter", f"waiting:payments/principal:{flooding}").open < 40:
                await asyncio.sleep(0.01)
            said = await answers(app, flooding)
        first = await flood
        print(json.dumps({"first": dict(zip(plan["pays"], first, strict=True)), "said": said}), flush=True)
        while plan.get("hold"):
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
