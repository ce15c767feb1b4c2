"""``holdfast saga``: the picture of each state, what a person may say, and going on from a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from examples.travel import providers
from examples.travel.tools import TOOLS, book, send
from holdfast.cli.main import run

CONFIG = """
store = "sqlite:trips.db"
environment = "prod"
tools = ["{root}/examples/travel/tools.py:TOOLS"]
policy = "{root}/examples/travel/policy.cedar"
"""
ROOT = Path(__file__).resolve().parents[3]
WHY = ("--as", "ann", "--reason", "looked at it")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of its own, with providers that are all up."""
    (tmp_path / "holdfast.toml").write_text(CONFIG.format(root=ROOT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAVEL_BOOKS", str(tmp_path / "books.db"))
    monkeypatch.setenv("TRAVEL_DOWN", "")
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def trip(desk: Path, purpose: str, **more: Any) -> str:
    """Carry a saga of data as far as it goes; its name."""
    steps = [
        hf.Step("seat", book(what="seat", trip=purpose), tell=("airline",)),
        hf.Step("room", book(what="room", trip=purpose), tell=("hotel",)),
        hf.Step("pay", send(what="payment", trip=purpose), kind="irreversible", **more),
        hf.Step("mail", send(what="mail", trip=purpose), kind="irreversible", tries=1),
    ]

    async def go() -> str:
        policy = ROOT / "examples/travel/policy.cedar"
        async with hf.open(f"sqlite:{desk}/trips.db", tools=TOOLS, policy=policy, environment="prod") as app:
            began = await app.begin(hf.Intent(goal="travel", purpose=purpose, principal="agent"))
            return (await began.saga("trip", steps, owner="travel desk", patience="2s")).saga

    return asyncio.run(go())


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """One command: its exit code and what it printed."""
    capsys.readouterr()
    code = run(words)
    return code, capsys.readouterr().out


def data(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The data of one command."""
    return json.loads(shown(capsys, *words, "--json")[1])["data"]


def test_a_completed_saga_is_drawn_with_its_boundary(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A box for each step with symbol and word, the double line behind the payment, and what would offset each."""
    name = trip(desk, "monday")
    code, text = shown(capsys, "saga", "show", name)
    assert code == 0
    boxes = [line for line in text.splitlines() if "│" in line]
    assert boxes[0].split() == ["│", "seat", "│──│", "room", "│──│", "pay", "│──║─│", "mail", "│"]
    assert boxes[1].count("✓ verified") == 4
    assert text.count("↺ undo: its tool") == 2
    assert "║ boundary" in text
    assert shown(capsys, "saga", "list")[0] == 0


def test_a_compensated_saga_says_what_offset_what_and_who_was_told(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signs of the steps and of what offset them, and a line for each person."""
    monkeypatch.setenv("TRAVEL_DOWN", "payment")
    name = trip(desk, "tuesday", tell=("bank",))
    code, text = shown(capsys, "saga", "show", name)
    assert code == 1
    assert text.count("↺ compensated ") >= 2
    assert text.count("↺ offset: ✓ verified") == 2
    assert "✗ failed" in text
    assert "— not begun" in text
    for who in ("airline", "hotel", "bank", "travel desk"):
        assert f"{who}: «compensated: " in text
    found = data(capsys, "saga", "show", name)
    assert [step["standing"] for step in found["steps"]] == ["compensated", "compensated", "not there", "not begun"]
    assert found["boundary"] == "pay"
    run_page = shown(capsys, "run", "show", name.partition("/")[0])[1]
    assert f"↺ compensated  {name}" in run_page
    assert "↺ turned back pay  saga trip" in run_page


def test_what_needs_a_person_is_listed_retried_and_gone_on_with_from_a_terminal(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed with exit code 4, tried anew on somebody's word, and completed by a command: the books have one mail."""
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    name = trip(desk, "wednesday")
    assert shown(capsys, "saga", "list")[0] == 4
    assert shown(capsys, "status")[1].count("1 for a person: holdfast saga list") == 1
    assert shown(capsys, "run", "show", name.partition("/")[0])[0] == 4
    code, text = shown(capsys, "saga", "show", name)
    assert (code, f"holdfast saga retry {name}" in text) == (4, True)
    assert shown(capsys, "saga", "retry", name, *WHY)[0] == 0
    monkeypatch.setenv("TRAVEL_DOWN", "")
    code, text = shown(capsys, "saga", "resume", name)
    assert (code, "✓ completed" in text) == (0, True)
    assert providers.lines().count("mail wednesday") == 1
    story = shown(capsys, "run", "show", name.partition("/")[0])[1]
    assert "retried" in story


def test_an_end_that_needs_a_person_may_be_accepted_and_is_then_nobodys(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accepted with a name and a reason, it is no longer listed for a person, and nothing is tried any more."""
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    name = trip(desk, "thursday")
    assert shown(capsys, "saga", "accept", name, *WHY)[0] == 0
    assert shown(capsys, "saga", "list")[0] == 0
    assert shown(capsys, "run", "show", name.partition("/")[0])[0] == 0
    assert data(capsys, "saga", "show", name)["accepted"] == "ann: looked at it"
    assert shown(capsys, "saga", "retry", name, *WHY)[0] == 2


def test_a_step_may_be_taken_for_done_on_somebodys_word(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clerk has telephoned: the mail counts as done, the saga is completed, and says on whose word."""
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    name = trip(desk, "friday")
    assert shown(capsys, "saga", "accept", name, "--step", "mail", *WHY)[0] == 0
    code, text = shown(capsys, "saga", "resume", name)
    assert code == 0
    assert "on somebody's word: mail (ann: looked at it)" in text
    assert "✗ failed" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("retry",), "only what needs a person"),
        (("accept",), "only what needs a person"),
        (("accept", "--step", "nowhere"), "it has no step nowhere"),
        (("turn-back",), "it is completed"),
    ],
)
def test_what_may_not_be_said_now_is_refused_with_the_reason(
    desk: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    """A completed saga takes none of a person's words, and nothing is recorded."""
    name = trip(desk, "saturday")
    before = data(capsys, "run", "show", name.partition("/")[0])["run"]["seq"]
    verb, *more = words
    capsys.readouterr()
    assert run(["saga", verb, name, *more, *WHY]) == 2
    assert says in capsys.readouterr().err
    assert data(capsys, "run", "show", name.partition("/")[0])["run"]["seq"] == before


def test_a_name_that_is_none_and_a_missing_reason_are_said(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown saga is named; a word without a reason is none."""
    name = trip(desk, "sunday")
    assert run(["saga", "show", f"{name}x"]) == 2
    assert "HF-U08" in capsys.readouterr().err
    assert run(["saga", "retry", name, "--as", "ann", "--reason", " "]) == 2
    assert "HF-E11" in capsys.readouterr().err


def test_a_value_goes_out_of_the_saga_with_the_rest_of_the_record(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Redacted, the value is in no call of the saga any more, its picture still stands, and the evidence is intact."""
    monkeypatch.setenv("TRAVEL_DOWN", "payment")
    name = trip(desk, "a-secret-place")
    which = name.partition("/")[0]
    assert run(["run", "cancel", which, *WHY]) == 0
    code, said = shown(capsys, "evidence", "redact", which, "--argument", "trip", *WHY)
    assert code == 0, said
    assert b"a-secret-place" not in (desk / "trips.db").read_bytes()
    assert "a-secret-place" not in json.dumps(data(capsys, "saga", "show", name))
    assert shown(capsys, "evidence", "verify")[0] == 0
    assert "↺ compensated" in shown(capsys, "saga", "show", name)[1]


@pytest.mark.parametrize("down", ["", "payment", "mail"])
def test_a_run_with_a_saga_is_carried_in_a_bundle_explained_and_played_back_without_divergence(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], down: str
) -> None:
    """Forward, back, and gone on with after a person's word: from the store and from the bundle, the same entries."""
    monkeypatch.setenv("TRAVEL_DOWN", down)
    name = trip(desk, "elsewhere")
    which = name.partition("/")[0]
    if down == "mail":
        assert shown(capsys, "saga", "retry", name, *WHY)[0] == 0
        monkeypatch.setenv("TRAVEL_DOWN", "")
        assert shown(capsys, "saga", "resume", name)[0] == 0
    assert shown(capsys, "run", "bundle", which, "--output", "trip.tar")[0] == 0
    for record in (which, "trip.tar"):
        played = data(capsys, "run", "replay", record)
        assert played["divergence"] is None
        assert shown(capsys, "run", "replay", record)[0] == 0
    code, said = shown(capsys, "run", "explain", "trip.tar")
    assert code == 0
    ended = "the saga trip was compensated" if down == "payment" else "the saga trip was completed"
    assert ended in said
    held = json.loads(shown(capsys, "evidence", "verify", "trip.tar", "--json")[1])
    assert "error" not in held
