"""The tool of the demo: one refund, with everything its outside offers declared in the contract."""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from payments.client import Changed, ConnectionRefused, Declined, Fenced, NotFound, PaymentsClient, TooLate

import holdfast as hf


def bank() -> PaymentsClient:
    """The payment service; it knows nothing of holdfast."""
    return PaymentsClient(os.environ["PAYMENTS_URL"], timeout_s=5)


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    keyed="24h",
    fenced=True,
    lands_within="10s",
    cost=hf.cost("amount", "EUR"),
    timeout="20s",
    owner="billing-oncall",
    did_not_happen=(Declined, Fenced, TooLate, Changed, NotFound, ConnectionRefused),
)
def refund(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund one invoice; amount in cents."""
    return bank().refund(invoice_id, amount, key=fx.key, fence=fx.token, timeout_s=fx.remaining_s())


@hf.tool(
    effect="read",
    resource="invoice:{invoice_id}",
    yields=hf.yields("observed", source="bank", about="invoice:{invoice_id}/refunded", fresh_for="3s"),
)
def invoice(fx: hf.Fx, *, invoice_id: str) -> dict[str, Any]:
    """How much of an invoice has been refunded, in cents."""
    return {"refunded": bank().invoice(invoice_id)["refunded"]}


@refund.state
def _state(look: hf.Look, *, invoice_id: str) -> dict[str, Any]:
    return {"refunded": bank().invoice(invoice_id)["refunded"]}


@refund.probe
def _probe(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent:
    bank().raise_fence(f"invoice:{invoice_id}", look.token)
    found = bank().lookup(look.key)
    return hf.Happened(found[0]) if found else hf.Absent(final=True, why="no refund under this key")


@refund.verify
def _verify(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    listed = bank().list_refunds(invoice_id)["refunds"]
    mine = [r for r in listed if r["refund_id"] == look.value["refund_id"] and r["amount"] == amount]
    return hf.Holds() if len(mine) == 1 else hf.Differs(f"{len(mine)} such refunds are listed")
