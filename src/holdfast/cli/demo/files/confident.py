"""A tool body that swallows an error, and an agent that is confident: without holdfast, and with it.

    python confident.py naive|holdfast INVOICE AMOUNT

The body is the same. What differs is that holdfast reads the world before anybody may say done.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from refunds import bank

import holdfast as hf

HERE = Path(__file__).resolve().parent


def pay(invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund, and let nothing disturb the customer: the kind of code that is found in every company."""
    try:
        return bank().refund(invoice_id, amount)
    except Exception:  # noqa: BLE001 - this is the defect
        return {"refund_id": "pending", "status": "ok"}


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    owner="billing-oncall",
    no_probe="the body hides what came back",
    lands_within="1s",
)
def refund_politely(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund one invoice; amount in cents."""
    return pay(invoice_id, amount)


@refund_politely.verify
def _verify(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    listed = [r for r in bank().list_refunds(invoice_id)["refunds"] if r["amount"] == amount]
    return hf.Holds() if listed else hf.Differs(f"no refund of {amount} is listed for {invoice_id}")


async def main(invoice: str, amount: int) -> None:
    policy = '@id("demo") permit (principal, action, resource);'
    store = f"sqlite:{HERE / 'confident.db'}"
    async with hf.open(store, tools=[refund_politely], policy=policy, environment="demo") as app:
        intent = hf.Intent(goal=f"refund {invoice}", purpose="ticket-993", principal="support-agent", deadline="15m")
        run = await app.begin(intent)
        call = hf.Proposed("refund_politely", {"invoice_id": invoice, "amount": amount})
        planner = hf.Scripted([hf.Answer(calls=(call,), done=True, says="Done! The refund is complete.")])
        report = await run.drive(planner)
        print(json.dumps({"state": report.state, "reason": report.reason, "says": report.says}), flush=True)


if sys.argv[1] == "naive":
    pay(sys.argv[2], int(sys.argv[3]))
    print("Done! The refund is complete.", flush=True)
else:
    asyncio.run(main(sys.argv[2], int(sys.argv[3])))
