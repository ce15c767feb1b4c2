"""``holdfast run bundle`` and ``holdfast evidence verify FILE`` as they are typed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holdfast.cli.main import run
from holdfast.gate.logkey import origin
from holdfast.gate.signing import Key
from holdfast.runtime.bundle import ustar
from holdfast.store import open_store
from tests.unit.runtime.bundle.making import ran


class Seen(NamedTuple):
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def data(self) -> dict[str, Any]:
        """The data of a JSON answer."""
        found: dict[str, Any] = json.loads(self.out)["data"]
        return found


Typed = Callable[..., Seen]


@pytest.fixture
async def of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a run, a configuration that names its key, and the run's id."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    url, run_id = await ran(tmp_path)
    store = open_store(url)
    try:
        Key.make(origin(store)).save(tmp_path / "log.pem")
    finally:
        store.close_now()
    (tmp_path / "holdfast.toml").write_text('store = "sqlite:holdfast.db"\n[evidence]\nkey = "log.pem"\n')
    return run_id


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command in the folder of the store."""

    def go(*words: str) -> Seen:
        capsys.readouterr()
        code = run(list(words))
        printed = capsys.readouterr()
        return Seen(printed.out, printed.err, code)

    return go


@pytest.mark.req("1.10c", mutant="proofs-left-out-of-a-bundle")
async def test_one_command_seals_and_writes_a_bundle_that_verifies_without_the_store(
    of: str, typed: Typed, tmp_path: Path
) -> None:
    """One command writes it; with the file alone, no store and no configuration, it is intact, and the key is named."""
    written = typed("run", "bundle", of[:8], "-o", "a.bundle", "--json")
    assert (written.code, written.data["covered"]) == (0, written.data["entries"])
    assert written.data["signed"] is True
    key = typed("evidence", "verify", "a.bundle", "--json").data["key"]
    for name in ("holdfast.db", "holdfast.toml", "log.pem"):
        (tmp_path / name).unlink()
    seen = typed("evidence", "verify", "a.bundle", "--key", key, "--json")
    assert (seen.code, seen.data["sealed"], seen.data["trusted"], seen.data["faults"]) == (0, True, True, [])
    assert "✓ intact" in typed("evidence", "verify", "a.bundle", "--key", key).out
    page = typed("evidence", "verify", "a.bundle")
    assert (page.code, "? intact, if its key is the log's" in page.out) == (3, True)  # anybody could have made it
    assert f"whose key {key} is: anybody can sign" in page.out  # and it is not offered as what to give
    assert f"--key {key}" not in page.out


async def test_changed_bundle_is_broken_with_its_place(of: str, typed: Typed, tmp_path: Path) -> None:
    """Exit code 1, and file, line and field, for a person and for a machine."""
    typed("run", "bundle", of, "-o", "a.bundle")
    files = ustar.read((tmp_path / "a.bundle").read_bytes())
    changed = files["bodies.jsonl"].replace(b"700", b"900", 1)
    (tmp_path / "b.bundle").write_bytes(ustar.write(files | {"bodies.jsonl": changed}))
    seen = typed("evidence", "verify", "b.bundle", "--json")
    assert (seen.code, seen.data["intact"]) == (1, False)
    assert (seen.data["faults"][0]["file"], seen.data["faults"][0]["line"]) == ("bodies.jsonl", 2)
    assert "✗ broken" in typed("evidence", "verify", "b.bundle").out
    (tmp_path / "c.bundle").write_bytes((tmp_path / "a.bundle").read_bytes()[:-512])
    cut = typed("evidence", "verify", "c.bundle")
    assert cut.code == 1
    assert "HF-U24-bad-bundle" in cut.out + cut.err


