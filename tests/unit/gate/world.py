"""A small outside behind the real gate: a tool that pays out, with a book of its own, over a store on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holdfast as hf

PAYS = """
@id("small-pay") permit (principal, action == Action::"pay", resource)
when { context.args.amount <= 100 && !(context.args has note && context.args.note == "never") };
@id("large-asks") @approvers("finance") permit (principal, action == Action::"pay", resource)
when { context.args.amount > 100 && context.args.amount <= 1000 && context.approved };
"""
"""Small sums pass, larger ones ask, the largest are refused; the note is read, and decides nothing else."""


class Outside:
    """What was paid, by whom it was asked."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def tool(self, description: str = "Pay out.", **declared: Any) -> hf.Tool[..., Any]:
        """The tool, with a description that its author is free to write."""
        said: dict[str, Any] = {
            "effect": "irreversible",
            "resource": "account:{account}",
            "identity": ("account", "amount"),
            "keyed": "24h",
            "owner": "treasury",
            "lands_within": "100ms",
            "timeout": "500ms",
            "no_probe": "the book of this test is its own witness",
        }

        def pay(fx: hf.Fx, *, account: str, amount: int, note: str = "") -> dict[str, int]:
            self.paid.append(amount)
            return {"amount": amount}

        pay.__doc__ = description
        return hf.tool(name="pay", **said | declared)(pay)


def opened(folder: Path, *tools: hf.Tool[..., Any], policy: str | Path = PAYS, name: str = "h.db") -> hf.App:
    """An application over a store in this folder; nothing is taken up by itself."""
    return hf.open(f"sqlite:{folder / name}", tools=tools, policy=policy, environment="prod", recover=False)


def intent(purpose: str = "p-1", **more: Any) -> hf.Intent:
    """An intent of a principal called bot."""
    return hf.Intent(**{"goal": "pay the invoice", "purpose": purpose, "principal": "bot"} | more)
