"""Receipts for tests: effects, requests and a run's names, made by hand."""

from __future__ import annotations

from typing import Any

from holdfast.harness.oracle.claims import claims
from holdfast.harness.oracle.receipts import Receipts
from holdfast.kernel.model import Approval, Decision, Effect, EffectClass, State


def effect(tool: str = "refund", state: str = "verified", *, read: bool = False, **args: Any) -> Effect:
    """An effect of this tool in this state; without arguments a refund of 1200 cents on in_1."""
    args = args or {"invoice": "in_1", "cents": 1200}
    first = str(next(iter(args.values())))
    return Effect(
        id=f"ef_{tool}_{first}",
        tenant="main",
        environment="test",
        run="ru_1",
        purpose="p",
        tool=tool,
        contract="c",
        effect_class=EffectClass.READ if read else EffectClass.IRREVERSIBLE,
        key=f"k_{tool}_{first}",
        identity=f"{tool}:{first}",
        generation=1,
        args=args,
        args_digest="d",
        resource=f"{tool}:{first}",
        principal="agent",
        state=State(state),
        approval=f"ap_{tool}_{first}",
    )


def request(view: Effect, state: str = "granted", **said: bool) -> Approval:
    """A request about an effect, with what people said to it."""
    decisions = tuple(Decision(who=who, yes=yes, at_ms=2) for who, yes in said.items())
    return Approval(
        id=view.approval,
        effect=view.id,
        run=view.run,
        digest="d",
        nonce="n",
        environment=view.environment,
        generation=1,
        policy="p",
        contract=view.contract,
        proposer="agent",
        content="c",
        asked_ms=1,
        expires_ms=9,
        state=state,
        decisions=decisions,
    )


def said(message: str, *effects: Effect, approvals: tuple[Approval, ...] = (), **more: Any) -> str:
    """The worst word over all claims of a message: contradicted, unverifiable, supported, or nothing."""
    known = {"tools": ("refund", "send_mail", "delete_user"), "people": ("ada", "bob"), **more}
    found = claims(message, Receipts(effects, approvals, **known))
    words = [claim.word for claim in found]
    return next((word for word in ("contradicted", "unverifiable", "supported") if word in words), "nothing")
