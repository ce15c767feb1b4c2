"""examples/archive, which asks DuckDB: what it prints is what the store had before its runs left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.archiving import Life, closing

PROGRAM = Path(__file__).parents[2] / "examples" / "archive" / "queries.py"


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A store that has lived."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return Life(tmp_path)


def asked(*words: str) -> tuple[int, list[list[str]]]:
    """Exit code and lines of the example, run as it is documented."""
    came = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False)
    return came.returncode, [line.split("  ") for line in came.stdout.splitlines()]


@pytest.mark.req("1.10b", mutant=None, reason="the judge is DuckDB, an engine that is not ours")
def test_duckdb_counts_what_the_store_had(life: Life) -> None:
    """Effects by tool, state and day are those that the store counted before the runs left."""
    life.live("a", "b")
    life.seal()
    done = life.archive()
    code, rows = asked(done.path)
    assert code == 0
    counted = {(tool, state): int(count) for _, tool, state, count in rows}
    assert counted == {("pay", "verified"): 2, ("balance", "committed"): 2, ("never", "failed"): 2}
    assert asked(str(life.out)) == (code, rows), "a directory of archives is asked as one"


@pytest.mark.req("1.10b", mutant=None, reason="the judge is DuckDB, an engine that is not ours")
def test_an_effect_is_found_by_its_key(life: Life) -> None:
    """The key that is left in the store leads to the arguments and the value in the archive."""
    (run,) = life.live("a")
    life.seal()
    life.archive()
    with closing(life.store()) as store:
        pay = next(view for view in store.effects(run=run) if view.tool == "pay")
    code, rows = asked(str(life.out), "--key", pay.key)
    assert code == 0
    assert rows[0][:3] == [pay.id, "pay", "verified"]
    assert '"invoice":"invoice a"' in rows[0][3]
    assert "the value that came back" in rows[0][4]
    assert rows[0][5] == "the goal of a"
    assert asked(str(life.out), "--key", "none")[0] == 1
