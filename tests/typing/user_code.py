"""A program as a user writes it: all of it must type-check in strict mode, without cast or ignore."""

from __future__ import annotations

from typing import Any, Literal, assert_type

import holdfast as hf


class DeclinedError(Exception):
    """The bank said no."""


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice_id}",
    identity=("invoice_id",),
    volatile=("note",),
    only_from_trusted=("invoice_id", "amount"),
    keyed="24h",
    fenced=True,
    lands_within="2m",
    visible_within="5s",
    cost=hf.cost("amount", "EUR"),
    timeout="10s",
    owner="billing-oncall",
    did_not_happen=(DeclinedError,),
)
async def refund(fx: hf.Fx, *, invoice_id: str, amount: int, note: str = "") -> dict[str, Any]:
    """Refund one invoice; amount in cents."""
    if amount < 0:
        raise hf.DidNotHappen("nothing to refund")
    return {"key": fx.key, "token": fx.token, "send_by": fx.send_by, "left": fx.remaining_s(), "note": note}


@refund.probe
async def find_refund(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    if not look.attempts:
        return hf.CannotTell("never sent")
    return hf.Happened({"invoice": invoice_id}) if look.key else hf.Absent(why="no such key")


@refund.state
def invoice_state(look: hf.Look, *, invoice_id: str) -> dict[str, str]:
    return {"invoice": invoice_id, "operation": look.operation}


@refund.verify
def check_refund(look: hf.Look, *, amount: int) -> hf.Holds | hf.Differs:
    return hf.Holds(amount) if look.value else hf.Differs("no refund")


@refund.list
async def all_refunds(look: hf.Look) -> list[dict[str, str]]:
    return [{"key": look.key}]


@refund.undo
def charge_back(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Call:
    return charge(invoice_id, amount)


@hf.tool(effect="compensable", resource="invoice:{invoice_id}", identity=("invoice_id",), owner="billing")
def charge(fx: hf.Fx, invoice_id: str, amount: int, how: Literal["card", "sepa"] = "card") -> hf.Accepted:
    """A plain function with positional parameters, for a long operation."""
    fx.call_sync(refund(invoice_id=invoice_id, amount=amount))
    return hf.Accepted(f"{how}:{amount}")


@hf.tool(effect="read", resource="books")
async def several(fx: hf.Fx, *, ids: list[str]) -> Any:
    """A batch with one outcome per item, and a linked child effect."""
    await fx.call(hf.Call("refund", {"invoice_id": ids[0], "amount": 1}))
    return hf.batch({"a": {"id": 1}, "b": hf.DidNotHappen("closed")})


async def unit_test() -> None:
    """The raw body keeps its own type, with the fx."""
    assert_type(await refund.body(hf.Fx(key="k", token=1), invoice_id="in_7", amount=5), dict[str, Any])
    assert_type(charge.body(hf.Fx(), "in_7", 5), hf.Accepted)


assert_type(refund(invoice_id="in_7", amount=1200), hf.Call)
assert_type(charge("in_7", 5, how="sepa"), hf.Call)

plain: hf.Tool[..., Any] = hf.Tool.from_contract(
    hf.Contract(name="plain", effect=refund.contract.effect, resource="r", schema={"type": "object"}),
    body=lambda fx, **args: args,
    probe=lambda look, **args: hf.CannotTell("none"),
)
assert_type(plain(anything=1), hf.Call)
tools: list[hf.Tool[..., Any]] = [refund, charge, several, plain]


async def a_saga(run: hf.RunHandle) -> None:
    """Steps with calls and with functions of earlier results; a report with outcomes by step."""
    steps = [
        hf.Step("charge", charge("in_7", 5), tell=("billing",)),
        hf.Step("refund", lambda done: refund(invoice_id=done["charge"]["id"], amount=5), kind="irreversible", tries=2),
    ]
    report = await run.saga("settle", steps, owner="billing", patience="2s")
    assert_type(report, hf.SagaReport)
    assert_type(report.outcomes["charge"], hf.Outcome)
    await run.saga(hf.Saga("settle", steps, owner="billing"))
    await run.saga("settle")
