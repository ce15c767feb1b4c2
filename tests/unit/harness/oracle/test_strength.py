"""How much an oracle notices: every single change of the right end, or it is named."""

from __future__ import annotations

import pytest

from holdfast.harness.case.case import Allow
from holdfast.harness.oracle.strength import mutations, strength
from holdfast.harness.world import change
from tests.unit.harness.oracle.test_allowed import BEFORE, FIRST, MAIL, REFUND, changed, entry

LOG = (entry(1, "refund", FIRST), entry(2, "send", MAIL))
EXACT = (REFUND, Allow(place="outbox/m_1", to={"to": "ada"}))


def test_an_exact_case_notices_every_wrong_world():
    """With every allowed change said exactly, all single changes of the right end are noticed."""
    found = strength(BEFORE, changed(FIRST, MAIL), LOG, allowed=EXACT)
    assert (found.base, found.percent, found.unnoticed) == ("pass", 100, ())
    assert found.undone


def test_a_loose_case_is_told_what_it_overlooks():
    """A value that may be anything is overlooked, and named."""
    loose = (REFUND, Allow(place="outbox/*"))
    found = strength(BEFORE, changed(FIRST, MAIL), LOG, allowed=loose)
    assert found.base == "pass"
    assert found.percent < 100
    assert "outbox/m_1/to is another value" in found.unnoticed


@pytest.mark.req("3.2a", mutant="only-the-goal-is-looked-at")
def test_no_kind_of_wrong_world_is_left_out():
    """Places and fields are gone, changed and added, differences undone, the log doubled: each kind is made."""
    right = changed(FIRST, MAIL)
    made = list(mutations(BEFORE, right, LOG))
    says = [one.says for one in made]
    assert len(set(says)) == len(says)
    for wanted in (
        "invoices/in_2 is gone",
        "invoices/in_2/cents is another value",
        "invoices/in_2/cents is gone",
        "invoices/in_2 has a field more",
        "invoices/~stranger is there",
        "files/notes.txt is another value",
        "invoices/in_1/refunded is as it was",
        "outbox/m_1 is as it was",
        "log 2 (send) is there twice",
    ):
        assert wanted in says
    assert all(dict(one.after) != right or one.log != LOG for one in made)
    assert strength(BEFORE, right, LOG, allowed=EXACT).unnoticed == ()


def test_a_share_over_a_wrong_end_says_so():
    """An end that is not right has no strength: the word beside the share says it."""
    assert strength(BEFORE, changed(FIRST, MAIL, change.remove("invoices", "in_2")), LOG, allowed=EXACT).base == "fail"
