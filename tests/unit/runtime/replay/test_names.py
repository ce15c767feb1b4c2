"""The names of a record: paired with data when they are first met, and one to one from then on."""

from __future__ import annotations

import pytest

from holdfast.kernel.canon import keyed
from holdfast.runtime.replay.names import Names


@pytest.mark.req("1.8a", mutant="a-playback-that-gives-any-name")
def test_a_name_that_is_taken_is_no_other_datas() -> None:
    """The first data that is asked for has the recorded name; other data has one that is in no record."""
    names = Names()
    names.expected = {"key": ("k1",)}
    assert keyed(names, "key", b"one") == "k1"
    other = keyed(names, "key", b"other")
    assert other != "k1"
    assert len(other) == 64


def test_the_same_data_has_the_same_name_whatever_is_expected_next() -> None:
    """A name that was met is kept."""
    names = Names()
    names.expected = {"key": ("k1",)}
    keyed(names, "key", b"one")
    names.expected = {"key": ("k2",)}
    assert keyed(names, "key", b"one") == "k1"
    assert keyed(names, "args", b"one") != "k1"


def test_what_was_paired_by_a_reading_that_did_not_fit_is_forgotten() -> None:
    """Going back to a mark frees the name for other data."""
    names = Names()
    names.expected = {"key": ("k1",)}
    mark = names.met
    keyed(names, "key", b"wrong")
    names.back_to(mark)
    assert not names.taken("key", "k1")
    assert keyed(names, "key", b"right") == "k1"
