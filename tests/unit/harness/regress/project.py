"""A small project with one case: a refund, over a service that keeps its promise about keys or does not."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = """
import holdfast as hf


def tools(world):
    billing = world.service("billing", keyed={keyed})

    @hf.tool(effect="irreversible", resource="invoice:{{invoice}}", identity=("invoice",), owner="billing", keyed="24h",
             no_probe="its key answers", timeout="2s", lands_within="5s", retry_after="1s")
    async def refund(fx, *, invoice: str, cents: int{more}):
        row = billing.get("invoices", invoice)
        billing.merge("invoices", invoice, {{"refunded": row["refunded"] + cents}}, fx=fx, operation="refund")
        return {{}}

    return [refund]
"""
CASE = """
name = "refund"
tools = "tools.py:tools"
policy = '''
permit (principal, action, resource);
'''
[world]
services = { billing = ["invoices"] }
[world.tables.invoices]
in_1 = { cents = 1200, refunded = 0 }
[intent]
goal = "Pay in_1 back."
principal = "agent"
[planner]
careful = true
script = [ { tool = "refund", args = { invoice = "in_1", cents = 1200 } } ]
[[allowed]]
place = "invoices/in_1/refunded"
to = 1200
"""


def forget() -> None:
    """One process reads a file of tools once; from here on it reads it again."""
    for name in [name for name in sys.modules if name.startswith("holdfast_case_tools_")]:
        del sys.modules[name]


def tools(folder: Path, *, keyed: bool = False, more: str = "") -> None:
    """Write the tools anew; ``more`` is one more argument of the call."""
    forget()
    path = folder / "tools.py"
    path.write_text(TOOLS.format(keyed=keyed, more=more) + f"# {keyed} {more}\n", encoding="utf-8")


def project(folder: Path) -> Path:
    """The project, whose service forgets keys; gives the case's file."""
    folder.mkdir(parents=True, exist_ok=True)
    tools(folder)
    path = folder / "refund.case.toml"
    path.write_text(CASE, encoding="utf-8")
    return path
