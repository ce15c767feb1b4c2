"""How much an oracle notices: every single change of the right end, or it is named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.harness.case.case import Allow
from holdfast.harness.oracle.allowed import compare
from holdfast.harness.oracle.strength import mutations, strength
from holdfast.harness.world import change
from holdfast.harness.world.difference import ABSENT, difference
from holdfast.harness.world.face import Done
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


LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["", "a", "b\nc"])
    | st.just([])
    | st.just([1, {"x": 2}])
)
ROWS = st.recursive(LEAF, lambda inner: st.dictionaries(st.sampled_from("ab~/"), inner, max_size=3), max_leaves=5)
STATES = st.dictionaries(st.sampled_from(["t/a", "t/b", "u/a", "files/x.txt"]), ROWS, max_size=4)


@settings(max_examples=60)
@given(STATES, STATES)
def test_whatever_happened_an_exact_case_passes_it_and_nothing_beside_it(before, after):
    """Of any two states: allowed exactly what differs, the end passes, and every single change of it is noticed."""
    found = difference(before, after)
    allowed = tuple(
        Allow(place=one.place, gone=True) if one.after is ABSENT else Allow(place=one.place, to=one.after)
        for one in found
    )
    log = tuple(
        Done(number=n, at_ms=n, service="s", operation="o", places=(one.place,)) for n, one in enumerate(found, 1)
    )
    both = compare(before, after, log, allowed=allowed)
    assert (both.state.word, both.forbidden.word) == ("pass", "pass")
    judged = strength(before, after, log, allowed=allowed)
    assert judged.unnoticed == ()
    assert judged.made >= len(found)
