"""What of a commit is decided by pure functions: which changes rest on the clock, and which places they move."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from holdfast.kernel.amounts import Money
from holdfast.kernel.commit import Applied, Change, Note, asked, counted_in, needs_a_sound_clock
from holdfast.kernel.guard import Fact, Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import State
from holdfast.store.memory import MemoryStore
from tests.unit.kernel.records import EFFECT, NOW_MS, RUN


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


def logged(change: Change) -> list[tuple[str, dict[str, Any]]]:
    """Kind and body of every entry that a change leaves, in a store with one open run."""
    store = MemoryStore(lambda: NOW_MS, secret=b"s")
    face = store.face("w")
    assert isinstance(face.commit_now(Change(run=RUN.id, opens=RUN, notes=(Note(kind="intent", by="w"),))), Applied)
    before = len(store.durable.entries)
    assert isinstance(face.commit_now(change), Applied)
    return [(entry.kind, msgspec.json.decode(entry.body or b"{}")) for entry in store.durable.entries[before:]]


def test_whatever_is_set_beside_the_entries_is_named_by_one() -> None:
    """Amended terms, the end of a run and facts can be derived from the log: the first note carries what was set."""
    note = Note(kind="amended", by="ann", body={"reason": "more time"})
    amends: tuple[tuple[str, Any], ...] = (("priority", 3),)
    assert logged(Change(run=RUN.id, notes=(note,), amends=amends)) == [
        ("amended", {"reason": "more time", "amends": {"priority": 3}})
    ]
    assert logged(Change(run=RUN.id, notes=(note, note), ends=("stopped", "enough"))) == [
        ("amended", {"reason": "more time", "ends": ["stopped", "enough"]}),
        ("amended", {"reason": "more time"}),
    ]
    ((kind, body),) = logged(Change(run=RUN.id, facts=(Fact(scope="halt:store", raised=True, by="ann"),)))
    assert (kind, body["facts"]["halt:store"]["epoch"]) == ("sets", 1)
    assert logged(Change(run=RUN.id, notes=(note,))) == [("amended", {"reason": "more time"})]


@pytest.mark.parametrize(("deadline_ms", "late_ms"), [(None, 0), (NOW_MS + 5, 0), (NOW_MS, 0), (NOW_MS - 5, 5)])
def test_a_run_says_by_how_much_it_ended_late(deadline_ms: int | None, late_ms: int) -> None:
    """Before its deadline it is not late at all, and never early by some number."""
    store = MemoryStore(lambda: NOW_MS, secret=b"s")
    face = store.face("w")
    note = Note(kind="ended", by="w")
    face.commit_now(Change(run=RUN.id, opens=replace(RUN, deadline_ms=deadline_ms), notes=(note,)))
    face.commit_now(Change(run=RUN.id, notes=(note,), ends=("done", "all there")))
    run = store.durable.runs[RUN.id]
    assert (run.state, run.late_ms) == ("done", late_ms)
