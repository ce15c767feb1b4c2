"""What the workers of the chaos tests do: refund invoices of the example's service, in every way that it can be asked.

A file that `holdfast work` is given: tools, the policy's address, planners. The planner reads nothing but its view, so
that any worker goes on where another was killed.

The tools are the example's own with shorter spans; ``PAYMENTS_URL`` says where the outside is.
"""

from __future__ import annotations

from collections import Counter

import holdfast as hf
from holdfast.runtime.planner import View
from tests.crash.brisk import POLICY, brisk
from tests.crash.brisk import tools as all_tools

WAYS = ("refund", "refund_keyed", "refund_fenced", "refund_probed")
"""The tools that an order uses, one invoice each: every protection that an outside can give, alone and together."""

AMOUNT = 1_200
TRIES = 6
"""How often one call is proposed that comes to nothing, before it is given up: spent, and not lost."""

NOTHING_CAME = frozenset({"failed", "refused", "stopped"})
SPANS = {
    "timeout_ms": 1_500,
    "lands_within_ms": 1_000,
    "skew_ms": 200,
    "retry_after_ms": 50,
    "resends": 8,
    "probes": 20,
}
tools = [brisk(tool, SPANS) for tool in all_tools()]
policy = POLICY


def invoice(purpose: str, way: str) -> str:
    """The invoice that an order refunds in one way."""
    return f"in-{purpose}-{way}"


class Refunds:
    """One call a turn, in order, until each took place or came to nothing so often; then done."""

    async def propose(self, view: View) -> hf.Answer:
        """The first way that is neither over nor spent."""
        purpose = view.purpose
        failed = Counter(told.tool for told in view.told if told.outcome in NOTHING_CAME)
        over = {told.tool for told in view.told if told.outcome not in NOTHING_CAME}
        for way in view.goal.split():
            if way not in over and failed[way] < TRIES:
                return hf.Answer(calls=(hf.Proposed(way, {"invoice_id": invoice(purpose, way), "amount": AMOUNT}),))
        return hf.Answer(done=True, says="refunded")


class Poison:
    """It never gives an answer."""

    async def propose(self, view: View) -> hf.Answer:
        """Fail as a defect would."""
        raise RuntimeError(f"cannot plan {view.purpose}")


planners = {"": Refunds, "refunds": Refunds, "poison": Poison}
