"""What counts as an occurrence of a value, and what stands in its place."""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.canon import encode
from holdfast.kernel.standin import STAND_IN, StandIns, fold, holds_stand_in, is_stand_in, why_not

SECRET = b"s" * 32
STREET = "12 Elm Straße"
NAME = StandIns(SECRET, [STREET]).names[0]
PLAIN = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))
VALUES = st.text(PLAIN, min_size=6, max_size=30).filter(
    lambda text: not why_not(text) and not unicodedata.combining(text.strip()[0])
)


@pytest.mark.parametrize(
    "written",
    [
        STREET,
        "12 ELM STRASSE",
        "12 elm straße",
        "12  Elm\nStraße",
        "12\u00a0Elm Stra\u00adße",
        unicodedata.normalize("NFD", "12 Elm Straße"),
        json.dumps(STREET)[1:-1],
        quote(STREET),
        "12+Elm+Stra%C3%9Fe",
    ],
)
def test_a_value_is_found_however_it_is_spelled(written: str) -> None:
    """Case, composition, blanks, invisible characters, JSON and URLs: one stand-in, and the rest is left alone."""
    said = StandIns(SECRET, [STREET]).text(f"Send it to {written}, please.")
    assert said == f"Send it to {NAME}, please."
    assert StandIns(SECRET, [written]).names == (NAME,) or "%" in written or "\\" in written or "+" in written


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        ("Ann", "Ann asked the planner about Annapolis", "planner about Annapolis"),
        ("4711", "customer 4711, order 47110, x4711", "47110, x4711"),
        (4711, "customer:4711 and 14711.5", "14711.5"),
        ("cafe00", "cafe001 is no cafe00", "cafe001 is no "),
        ("田中", "田中さん", "さん"),
    ],
)
def test_short_values_and_digits_are_words_of_their_own(value: Any, text: str, left: str) -> None:
    """A short name is not taken out of longer words, nor a number out of longer ones."""
    said = StandIns(SECRET, [value]).text(text)
    assert said != text
    assert left in said


def test_numbers_and_structures_are_replaced_whole_and_their_parts_elsewhere() -> None:
    """An address that is an object has one stand-in; the street in it has one of its own where it stands alone."""
    address = {"street": "Oak Road 5", "zip": 90210, "floor": 3}
    stand = StandIns(SECRET, [address])
    said = stand.plain({"to": address, "note": "Oak Road 5", "zip": 90210, "floor": 3}, numbers=True)
    assert is_stand_in(said["to"])
    assert is_stand_in(said["note"])
    assert is_stand_in(said["zip"])
    assert said["floor"] == 3, "too short to be a value of its own"
    assert len({said["to"], said["note"], said["zip"]}) == 3
    assert stand.plain({"zip": 90210}) == {"zip": 90210}, "an amount of the record's own"
    assert stand.plain({"Oak Road 5": 1}, keys=True) == {said["note"]: 1}


def test_what_stands_there_already_is_left_alone() -> None:
    """A stand-in is no text: later redactions go on beside it."""
    other = StandIns(SECRET, ["redacted", "0123456789"])
    text = f"{NAME} was redacted as 0123456789"
    assert other.text(text).startswith(f"{NAME} was redacted:")
    assert holds_stand_in({"args": [text]})
    assert not holds_stand_in({"args": ["redacted:", 1, None]})


@pytest.mark.parametrize("value", [None, True, "", "  ", "ab", 12, [], {"a": "b"}, [True], NAME, f"to {NAME}"])
def test_what_says_nothing_about_anybody_is_refused(value: Any) -> None:
    """Too short, true, empty, or a stand-in already: each with a reason."""
    assert why_not(value)


@given(VALUES, VALUES, st.sampled_from(["", " ", ", ", "\n"]))
def test_a_value_is_gone_from_every_text_that_held_it(value: str, around: str, between: str) -> None:
    """Folded as the value is, nothing of it is left; doing it again changes nothing; the quick look never misses it."""
    stand = StandIns(SECRET, [value])
    text = f"{around}{between}{value.strip()}{between}{around}"
    said = stand.text(text)
    if said == text:  # a word that is part of a longer one
        assert len(fold(value).strip()) < 6 or set(fold(value).strip()) <= set("0123456789abcdef.+-")
        return
    assert stand.maybe(encode({"text": text}).decode())
    assert stand.text(said) == said
    bare = STAND_IN.sub("\0", said)
    assert fold(value).strip() not in fold(bare) or set(fold(value).strip()) <= set("0123456789abcdef.+-")


@given(VALUES)
def test_stand_ins_are_keyed_and_stable(value: str) -> None:
    """The same value under the same secret is the same name, under another secret another."""
    first, again, other = (StandIns(secret, [value]).names for secret in (SECRET, SECRET, b"t" * 32))
    assert first == again != other
    assert all(map(is_stand_in, first))
