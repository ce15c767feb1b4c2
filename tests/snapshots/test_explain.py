"""The page of an account, as a person sees it: over the story of the screens."""

from __future__ import annotations

import re

import pytest

from tests.snapshots.conftest import Desk
from tests.snapshots.screen import comparable, expect

RULES = (
    (r"<moment>", "<time>"),  # around midnight a moment of the next day has its date
    (r"\d{4}-\d\d-\d\d", "<day>"),
    (r"\b(?:\d+ (?:min|s|ms) ?)+ old", "<span> old"),
    (r"\b[0-9a-f]{12}\b|\b[0-9a-f]{16}\b", "<hash>"),
)


@pytest.mark.req("W5", mutant=None, reason="the page is compared word by word with the kept screen")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("run-explain", "run explain {run}"),
        ("run-explain-effect", "run explain {run} --effect {waiting}"),
        ("run-explain-unknown-effect", "run explain {run} --effect ef_zz"),
    ],
)
def test_screen_of_an_account(desk: Desk, name: str, line: str) -> None:
    """Six questions with their sentences and entries; asked about one effect, its decision record as well."""
    seen = comparable(desk.type(line), desk.home)
    for pattern, instead in RULES:
        seen = re.sub(pattern, instead, seen)
    expect(name, seen)


def test_hostile_text_stays_in_its_frame_on_the_page_of_an_account(desk: Desk) -> None:
    """Escape sequences, direction marks, line ends and frame ends of a planner are shown by their codes."""
    for line in ("run explain {run}", "run explain {run} --effect {waiting}"):
        seen = desk.type(line)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\u2800]", seen)
        assert not re.search(r"^✓ verified", seen, re.MULTILINE)
        assert seen.count("«") == seen.count("»")
