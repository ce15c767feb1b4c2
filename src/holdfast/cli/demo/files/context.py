"""An agent that reads, thinks, and acts on what it read: without holdfast, and with it. It may be killed in between.

    python context.py naive|holdfast INVOICE AMOUNT

Prints "thinking" when it has read and not acted; started again it goes on where it was.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from refunds import bank, invoice, refund

import holdfast as hf

HERE = Path(__file__).resolve().parent


def naive(name: str, amount: int) -> None:
    """What it read is kept in a file; started again it takes the file for the world."""
    context = HERE / f"context-{name}.json"
    if not context.exists():
        context.write_text(json.dumps({"refunded": bank().invoice(name)["refunded"]}))
        print("thinking", flush=True)
        sys.stdin.read()  # a model takes its time; whoever waits for it never closes this
    if json.loads(context.read_text())["refunded"] == 0:
        bank().refund(name, amount)
        print("Refunded.", flush=True)


class Planner:
    """Reads the invoice, thinks, and refunds what is owed. What is fresh and what is not it learns from its view."""

    def __init__(self, name: str, amount: int, *, resumed: bool) -> None:
        self._invoice, self._amount, self._resumed = name, amount, resumed
        self.read: Any = None

    async def propose(self, view: hf.View) -> hf.Answer:
        """One turn."""
        items = [item for item in view.items if item.source == "bank"]
        if not items:
            return self._calls(hf.Proposed("invoice", {"invoice_id": self._invoice}))
        if not self._resumed:
            print("thinking", flush=True)
            await asyncio.Event().wait()
        latest, tried = items[-1], [told for told in view.told if told.tool == "refund"]
        if not tried:  # it means well, and goes on where it was
            return self._calls(self._refund(items[0].id))
        if latest.stale:
            return self._calls(hf.Proposed("invoice", {"invoice_id": self._invoice}))
        self.read = latest.content
        if latest.content["refunded"] >= self._amount:
            return hf.Answer(done=True, says="It is refunded already; nothing was left to do.")
        if tried[-1].outcome == "refused":
            return self._calls(self._refund(latest.id))
        return hf.Answer(done=True, says="Refunded.")

    def _refund(self, item: str) -> hf.Proposed:
        return hf.Proposed("refund", {"invoice_id": self._invoice, "amount": self._amount}, cites=(item,))

    def _calls(self, call: hf.Proposed) -> hf.Answer:
        return hf.Answer(calls=(call,))


async def main(name: str, amount: int) -> None:
    """Begin the work, or go on with it: the purpose is the same."""
    store, tools = f"sqlite:{HERE / 'holdfast.db'}", [refund, invoice]
    async with hf.open(store, tools=tools, policy=HERE / "policy.cedar", environment="demo", sources=["bank"]) as app:
        await app.recover()
        intent = hf.Intent(goal=f"refund {name}", purpose=f"old-{name}", principal="support-agent", deadline="15m")
        run = await app.begin(intent)
        found = run.resumption
        sent_before = [entry.kind for entry in app.store.entries(run.id) if entry.kind == "dispatched"]
        planner = Planner(name, amount, resumed=found is not None)
        report = await run.drive(planner)
        refused = [outcome.reason for outcome in report.outcomes if isinstance(outcome, hf.Refused)]
        said = {
            "state": report.state,
            "says": report.says,
            "reason": report.reason,
            "stale": [point.why for point in found.lapsed if point.part == "item"] if found is not None else [],
            "sent_before": len(sent_before) - 1,  # the read of the first time
            "refused": refused[0] if refused else "",
            "read": planner.read,
        }
        print(json.dumps(said), flush=True)


if sys.argv[1] == "naive":
    naive(sys.argv[2], int(sys.argv[3]))
else:
    asyncio.run(main(sys.argv[2], int(sys.argv[3])))