async def test_another_key_or_head_is_not_believed(of: str, typed: Typed, tmp_path: Path) -> None:
    """A verifier key of somebody else, and a checkpoint that this log is no continuation of, break it."""
    typed("run", "bundle", of, "-o", "a.bundle")
    told = typed("evidence", "verify", "a.bundle", "--json").data
    other = Path("other")
    Key.make("x").save(other)
    foreign = told["key"].split("+")[0]
    from holdfast.gate.notes import verifier_of

    wrong = verifier_of(Key.load(foreign, other)).text
    assert typed("evidence", "verify", "a.bundle", "--key", wrong).code == 1
    assert typed("evidence", "verify", "a.bundle", "--head", f"{told['size']}:{'00' * 32}").code == 1
    (tmp_path / "head").write_bytes(ustar.read((tmp_path / "a.bundle").read_bytes())["checkpoint"])
    assert typed("evidence", "verify", "a.bundle", "--head", "head").code == 3


async def test_bundle_since_a_checkpoint_shows_that_the_log_goes_on_from_it(
    of: str, typed: Typed, tmp_path: Path
) -> None:
    """Whoever holds an older head asks for the proof from it, and gets it with the bundle."""
    typed("evidence", "seal")
    (tmp_path / "head").write_text(typed("evidence", "checkpoint").out)
    typed("run", "cancel", of, "--as", "dana", "--reason", "done with it")
    assert typed("run", "bundle", of, "-o", "a.bundle", "--since", "head").code == 0
    seen = typed("evidence", "verify", "a.bundle", "--head", "head", "--json")
    assert seen.code == 3  # it holds; whose key it is, nobody has said
    assert any("goes on from the head" in text for text in seen.data["checked"])


async def test_without_a_key_the_bundle_says_what_it_lacks(of: str, typed: Typed, tmp_path: Path) -> None:
    """It is written, it holds, and it is never called sealed: exit code 3."""
    (tmp_path / "holdfast.toml").write_text('store = "sqlite:holdfast.db"\n')
    written = typed("run", "bundle", of, "-o", "a.bundle")
    assert written.code == 0
    assert "not covered by a checkpoint" in written.out
    seen = typed("evidence", "verify", "a.bundle", "--json")
    assert (seen.code, seen.data["intact"], seen.data["sealed"]) == (3, True, False)
    assert "nobody vouches" in typed("evidence", "verify", "a.bundle").out


async def test_key_that_is_not_the_registered_one_signs_nothing(of: str, typed: Typed, tmp_path: Path) -> None:
    """A replaced key file seals and signs nothing; the bundle says why, and covers what was sealed before."""
    typed("evidence", "seal")
    Key.make("another").save(tmp_path / "another.pem")
    typed("run", "cancel", of, "--as", "dana", "--reason", "done with it")
    written = typed("run", "bundle", of, "-o", "a.bundle", "--key", "another.pem", "--json")
    assert (written.code, written.data["signed"]) == (0, False)
    assert 0 < written.data["covered"] < written.data["entries"]
    assert "registered" in written.data["why"]
    assert typed("evidence", "verify", "a.bundle").code == 3


async def test_bundle_is_not_written_over_a_file_nor_into_nowhere(of: str, typed: Typed, tmp_path: Path) -> None:
    """What is there stays; a folder that is not there is said so; both before anything else is done."""
    (tmp_path / "there").write_text("mine")
    assert typed("run", "bundle", of, "-o", "there").code == 2
    assert (tmp_path / "there").read_text() == "mine"
    assert typed("run", "bundle", of, "-o", "nowhere/a.bundle").code == 2
    assert typed("run", "bundle", "ru_nothing", "-o", "a.bundle").code == 2
    assert not (tmp_path / "a.bundle").exists()


async def test_store_that_was_tampered_with_gives_no_bundle(of: str, typed: Typed, tmp_path: Path) -> None:
    """What does not hold is said to whoever would hand it out, with its place, and no file is written."""
    typed("evidence", "seal")
    db = sqlite3.connect(tmp_path / "holdfast.db")
    db.execute("UPDATE run SET view = CAST(replace(view, 'the duplicate', 'everything!!!') AS BLOB) WHERE n > 1")
    db.commit()
    db.close()
    seen = typed("run", "bundle", of, "-o", "a.bundle", "--json")
    assert seen.code == 1
    error = json.loads(seen.out)["error"]
    assert (error["code"], error["fields"]["where"]) == ("HF-U24-bad-bundle", "run.json, line 1, goal")
    assert not (tmp_path / "a.bundle").exists()
