"""Contracts and questions for the tests of the gate: a small payment tool set, and how to ask about it."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.gate import Contract, Decision, Judge, PolicySet, Principal, Question

REFUND_ARGS = {
    "type": "object",
    "properties": {
        "invoice_id": {"type": "string"},
        "amount": {"type": "integer"},
        "note": {"type": "string"},
        "express": {"type": "boolean"},
        "method": {"enum": ["card", "bank"]},
        "rate": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "customer": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "level": {"type": "integer"}},
            "required": ["id"],
            "additionalProperties": False,
        },
    },
    "required": ["invoice_id", "amount"],
    "additionalProperties": False,
}


class MadeContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract by its plain data, with the defaults of a careful keyed tool."""

    name: str = "refund"
    version: str = "sha256:one"
    effect: str = "irreversible"
    resource: str = "invoice:{invoice_id}"
    keyed_ms: int | None = 86_400_000
    fenced: bool = False
    conditional: bool = False
    has_probe: bool = True
    has_verify: bool = True
    only_from_trusted: tuple[str, ...] = ()
    owner: str = "billing-oncall"
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: REFUND_ARGS)


REFUND = MadeContract()
LOOK = MadeContract(name="look", effect="read")
TAG = MadeContract(name="tag", effect="idempotent")
CONTRACTS = (REFUND, LOOK, TAG)
BOB = Principal("bob", "person", ("finance",))


def question(tool: str = "refund", args: dict[str, Any] | None = None, **other: Any) -> Question:
    """A question about a refund of 12.00 on invoice in_7 by bob, in production, unless told otherwise."""
    said: dict[str, Any] = {
        "contract_version": "sha256:one",
        "args": {"invoice_id": "in_7", "amount": 1200} if args is None else args,
        "resource": "invoice:in_7",
        "principal": BOB,
        "environment": "prod",
        "tenant": "acme",
        "purpose": "ticket-991",
    }
    return Question(tool=tool, **(said | other))


def judge(policy: str, *contracts: Contract) -> Judge:
    """A judge under policy text."""
    known = contracts or CONTRACTS
    return Judge(PolicySet.load(policy + "\n", known), known)


def decide(policy: str, asked: Question | None = None, *contracts: Contract) -> Decision:
    """What a fresh judge under policy text says to one question."""
    return judge(policy, *contracts).decide(asked or question())
