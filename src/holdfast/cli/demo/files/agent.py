"""The agent of the demo, with holdfast: a scripted planner proposes one refund; the purpose names the work.

    python agent.py PURPOSE INVOICE AMOUNT

Prints one JSON line with what it may say. Started again it does not repeat the work: the purpose is the same.
"""

import asyncio
import json
import sys
from pathlib import Path

from refunds import invoice as read_invoice
from refunds import refund

import holdfast as hf

HERE = Path(__file__).resolve().parent


async def main(purpose: str, invoice: str, amount: int) -> None:
    store = f"sqlite:{HERE / 'holdfast.db'}"
    async with hf.open(store, tools=[refund, read_invoice], policy=HERE / "policy.cedar", environment="demo") as app:
        await app.recover()
        intent = hf.Intent(goal=f"refund {invoice}", purpose=purpose, principal="support-agent", deadline="15m")
        run = await app.begin(intent)
        planner = hf.Scripted([hf.Proposed("refund", {"invoice_id": invoice, "amount": amount})], says="Refunded.")
        outcome = await run.call(refund(invoice_id=invoice, amount=amount))
        report = await run.drive(planner) if isinstance(outcome, hf.Verified) else None
        said = {
            "outcome": type(outcome).__name__,
            "effect": outcome.effect,
            "request": getattr(outcome, "request", ""),
            "reason": getattr(outcome, "reason", ""),
            "successor": getattr(outcome, "successor", ""),
            "run": run.id,
            "report": report.state if report is not None else "",
        }
        print(json.dumps(said), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
