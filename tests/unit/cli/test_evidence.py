"""Verification by command: damaged bytes are the file's fault, never ours, and never pass as intact records."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from holdfast.cli.main import run
from tests.snapshots.story import lay_out, tell

FLIPS = 60


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a story in its store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    lay_out(tmp_path)
    tell(tmp_path)
    return tmp_path


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    """Exit code and document of a command."""
    code = run([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def verified(capsys: pytest.CaptureFixture[str], name: str) -> tuple[int, dict]:
    """Exit code and document of a verification."""
    return answered(capsys, "evidence", "verify", "--store", name)


def told(capsys: pytest.CaptureFixture[str], name: str, run_id: str) -> list[object]:
    """What the records of a store say: every effect, and every entry."""
    effects = answered(capsys, "run", "show", run_id, "--store", name)[1]["data"]["effects"]
    entries = [answered(capsys, "evidence", "show", of, "--store", name)[1]["data"] for of in (run_id, "ru_store")]
    return [effects, entries]


def test_a_flipped_byte_is_never_our_bug(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed byte ends as broken or damaged, or it changed no effect and no entry; it is never our fault."""
    run_id = answered(capsys, "run", "list")[1]["data"][0]["id"]
    whole, before = (home / "holdfast.db").read_bytes(), told(capsys, "holdfast.db", run_id)
    dice = random.Random(7)
    codes = []
    for _ in range(FLIPS):
        changed = bytearray(whole)
        changed[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        (home / "changed.db").write_bytes(changed)
        code, document = verified(capsys, "changed.db")
        assert code in {0, 1}, document
        assert code == 1 or told(capsys, "changed.db", run_id) == before
        codes.append(code)
    assert set(codes) == {0, 1}


def test_a_changed_amount_is_found_wherever_it_stands(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each occurrence of an amount, changed one at a time, is found, or was a remnant that no record uses."""
    run_id = answered(capsys, "run", "list")[1]["data"][0]["id"]
    whole, before = (home / "holdfast.db").read_bytes(), told(capsys, "holdfast.db", run_id)
    places, at = [], whole.find(b'"amount":1200')
    while at >= 0:
        places.append(at)
        at = whole.find(b'"amount":1200', at + 1)
    codes = []
    for place in places:
        (home / "changed.db").write_bytes(whole[:place] + b'"amount":9200' + whole[place + 13 :])
        code, document = verified(capsys, "changed.db")
        assert code == 1 or told(capsys, "changed.db", run_id) == before, document
        codes.append(code)
    # Three refunds of this amount were proposed; each has an entry.
    assert codes.count(1) >= 3


def test_a_cut_off_tail_is_found_by_the_remembered_head(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An earlier copy put in place of the store is told from it by the head that this machine remembers."""
    shutil.copy(home / "holdfast.db", home / "earlier.db")
    waiting = answered(capsys, "effect", "list", "--state", "waiting")[1]["data"][0]["id"]
    assert answered(capsys, "refuse", waiting, "--as", "ann", "--reason", "no")[0] == 0
    (home / "holdfast.db").write_bytes((home / "earlier.db").read_bytes())
    code, document = verified(capsys, "holdfast.db")
    assert code == 1
    assert document["data"]["field"] == "head"
