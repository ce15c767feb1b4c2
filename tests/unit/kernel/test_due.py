"""Which verb is due on a record, for whom, and when a worker looks again: the whole table."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel.due import OPEN, due, is_open, wake_ms
from holdfast.kernel.model import State
from tests.unit.kernel.records import EFFECT, NOW_MS

MINE = {"holder": "me", "lease_until_ms": NOW_MS}
OTHERS = {"holder": "other", "lease_until_ms": NOW_MS}
OVER = {"holder": "other", "lease_until_ms": NOW_MS - 1}
DUE = {"due_ms": NOW_MS}
LATER = {"due_ms": NOW_MS + 1}
VERIFY = {"next": "verify"}


@pytest.mark.parametrize(
    ("state", "more", "verb"),
    [
        (State.PROPOSED, {}, "admit"),
        (State.WAITING, LATER, None),
        (State.WAITING, DUE, "admit"),
        (State.WAITING, LATER | {"quorum_met": True}, "admit"),
        (State.WAITING, LATER | {"quorum_met": True, "schedulings": 1}, None),
        (State.WAITING, DUE | {"schedulings": 1}, "admit"),
        (State.WAITING, LATER | {"declined": True}, "admit"),
        (State.ADMITTED, {}, "claim"),
        (State.CLAIMED, MINE, "dispatch"),
        (State.CLAIMED, OTHERS, None),
        (State.CLAIMED, OVER, "claim"),
        (State.CLAIMED, MINE | {"lease_until_ms": NOW_MS - 1}, "claim"),
        (State.DISPATCHED, MINE, None),
        (State.DISPATCHED, OTHERS, None),
        (State.DISPATCHED, OVER, "observe"),
        (State.UNKNOWN, DUE, "reconcile"),
        (State.UNKNOWN, LATER, None),
        (State.UNKNOWN, DUE | MINE, "reconcile"),
        (State.UNKNOWN, DUE | OTHERS, None),
        (State.UNKNOWN, DUE | OVER, "reconcile"),
        (State.UNKNOWN, DUE | {"escalated": True}, None),
        (State.UNKNOWN, DUE | {"escalated": True, "late_seen": True}, "reconcile"),
        (State.PENDING, DUE, "reconcile"),
        (State.PENDING, LATER, None),
        (State.COMMITTED, DUE | VERIFY, "verify"),
        (State.COMMITTED, LATER | VERIFY, None),
        (State.COMMITTED, DUE | VERIFY | OTHERS, None),
        (State.COMMITTED, DUE, None),
        (State.COMMITTED, DUE | VERIFY | {"unsettled": "compensates"}, "settle"),
        (State.UNCONFIRMED, DUE | VERIFY, "verify"),
        (State.UNCONFIRMED, DUE | {"next": "look at the world"}, None),
        (State.FAILED, {"unsettled": "refund"}, "settle"),
        (State.FAILED, {}, None),
        (State.REFUSED, {"unsettled": "again"}, "settle"),
        (State.VERIFIED, DUE | VERIFY, None),
        (State.ABANDONED, {}, None),
    ],
)
def test_the_verb_that_is_due(state: State, more: dict[str, Any], verb: str | None) -> None:
    """One line a case: nobody acts on what another holds, or before its time."""
    assert due(replace(EFFECT, state=state, **more), "me", NOW_MS) == verb


@pytest.mark.parametrize(
    ("state", "verb"), [(State.CLAIMED, "claim"), (State.DISPATCHED, "observe"), (State.UNKNOWN, "reconcile")]
)
def test_the_lease_of_a_holder_that_was_proved_dead_is_over(state: State, verb: str) -> None:
    """Whoever is proved dead holds nothing; of anybody else that says nothing."""
    view = replace(EFFECT, state=state, **OTHERS)
    assert due(view, "me", NOW_MS, "other") == verb
    assert due(view, "me", NOW_MS, "somebody") is None


@pytest.mark.parametrize(
    ("state", "more", "at_ms"),
    [
        (State.CLAIMED, OTHERS, NOW_MS + 1),
        (State.DISPATCHED, MINE, NOW_MS + 1),
        (State.WAITING, LATER, NOW_MS + 1),
        (State.UNKNOWN, {"due_ms": NOW_MS + 9} | OTHERS, NOW_MS + 9),
        (State.UNKNOWN, {"due_ms": NOW_MS - 9} | OTHERS, NOW_MS + 1),
        (State.UNKNOWN, {"due_ms": NOW_MS - 9} | MINE, NOW_MS - 9),
        (State.UNKNOWN, DUE | {"escalated": True}, 0),
        (State.UNKNOWN, DUE | {"escalated": True, "late_seen": True}, NOW_MS),
        (State.PENDING, DUE, NOW_MS),
        (State.COMMITTED, DUE | VERIFY, NOW_MS),
        (State.COMMITTED, DUE, 0),
        (State.PROPOSED, {}, 0),
        (State.FAILED, {}, 0),
    ],
)
def test_when_a_worker_looks_again(state: State, more: dict[str, Any], at_ms: int) -> None:
    """When the record says, and not before a foreign lease is over; 0 where only somebody else can move it."""
    assert wake_ms(replace(EFFECT, state=state, **more), "me") == at_ms


@pytest.mark.parametrize("state", State)
def test_what_is_open_has_something_still_to_happen_to_it(state: State) -> None:
    """States that are never an end, and ends of which something is left to do."""
    assert is_open(replace(EFFECT, state=state)) is (state in OPEN)
    assert is_open(replace(EFFECT, state=state, next="verify"))
    assert is_open(replace(EFFECT, state=state, unsettled="refund"))
