"""The guide's example policy, judged: what a reader copies does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast.gate import Judge, PolicySet
from tests.unit.gate.contracts import CONTRACTS, question

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "policy.md"


def test_example_policy_of_the_guide_does_what_it_says() -> None:
    """Small refunds pass, larger ones ask two of finance, those without a cost are refused."""
    found = re.search(r"```cedar\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    one = Judge(PolicySet.load(found[1], CONTRACTS), CONTRACTS)

    def ask(amount: int, cost_minor: int | None) -> tuple[str, tuple[str, ...], str, int, int | None]:
        said = one.decide(question(args={"invoice_id": "in_7", "amount": amount}, cost_minor=cost_minor))
        return said.answer, said.rules, said.approver_group, said.quorum, said.expires_ms

    assert ask(5000, 5000) == ("allow", ("refunds-up-to-50",), "", 1, None)
    assert ask(5001, 5001) == ("ask", ("larger-refunds-ask",), "finance", 2, 1_800_000)
    assert ask(1, None)[:2] == ("refuse", ("no-refunds-without-a-cost",))
