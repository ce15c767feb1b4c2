"""Several real processes that seal one store, and what a kill or a pause in the middle of a seal may leave behind."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.gate import logkey
from holdfast.gate.notes import signed_by
from holdfast.kernel.checkpoint import read
from holdfast.kernel.merkle import proves_consistency
from holdfast.runtime.sealer import Pace
from tests.unit.runtime.sealed import Place, write

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen[str]]


class RealTime(Place):
    """A store on the clock of the machine, as the processes beside it have it."""

    @property
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    @now_ms.setter
    def now_ms(self, value: int) -> None:
        """It moves by itself."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return RealTime(tmp_path)


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Starts sealing processes; whatever is left of them ends with the test."""
    begun: list[subprocess.Popen[str]] = []

    def started(point: str, *witnesses: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        words = [str(place.path), str(place.folder / "state"), str(place.key), point, *witnesses]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.sealing_worker", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        begun.append(process)
        return process

    yield started
    for process in begun:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    """Let a process go past its point."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def one_line(place: Place) -> list[int]:
    """The sizes of all checkpoints, after each was shown to extend the one before under a key that is registered."""
    with place.sealing() as sealing:
        tree, found = sealing.tree, sealing.tree.checkpoints()
        keys = [logkey.verifier(key) for key in logkey.every(sealing._store)]
        for sealed in found:
            note = read(sealed.note)
            assert (note.size, note.root) == (sealed.size, sealed.root) == (sealed.size, tree.root(sealed.size))
            assert any(signed_by(note, key) for key in keys)
        for old, new in itertools.pairwise(found):
            assert old.token <= new.token
            proof = tree.consistency(old.size, new.size)
            assert proves_consistency(old.size, new.size, old.root, new.root, proof)
        sealing._store.verify()
        return [sealed.size for sealed in found]


def test_three_processes_that_seal_at_once_make_one_line_of_checkpoints(place: Place, start: Start) -> None:
    """Each writes and seals; every checkpoint extends the one before, under one key, and the witness has one line."""
    kept = place.folder / "kept.txt"
    processes = [start("rounds", f"file:{kept}") for _ in range(3)]
    assert [said(process) for process in processes] == ["ready"] * 3
    with place.sealing() as sealing:
        until = time.monotonic() + 30
        while len(sealing.tree.checkpoints()) < 30 and time.monotonic() < until:
            time.sleep(0.02)
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    sizes = one_line(place)
    assert len(sizes) >= 30
    with place.sealing() as sealing:
        assert len(logkey.every(sealing._store)) == 1
        assert len({sealed.token for sealed in sealing.tree.checkpoints()}) > 1, "more than one of them sealed"
    notes = [int(block.split("\n")[1]) for block in kept.read_text().split("\n\n") if block.startswith("holdfast/")]
    assert notes == sorted(set(notes))
    assert set(notes) <= set(sizes)


def test_a_sealer_paused_past_its_lease_is_refused_when_it_goes_on(place: Place, start: Start) -> None:
    """SIGSTOP after it signed, another seals, SIGCONT: its append is refused, and the other's line is the only one."""
    with place.sealing() as sealing:
        write(sealing._store, 3)
        sealing.seal()
        write(sealing._store, 3)
    paused = start("signed")
    assert said(paused) == "signed"
    paused.send_signal(signal.SIGSTOP)
    with place.sealing(me="other", pace=Pace(lease_ms=400)) as other:
        write(other._store, 5)
        until = time.monotonic() + 30
        while (sealed := other.seal()) is None and time.monotonic() < until:
            time.sleep(0.05)
        assert sealed is not None and sealed.size == other.tree.size()
    paused.send_signal(signal.SIGCONT)
    go_on(paused)
    assert said(paused) == "refused"
    assert paused.wait(30) == 0
    assert one_line(place) == [5, sealed.size]


@pytest.mark.parametrize("point", ["signed", "appended"])
def test_a_sealer_that_is_killed_leaves_nothing_half_done(place: Place, start: Start, point: str) -> None:
    """Killed before its append: the next one seals it all. Killed before its push: the next one pushes it."""
    kept = place.folder / "kept.txt"
    with place.sealing() as sealing:
        write(sealing._store, 3)
    killed = start(point, f"file:{kept}")
    assert said(killed) == point
    killed.kill()
    killed.communicate()
    assert not kept.exists()
    with place.sealing(f"file:{kept}", me="next", pace=Pace(lease_ms=400)) as after:
        assert (after.tree.latest() is not None) == (point == "appended")
        until = time.monotonic() + 30
        while not kept.exists() and time.monotonic() < until:
            after.round(push_all=True)
            time.sleep(0.02)
        sealed = after.tree.latest()
        assert sealed is not None and sealed.size == after.tree.size()
        assert kept.read_text() == sealed.note + "\n"
    assert one_line(place) == [sealed.size]
