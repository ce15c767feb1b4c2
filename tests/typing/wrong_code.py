"""Mistakes that a type checker must see; each line says the error code that it gets."""

from __future__ import annotations

import holdfast as hf


@hf.tool(effect="irreversible", resource="invoice:{invoice_id}", identity=("invoice_id",), owner="billing")
async def refund(fx: hf.Fx, *, invoice_id: str, amount: int = 0) -> dict[str, str]:
    """Refund one invoice."""
    return {"key": fx.key}


refund(invoice_id=1)  # E: arg-type
refund()  # E: call-arg
refund(invoice_id="a", amuont=1)  # E: call-arg
refund("a")  # E: call-arg
refund(invoice_id="a", amount="1")  # E: arg-type
made = refund.body(invoice_id="a")  # E: call-arg
hf.tool(effect="dangerous")  # E: arg-type
hf.tool(identity="invoice_id")  # E: arg-type
hf.tool(efect="read")  # E: call-arg


@hf.tool(effect="read", resource="books")  # E: arg-type
async def without_fx(*, invoice_id: str) -> None:
    """The fx is missing."""


@refund.probe  # E: type-var
def guess(look: hf.Look) -> bool:
    """True is no answer of a probe."""
    return bool(look.key)


@refund.verify  # E: type-var
async def hope(look: hf.Look) -> hf.Happened:
    """Happened is no answer of a verification."""
    return hf.Happened(look.value)


def cheat(fx: hf.Fx, look: hf.Look) -> None:
    """What is handed over is read-only."""
    fx.key = "another"  # E: misc
    look.args["amount"] = 1  # E: index
