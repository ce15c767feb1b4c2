"""The page of a playback: figures where it is the same, two columns where it is not, and what was not comparable."""

from __future__ import annotations

import pytest

from holdfast.report.replay import replay_page
from holdfast.runtime.replay.compare import Difference
from holdfast.runtime.replay.play import Aside, Played


def test_a_playback_without_divergence_says_so_with_its_figures() -> None:
    """Exit code 0, and zero dispatches by name."""
    page = replay_page(Played(run="ru_1", entries=26, judged=6, answers=1, inputs=2), "the store h.db")
    assert page.exit_code == 0
    assert "✓ no divergence in 26 entries, 6 decisions judged again, 1 answer from tape, 0 dispatches" in page.text()
    assert page.data["same"] is True
    assert page.data["dispatches"] == 0


@pytest.mark.req("1.8a", mutant=None, reason="a page decides nothing; what it shows is planted for in the player")
def test_the_first_divergence_is_shown_in_two_columns() -> None:
    """Expected beside actual, with the entry, the field and what the code did; exit code 1."""
    found = Difference(5, "body.reason", "x" * 70, "a dispatch\x1b[2K")
    page = replay_page(Played(run="ru_1", entries=4, divergence=found, how="a verb ended"), "the bundle b")
    assert page.exit_code == 1
    text = page.text()
    assert "✗ another entry 5" in text
    assert "body.reason" in text
    assert "a verb ended" in text
    left, right = next(line for line in text.splitlines() if line.startswith("  x")).split(" | ")
    assert left.strip() == "x" * 56
    assert right.strip() == "a dispatch\\x1b[2K"
    assert page.data["divergence"]["expected"] == "x" * 70


def test_what_could_not_be_judged_again_is_counted_and_listed() -> None:
    """By reason, with the numbers of the entries."""
    aside = [Aside(3, "admitted", "values were redacted"), Aside(9, "waiting", "values were redacted")]
    page = replay_page(Played(run="ru_1", entries=9, aside=aside), "the store h.db")
    assert "? 2 entries (not comparable): values were redacted (3, 9)" in page.text()
