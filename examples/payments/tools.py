"""Refunds under holdfast: one contract for each protection that an outside can give.

Read ``refund`` first: it uses everything this service offers. The others each use one thing only, as other outsides
do: ``refund_keyed`` sends a key and cannot ask; ``refund_fenced`` hands over the token; ``refund_probed`` leaves a
reference that can be looked up; ``refund_bare`` has nothing, so an unknown one goes to a human. ``payout`` is a long
operation: accepted now, done later.

The address is taken from ``PAYMENTS_URL``. Nothing here is imported by the service, and the service imports nothing
of holdfast.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import holdfast as hf
from examples.payments.client import (
    Changed,
    ConnectionRefused,
    Declined,
    Fenced,
    NotFound,
    PaymentsClient,
    TooLate,
    Unavailable,
)

SAID_NO = (Declined, Fenced, TooLate, Changed, NotFound, Unavailable, ConnectionRefused)
"""Answers with which the service (or the operating system) says that nothing was done."""


@cache
def bank() -> PaymentsClient:
    """The client for the service at ``PAYMENTS_URL``."""
    return PaymentsClient(os.environ["PAYMENTS_URL"], timeout_s=float(os.environ.get("PAYMENTS_TIMEOUT_S", "5")))


def of_invoice(invoice_id: str, reference: str) -> list[dict[str, Any]]:
    """Refunds of an invoice whose note carries a reference, from every page of the listing."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = bank().list_refunds(invoice_id, after=after)
        found += [r for r in page["refunds"] if reference in str(r.get("note", ""))]
        after = page["next"]
        if after is None:
            return found


def paid(invoice_id: str, amount: int, value: dict[str, Any] | None) -> hf.Holds | hf.Differs:
    """Whether the service lists exactly one refund with the id that was acknowledged, of this amount."""
    wanted = (value or {}).get("refund_id")
    listed = bank().list_refunds(invoice_id)["refunds"]
    mine = [r for r in listed if r["refund_id"] == wanted]
    if len(mine) == 1 and mine[0]["amount"] == amount:
        return hf.Holds({"refund_id": wanted, "amount": amount})
    return hf.Differs(f"{len(mine)} refunds with id {wanted} are listed for {invoice_id}")


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    volatile=("note",),
    keyed="24h",
    fenced=True,
    enforces_send_by=True,
    lands_within="10s",
    cost=hf.cost("amount", "EUR"),
    timeout="5s",
    owner="billing-oncall",
    did_not_happen=SAID_NO,
)
def refund(fx: hf.Fx, *, invoice_id: str, amount: int, note: str = "") -> dict[str, Any]:
    """Refund one invoice; amount in cents."""
    return bank().refund(
        invoice_id, amount, note=note, key=fx.key, fence=fx.token, send_by_ms=fx.send_by, timeout_s=fx.remaining_s()
    )


@refund.state
def _refund_state(look: hf.Look, *, invoice_id: str) -> dict[str, Any]:
    """What an approver sees, and what must still be so when the money leaves."""
    invoice = bank().invoice(invoice_id)
    return {"amount": invoice["amount"], "refunded": invoice["refunded"]}


@refund.probe
def _refund_probe(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent:
    """Raise the fence first: after that the old token cannot land, so an absence is final."""
    try:
        bank().raise_fence(f"invoice:{invoice_id}", look.token)
    except NotFound:
        return hf.Absent(final=True, why="there is no such invoice")
    found = bank().lookup(look.key)
    return hf.Happened(found[0]) if found else hf.Absent(final=True, why="no refund under this key")


@refund.verify
def _refund_verify(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    """Read the listing, not our own reply."""
    return paid(invoice_id, amount, look.value)


@refund.list
def _refund_list(look: hf.Look) -> list[dict[str, Any]]:
    """Every refund there is."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = bank().list_refunds(after=after)
        found += page["refunds"]
        after = page["next"]
        if after is None:
            return found


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    keyed="24h",
    lands_within="2s",
    timeout="2s",
    owner="billing-oncall",
    no_probe="this part of the service has no lookup by key",
    did_not_happen=SAID_NO,
)
def refund_keyed(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund with an idempotency key, and no way to ask afterwards but to send again."""
    return bank().refund(invoice_id, amount, key=fx.key, timeout_s=fx.remaining_s())


@refund_keyed.verify
def _keyed_verify(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    return paid(invoice_id, amount, look.value)


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    fenced=True,
    lands_within="2s",
    timeout="2s",
    owner="billing-oncall",
    did_not_happen=SAID_NO,
)
def refund_fenced(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund under a fencing token; the service refuses a token lower than one it has seen."""
    return bank().refund(invoice_id, amount, note=f"ref {fx.key}", fence=fx.token, timeout_s=fx.remaining_s())


@refund_fenced.probe
def _fenced_probe(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent:
    bank().raise_fence(f"invoice:{invoice_id}", look.token)
    found = of_invoice(invoice_id, look.key)
    return hf.Happened(found[0]) if found else hf.Absent(final=True, why="not listed after the fence was raised")


@refund_fenced.verify
def _fenced_verify(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    return paid(invoice_id, amount, look.value)


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    lands_within="2s",
    timeout="2s",
    owner="billing-oncall",
    did_not_happen=SAID_NO,
)
def refund_probed(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund with a reference in the note: it can be looked up, but nothing keeps a second one out."""
    return bank().refund(invoice_id, amount, note=f"ref {fx.key}", timeout_s=fx.remaining_s())


@refund_probed.probe
def _probed_probe(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent:
    found = of_invoice(invoice_id, look.key)
    return hf.Happened(found[0]) if found else hf.Absent(why="not listed yet")


@refund_probed.verify
def _probed_verify(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    return paid(invoice_id, amount, look.value)


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    lands_within="2s",
    timeout="2s",
    owner="billing-oncall",
    no_probe="this service neither takes a key nor lists what it did",
    did_not_happen=SAID_NO,
)
def refund_bare(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Refund with nothing to hold on to: if its outcome is in doubt, a human must look."""
    return bank().refund(invoice_id, amount, timeout_s=fx.remaining_s())


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    keyed="24h",
    lands_within="10s",
    timeout="2s",
    owner="billing-oncall",
    did_not_happen=SAID_NO,
)
def payout(fx: hf.Fx, *, invoice_id: str, amount: int) -> hf.Accepted:
    """Start a payout; the service takes it on and does it later."""
    answer = bank().payout(invoice_id, amount, key=fx.key, timeout_s=fx.remaining_s())
    return hf.Accepted(answer["operation_id"])


@payout.probe
def _payout_probe(look: hf.Look) -> hf.Happened | hf.Absent | hf.CannotTell:
    operation = look.operation
    if not operation:
        known = bank().lookup_payouts(look.key)
        if not known:
            return hf.Absent(why="no payout under this key yet")
        operation = known[0]["operation_id"]
    status = bank().payout_status(operation)
    if status["status"] == "done":
        return hf.Happened(status)
    return hf.CannotTell(f"the payout is {status['status']}")


TOOLS = [refund, refund_keyed, refund_fenced, refund_probed, refund_bare, payout]
