"""``holdfast schedule``: what the calendar begins, and what a person says of it, from a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run
from holdfast.runtime.schedules import sweep
from holdfast.store import SqliteStore, open_store

FILE = """
[intent]
goal = "send the report"
purpose = "unused"
principal = "clerk"
"""
WHO = ("--as", "ann")
WHY = (*WHO, "--reason", "the holidays")
CRON = ("--cron", "30 2 * * *", "--zone", "Europe/Berlin")
DAY_MS = 86_400_000


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of its own."""
    (tmp_path / "holdfast.toml").write_text('store = "sqlite:h.db"\nenvironment = "prod"\n')
    (tmp_path / "report.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    open_store("sqlite:h.db").close_now()
    return tmp_path


def data(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """One command: its exit code and its data."""
    capsys.readouterr()
    code = run((*words, "--json"))
    return code, json.loads(capsys.readouterr().out)["data"]


def a_day_later(monkeypatch: pytest.MonkeyPatch, desk: Path) -> tuple[str, ...]:
    """What a worker begins a day from now."""
    real = SqliteStore.now_ms

    async def go() -> tuple[str, ...]:
        async with hf.open(f"sqlite:{desk}/h.db", environment="prod") as app:
            with monkeypatch.context() as later:
                later.setattr(SqliteStore, "now_ms", lambda self: real(self) + DAY_MS)
                return (await sweep(app, app.store)).begun

    return asyncio.run(go())


def test_a_schedule_is_added_shown_and_begins_what_it_says(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added from a run file it names its next slots by the zone, and a day later a worker begins one run, once."""
    code, one = data(capsys, "schedule", "add", "report", "report.toml", *CRON, *WHO, "--work", "mail")
    assert (code, one["state"], one["by"], one["intent"]["goal"]) == (0, "on", "ann", "send the report")
    again = data(capsys, "schedule", "add", "report", "report.toml", *CRON, *WHO, "--work", "mail")
    assert again[1]["next"] == one["next"]
    _, shown = data(capsys, "schedule", "next", "report", "--count", "3")
    assert shown["slots"][0] == one["next"]
    assert len(set(shown["slots"])) == 3
    begun = a_day_later(monkeypatch, desk)
    assert len(begun) == 1
    assert a_day_later(monkeypatch, desk) == ()
    _, queued = data(capsys, "queue", "list")
    assert [(job["run"], job["work"]) for job in queued["jobs"]] == [(begun[0], "mail")]
    assert data(capsys, "schedule", "list")[1][0]["last"] == one["next"]


def test_a_schedule_that_is_paused_or_ended_begins_nothing(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused it begins nothing, resumed it goes on, ended it is over; each is recorded with a name and a reason."""
    data(capsys, "schedule", "add", "report", "report.toml", *CRON, *WHO)
    assert data(capsys, "schedule", "pause", "report", *WHY)[1]["state"] == "paused"
    assert a_day_later(monkeypatch, desk) == ()
    assert data(capsys, "schedule", "resume", "report", *WHY)[1]["state"] == "on"
    assert data(capsys, "schedule", "end", "report", *WHY)[1]["reason"] == "the holidays"
    assert a_day_later(monkeypatch, desk) == ()
    assert run(("schedule", "resume", "report", *WHY)) != 0
    assert data(capsys, "schedule", "list") == (0, [])
    assert data(capsys, "schedule", "list", "--all")[1][0]["state"] == "ended"
    assert data(capsys, "schedule", "add", "report", "report.toml", *CRON, *WHO)[1]["state"] == "ended"
    assert run(("schedule", "add", "report", "report.toml", *CRON, *WHO)) == 1
    assert "it has ended, and nothing brings it back: add it under another name" in capsys.readouterr().out


def test_what_names_no_slot_or_no_schedule_is_refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong expression, a zone that is none, and a name that nobody gave are said, and nothing is recorded."""
    assert run(("schedule", "add", "report", "report.toml", "--cron", "61 * * * *", *WHO)) == 2
    said = capsys.readouterr().err
    assert '--cron: "61 * * * *" is no cron expression: bad minute' in said
    assert "JSON" not in said
    assert run(("schedule", "add", "report", "report.toml", "--cron", "0 * * * *", "--zone", "Europe/Bonn", *WHO)) == 2
    assert data(capsys, "schedule", "list") == (0, [])
    assert run(("schedule", "pause", "report", *WHY)) == 2


def test_a_schedule_makes_no_store_where_there_is_none(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is misspelled is said not to be there, by what named it, and none is made."""
    line = ("schedule", "add", "report", "report.toml", *CRON, *WHO, "--store", "sqlite:elsewhere.db")
    assert run(line) == 2
    assert "there is no store at" in (said := capsys.readouterr().err)
    assert "named by --store" in said
    assert not (desk / "elsewhere.db").exists()
