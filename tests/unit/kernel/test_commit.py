"""What of a commit is decided by pure functions: which changes rest on the clock, and which places they move."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel.amounts import Money
from holdfast.kernel.commit import Change, Note, asked, counted_in, needs_a_sound_clock
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import State
from tests.unit.kernel.records import EFFECT, RUN


@pytest.mark.parametrize(
    ("kind", "body", "states", "needs"),
    [
        ("dispatched", {}, (State.CLAIMED,), True),
        ("failed", {}, (State.UNKNOWN,), True),
        ("failed", {}, (State.DISPATCHED,), False),
        ("failed", {"attested_by": "ann"}, (State.UNKNOWN,), False),
        ("committed", {}, (State.UNKNOWN,), False),
        ("probed", {}, (State.UNKNOWN,), False),
    ],
)
def test_a_dispatch_and_an_absence_by_time_want_a_sound_clock(
    kind: str, body: dict[str, Any], states: tuple[State, ...], needs: bool
) -> None:
    """What the outside said itself, and what a person says, hold whatever the clock did."""
    change = Change(
        run="ru_1", guard=Guard(states=states), drafts=(Draft(effect="ef_1", kind=kind, by="w", body=body),)
    )
    assert needs_a_sound_clock(change) is needs
    settled = Draft(effect="ef_2", kind="settled", by="w")
    assert needs_a_sound_clock(replace(change, drafts=(settled, *change.drafts))) is needs


def test_a_planner_that_was_asked_has_used_up_what_it_used_and_only_an_answer_is_a_step() -> None:
    """Tokens and money count either way."""
    body = {"tokens": 7, "cost": {"minor": 3, "currency": "EUR"}}
    answered = asked(RUN, Note(kind="step", by="w", body=body))
    silent = asked(RUN, Note(kind="no_answer", by="w", body=body))
    assert (answered.steps, silent.steps) == (1, 0)
    assert (answered.spent.steps, silent.spent.steps) == (1, 0)
    assert answered.spent.tokens == silent.spent.tokens == 7
    assert answered.spent.cost == silent.spent.cost == ((Money(minor=3, currency="EUR").currency, 3),)
    assert asked(RUN, Note(kind="step", by="w")).spent.tokens == 0


def test_a_cost_counts_in_every_grant_and_scope() -> None:
    """Beside its run: the grants that it came under, then its meters."""
    assert counted_in(replace(EFFECT, grants=("gr_1", "gr_2"), meters=("tool:pay",))) == (
        "grant:gr_1",
        "grant:gr_2",
        "tool:pay",
    )
