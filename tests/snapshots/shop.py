"""Tools of the screens: a small outside in one JSON file, with a switch for each thing that can go wrong.

The file is copied beside a ``holdfast.toml`` and imported from there by the commands under test, as a user's would be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import holdfast as hf

BOOKS = Path(__file__).parent / "books.json"


def books() -> dict[str, Any]:
    """What the outside holds: changes by key, and what is paid on each invoice."""
    return json.loads(BOOKS.read_text()) if BOOKS.exists() else {"refunds": {}, "paid": {}}


def book(key: str, amount: int) -> None:
    """One change outside."""
    now = books()
    now["refunds"][key] = amount
    BOOKS.write_text(json.dumps(now))


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    keyed="24h",
    cost=hf.cost("amount", "EUR"),
    owner="billing-oncall",
    timeout="2s",
)
async def refund(fx: hf.Fx, *, invoice_id: str, amount: int, note: str = "") -> dict[str, Any]:
    """Refund one invoice; amount in cents."""
    if note == "declined":
        raise hf.DidNotHappen("the bank says no")
    if note != "lost on the way":
        book(fx.key, amount)
    if note in ("lost on the way", "reply lost"):
        raise ConnectionResetError("the connection was reset \x1b[31m")
    return {"refund": "re_1", "note": note}


@refund.probe
async def find_refund(look: hf.Look) -> hf.Happened | hf.Absent:
    """Look the key up."""
    found = books()["refunds"].get(look.key)
    return hf.Happened({"amount": found}) if found is not None else hf.Absent(why="no refund with this key yet")


@refund.state
async def paid(look: hf.Look, invoice_id: str) -> dict[str, Any]:
    """What an approver's yes is bound to."""
    return {"paid": books()["paid"].get(invoice_id, 5000), "open": True}


@refund.verify
async def check_refund(look: hf.Look, note: str) -> hf.Holds | hf.Differs:
    """Read the books."""
    if note == "differs":
        return hf.Differs("the books show another amount")
    return hf.Holds() if look.key in books()["refunds"] else hf.Differs("the books show no such refund")


@hf.tool(
    effect="irreversible",
    resource="mailbox:{to}",
    identity=("to",),
    owner="mail-oncall",
    no_probe="the mail server keeps no record that can be asked",
)
async def send_mail(fx: hf.Fx, *, to: str) -> None:
    """Send one mail; nothing tells afterwards whether it went."""
    raise TimeoutError("the mail server did not answer")


@send_mail.verify
async def never(look: hf.Look) -> hf.CannotTell:
    """Nobody can look into another's mailbox."""
    return hf.CannotTell("it is another's mailbox")


@hf.tool(
    effect="irreversible",
    resource="account:{account}",
    identity=("account",),
    owner="treasury",
)
async def payout(fx: hf.Fx, *, account: str) -> hf.Accepted:
    """A long operation: accepted now, done later."""
    return hf.Accepted("op-7")


@payout.probe
async def find_payout(look: hf.Look) -> hf.CannotTell:
    """Still at work."""
    return hf.CannotTell("the operation is under way")


TOOLS = [refund, send_mail, payout]
