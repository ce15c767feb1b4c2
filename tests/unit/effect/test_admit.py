"""What a call is to the latest generation of its identity: new, same, next, in its place, or a key used again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.effect.admit import meets
from holdfast.kernel.model import State
from tests.unit.kernel.records import EFFECT

OVER = (State.REFUSED, State.FAILED, State.SUPERSEDED)
BEFORE = (State.PROPOSED, State.WAITING, State.ADMITTED, State.CLAIMED)


def test_a_call_that_nobody_made_is_new() -> None:
    """There is no generation to compare it with."""
    assert meets(None, "d1") == "new"


@pytest.mark.parametrize("state", [state for state in State if state not in OVER])
def test_the_same_call_is_the_effect_that_it_is_already(state: State) -> None:
    """However far that one has come."""
    assert meets(replace(EFFECT, state=state), "d1") == "same"


@pytest.mark.parametrize("state", [state for state in State if state not in OVER])
def test_other_material_arguments_replace_what_was_not_sent_and_nothing_else(state: State) -> None:
    """From dispatch on they are a key that is used again, and nothing is sent."""
    expected = "supersede" if state in BEFORE else "reused"
    assert meets(replace(EFFECT, state=state), "d2") == expected


@pytest.mark.parametrize("state", OVER)
@pytest.mark.parametrize(
    ("more", "digest", "relation"),
    [
        ({}, "d1", "next"),
        ({}, "d2", "next"),
        ({"successor": "ef_2"}, "d1", "same"),
        ({"unsettled": "again"}, "d1", "same"),
        ({"successor": "ef_2"}, "d2", "next"),
        ({"unsettled": "again"}, "d2", "next"),
    ],
)
def test_after_an_end_a_call_is_the_next_unless_it_is_owed_already(
    state: State, more: dict[str, Any], digest: str, relation: str
) -> None:
    """What its settling proposes anew is the same wish only if it is the same in every material argument."""
    assert meets(replace(EFFECT, state=state, **more), digest) == relation
