"""The travel example: four trips, judged by the providers' own books."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.travel import providers
from examples.travel import run as trips

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store, books and a state directory of this test's own; everybody is up."""
    monkeypatch.setenv("TRAVEL_STORE", f"sqlite:{tmp_path / 'trips.db'}")
    monkeypatch.setenv("TRAVEL_BOOKS", str(tmp_path / "books.db"))
    monkeypatch.setenv("TRAVEL_DOWN", "")
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def test_the_program_prints_what_its_readme_says() -> None:
    """Completed, compensated, partly compensated, and gone on with after a death: each beside the books."""
    ended = subprocess.run(
        [sys.executable, "-m", "examples.travel.run"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    said = [line.strip() for line in ended.stdout.splitlines()]
    assert said[0:4:2] == [
        "monday: completed (there: seat, room, pay, mail)",
        "tuesday: compensated (compensated: seat, room; not there: pay; not begun: mail)",
    ]
    assert [line for line in said if line.startswith("books")] == [
        "books: seat, room, payment, mail",
        "books: nothing stands",
        "books: seat, room, payment",
        "books: seat, room, payment, mail",
    ]
    assert "next:  travel desk; told: airline desk, bank, clerk, hotel desk, travel desk" in said


def test_what_is_offset_is_offset_in_reverse_order_in_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank refuses: the room's number is cancelled, then the seat's, as the providers answered them."""
    monkeypatch.setenv("TRAVEL_DOWN", "payment")
    report = asyncio.run(trips.travel("tuesday"))
    assert report.state == "compensated"
    assert providers.lines() == [
        "seat tuesday",
        "room tuesday",
        "cancellation room-tuesday",
        "cancellation seat-tuesday",
    ]


@pytest.mark.parametrize("what", ["seat", "room", "payment", "mail"])
def test_a_process_that_dies_after_a_change_leaves_a_trip_that_another_completes_once(what: str) -> None:
    """Whichever provider did it unheard, the next process finds it and goes on: four lines, each once."""
    died = subprocess.run(
        [sys.executable, "-m", "examples.travel.run", "thursday", what], cwd=ROOT, timeout=60, check=False
    )
    assert died.returncode == 9
    assert asyncio.run(trips.travel("thursday")).state == "completed"
    assert providers.lines() == ["seat thursday", "room thursday", "payment thursday", "mail thursday"]
    assert os.environ["TRAVEL_DOWN"] == ""
