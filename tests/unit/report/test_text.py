"""Text of others: what is shown stays on its line and in its frame, whatever it holds."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.report.text import JsonText, escaped, framed, framed_json, iso, seen_from, span, when

ANY_TEXT = st.text(st.characters(), max_size=60)
WILD = st.text(
    st.sampled_from("ab\\«»\n\r\t\x1b[]\x07\u202e\u2066\u200b\u2028\u2800\u3164\u0301\ud800\x85/é漢"), max_size=40
)


def shows_itself(text: str) -> bool:
    """Whether no character of a text moves, hides or turns anything."""
    return text.isprintable() and not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in text
    )


@settings(deadline=None)
@given(ANY_TEXT | WILD)
def test_framed_text_stays_in_its_frame(text: str) -> None:
    """One opening and one closing mark, nothing but visible characters between them, for every text."""
    shown = framed(text, limit=10_000)
    assert shown[0] == "«" and shown[-1] == "»"
    assert shows_itself(shown)
    assert "«" not in shown[1:] and "»" not in shown[:-1]


@settings(deadline=None)
@given(WILD, WILD)
def test_two_texts_are_never_shown_alike(one: str, other: str) -> None:
    """What is shown tells two texts apart: a backslash in the text is not taken for an escape."""
    assert (escaped(one) == escaped(other)) == (one == other)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=6
    )
)
def test_framed_json_is_still_the_same_json(value: object) -> None:
    """A framed JSON value is JSON of the same value, with more of it written as codes."""
    shown = framed_json(value, limit=100_000)
    assert shows_itself(shown)
    assert json.loads(shown[1:-1]) == value


def test_recorded_json_is_framed_as_it_is() -> None:
    """Text that is JSON already is not quoted a second time."""
    assert framed_json(JsonText('{"a":"\u202eb»"}')) == '«{"a":"\\u202eb\\u00bb"}»'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("in_7", "in_7"),
        ("[red]paid[/red]", "[red]paid[/red]"),
        ("a\nb", "a\\nb"),
        ("a\\nb", "a\\\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202etxt", "\\u202etxt"),
        ("\u2800x\u3164", "\\u2800x\\u3164"),
        ("«»", "\\xab\\xbb"),
        ("ünïcode 漢字", "ünïcode 漢字"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    """Characters that print as themselves stay; all others are shown by their codes."""
    assert escaped(text) == shown


def test_marks_do_not_pile_up() -> None:
    """A letter carries at most two combining marks; the rest are codes."""
    assert escaped("a" + "\u0301" * 4) == "a\u0301\u0301\\u0301\\u0301"


def test_clipping_is_said_outside_the_frame() -> None:
    """A clipped text says how long it was, where the text itself cannot imitate it."""
    assert framed("x" * 11, limit=10) == "«xxxxxxxxxx»… (11 characters)"


@pytest.mark.parametrize(
    ("length_ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (61_000, "1 min 1 s"),
        (7_260_000, "2 h 1 min"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_spans(length_ms: int, words: str) -> None:
    """A length of time is given in its two largest units."""
    assert span(length_ms) == words


def test_moments() -> None:
    """Moments are UTC with milliseconds, none is a dash, and both directions have their words."""
    assert when(1_000) == "1970-01-01 00:00:01.000Z"
    assert iso(1_000) == "1970-01-01T00:00:01.000Z"
    assert when(0) == "—"
    assert when(10**18).endswith(" ms")
    assert seen_from(2_000, 1_000) == "in 1 s"
    assert seen_from(1_000, 2_000) == "1 s ago"
