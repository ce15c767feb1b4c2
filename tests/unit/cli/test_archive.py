"""``evidence archive``, and what ``show`` and ``verify`` say of archives: exit codes, JSON, and what is not checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import run
from holdfast.report.evidence import Covered, verified_page
from tests.adapters.archiving import Life


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sealed store with two runs that ended and one that did not; their ids, and the key to verify with."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    life: Any = Life(tmp_path)
    life.runs = life.live("a", "b")
    life.live("open", end=False)
    life.verifier = life.seal()
    return life


def answered(capsys: pytest.CaptureFixture[str], life: Life, *words: str) -> tuple[int, Any]:
    """Exit code and document of a command over the store."""
    code = run([*words, "--store", f"sqlite:{life.path}", "--json"])
    return code, json.loads(capsys.readouterr().out)


WHO = ("--as", "ada", "--reason", "it is old")


def test_archive_show_and_verify(life: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs go; what is shown and verified says where their entries lie, and reads them there."""
    out = ("-o", str(life.out))
    code, said = answered(capsys, life, "evidence", "archive", "--before", "2999-01-31", *out, *WHO, "--dry-run")
    assert (code, said["data"]["runs"], said["data"]["dry_run"], life.out.exists()) == (0, 2, True, False)
    code, said = answered(capsys, life, "evidence", "archive", "--before", "2999-01-31", *out, *WHO)
    assert (code, said["counts"]) == (0, {"runs": 2, "entries": 42, "stay": 1})
    name = said["data"]["archive"]

    code, said = answered(capsys, life, "evidence", "verify")
    assert (code, said["data"]["archived"], said["data"]["elsewhere"]) == (0, 2, 42)
    code, said = answered(capsys, life, "evidence", "verify", "--archive", str(life.out))
    assert (code, said["data"]["elsewhere"], said["data"]["missing"]) == (0, 0, [])
    assert [one["archive"] for one in said["data"]["archives"]] == [name]
    code, said = answered(capsys, life, "evidence", "verify", "--archive", str(life.folder))
    assert (code, [one["archive"] for one in said["data"]["missing"]]) == (0, [name])

    first = life.runs[0]
    assert answered(capsys, life, "evidence", "verify", first)[0] == 3
    assert answered(capsys, life, "evidence", "verify", first, "--archive", str(life.out))[0] == 0
    assert answered(capsys, life, "evidence", "show", first)[1]["data"] == []
    shown = answered(capsys, life, "evidence", "show", first, "--archive", str(life.out))[1]["data"]
    assert [line["seq"] for line in shown] == list(range(1, 22))
    assert answered(capsys, life, "run", "show", first)[1]["data"]["run"]["archived"] == name

    code, said = answered(capsys, life, "evidence", "archive", "--before", "2999-01-31", *out, *WHO)
    assert (code, said["data"]["runs"], said["data"]["stay"]) == (1, 0, {"open": 1})


def test_an_archive_is_verified_without_a_store(life: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 with the key that one holds, 3 without it, 1 with a changed byte."""
    done = life.archive()
    key = ("--key", life.verifier.text)
    for path, words, expected in ((done.path, key, 0), (str(life.out), (), 3), (f"{done.path}/runs.parquet", key, 0)):
        assert run(["evidence", "verify", path, *words, "--json"]) == expected
        said = json.loads(capsys.readouterr().out)
        assert (said["data"]["intact"], said["data"]["vouched"]) == (True, expected == 0)
    file = Path(done.path) / "runs.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert run(["evidence", "verify", done.path]) == 1
    assert "runs.parquet" in capsys.readouterr().out


def test_what_lies_in_an_archive_is_not_taken_for_nothing(life: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An effect's verbs are in the archive and not *not reached*; a policy is not said to change nothing there."""
    life.archive()
    policy = life.folder / "any.cedar"
    policy.write_text('@id("all") permit (principal, action, resource);', encoding="utf-8")
    effect = answered(capsys, life, "effect", "list", "--run", life.runs[0])[1]["data"][0]["id"]
    code, said = answered(capsys, life, "effect", "show", effect)
    assert code == 0
    assert {verb["sign"] for verb in said["data"]["verbs"].values()} == {"in the archive"}
    code, said = answered(capsys, life, "policy", "try", str(policy), "--run", life.runs[0])
    assert (said["data"]["judged"], said["data"]["archived_runs"]) == (0, 1)
    run(["policy", "try", str(policy), "--run", life.runs[0], "--store", f"sqlite:{life.path}"])
    assert "nothing was judged" in capsys.readouterr().out


def test_a_store_without_effects_left_is_still_the_whole_store() -> None:
    """What was not checked does not send the reader to the command that was just run."""
    whole = verified_page("the whole store", Covered(2, 11, 11, 0, size=40, sealed=39, elsewhere=29, archived=3))
    one = verified_page("ru_1", Covered(1, 11, 11, 0))
    assert "without an id" not in whole.text()
    assert "the last 1 of 40 entries" in whole.text()
    assert "without an id" in one.text()


def test_a_day_that_is_none_is_said(life: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a day nor a span: nothing was looked at, and exit code 2."""
    words = ["evidence", "archive", "--before", "soon", "-o", str(life.out), *WHO, "--store", f"sqlite:{life.path}"]
    assert run(words) == 2
    assert "soon" in capsys.readouterr().err


def test_without_pyarrow_the_extra_is_named(life: Any) -> None:
    """Where pyarrow is not installed, the command says which extra has it."""
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from holdfast.cli.main import run\n"
        f"sys.exit(run(['evidence', 'archive', '--before', '1d', '-o', 'x', '--as', 'a', '--reason', 'b',"
        f" '--store', 'sqlite:{life.path}']))"
    )
    came = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert came.returncode == 2
    assert "holdfast[archive]" in came.stderr
    assert not Path("x").exists()
