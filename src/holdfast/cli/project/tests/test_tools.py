"""What this project promises, judged by the ledger's own books: `python -m pytest`."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))  # tools.py and ledger.py lie beside holdfast.toml

import ledger
from tools import credit

import holdfast as hf

EXAMPLES = tomllib.loads((HOME / "policy" / "examples.toml").read_text(encoding="utf-8"))["example"]
ANSWERS: dict[str, type[Any]] = {"allow": hf.Verified, "ask": hf.Waiting, "refuse": hf.Refused}


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Begin a run by its purpose, on a store and a ledger of the test's own."""
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger.jsonl"))
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    with hf.open(f"sqlite:{tmp_path / 'holdfast.db'}", tools=[credit], policy=HOME / "policy") as app:
        yield lambda purpose: app.begin(hf.Intent(goal="test", purpose=purpose, principal="test", deadline="1h"))


def booked(account: str) -> list[int]:
    """What the books hold."""
    return [one["amount"] for one in ledger.credits_of(account)]


def test_lost_reply_books_once(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply is lost after the booking: one credit, found by its key and verified."""
    monkeypatch.setenv("LOSE_REPLY", "1")
    assert isinstance(begin("ticket-1").call(credit(account="acme", amount=1200)), hf.Verified)
    assert booked("acme") == [1200]


def test_same_purpose_again_books_once(begin: Any) -> None:
    """The planner says it again in other words: the same effect, answered from the record."""
    for note in ("for the late parcel", "because the parcel came late"):
        outcome = begin("ticket-1").call(credit(account="acme", amount=1200, note=note))
        assert isinstance(outcome, hf.Verified)
    assert booked("acme") == [1200]


def test_refused_call_books_nothing(begin: Any) -> None:
    """A call that the policy refuses never reaches the ledger."""
    assert isinstance(begin("ticket-1").call(credit(account="acme", amount=50_001)), hf.Refused)
    assert booked("acme") == []


def test_declined_credit_did_not_happen(begin: Any) -> None:
    """What the ledger itself declines is proved not to have happened."""
    assert isinstance(begin("ticket-1").call(credit(account="acme", amount=0)), hf.Failed)
    assert booked("acme") == []


@pytest.mark.parametrize("example", EXAMPLES, ids=[one["name"] for one in EXAMPLES])
def test_policy_answers_as_its_examples_say(begin: Any, example: dict[str, Any]) -> None:
    """Every example beside the policy gets the answer that it names."""
    outcome = begin("example").call(hf.Call(example["tool"], example["args"]))
    assert isinstance(outcome, ANSWERS[example["expect"]]), outcome
