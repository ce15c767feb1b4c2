"""``holdfast store copy`` and ``store roles`` as they are typed: what they answer, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import run
from holdfast.store import open_store

MOVE = ("store", "copy", "old.db", "env:NEW", "--as", "maria", "--reason", "a larger disk")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store, and a variable that says where it is to go."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_STORE", raising=False)
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.setenv("NEW", f"sqlite:{tmp_path / 'new.db'}")
    monkeypatch.chdir(tmp_path)
    open_store("old.db").close_now()
    return tmp_path


def answered(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the one document."""
    capsys.readouterr()
    code = run([*command, "--json"])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, said


def test_a_moved_store_is_told_with_what_was_verified_and_who_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """The page names both places, the tree that both have, and that the source is closed; status says where it went."""
    assert run(list(MOVE)) == 0
    told = capsys.readouterr().out
    for part in ("✓ moved", "old.db", "new.db", "the copy goes on; the source is closed for good", "the tree over 1 "):
        assert part in told
    code, said = answered(capsys, "status", "--store", "old.db")
    assert (code, said["data"]["mode"]) == (5, "moved")
    assert said["data"]["moved_to"].endswith("new.db")
    assert run(["store", "show", "--store", "old.db"]) == 5
    assert "goes on as" in capsys.readouterr().out
    findings = answered(capsys, "doctor", "--store", "old.db")[1]["data"]["findings"]
    assert "goes on at" in next(str(one) for one in findings if one["id"] == "store-moved")
    assert not {"store-restored", "halted"} & {one["id"] for one in findings}
    code, said = answered(capsys, *MOVE)
    assert (code, said["data"]["already"]) == (0, True)
    code, said = answered(capsys, "store", "clock", "--as", "x", "--reason", "y", "--store", "old.db")
    assert (code, said["error"]["code"]) == (1, "HF-I14-store-moved")


def test_a_moved_store_is_not_released_by_a_person_who_means_a_restored_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A release is for what lost its tail: a store that goes on elsewhere is no such store."""
    assert run(list(MOVE)) == 0
    code, said = answered(capsys, "store", "release", "--as", "x", "--reason", "y", "--store", "old.db")
    assert (code, said["error"]["code"]) == (1, "HF-I14-store-moved")
    assert said["error"]["fields"]["to"].endswith("new.db")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("store", "copy", "old.db", "env:NOTHING", "--as", "x", "--reason", "y"), "no variable NOTHING"),
        (("store", "copy", "old.db", "env:NEW", "--as", " ", "--reason", "y"), "needs a name and a reason"),
        (("store", "copy", "none.db", "env:NEW", "--as", "x", "--reason", "y"), "there is no store"),
        (("store", "copy", "old.db", "old.db", "--as", "x", "--reason", "y"), "already"),
        (("store", "copy", "old.db", "mysql://h/x", "--as", "x", "--reason", "y"), "no store this command can open"),
        (("store", "roles", "--store", "old.db"), "is a file"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    command: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    """A sentence, exit code 2, no new store, and the old one as it was."""
    code, said = answered(capsys, *command)
    assert (code, says in said["error"]["message"]) == (2, True), said
    assert not (place / "new.db").exists()
    assert [path.name for path in place.iterdir() if "draft" in path.name] == []
    open_store("old.db").close_now()


def test_a_clone_needs_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    """The source stays as it is; the page says that the copy waits for a person, and it does."""
    code, said = answered(capsys, *MOVE, "--clone")
    assert (code, said["data"]["cloned"], said["data"]["incarnation"]) == (0, True, 2)
    assert answered(capsys, "status", "--store", "new.db")[0] == 5
    assert answered(capsys, "status", "--store", "old.db")[0] == 0
    assert run(["store", "release", "--as", "x", "--reason", "y", "--store", "new.db"]) == 0
    assert answered(capsys, "status", "--store", "new.db")[0] == 0
