"""The whole difference and the log against what a case allows: what is not named is wrong, wherever it is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.harness.case.allow import fits, taken, touches
from holdfast.harness.case.case import Allow
from holdfast.harness.oracle.allowed import compare
from holdfast.harness.world import change
from holdfast.harness.world.face import Done

BEFORE = {
    "invoices/in_1": {"cents": 1200, "refunded": 0},
    "invoices/in_2": {"cents": 70, "refunded": 0},
    "files/notes.txt": "one\n",
}
REFUND = Allow(place="invoices/in_1/refunded", to=1200)


def changed(*changes: change.Change, before: dict | None = None) -> dict:
    """The state after these changes."""
    state = dict(BEFORE if before is None else before)
    for one in changes:
        value = change.applied(state.get(one.place), one)
        state = {place: kept for place, kept in state.items() if place != one.place}
        if value is not None:
            state[one.place] = value
    return state


def entry(number: int, operation: str, *changes: change.Change, by: str = "tool", key: str = "") -> Done:
    """A line of the world's log, with the changes themselves as its arguments."""
    told = [[one.how, one.place] if one.value is None else [one.how, one.place, one.value] for one in changes]
    places = tuple(dict.fromkeys(one.place for one in changes))
    return Done(
        number=number,
        at_ms=number,
        service="billing",
        operation=operation,
        places=places,
        args={"changes": told},
        by=by,
        key=key or f"k{number}",
    )


def words(after: dict, log: tuple[Done, ...] = (), *allowed: Allow, forbidden: tuple[str, ...] = ()) -> tuple[str, str]:
    """State and forbidden, as words."""
    both = compare(BEFORE, after, log, allowed=allowed, forbidden=forbidden)
    return both.state.word, both.forbidden.word


FIRST = change.merge("invoices", "in_1", {"refunded": 1200})
MAIL = change.put("outbox", "m_1", {"to": "ada"})


def test_the_change_that_is_allowed_passes():
    """One change that has to be there, is there, and nothing else."""
    assert words(changed(FIRST), (entry(1, "refund", FIRST),), REFUND) == ("pass", "pass")


@pytest.mark.req("3.2a", mutant="only-the-goal-is-looked-at")
@pytest.mark.parametrize(
    "more",
    [
        change.merge("invoices", "in_2", {"refunded": 70}),
        change.merge("invoices", "in_1", {"cents": 0}),
        change.remove("invoices", "in_2"),
        change.write_file("notes.txt", "two\n"),
        change.put("users", "u_1", {"admin": True}),
    ],
    ids=lambda more: f"{more.how}-{more.place}",
)
def test_a_change_beside_the_goal_fails(more):
    """The goal is reached, and something else changed: whatever it is, that fails."""
    assert words(changed(FIRST, more), (entry(1, "x", FIRST, more),), REFUND) == ("pass", "fail")


def test_what_had_to_be_done_and_is_not_fails_with_what_is_there():
    """A change that is missing, or that made another value, is told with both values."""
    assert words(dict(BEFORE), (), REFUND) == ("fail", "pass")
    wrong = compare(BEFORE, changed(change.merge("invoices", "in_1", {"refunded": 12})), (), allowed=(REFUND,))
    assert wrong.state.reason == "invoices/in_1/refunded had to be 1200; it was 0 and is 12"
    assert wrong.forbidden.word == "fail"


@pytest.mark.req("3.2a", mutant="a-repeat-leaves-no-trace")
def test_a_double_effect_behind_an_equal_end_is_noticed():
    """Two refunds that leave the state of one are two: the world's log says so, under two keys."""
    twice = (entry(1, "refund", FIRST), entry(2, "refund", FIRST))
    found = compare(BEFORE, changed(FIRST), twice, allowed=(REFUND,)).forbidden
    assert found.word == "fail"
    assert "2 times" in found.reason
    assert "under 2 keys" in found.seen[0]
    assert words(changed(FIRST), twice, Allow(place=REFUND.place, to=1200, most=2)) == ("pass", "pass")


@pytest.mark.req("3.2a", mutant="what-was-put-back-was-nothing")
def test_a_change_that_was_put_back_is_noticed():
    """A place that is as it was, and was something else in between, was changed."""
    away, back = change.merge("invoices", "in_2", {"cents": 0}), change.merge("invoices", "in_2", {"cents": 70})
    log = (entry(1, "refund", FIRST), entry(2, "edit", away), entry(3, "edit", back))
    assert words(changed(FIRST), log, REFUND) == ("pass", "fail")
    may = Allow(place="invoices/in_2/cents", must=False, most=2)
    assert words(changed(FIRST), log, REFUND, may) == ("pass", "pass")
    assert words(changed(FIRST), log, REFUND, may, forbidden=("invoices/in_2/**",)) == ("pass", "fail")


def test_a_field_written_as_it_was_is_no_change():
    """A tool that writes a whole row writes some fields as they are; that changes nothing."""
    whole = change.merge("invoices", "in_1", {"refunded": 1200, "cents": 1200})
    assert words(changed(whole), (entry(1, "refund", whole),), REFUND) == ("pass", "pass")


