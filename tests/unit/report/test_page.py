"""Pages: signs, exit codes, and the order of the verbs."""

from __future__ import annotations

import pytest

from holdfast.kernel.life import MOVES, VERBS
from holdfast.kernel.model import State
from holdfast.report.effect import Fact, by_verb, effect_page, verb_of, verb_sign
from holdfast.report.page import SIGNS, exit_code, sign
from tests.unit.report.records import NOW_MS, effect

EXPECTED = {
    State.PROPOSED: 4,
    State.WAITING: 4,
    State.ADMITTED: 4,
    State.CLAIMED: 4,
    State.DISPATCHED: 3,
    State.PENDING: 4,
    State.UNKNOWN: 3,
    State.COMMITTED: 0,
    State.FAILED: 1,
    State.VERIFIED: 0,
    State.UNCONFIRMED: 3,
    State.REFUSED: 5,
    State.SUPERSEDED: 5,
    State.COMPENSATED: 0,
    State.ABANDONED: 3,
}


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_sign_and_an_exit_code(state: State) -> None:
    """Each state has one of the agreed symbols, its own word, and its exit code."""
    assert SIGNS[state].symbol in "✓✗?⊘…▶↺—"
    assert SIGNS[state].word == state.value
    assert exit_code(effect(state)) == EXPECTED[state]


def test_done_is_said_only_after_the_agreed_verification() -> None:
    """A committed effect whose verification is still due is neither shown nor answered as done."""
    due = effect(State.COMMITTED, next="verify")
    assert exit_code(due) == 3
    assert sign(due).word == "committed, not verified yet"
    assert exit_code(effect(State.UNCONFIRMED, differs="differs: 2")) == 1


def test_attested_is_said_in_the_sign() -> None:
    """What a person attested is told apart from what the outside acknowledged."""
    assert "attested" in sign(effect(State.COMMITTED, attested_by="ann")).word
    assert "attested" in sign(effect(State.FAILED, attested_by="ann")).word


def fact(kind: str, before: str, after: str) -> Fact:
    """One entry."""
    return Fact(1, kind, before, after, NOW_MS, "w", 0, {})


def test_every_legal_move_belongs_to_a_verb() -> None:
    """Each transition of the state table stands under one of the verbs that may make it."""
    for move in MOVES:
        before = move.before.value if move.before else ""
        allowed = {m.verb for m in MOVES if (m.before, m.after) == (move.before, move.after)}
        assert verb_of(fact("x", before, move.after.value), before) in allowed


def test_a_takeover_stands_under_the_verb_it_serves() -> None:
    """Taking an effect over is part of reconcile while it is in doubt, and of verify once it is committed."""
    life = [
        fact("proposed", "", "proposed"),
        fact("unknown", "dispatched", "unknown"),
        fact("taken", "", ""),
        fact("committed", "unknown", "committed"),
        fact("taken", "", ""),
        fact("checked", "", ""),
    ]
    found = by_verb(life)
    assert [f.kind for f in found["reconcile"]] == ["taken", "committed"]
    assert [f.kind for f in found["verify"]] == ["taken", "checked"]


@pytest.mark.parametrize("state", State)
def test_the_page_shows_all_verbs_in_order(state: State) -> None:
    """A page has the seven verbs in their order, even of a record without a single entry."""
    page = effect_page(effect(state), [], NOW_MS)
    words = [line[0].text.strip() for line in page.lines if line and line[0].text.strip() in VERBS]
    assert words == list(VERBS)
    assert list(page.data["verbs"]) == list(VERBS)


def test_nothing_is_marked_done_without_an_entry() -> None:
    """No verb carries a tick where no entry says that it was done, whatever the record claims."""
    for state in State:
        view = effect(state)
        assert all(verb_sign(verb, view, []).symbol != "✓" for verb in VERBS)
