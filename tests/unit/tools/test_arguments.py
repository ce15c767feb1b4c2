"""Arguments: what a planner wrote becomes what is recorded, or is refused with every problem named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel.errors import BadArguments, BadValue, TooLarge
from holdfast.tools.arguments import MAX_ARGUMENT_BYTES, SHOWN_PROBLEMS, Arguments, schema_problems

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "amount": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "extra": {},
        "when": {"type": "string", "format": "date-time", "default": "2026-01-01T00:00:00Z"},
    },
    "required": ["to", "amount"],
}
CHECK = Arguments("pay", SCHEMA)


def refused(args: Any) -> tuple[str, ...]:
    with pytest.raises(BadArguments) as caught:
        CHECK.check(args)
    assert caught.value.tool == "pay"
    return caught.value.problems


def test_defaults_are_filled_in_and_the_caller_keeps_nothing() -> None:
    """The result is whole; neither later changes of what came in nor another call's default reach it."""
    tags = ["a"]
    taken = CHECK.check({"to": "x", "amount": 1.0, "tags": tags})
    tags.append("b")
    assert taken == {"to": "x", "amount": 1, "tags": ["a"], "when": "2026-01-01T00:00:00Z"}
    assert type(taken["amount"]) is int
    CHECK.check({"to": "x", "amount": 1})["tags"].append("leak")
    assert CHECK.check({"to": "x", "amount": 1})["tags"] == []


def test_unknown_argument_is_refused_with_the_nearest_name() -> None:
    """Even where the schema itself is open, only listed arguments are taken in."""
    assert refused({"to": "x", "amuont": 2, "amount": 1}) == ('unknown argument "amuont" (did you mean amount?)',)


def test_every_problem_is_named_at_once_with_its_place() -> None:
    """Missing, mistyped and out-of-range arguments appear in one error."""
    problems = refused({"amount": "5", "tags": ["a", 7], "zzz": 1})
    assert problems[0] == 'unknown argument "zzz"'
    assert 'missing argument "to"' in problems
    assert any(p.startswith("$.amount: ") for p in problems)
    assert any(p.startswith("$.tags[1]: ") for p in problems)


def test_true_is_no_integer_and_a_malformed_date_is_no_date() -> None:
    """JSON types are kept apart, and formats are checked."""
    assert refused({"to": "x", "amount": True})[0].startswith("$.amount: ")
    assert refused({"to": "x", "amount": 1, "when": "tomorrow"})[0].startswith("$.when: ")


@pytest.mark.parametrize("args", [None, [], "to=x", 5])
def test_arguments_that_are_no_object_are_refused(args: object) -> None:
    """A list or a text of arguments is refused with its type."""
    assert type(args).__name__ in refused(args)[0]


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        (math.nan, "$.extra", "NaN"),
        (math.inf, "$.extra", "Infinity"),
        (2**53, "$.extra", "2^53"),
        ("\ud800", "$.extra", "surrogate"),
        ({1: 2}, "$.extra[", "must be text"),
        ({"a": object()}, "$.extra.a", "no JSON form"),
        ([[1, {"b": -(2**60)}]], "$.extra[0][1].b", "2^53"),
    ],
)
def test_value_without_an_exact_form_is_refused_with_its_path(value: object, path: str, why: str) -> None:
    """What JSON readers would read differently is refused where it stands."""
    with pytest.raises(BadValue) as caught:
        CHECK.check({"to": "x", "amount": 1, "extra": value})
    assert caught.value.path.startswith(path)
    assert why in caught.value.why


def test_key_that_is_not_text_is_refused() -> None:
    """An argument's name is text."""
    with pytest.raises(BadValue) as caught:
        CHECK.check({"to": "x", "amount": 1, 5: 1})
    assert "must be text" in caught.value.why


def test_ten_megabytes_of_arguments_are_too_large() -> None:
    """The limit is 256 KiB by default, it is exact, and the error names the tool."""
    with pytest.raises(TooLarge) as caught:
        CHECK.check({"to": "x" * 10_000_000, "amount": 1})
    assert "pay" in caught.value.what
    assert caught.value.limit_bytes == MAX_ARGUMENT_BYTES == 262_144
    small = {"to": "x", "amount": 1, "tags": [], "when": "2026-01-01T00:00:00Z"}
    size = len(b'{"amount":1,"tags":[],"to":"x","when":"2026-01-01T00:00:00Z"}')
    assert CHECK.check(small, max_bytes=size) == small
    with pytest.raises(TooLarge):
        CHECK.check(small, max_bytes=size - 1)


def test_argument_that_contains_itself_is_refused() -> None:
    """A value that unfolds for ever ends in an error, not in a hang."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises((BadValue, TooLarge)):
        CHECK.check({"to": "x", "amount": 1, "extra": loop})


def test_problems_are_bounded() -> None:
    """A thousand wrong arguments are not listed a thousand times."""
    problems = refused({f"bad{i}": i for i in range(1000)})
    assert len(problems) == SHOWN_PROBLEMS + 1
    assert problems[-1] == "and 982 more"


def test_long_value_is_shown_only_in_part() -> None:
    """An error does not repeat a page of what a planner wrote."""
    problem = refused({"to": ["y" * 5_000], "amount": 1})[0]
    assert len(problem) < 300


def test_hostile_pattern_ends() -> None:
    """A pattern that would backtrack for ages refuses the value instead of hanging."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^(?=(a+)+$)(a|aa)+\1$"}}}
    with pytest.raises(BadArguments):
        Arguments("t", schema).check({"a": "a" * 60 + "!"})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"a": {"type": "strin"}}},
        {"type": "object", "properties": {"a": {"maximum": 2**60}}},
        {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}},
        {"type": "object", "properties": []},
        {"$ref": "#/$defs/x"},
    ],
)
def test_schema_that_cannot_judge_is_refused(schema: dict[str, Any]) -> None:
    """Broken references, unknown types, inexact numbers and defaults that do not fit are problems."""
    assert schema_problems(schema)


def test_schema_reads_no_file(tmp_path: Path) -> None:
    """A reference leads nowhere outside the schema, not even to a file that is there."""
    there = tmp_path / "there.json"
    there.write_text('{"type": "string"}', encoding="utf-8")
    assert schema_problems({"type": "object", "properties": {"a": {"$ref": there.as_uri()}}})


def test_sound_schema_has_no_problems() -> None:
    """The search for problems finds none in a schema that has none."""
    assert schema_problems(SCHEMA) == ()
