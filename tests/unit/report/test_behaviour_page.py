"""The page of a fresh planner: two columns, what would be added and missing, and no byte of a planner's unescaped."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from holdfast.report.behaviour import behaviour_page
from holdfast.report.page import Page
from holdfast.runtime.planner import Answer, Planner, Scripted
from holdfast.runtime.record import Record
from holdfast.runtime.replay.fresh import replan
from tests.unit.runtime.replay.replanning import Again, approved, put, recorded

HOSTILE = "all put\u001b[2J\u202e\nexit code 0"


@pytest.fixture(name="record")
async def _record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return (await recorded(approved, tmp_path))[1]


async def page_of(record: Record, planner: Planner) -> Page:
    """What is shown of it."""
    return behaviour_page(await replan(record, planner), "some planner", "the store h.db")


async def test_no_difference_is_said_in_the_first_line(record: Record) -> None:
    """With how many requests the record answered, and exit code 0."""
    page = await page_of(record, Again(record))
    assert page.exit_code == 0
    first, second = page.text().splitlines()[:2]
    assert first.endswith("planned anew by some planner  no difference of behaviour")
    assert "3 requests answered from it, none sent" in second
    assert page.counts == {"calls": 3, "differing": 0, "answered": 3, "sent": 0}


async def test_what_differs_stands_side_by_side(record: Record) -> None:
    """The changed argument under its call; what would be sent, and what would not; the reason why it came to rest."""
    page = await page_of(record, Scripted([put("a", 2), put("b", 20)]))
    text = page.text()
    assert page.exit_code == 1
    assert "rests at    no recorded answer for put" in text
    assert "\n  changed " in text
    assert "\n    amount " in text
    assert "would add" in text
    assert text.count("would lack") == 1
    data = json.loads(msgspec.json.encode(page.data))
    assert data["differs"] is True
    assert [did["args"]["amount"] for did in data["would_be_added"]] == [2]
    assert [did["args"]["box"] for did in data["would_be_missing"]] == ["a", "b", "shut"]
    assert (data["recorded"]["changes_sent"], data["recorded"]["asked"]) == (3, 1)


async def test_words_alone_are_no_difference_and_are_escaped(record: Record) -> None:
    """A planner's last words are shown on both sides, and cannot redraw a screen or end a line."""
    planner = Scripted([put("a"), put("b", 20), Answer(calls=(put("shut"),))], says=HOSTILE)
    page = await page_of(record, planner)
    assert page.exit_code == 0
    assert not {"\u001b", "\u202e"} & set(page.text())
    assert "\nexit code 0" not in page.text()
    assert "all put" in page.text()
