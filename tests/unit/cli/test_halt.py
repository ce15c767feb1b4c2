"""Halting from another terminal: real processes, judged by the ledger's order and by the outside's own books."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.cli.main import run
from holdfast.store import open_store

WORKER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    import holdfast as hf

    folder = Path(sys.argv[1])

    @hf.tool(effect="irreversible", resource="x:{i}", identity=("i",), keyed="24h", owner="ops", no_probe="its key")
    async def put(fx: hf.Fx, *, i: int) -> int:
        with (folder / "books").open("a") as books:
            books.write(fx.effect + "\\n")
        return i

    async def main():
        allowed = "permit (principal, action, resource);"
        async with hf.open(f"sqlite:{folder / 'w.db'}", tools=[put], policy=allowed) as app:
            run = await app.begin(hf.Intent(goal="g", purpose="p", principal="agent"))
            number = 0
            while not (folder / "enough").exists():
                number += 1
                outcome = await run.call(put(i=number))
                if isinstance(outcome, hf.Refused):
                    with (folder / "refused").open("a") as told:
                        told.write(outcome.reason + "\\n")
                await asyncio.sleep(0.005)

    asyncio.run(main())
""")
LONG_S = 30


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something is seen; only its absence takes long."""
    end = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def lines(path: Path) -> list[str]:
    """What was written so far."""
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a process calls a tool again and again."""
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, str(tmp_path / "worker.py"), str(tmp_path)]
    worker = subprocess.Popen(command, env=os.environ | {"HOLDFAST_STATE_DIR": str(tmp_path / "state")})
    try:
        yield tmp_path
    finally:
        (tmp_path / "enough").touch()
        try:
            worker.wait(LONG_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def holdfast(folder: Path, *words: str) -> int:
    """The command line in a process of its own, as another terminal would start it."""
    command = [sys.executable, "-m", "holdfast", *words, "--store", f"sqlite:{folder / 'w.db'}"]
    env = os.environ | {"HOLDFAST_STATE_DIR": str(folder / "state")}
    return subprocess.run(command, env=env, cwd=folder, timeout=LONG_S, check=False).returncode


@pytest.mark.slow
@pytest.mark.req("2.5a", mutant=None, reason="over real processes; the explorer plants an unguarded halt")
@pytest.mark.parametrize("scope", ["everything", "tool:put", "principal:agent", "tenant:main", "run"])
def test_a_halt_from_another_terminal_stops_a_run_under_way(at_work: Path, scope: str) -> None:
    """After the halt no dispatch commit and no change outside; after the lift the same process goes on."""
    books, refused = at_work / "books", at_work / "refused"
    until(lambda: len(lines(books)) >= 5, "the worker changed nothing")
    if scope == "run":
        with closing_store(at_work) as store:
            scope = f"run:{next(r.id for r in store.runs() if r.principal.name == 'agent')}"
    assert holdfast(at_work, "halt", scope, "--as", "ann", "--reason", "incident 12") == 0
    assert holdfast(at_work, "halt", "list") == 5
    until(lambda: len(lines(refused)) >= 3, "the worker was not refused")
    at_rest = len(lines(books))
    until(lambda: len(lines(refused)) >= 8, "the worker was not refused")
    assert len(lines(books)) == at_rest
    assert any("incident 12" in reason for reason in lines(refused))
    assert holdfast(at_work, "halt", "lift", scope, "--as", "ann", "--reason", "over") == 0
    until(lambda: len(lines(books)) >= at_rest + 5, "the worker did not go on")
    between = dispatched_between(at_work / "w.db")
    assert between == 0
    changed = set(lines(books))
    with closing_store(at_work) as store:
        assert changed <= {view.id for view in store.effects(limit=100_000)}


def dispatched_between(path: Path) -> int:
    """Dispatch commits that stand after the halt and before the lift in the order of the log."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        ((start, end),) = db.execute(
            "SELECT min(CASE kind WHEN 'halt' THEN pos END), min(CASE kind WHEN 'lift' THEN pos END) FROM entries"
        )
        assert start < end
        ((count,),) = db.execute(
            "SELECT count(*) FROM entries WHERE kind = 'dispatched' AND pos BETWEEN ? AND ?", (start, end)
        )
    return int(count)


class closing_store:  # noqa: N801 - it reads as what it does
    """The store of a folder, to read."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:{folder / 'w.db'}", read_only=True)

    def __enter__(self):
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close_now()


def test_status_shows_a_halt_loudly_and_a_wrong_scope_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who, why and how to lift it stand in status; a scope that stops nothing is no halt."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    place = f"sqlite:{tmp_path / 'w.db'}"
    open_store(place).close_now()
    assert run(["halt", "tool:put", "--as", "ann", "--reason", "look first", "--store", place]) == 0
    capsys.readouterr()
    run(["status", "--store", place])
    shown = capsys.readouterr().out
    assert "⊘ halted" in shown
    assert "tool:put by ann: «look first" in shown
    assert 'holdfast halt lift tool:put --as NAME --reason "…"' in shown
    assert run(["halt", "tols:put", "--as", "ann", "--reason", "x", "--store", place]) == 2
    assert run(["halt", "lift", "tool:other", "--as", "ann", "--reason", "x", "--store", place]) == 2
    assert run(["halt", "lift", "tool:put", "--as", "ann", "--reason", "looked", "--store", place]) == 0
    assert run(["halt", "list", "--store", place]) == 0


def test_where_approvers_are_registered_a_lift_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name alone halts, and does not lift: that takes the key of somebody who is registered."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    place = f"sqlite:{tmp_path / 'w.db'}"
    open_store(place).close_now()
    assert run(["approver", "add", "ada", "--store", place]) == 0
    assert run(["halt", "everything", "--as", "bob", "--reason", "look first", "--store", place]) == 0
    assert run(["halt", "lift", "everything", "--as", "bob", "--reason", "over", "--store", place]) != 0
    assert run(["halt", "list", "--store", place]) == 5
    assert run(["halt", "lift", "everything", "--as", "ada", "--reason", "over", "--store", place]) == 0
    assert run(["halt", "list", "--store", place]) == 0
