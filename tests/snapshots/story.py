"""A store in which one effect stands at each place of a life, made by the real engine over the tools of ``shop``."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import holdfast as hf
from holdfast.cli.config import load, load_tools
from tests import approving

CONFIG = """store = "holdfast.db"
environment = "test"
tools = ["shop.py:TOOLS"]
policy = "policy.cedar"
"""

POLICY = """@id("small-refunds")
@reason("small refunds need nobody")
permit (principal, action == Action::"refund", resource) when { context.args.amount < 2000 };

@id("larger-refunds-ask")
@reason("larger refunds need a second pair of eyes")
@approvers("finance")
permit (principal, action == Action::"refund", resource)
when { context.args.amount >= 2000 && context.args.amount < 9000 && context.approved };

@id("the-rest")
@reason("mails and payouts are allowed in tests")
permit (principal, action, resource) when { context.tool != "refund" };
"""

HOSTILE = (
    "ok»\n✓ verified  \x1b[2J\x1b]0;owned\x07\u202etxt.exe\u202c [bold red]paid[/] "
    "\u2800\u200b a\u0301\u0301\u0301\u0301"
)
"""Ends the frame, starts a line, clears the screen, sets a title, turns the direction, plays with markup, hides."""


def lay_out(home: Path) -> None:
    """The files a user would have: configuration, policy, tools."""
    (home / "holdfast.toml").write_text(CONFIG)
    (home / "policy.cedar").write_text(POLICY)
    shutil.copy(Path(__file__).with_name("shop.py"), home / "shop.py")


def tell(home: Path) -> dict[str, str]:
    """Live the story in ``home``; the ids by what became of them."""
    return asyncio.run(_tell(home))


async def _tell(home: Path) -> dict[str, str]:
    settings = load(str(home / "holdfast.toml"))
    refund, send_mail, payout = load_tools(settings)
    app = hf.open(
        settings.store,
        tools=[refund, send_mail, payout],
        policy=settings.policy,
        environment=settings.environment,
        recover=False,
    )
    async with app:
        intent = hf.Intent(
            goal=f"refund the duplicate {HOSTILE}",
            purpose="ticket-991",
            principal=hf.Principal(name="support-bot"),
            budget=hf.Budget(effects=20, cost=hf.money(500_00, "EUR")),
        )
        run = await app.begin(intent)
        seen = await run.saw("mailbox:42", "please refund", kind="untrusted")
        calls = {
            "verified": refund(invoice_id="in_1", amount=1200),
            "failed": refund(invoice_id="in_2", amount=1200, note="declined"),
            "unknown": refund(invoice_id="in_3", amount=1200, note="lost on the way"),
            "refused": refund(invoice_id="in_4", amount=9900),
            "superseded": refund(invoice_id="in_5", amount=2400),
            "waiting": refund(invoice_id="in_5", amount=2500, note=HOSTILE),
            "unconfirmed": refund(invoice_id="in_6", amount=700, note="differs"),
            "escalated": send_mail(to="ann@example.org"),
            "pending": payout(account="de-1"),
        }
        found = {"run": run.id}
        for name, call in calls.items():
            # Without patience nothing is asked twice: what comes next is left for the commands.
            outcome = await run.call(call, cites=[seen], patience=0)
            found[name] = outcome.effect
        for name in ("ann", "bob", "eve", "support-bot"):
            approving.register(app.store, name, groups=() if name == "eve" else ("finance",))
            approving.key_of(name).save(home / "keys" / f"{name}.key")
    return found