def test_a_forbidden_pattern_goes_before_an_allowed_one():
    """What is forbidden fails, although an allowed change covers it."""
    allowed = Allow(place="invoices/*/refunded")
    assert words(changed(FIRST), (), allowed, forbidden=("invoices/in_1/*",)) == ("pass", "fail")
    gone = changed(change.remove("invoices", "in_2"))
    may = Allow(place="invoices/in_2", gone=True)
    assert words(gone, (), may, forbidden=("invoices/*/cents",)) == ("pass", "fail")
    assert words(gone, (), may) == ("pass", "pass")


def test_each_difference_counts_for_one_allowed_change():
    """Two changes that have to be there are two differences, whichever pattern is written first."""
    other = change.put("outbox", "m_2", {"to": "bob"})
    wide, exact = Allow(place="outbox/*"), Allow(place="outbox/*", to={"to": "ada"})
    for allowed in ((wide, exact), (exact, wide)):
        assert words(changed(MAIL, other), (), *allowed) == ("pass", "pass")
        assert words(changed(MAIL), (), *allowed) == ("fail", "pass")
        assert words(changed(other), (), *allowed) == ("fail", "pass")
    three = changed(MAIL, other, change.put("outbox", "m_3", {"to": "eve"}))
    assert words(three, (), wide, exact) == ("pass", "fail")
    assert words(three, (), Allow(place="outbox/*", most=0)) == ("pass", "pass")


def test_what_somebody_else_did_is_not_held_against_the_run():
    """A change that the log gives to another actor passes; the same change with another value does not."""
    theirs = change.merge("invoices", "in_2", {"cents": 0})
    log = (entry(1, "refund", FIRST), entry(2, "edit", theirs, by="bob"))
    assert words(changed(FIRST, theirs), log, REFUND) == ("pass", "pass")
    other = change.merge("invoices", "in_2", {"cents": 5})
    assert words(changed(FIRST, other), log, REFUND) == ("pass", "fail")
    both = (*log, entry(3, "edit", theirs))
    assert words(changed(FIRST, theirs), both, REFUND) == ("pass", "fail")


def test_what_somebody_else_did_has_to_stay():
    """Another actor's change that is gone, and no entry says why, is noticed; one that was written over is not."""
    theirs = change.merge("invoices", "in_2", {"cents": 0})
    log = (entry(1, "edit", theirs, by="bob"), entry(2, "refund", FIRST))
    assert words(changed(FIRST, theirs), log, REFUND) == ("pass", "pass")
    lost = compare(BEFORE, changed(FIRST), log, allowed=(REFUND,)).forbidden
    assert (lost.word, lost.reason) == ("fail", "bob made invoices/in_2/cents 0, and it is 70; no entry says why")
    later = change.merge("invoices", "in_2", {"cents": 70})
    assert words(changed(FIRST), (*log, entry(3, "edit", later, by="eve")), REFUND) == ("pass", "pass")


def test_patterns_name_parts_of_places():
    """A star stays within its part, two stars take any number; what is below what is named is taken with it."""
    assert taken("invoices/*/refunded", "invoices/in_1/refunded") == "invoices/in_1/refunded"
    assert taken("invoices/*", "invoices/in_1/refunded") == "invoices/in_1"
    assert taken("invoices/*/refunded", "invoices/in_1") is None
    assert taken("files/*.py", "files/src/a.py") is None
    assert taken("files/**", "files/src/a.py") == "files/src/a.py"
    assert taken("files/**/a.py", "files/src/deep/a.py") == "files/src/deep/a.py"
    assert taken("files/a?[1]", "files/a?[1]") is not None
    assert taken("files/a?", "files/ab") is None
    assert touches("invoices/*/refunded", "invoices/in_1")
    assert not touches("invoices/*/refunded", "outbox/m_1")


def test_values_fit_to_the_field():
    """A star fits anything, also within a value; all else fits itself, fields and types included."""
    assert fits({"to": "*", "n": 1}, {"to": "ada", "n": 1})
    assert not fits({"to": "*"}, {"to": "ada", "n": 1})
    assert not fits({"n": 1}, {"n": True})
    assert fits([1, "*"], [1, {"x": None}])


PLACES = ["t/a", "t/b", "u/a"]
ALLOWS = st.builds(
    Allow,
    place=st.sampled_from(["t/a", "t/b", "t/*", "*/a", "u/*", "**"]),
    to=st.sampled_from(["*", 1, 2]),
    must=st.booleans(),
    most=st.integers(0, 2),
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(PLACES), st.sampled_from([1, 2])), st.lists(ALLOWS, max_size=4))
def test_the_assignment_is_the_best_there_is(after, allowed):
    """Patterns that overlap are given differences so that as much is covered as can be: as by trying every way."""
    both = compare({}, after, (), allowed=allowed)
    ways = []
    for way in itertools.product([None, *range(len(allowed))], repeat=len(after)):
        pairs = list(zip(after.items(), way, strict=True))
        fitting = all(
            number is None or (taken(allowed[number].place, place) and fits(allowed[number].to, value))
            for (place, value), number in pairs
        )
        within = all(allow.most == 0 or way.count(number) <= allow.most for number, allow in enumerate(allowed))
        if fitting and within:
            met = all(not allow.must or number in way for number, allow in enumerate(allowed))
            ways.append((met, None not in way))
    assert (both.state.word == "pass") == any(met for met, _ in ways)
    assert (both.forbidden.word == "pass") == any(whole for _, whole in ways)
