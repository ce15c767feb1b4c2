"""What each worker has: the tool, the policy, the planner.

    holdfast work examples/fleet/shop.py

The tool is the payment example's ``refund``: keyed, fenced, with a probe and a verification of its own. The planner
reads nothing but its view, so that any worker goes on where another was killed.
"""

from __future__ import annotations

from pathlib import Path

import holdfast as hf
from examples.payments.tools import refund
from holdfast.runtime.planner import View

AMOUNT = 1_200
"""Cents: what each order gets back."""


class Refunds:
    """One order is one refund of the invoice that has the purpose's name."""

    async def propose(self, view: View) -> hf.Answer:
        """The refund, until it was told of; then done."""
        if not view.told:
            return hf.Answer(calls=(hf.Proposed("refund", {"invoice_id": view.purpose, "amount": AMOUNT}),))
        return hf.Answer(done=True, says="refunded")


tools = [refund]
policy = Path(__file__).with_name("policy.cedar")
planners = {"": Refunds}
