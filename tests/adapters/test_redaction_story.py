"""A customer asks to be forgotten: redacted, bundled, archived, keys rotated; then the old message comes in again.

By command, as an operator does it; the outside's books are a file, and they are what counts.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run
from holdfast.gate.signing import Key
from tests.approving import key_of
from tests.unit.runtime.attacker import Attacker
from tests.unit.runtime.redaction_stage import ADDRESS, CANDIDATES, PHONE, Scene


@pytest.fixture(name="scene")
def _scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    (tmp_path / "holdfast.toml").write_text('store = "sqlite:h.db"\n[evidence]\nkey = "log.key"\n', encoding="utf-8")
    Key.make("log").save(tmp_path / "log.key")
    for name in ("ann", "bob"):
        key_of(name).save(tmp_path / "keys" / f"{name}.key")
    return Scene(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """The data that a command answers with; the exit code is part of the answer."""
    ended = run([*words, "--json"])
    text = capsys.readouterr().out
    assert ended == code, (words, text)
    return json.loads(text).get("data")


@pytest.mark.slow
@pytest.mark.req("1.8c", "1.10c", mutant=None, reason="its parts are proved one by one; this is all of them in a row")
async def test_redacted_bundled_archived_rotated_and_delivered_again(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second parcel, the bundle verifies without the store, and no file holds the address, or a way to guess it."""
    attacker = Attacker()
    with attacker.watching(monkeypatch):
        run_id, effect = await scene.ordered()
    said(capsys, "evidence", "redact", effect, "--argument", "address", "--dry-run")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PHONE}\n"))
    words = ("evidence", "redact", effect, "--argument", "address", "--value", "-", "--as", "ann")
    done = said(capsys, *words, "--reason", "asked to be forgotten")
    assert done["file"] == {"written_anew": True, "why_not": "", "occurrences_left": 0}
    assert len(done["stand_ins"]) == 2
    said(capsys, "evidence", "verify")
    for page in (("run", "show", run_id), ("effect", "show", effect), ("evidence", "show", run_id, "--full")):
        shown = json.dumps(said(capsys, *page))
        assert done["stand_ins"][0] in shown
        assert ADDRESS not in shown
    said(capsys, "evidence", "verify", run_id)
    said(capsys, "run", "explain", run_id)

    said(capsys, "evidence", "seal")
    said(capsys, "run", "bundle", run_id, "-o", "one.bundle")
    vkey = said(capsys, "evidence", "key", "show")
    (scene.folder / "log.vkey").write_text(_verifier(vkey), encoding="utf-8")
    said(capsys, "evidence", "verify", "one.bundle", "--key", "log.vkey")
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
    words = ("evidence", "archive", "--before", tomorrow, "-o", "archives", "--as", "ann", "--reason", "old")
    said(capsys, *words)
    said(capsys, "evidence", "key", "rotate", "--as", "ann", "--reason", "every year")
    said(capsys, "evidence", "verify")

    files = [path for path in scene.folder.rglob("*") if path.is_file() and path != scene.ledger.file]
    assert any(path.suffix == ".parquet" for path in files)
    assert not [path for path in files if ADDRESS.lower().encode() in path.read_bytes().lower()]
    found = {c: attacker.finds(scene.path, ADDRESS, c, scene.folder / "one.bundle") for c in CANDIDATES}
    assert {c: hits for c, hits in found.items() if hits} == {}

    async with scene.opened() as app:
        again = await app.begin(scene.intent())
        outcome = await again.call(scene.tools[1](address=ADDRESS, note="once more"))
        assert isinstance(outcome, hf.Verified)
        assert outcome.effect == effect
        await again.stop("it was sent long ago")
    assert len(scene.ledger.books()) == 1


def _verifier(shown: Any) -> str:
    """The verifier key in what the command answers, wherever it stands."""
    texts = json.dumps(shown).split('"')
    return next(text for text in texts if text.count("+") >= 2 and " " not in text) + "\n"


async def test_a_redaction_by_command_says_what_it_needs(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing named is misuse; a value that is nowhere is an error by its code; no answer holds a value."""
    run_id, effect = await scene.ordered()
    assert run(["evidence", "redact", effect, "--as", "ann", "--reason", "x"]) == 2
    capsys.readouterr()
    assert run(["evidence", "redact", effect, "--value", "nowhere at all", "--as", "ann", "--reason", "x"]) == 2
    told = capsys.readouterr()
    assert "HF-U25" in told.err + told.out
    assert "nowhere at all" not in told.err + told.out
    assert run(["evidence", "redact", run_id, "--argument", "address", "--as", "ann", "--reason", "asked"]) == 0
    told = capsys.readouterr()
    assert ADDRESS not in told.out + told.err
    assert "redacted:" in told.out
    assert "bundles, archives, backups" in told.out
    assert run(["evidence", "redact", run_id, "--argument", "address", "--as", "ann", "--reason", "asked"]) == 0
    assert "Nothing left to redact" in capsys.readouterr().out
