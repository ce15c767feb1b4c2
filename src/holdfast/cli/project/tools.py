"""What a planner may use: one tool with its contract. Put your own beside it and name it in holdfast.toml."""

from typing import Any

import ledger

import holdfast as hf


@hf.tool(
    effect="irreversible",  # read | idempotent | compensable | irreversible
    resource="account:{account}",  # what it touches; one worker at a time
    identity=("account",),  # with the purpose: which credit this is
    volatile=("note",),  # what may be worded otherwise the second time
    keyed="24h",  # how long the outside honours a key
    lands_within="5s",  # how long after sending it can still take effect
    timeout="5s",
    cost=hf.cost("amount", "EUR"),  # what it takes from the budget
    owner="support-oncall",  # who answers for what cannot be found out
    did_not_happen=(ledger.Declined,),  # proof that nothing changed; a lost line never is
)
def credit(fx: hf.Fx, *, account: str, amount: int, note: str = "") -> dict[str, Any]:
    """Credit one account; amount in cents."""
    return ledger.book(account, amount, note, key=fx.key)


@credit.state
def credit_state(look: hf.Look, *, account: str) -> dict[str, int]:
    """What the account holds already. An approval is for this state and no other."""
    booked = ledger.credits_of(account)
    return {"credits": len(booked), "cents": sum(one["amount"] for one in booked)}


@credit.probe
def credit_probe(look: hf.Look) -> hf.Happened | hf.Absent:
    """Did this key take effect? Asked where a reply was lost or a worker died."""
    found = ledger.find(look.key)
    return hf.Absent(why="the ledger knows no such key") if found is None else hf.Happened(found)


@credit.verify
def credit_verify(look: hf.Look, *, account: str, amount: int) -> hf.Holds | hf.Differs:
    """Does the account hold what was intended? Read from its list, not from the reply."""
    booked = [one["amount"] for one in ledger.credits_of(account) if one["key"] == look.key]
    return hf.Holds(booked) if booked == [amount] else hf.Differs(f"{booked} is booked under this key")
