"""The difference of two states: down to the field, types included, in one order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.harness.world.difference import ABSENT, Difference, at_place, difference, leaves, same

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "a\nb", "~/"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab/~"), inner, max_size=3)
)
STATES = st.dictionaries(st.sampled_from(["t/a", "t/b", "files/x/y.txt"]), VALUES, max_size=3)


def test_a_field_that_changed_is_named_alone():
    """What changed within a record is its field; the rest of the record is not mentioned."""
    before = {"invoices/in_1": {"cents": 1200, "refunded": 0, "lines": [{"n": 1}]}}
    after = {"invoices/in_1": {"cents": 1200, "refunded": 1200, "lines": [{"n": 2}]}}
    found = difference(before, after)
    assert [one.place for one in found] == ["invoices/in_1/lines", "invoices/in_1/refunded"]
    assert str(found[1]) == "invoices/in_1/refunded: 0 → 1200"


def test_a_record_that_is_there_or_gone_is_one_difference():
    """A new record and one that is gone are each one difference, with all that is in them."""
    found = difference({"t/a": {"n": 1}}, {"t/b": {"n": 2}})
    assert found == (Difference("t/a", {"n": 1}, ABSENT), Difference("t/b", ABSENT, {"n": 2}))
    assert [one.kind for one in found] == ["removed", "added"]


def test_types_are_told_apart():
    """One, true, one point nought and the text one are four values."""
    values = [1, True, 1.0, "1", None, [], {}]
    for number, one in enumerate(values):
        for other in values[number + 1 :]:
            assert difference({"t/a": one}, {"t/a": other}), (one, other)


def test_a_text_of_lines_is_shown_by_the_lines_that_differ():
    """A file shows its changed lines, and a long one says how much is left out."""
    one = Difference("files/a.py", "x = 1\ny = 2\n", "x = 1\ny = 3\n")
    assert [line for line in one.lines() if line.strip().startswith(("-", "+"))] == ["  -y = 2", "  +y = 3"]
    long = Difference("files/a.py", ABSENT, "\n".join(map(str, range(100))))
    assert long.lines()[-1].endswith("more lines")
    assert len(long.lines()) < 16


def test_names_of_fields_are_written_as_in_a_pointer():
    """A slash in the name of a field makes no place of its own."""
    (one,) = difference({"t/a": {"x/y": 1}}, {"t/a": {"x/y": 2}})
    assert one.place == "t/a/x~1y"
    assert at_place({"t/a": {"x/y": 2}}, one.place) == 2


@given(STATES, STATES)
def test_every_difference_is_what_the_states_hold_there(before, after):
    """Each difference gives what both states hold at its place, and none is left out."""
    found = difference(before, after)
    assert [one.place for one in found] == sorted({one.place for one in found})
    for one in found:
        assert at_place(before, one.place) is one.before or same(at_place(before, one.place), one.before)
        assert at_place(after, one.place) is one.after or same(at_place(after, one.place), one.after)
        assert not same(one.before, one.after)
    named = [one.place for one in found]
    for place, value in after.items():
        for where, leaf in leaves(place, value):
            if not any(f"{where}/".startswith(f"{name}/") or f"{name}/".startswith(f"{where}/") for name in named):
                assert same(at_place(before, where), leaf)


@given(STATES)
def test_a_state_does_not_differ_from_itself(state):
    """No difference is made up."""
    assert difference(state, dict(state)) == ()
