"""The sandbox in which the refund contracts are proved: a payment service of its own, with a relay in front of it.

    holdfast tool prove refund --sandbox examples/payments/sandbox.py

Decides what each hook means for this service. The books are read past the relay and past the tools, so that neither a
lost reply nor a lying tool can hide a change from them. Nothing of the real service is touched: this one lives in a
temporary folder and ends with the proof.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from examples.payments import tools
from examples.payments.client import PaymentsClient
from examples.payments.spawn import running
from holdfast.harness.prove import Relay

AMOUNT = 1_200
INVOICE = 10_000
PAYOUT_MS = 500


class Payments:
    """One service, one relay; every trial gets an invoice of its own."""

    page = 100
    """The client lists a hundred refunds at a time."""

    def __init__(self, tool: str = "refund") -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        # What was started is ended also where a later line raises: nobody calls __exit__ then.
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-prove-"))
            url, _ = stack.enter_context(running(Path(folder) / "books.sqlite", payout_ms=PAYOUT_MS))
            self.relay = stack.enter_context(Relay(url))
            self.client = stack.enter_context(PaymentsClient(url, name="sandbox"))
            stack.callback(_point_at, os.environ.get("PAYMENTS_URL"))
            _point_at(self.relay.url)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def arguments(self, n: int) -> dict[str, Any]:
        """A refund of a part of an invoice that nobody has touched; there is room for more of them."""
        self.client.add_invoice(f"in_{n}", INVOICE)
        return {"invoice_id": f"in_{n}", "amount": AMOUNT}

    def refused(self, n: int) -> dict[str, Any]:
        """More than the invoice holds. A payout is taken on all the same, and judged later: it names no invoice."""
        if self._tool == "payout":
            return {"invoice_id": f"nobody_{n}", "amount": AMOUNT}
        return {**self.arguments(n), "amount": INVOICE + 1}

    def books(self, args: dict[str, Any]) -> list[Any]:
        """Every change of the invoice, whoever made it."""
        return [change for change in self.client.books()["changes"] if change["invoice"] == args["invoice_id"]]

    def foreign_change(self, args: dict[str, Any]) -> None:
        """A colleague refunds a part of it by hand."""
        self.client.refund(args["invoice_id"], 1)

    def snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        """All other invoices, and the payouts that nobody asked for."""
        books = self.client.books()
        others = {f"invoice {it['invoice_id']}": it for it in books["invoices"]}
        others.pop(f"invoice {args['invoice_id']}", None)
        return others | {"other payouts": [it for it in books["payouts"] if it["invoice"] != args["invoice_id"]]}

    def pass_time(self, by_ms: int) -> None:
        """The service's clock goes forward; key windows, send-bys and payouts go by it."""
        self.client.advance_clock(by_ms)


def _point_at(url: str | None) -> None:
    """Let the tools talk to this address; the client they have made for another one is forgotten."""
    tools.bank.cache_clear()
    if url is None:
        os.environ.pop("PAYMENTS_URL", None)
    else:
        os.environ["PAYMENTS_URL"] = url


sandbox = Payments
"""What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
