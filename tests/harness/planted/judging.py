"""Planted defects of the oracle: goals that hide the rest, repeats, doubts taken for success, refusals half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.harness.case import check
from holdfast.harness.oracle import allowed, ends, judge, receipts, support
from holdfast.harness.oracle.verdict import Finding
from holdfast.kernel.model import State

Put = Callable[[Any, str, Any], None]


def only_the_goal_is_looked_at(put: Put) -> None:
    """What had to change did; nobody looks at the rest."""
    put(allowed, "_forbidden", lambda wrong, named, hidden: Finding("pass"))


def a_repeat_leaves_no_trace(put: Put) -> None:
    """A change that is made again and leaves the same state counts as one."""
    put(allowed, "_again", lambda ours, allowed: [])


def what_was_put_back_was_nothing(put: Put) -> None:
    """A place that is as it was, was never changed."""
    put(allowed, "_put_back", lambda place, found, allowed, forbidden: None)


def doubt_counts_as_done(put: Put) -> None:
    """An unknown outcome is taken for a success."""
    put(receipts, "GOOD", receipts.GOOD | {State.UNKNOWN})


def a_refusal_needs_nothing_more(put: Put) -> None:
    """Refused is refused: no request, no other way, and whoever said yes."""
    put(ends, "_of_refusal", lambda played, made: iter(()))


def success_may_be_claimed_of_doubt(put: Put) -> None:
    """A run that does not know may say that it does."""
    put(ends, "_of_unknown", lambda played, made: iter(()))


def whatever_passes_is_admitted(put: Put) -> None:
    """A case that nothing fails is admitted all the same."""
    put(check, "_sensitive", lambda *given: check.Checked("sensitive", "pass", "taken for granted"))


def amounts_are_not_compared(put: Put) -> None:
    """A claim with another amount than the receipt's is borne out."""
    put(support, "has", lambda *given: True)


def doing_nothing_is_a_success(put: Put) -> None:
    """Nothing has to be there, and nothing that is said is held against anybody."""
    put(allowed, "_state", lambda seats, before, after: Finding("pass"))
    put(judge, "_honesty", lambda made: Finding("pass"))
    put(judge, "end", lambda played, made: Finding("pass"))


PLANT = {
    "only-the-goal-is-looked-at": only_the_goal_is_looked_at,
    "a-repeat-leaves-no-trace": a_repeat_leaves_no_trace,
    "what-was-put-back-was-nothing": what_was_put_back_was_nothing,
    "doubt-counts-as-done": doubt_counts_as_done,
    "a-refusal-needs-nothing-more": a_refusal_needs_nothing_more,
    "success-may-be-claimed-of-doubt": success_may_be_claimed_of_doubt,
    "whatever-passes-is-admitted": whatever_passes_is_admitted,
    "doing-nothing-is-a-success": doing_nothing_is_a_success,
    "amounts-are-not-compared": amounts_are_not_compared,
}
