"""``holdfast evidence seal|checkpoint|key|witness``, and how status and doctor tell of sealing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import run
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import read, verifier_key
from holdfast.runtime.witness.files import newest
from holdfast.store import open_store
from tests.unit.runtime.sealed import write


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a store, a key and a witness that is a file."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    Key.make("log").save("keys/log.pem")
    Path("holdfast.toml").write_text(
        'store = "sqlite:log.db"\n[evidence]\nkey = "keys/log.pem"\nwitnesses = ["file:../kept.txt"]\n'
    )
    more(3)
    return Path.cwd()


def bare(home: Path) -> Path:
    """A configuration of the same store in which nobody asks for sealing."""
    file = home / "bare.toml"
    file.write_text('store = "sqlite:log.db"\n')
    return file


def more(count: int) -> None:
    """More entries, that nobody sealed yet."""
    store = open_store("log.db")
    write(store, count)
    store.close_now()


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """What a command answers, as data."""
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    return said["data"] if "data" in said else said["error"]


def text(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What a command prints."""
    capsys.readouterr()
    assert run(list(words)) == code
    return capsys.readouterr().out


def test_seal_registers_the_key_signs_and_tells_the_witness(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first seal covers everything and the key's own entries; a second has nothing to do."""
    first = answer(capsys, "evidence", "seal")
    assert (first["new"], first["checkpoint"]["size"]) == (True, 5)
    assert [one["size"] for one in first["witnesses"]] == [5]
    assert (home.parent / "kept.txt").read_text() == first["checkpoint"]["note"] + "\n"
    assert answer(capsys, "evidence", "seal")["new"] is False
    assert "✓ sealed already" in text(capsys, "evidence", "seal")


def test_checkpoint_is_printed_exactly_as_it_was_signed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Redirected to a file it is the note, byte for byte; of several, each has an empty line after it."""
    assert run(["evidence", "checkpoint"]) == 2
    answer(capsys, "evidence", "seal")
    more(2)
    answer(capsys, "evidence", "seal")
    kept = (home.parent / "kept.txt").read_text()
    note = text(capsys, "evidence", "checkpoint")
    assert read(note).size == 7
    assert note == newest(kept, read(note).origin)
    assert text(capsys, "evidence", "checkpoint", "--all") == kept
    assert read(text(capsys, "evidence", "checkpoint", "--size", "5")).size == 5
    assert run(["evidence", "checkpoint", "--size", "6"]) == 2
    assert run(["evidence", "checkpoint", "--size", "5", "--all"]) == 2


def test_consistency_with_a_checkpoint_that_somebody_kept_is_proved_or_denied(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An old note is extended; one of our key over another root, or ahead of us, is not; a stranger's is refused."""
    answer(capsys, "evidence", "seal")
    old = Path("old.txt")
    old.write_text(text(capsys, "evidence", "checkpoint"))
    more(9)
    answer(capsys, "evidence", "seal")
    proved = answer(capsys, "evidence", "checkpoint", "--consistency", "old.txt")
    assert proved["extends"] and proved["proof"]
    assert json.loads(text(capsys, "evidence", "checkpoint", "--consistency", "../kept.txt"))["old"]["size"] == 14
    note = read(old.read_text())
    key = Key.load(note.origin, "keys/log.pem")
    from holdfast.gate.notes import signed

    for changed, why in ((note._replace(root=b"x" * 32), "changed, or forked"), (note._replace(size=99), "taken away")):
        old.write_text(signed(changed._replace(signatures=()), key).note)
        denied = answer(capsys, "evidence", "checkpoint", "--consistency", "old.txt", code=1)
        assert why in denied["why"] and not denied["proof"]
    old.write_text(signed(note._replace(signatures=()), Key.make(note.origin)).note)
    answer(capsys, "evidence", "checkpoint", "--consistency", "old.txt", code=2)
    old.write_text("no note")
    answer(capsys, "evidence", "checkpoint", "--consistency", "old.txt", code=2)
    answer(capsys, "evidence", "checkpoint", "--consistency", "nowhere.txt", code=2)


def test_key_is_shown_before_and_after_it_is_registered_and_rotated(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One verifier key names the log from the start; after a rotation both are shown, the new one endorsed."""
    waits = answer(capsys, "evidence", "key", "show")["waits"]
    answer(capsys, "evidence", "seal")
    (first,) = answer(capsys, "evidence", "key", "show")["keys"]
    assert first["verifier_key"] == waits
    rotated = answer(capsys, "evidence", "key", "rotate", "--as", "ann", "--reason", "yearly")
    assert Path(rotated["kept"]).exists()
    keys = answer(capsys, "evidence", "key", "show")["keys"]
    assert [key["verifier_key"] for key in keys] == [waits, rotated["key"]["verifier_key"]]
    assert "✓ by" in text(capsys, "evidence", "key", "show")
    held = Key.load("log", "keys/log.pem").public_key
    assert verifier_key(keys[1]["verifier_key"]).public_key.hex() == held
    assert Path("keys/log.pem").stat().st_mode & 0o777 == 0o600
    assert not list(Path("keys").glob("*.next"))
    assert read(text(capsys, "evidence", "checkpoint")).signatures[0].key_hash.hex() in keys[1]["verifier_key"]
    more(1)
    assert answer(capsys, "evidence", "seal")["new"] is True
    assert run(["evidence", "key", "rotate", "--as", "", "--reason", "x"]) == 2
    assert run(["evidence", "key", "rotate", "--as", "ann", "--reason", "x", "--new-signer", "x"]) == 2


def test_without_a_key_nothing_is_sealed_and_it_is_said_how_to_name_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration without [evidence] takes --key; a key that may be read by others is refused."""
    Path("holdfast.toml").write_text('store = "sqlite:log.db"\n')
    assert run(["evidence", "seal"]) == 2
    assert "--key FILE" in capsys.readouterr().err
    Path("keys/log.pem").chmod(0o644)
    assert answer(capsys, "evidence", "seal", "--key", "keys/log.pem", code=2)["code"].endswith("bad-config")
    Path("keys/log.pem").chmod(0o600)
    assert answer(capsys, "evidence", "seal", "--key", "keys/log.pem")["checkpoint"]["size"] == 5


def test_witnesses_are_shown_and_pushed_to(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that lacks the newest checkpoint is exit code 1 until it was told; one that is forked stays so."""
    assert answer(capsys, "evidence", "witness")["newest"] == 0, "nothing is sealed, so nobody lacks anything"
    answer(capsys, "evidence", "seal")
    answer(capsys, "evidence", "witness")
    kept = home.parent / "kept.txt"
    kept.unlink()
    kept.mkdir()
    more(1)
    answer(capsys, "evidence", "seal", code=1)
    (one,) = answer(capsys, "evidence", "witness", "push", code=1)["witnesses"]
    assert (one["size"], bool(one["trouble"])) == (5, True)
    assert "did not take the newest" in text(capsys, "evidence", "witness", code=1)
    kept.rmdir()
    assert answer(capsys, "evidence", "witness", "push")["witnesses"][0]["size"] == 6


def test_status_and_doctor_say_what_is_sealed_and_what_is_not(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many entries no checkpoint covers, what is in the way, and a fork: in words, as data, and as exit code."""
    assert "never; 3 entries are not" in text(capsys, "status")
    assert "sealed" not in text(capsys, "status", "--config", str(bare(home)))
    answer(capsys, "evidence", "seal")
    more(4)
    assert answer(capsys, "status")["sealing"]["unsealed"] == 4
    assert "4 not yet" in text(capsys, "status")
    note = read(text(capsys, "evidence", "checkpoint"))
    from holdfast.gate.notes import signed

    key = Key.load(note.origin, "keys/log.pem")
    forked = signed(note._replace(size=90, signatures=()), key).note
    (home.parent / "kept.txt").write_text(forked + "\n")
    answer(capsys, "evidence", "seal", code=1)
    assert "✗ FORK" in text(capsys, "status", code=3)
    findings = answer(capsys, "doctor", code=1)["findings"]
    found = {one["id"]: one["sign"] for one in findings}
    assert (found["log-forked"], found["log-key"]) == ("broken", "fine")
    Path("keys/log.pem").chmod(0o640)
    findings = answer(capsys, "doctor", code=1)["findings"]
    assert {one["id"]: one["sign"] for one in findings}["log-key"] == "broken"


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('kei = "x"', "kei"),
        ("key = 7", "key"),
        ("", "key"),
        ('key = "x"\nevery = "soon"', "every"),
        ('key = "x"\nwitnesses = "file:x"', "witnesses"),
        ('key = "x"\nwitnesses = ["nobody"]', "witnesses"),
    ],
)
def test_a_table_that_means_nothing_is_refused_with_its_key(
    home: Path, capsys: pytest.CaptureFixture[str], table: str, key: str
) -> None:
    """What is written wrong under [evidence] is named, and no command works with it."""
    Path("holdfast.toml").write_text(f'store = "sqlite:log.db"\n[evidence]\n{table}\n')
    error = answer(capsys, "status", code=2)
    assert error["fields"]["key"] == f"evidence.{key}"


def test_a_key_that_is_tried_is_told_of_though_nothing_is_to_be_signed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key file that is not there, and one that is not registered, are refused where everything is sealed already."""
    answer(capsys, "evidence", "seal")
    assert run(["evidence", "seal", "--key", "gone.pem"]) == 2
    Key.make("log").save("other.pem")
    assert run(["evidence", "seal", "--key", "other.pem"]) != 0
    answer(capsys, "evidence", "seal", "--key", "keys/log.pem")
