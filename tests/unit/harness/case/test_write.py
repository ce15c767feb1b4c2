"""A case written back: what reads back as the same, and what says that it cannot."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.harness.case import toml
from holdfast.harness.case.load import loads
from holdfast.harness.case.parts import FromData
from holdfast.harness.case.write import span, written
from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.play import play
from holdfast.harness.play.scripts import Careful, Script
from holdfast.runtime.planner import Proposed
from tests.unit.harness.case.refunds import CLOSED, REFUND, case
from tests.unit.harness.case.test_load import TEXT

PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(max_size=6), PLAIN)
def test_whatever_is_written_reads_back(name, value):
    """Any plain data with any key comes out of a TOML reader as it went in, on lines that print as themselves."""
    said = toml.line(name, value)
    assert tomllib.loads(said) == {name: value}
    assert all(char.isprintable() or char == "\n" for char in said)


def test_null_is_written_as_json():
    """TOML has no null: a table with one is a text that holds JSON."""
    assert toml.json_where_needed({"a": None}) == '{"a": null}'
    with pytest.raises(ValueError, match="no null"):
        toml.inline([None])


@pytest.mark.parametrize("number", [0, 1])
def test_a_case_from_a_file_reads_back_as_it_was(number):
    """A case that came from TOML is written as TOML that makes the same case, and plays to the same bytes."""
    from holdfast.harness.play.bundle import bundle, digest

    one = loads(TEXT)[number]
    again = loads(written(one))[0]
    assert written(again) == written(one)
    assert replace(again, origin="", tools=one.tools, planner=one.planner) == replace(one, origin="")
    assert digest(bundle(play(replace(again, origin=one.origin)))) == digest(bundle(play(one)))


def test_a_case_in_python_is_written_by_the_names_of_its_parts():
    """World and tools are named by module and function, a script by its calls, faults as they are."""
    one = case(REFUND, Proposed("refund", {"invoice": None}), faults=(Fault(kind="lost reply", nth=2, by_ms=90_000),))
    text = written(one)
    assert 'make = "tests.unit.harness.case.refunds:world"' in text
    assert 'tools = "tests.unit.harness.case.refunds:tools"' in text
    assert '{ tool = "refund", args = \'' not in text
    assert 'by = "90s"' in text
    again = loads(text)[0]
    assert again.planner.turns == one.planner.turns
    assert again.faults == one.faults
    assert again.allowed == one.allowed


def test_a_careful_script_stays_careful():
    """A script that reads what became of its calls is written as one, and stops where one did not come out."""
    one = replace(case(policy=CLOSED), planner=Careful([REFUND], says="Refunded in_1."))
    assert "careful = true" in written(one)
    again = loads(written(one))[0]
    assert play(again).says.startswith("I stopped. The call of refund is refused")


def test_a_part_without_a_name_is_marked():
    """A function that nobody can name is marked by a line, and the rest is written."""
    text = written(replace(case(), tools=lambda world: [], planner=lambda world: Script([REFUND], says="x")))
    assert "# tools: " in text
    assert "no name that a file could give" in text
    assert "script = [" in text  # a script is one, whoever made it


def test_a_world_of_rows_with_null_reads_back():
    """Rows that TOML cannot say are written as JSON, all tables together."""
    world = FromData(given={"tables": {"t": {"a": {"n": None}}, "u": {"b": {"n": 1}}}, "files": {"x.txt": "1\n2\n"}})
    again = loads(written(replace(case(), world=world)))[0]
    assert again.world.given == world.given


def test_spans_are_whole_numbers_of_their_unit():
    """A span is written in the largest unit that fits it."""
    assert [span(ms) for ms in (86_400_000, 5_400_000, 90_000, 1_500, 0)] == ["1d", "90m", "90s", "1500ms", "0d"]
