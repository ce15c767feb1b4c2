"""``holdfast submit`` and ``holdfast queue``: what waits, what is dead, and what a person decides, from a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run
from tests.unit.runtime.worker.floor import Raises

CONFIG = """
store = "sqlite:queue.db"
environment = "prod"

[limits.runs]
tries = 1
owner = "post room"
"""
FILE = """
[intent]
goal = "send the letters"
purpose = "letters of {0}"
principal = "clerk"
"""
WHY = ("--as", "ann", "--reason", "looked at it")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of its own, with two run files."""
    (tmp_path / "holdfast.toml").write_text(CONFIG)
    for day in ("monday", "tuesday"):
        (tmp_path / f"{day}.toml").write_text(FILE.format(day))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


WORDS = ("queued", "due", "later", "waiting", "driven", "claimed")


def data(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """One command: its exit code and its data."""
    capsys.readouterr()
    code = run((*words, "--json"))
    return code, json.loads(capsys.readouterr().out)["data"]


def worked(desk: Path) -> None:
    """A worker whose planner raises drives what is due."""

    async def go() -> None:
        limits = hf.Limits(runs=hf.Runs(tries=1, owner="post room"))
        async with hf.open(f"sqlite:{desk}/queue.db", environment="prod", limits=limits) as app:
            async with asyncio.timeout(10):
                await app.work(Raises, stays="empty")

    asyncio.run(go())


def test_run_files_are_submitted_once_however_often(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both files become queued runs on their terms; submitted again they are the same runs, and nothing is added."""
    words = ("submit", "monday.toml", "tuesday.toml", "--work", "mail", "--priority", "7")
    code, first = data(capsys, *words)
    assert (code, [one["code"] for one in first]) == (0, ["room", "room"])
    code, second = data(capsys, *words)
    assert (code, [one["code"] for one in second]) == (0, ["known", "known"])
    assert [one["run"] for one in second] == [one["run"] for one in first]
    code, listed = data(capsys, "queue", "list")
    assert code == 0
    assert {(job["work"], job["priority"], job["state"]) for job in listed["jobs"]} == {("mail", 7, "queued")}
    assert sorted(job["purpose"] for job in listed["jobs"]) == ["letters of monday", "letters of tuesday"]
    named = {word: len(data(capsys, "queue", "list", "--state", word)[1]["jobs"]) for word in WORDS}
    assert named == {"queued": 2, "due": 2, "later": 0, "waiting": 0, "driven": 0, "claimed": 0}


def test_a_store_that_was_not_there_is_said_to_be_made(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first submission makes the store and says so; a page about what is not there says that nothing named it."""
    monkeypatch.setenv("HOLDFAST_STORE", "sqlite:another.db")
    assert run(("submit", "monday.toml")) == 0
    assert "there was none, and one was made: sqlite:" in capsys.readouterr().out
    assert run(("submit", "monday.toml")) == 0
    assert "one was made" not in capsys.readouterr().out
    monkeypatch.delenv("HOLDFAST_STORE")
    (desk / "empty").mkdir()
    monkeypatch.chdir(desk / "empty")
    assert run(("queue", "list")) == 2
    assert "where one is looked for if nothing names one" in capsys.readouterr().err


@pytest.mark.req("1.5c", mutant="oldest-is-newest")
def test_the_oldest_is_shown_against_its_promise_while_it_grows(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age is that of the oldest due run, and past the promise of its class list and status say so first."""
    from holdfast.store import SqliteStore

    limits = hf.Limits(work={"mail": hf.Work(within="1s")})

    async def in_force() -> None:
        async with hf.open(f"sqlite:{desk}/queue.db", environment="prod", limits=limits):
            pass

    asyncio.run(in_force())
    _, (first,) = data(capsys, "submit", "monday.toml", "--work", "mail")
    real = SqliteStore.now_ms
    monkeypatch.setattr(SqliteStore, "now_ms", lambda self: real(self) + 5_000)
    data(capsys, "submit", "tuesday.toml", "--work", "mail")
    code, listed = data(capsys, "queue", "list")
    (mail,) = listed["classes"]
    assert (code, mail["queued"], mail["promise_ms"], mail["promise_broken"]) == (1, 2, 1_000, True)
    assert mail["oldest_ms"] >= 5_000
    assert mail["oldest"] == first["run"]
    code, status = data(capsys, "status")
    assert (code, status["runs_queued"][0]["oldest"]) == (1, mail["oldest"])
    capsys.readouterr()
    run(("queue", "list"))
    assert capsys.readouterr().out.startswith("  ✗ promise broken mail: 2 due")


def test_a_dead_letter_is_told_by_every_page_and_resolved_by_a_person(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """List, show, dead and status answer 4 and name the owner; requeue and drop are recorded; a third is refused."""
    _, (first, second) = data(capsys, "submit", "monday.toml", "tuesday.toml")
    worked(desk)
    code, letters = data(capsys, "queue", "dead")
    assert (code, {letter["owner"] for letter in letters}) == (4, {"post room"})
    assert all(letter["dead_ms"] >= 0 and "no plan" in letter["why"] for letter in letters)
    assert data(capsys, "queue", "list")[0] == data(capsys, "queue", "show", first["run"])[0] == 4
    code, status = data(capsys, "status")
    assert (code, len(status["dead_letters"])) == (4, 2)
    assert data(capsys, "queue", "dead", "--owner", "somebody else") == (0, [])

    assert data(capsys, "queue", "resolve", first["run"], "--requeue", *WHY)[1]["state"] == "queued"
    assert data(capsys, "queue", "resolve", second["run"], "--drop", *WHY)[1]["state"] == "dropped"
    assert run(("queue", "resolve", second["run"], "--requeue", *WHY)) == 5
    assert run(("queue", "resolve", first["run"], "--requeue", "--drop", *WHY)) == 2
    code, gone = data(capsys, "queue", "list", "--state", "dropped")
    assert [job["run"] for job in gone["jobs"]] == [second["run"]]
    assert data(capsys, "run", "show", second["run"])[1]["run"]["state"] == "stopped"


def test_what_cannot_be_submitted_is_said_before_anything_is_recorded(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without an intent, or none at all, is a usage error, and no store is made by the way."""
    (desk / "empty.toml").write_text('environment = "prod"\n')
    assert run(("submit",)) == 2
    assert run(("submit", "monday.toml", "empty.toml")) == 2
    assert not (desk / "queue.db").exists()
