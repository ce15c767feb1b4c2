"""Archiving, killed at its points: everything is still in the store, or the archive on disk is complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.adapters.archive import against, find, verify
from holdfast.gate.signing import good
from holdfast.store.access import SqliteAccess
from tests.adapters.archiving import Life, closing

ROOT = Path(__file__).parents[2]
POINTS = ("a sheet", "the manifest", "before the name", "after the name", "in the commit", "after the commit")
GONE_FROM = POINTS.index("after the commit")

WORKER = """
import os, signal, sys
from pathlib import Path
from holdfast.adapters.archive import pages, writing
from holdfast.store import archived, together
from tests.adapters.archiving import Life

folder, point = Path(sys.argv[1]), sys.argv[2]


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name):
    setattr(owner, name, die)


def after(owner, name):
    honest = getattr(owner, name)

    def then(*args, **named):
        honest(*args, **named)
        die()

    setattr(owner, name, then)


match point:
    case "a sheet":
        after(pages.Sheet, "close")
    case "the manifest":
        after(writing, "_proved")
    case "before the name":
        before(writing, "named")
    case "after the name":
        after(writing, "named")
    case "in the commit":
        archived._TAKE_OUT = (*archived._TAKE_OUT[:-1], "SELECT die(?)")
        honest = together.commit

        def with_die(writer, change, may, also):
            def ready(db):
                db.create_scalar_function("die", die)
                may(db)

            return honest(writer, change, ready, also)

        import holdfast.store.sqlite as sqlite
        sqlite.together = with_die
    case "after the commit":
        after(writing, "take_out")
Life(folder).archive()
"""


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A store with three runs that may go."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    life = Life(tmp_path)
    life.live("a", "b", "c")
    life.seal()
    return life


def killed(life: Life, point: str) -> None:
    """Archive in a process that is ended by SIGKILL at a point of it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORKER, str(life.folder), point]
    came = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert came.returncode == -signal.SIGKILL, came.stderr


@pytest.mark.req("1.10a", mutant=None, reason="real kills; rows that leave first are planted beside this test")
@pytest.mark.parametrize("point", POINTS)
def test_killed_while_archiving(life: Life, point: str) -> None:
    """The store verifies and has every entry, or a complete archive has them; archiving again ends well."""
    with closing(life.store()) as store:
        before = {run.id: len(store.entries(run.id)) for run in store.runs()}
    killed(life, point)
    with closing(life.store()) as store:
        assert not store.restored()
        audited = store.verify(good)
        there = {run: len(store.entries(run)) for run in before}
    archives = find(life.out)
    if POINTS.index(point) < GONE_FROM:
        assert (audited.archived, there) == (0, before)
    else:
        assert (audited.archived, set(there.values())) == (3, {0})
        assert len(archives) == 1
    for archive in archives:
        assert verify(archive).runs == 3
    life.archive()
    with closing(life.store()) as store:
        assert store.verify(good).archived == 3
    compared = against(SqliteAccess(str(life.path)), life.out)
    assert (len(compared.checked), compared.missing) == (1, ())


def test_rows_that_left_first_would_be_lost(life: Life) -> None:
    """With the order turned round, as a planted defect does it, the kill after the commit leaves runs in no place."""
    turned = "rows_leave_before_the_files(setattr)\nbefore(Path, 'rename')\nmatch point:"
    worker = WORKER.replace("match point:", turned)
    worker = "from tests.harness.planted.archive import rows_leave_before_the_files\n" + worker
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", worker, str(life.folder), "none"]
    came = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert came.returncode == -signal.SIGKILL, came.stderr
    with closing(life.store()) as store:
        assert store.verify(good).archived == 3
    assert find(life.out) == []
