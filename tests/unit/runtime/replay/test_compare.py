"""Comparing entries: whole, in order, down to the field; and which readings of the clock could explain a number."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.kernel.canon import encode
from holdfast.runtime.replay.compare import Difference, first_difference, instants
from holdfast.store.evidence import Entry, seal


def entry(**given: Any) -> Entry:
    """An entry with this body and these fields."""
    body = given.pop("body", {})
    fields: dict[str, Any] = {
        "run": "ru_1", "seq": 1, "prev": "", "tenant": "main", "effect": "ef_1", "kind": "claimed",
        "before": "admitted", "after": "claimed", "at_ms": 1_000, "by": "w1", "token": 1,
    }  # fmt: skip
    return seal(**(fields | given), salt=bytes(16), body=encode(body))


@pytest.mark.req("1.8a", mutant="a-playback-without-times")
@pytest.mark.parametrize(
    ("then", "now", "field"),
    [
        ({"by": "w1"}, {"by": "w2"}, "by"),
        ({"token": 1}, {"token": 2}, "token"),
        ({"body": {"until_ms": 5}}, {"body": {"until_ms": 6}}, "body.until_ms"),
        ({"body": {"a": [1, {"b": 2}]}}, {"body": {"a": [1, {"b": 3}]}}, "body.a[1].b"),
        ({"body": {"a": 1}}, {"body": {}}, "body.a"),
        ({"body": {"a": True}}, {"body": {"a": 1}}, "body.a"),
    ],
)
def test_the_first_field_that_differs_is_named(then: dict[str, Any], now: dict[str, Any], field: str) -> None:
    """Nothing is left out of the comparison: author, token, times and the type of a value count."""
    found = first_difference(7, [entry(**then)], [entry(**now)])
    assert found is not None
    assert (found.number, found.field) == (7, field)


def test_entries_that_are_too_many_or_none_are_a_difference() -> None:
    """What the code appends beyond the record differs, and so does nothing at all."""
    assert first_difference(1, [entry()], [entry(), entry()]) == Difference(
        2, "entry", "(nothing)", "claimed admitted → claimed of ef_1 by w1"
    )
    missing = first_difference(1, [entry()], [])
    assert missing is not None
    assert missing.actual == "(nothing)"
    assert first_difference(1, [entry()], [entry()]) is None


def test_readings_are_as_far_off_as_a_number_is() -> None:
    """An instant in a body, and a span in words, each name the reading that would make up the difference."""
    assert 990 in instants(1_000, [entry(body={"until_ms": 1_490})], [entry(body={"until_ms": 1_500})])
    words = [entry(body={"why": f"stale {ms} ms ago: read again"}) for ms in (20, 25)]
    assert 995 in instants(1_000, words[:1], words[1:])
    assert instants(1_000, [entry()], [entry()]) == []
