"""``holdfast store clock``: ends the doubt after a leap, once, with a name and a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.cli.main import run
from holdfast.kernel.commit import Change, Note
from holdfast.store import open_store
from holdfast.store.clock import wall_ms

LEAP_MS = 1_230_000


@pytest.fixture
def leapt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store whose last process noticed a leap of some twenty minutes, on a clock that was set right since."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    shift_ms = [0]
    store = open_store(tmp_path / "h.db", wall=lambda: wall_ms() + shift_ms[0])
    shift_ms[0] = LEAP_MS
    store.commit_now(Change(run="ru_store", notes=(Note(kind="item", by="planner"),)))
    store.close_now()
    return f"sqlite:{tmp_path / 'h.db'}"


def test_a_doubted_clock_is_shown_and_accepted_once(leapt: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The status says what is in doubt and the command that ends it; it needs a name, a reason, and does so once."""
    assert run(["status", "--store", leapt]) == 5
    said = capsys.readouterr().out
    assert "20 min" in said
    assert "holdfast store clock" in said
    accept = ["store", "clock", "--as", "ada", "--reason", "compared with the wall", "--store", leapt, "--json"]
    assert run([*accept[:3], " ", *accept[4:]]) == 2
    capsys.readouterr()
    assert run(accept) == 0
    assert abs(json.loads(capsys.readouterr().out)["data"]["jumped_ms"] - LEAP_MS) < 1_000
    assert run(accept) == 1
    capsys.readouterr()
    run(["evidence", "show", "ru_store", "--store", leapt])
    said = capsys.readouterr().out
    assert said.count("clock_accepted") == 1
    assert "compared with the wall" in said
