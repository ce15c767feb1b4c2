"""How a worker ends that was started from nothing: asked, it ends in order; killed, it has lost nothing it told."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from tests.crash.judge import judge
from tests.crash.nursery import ROOT
from tests.crash.scene import Case, Ran, Stage

LIMIT_S = 30.0


def started(scene: Stage, ran: Ran, **more: object) -> subprocess.Popen[bytes]:
    """A worker as ``python -m tests.crash.worker``: nothing shared, not even imports."""
    plan = scene.plan(ran, **more)
    path = Path(plan.folder, "plan.json")
    path.write_bytes(msgspec.json.encode(plan))
    return subprocess.Popen([sys.executable, "-m", "tests.crash.worker", str(path)], cwd=ROOT)


def until(condition: object, worker: subprocess.Popen[bytes]) -> None:
    """Wait for a condition; fails when the worker ends before it holds, or at the limit."""
    pause = threading.Event()
    for _ in range(int(LIMIT_S / 0.01)):
        if condition():  # type: ignore[operator]
            return
        assert worker.poll() is None, f"the worker ended with {worker.poll()}"
        pause.wait(0.01)
    raise AssertionError("it did not come to pass in time")


def test_asked_to_end_while_idle_it_leaves_at_once_and_in_order(scene: Stage) -> None:
    """SIGTERM after a call was told: exit code 143, the told outcome is on disk, nothing is left to recover."""
    ran = scene.new(Case(tool="refund"))
    worker = started(scene, ran, stay=True)
    until(ran.told, worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LIMIT_S) == 143
    ran.codes.append(0)
    judged = judge(ran, scene.books())
    assert judged.broken == []
    assert (judged.changes, judged.states) == (1, ["verified"])
    assert ran.errors() == ""


def test_asked_to_end_during_a_call_it_waits_for_what_is_under_way(scene: Stage) -> None:
    """SIGTERM while the outside is at work: the attempt under way is finished and recorded, not left in doubt."""
    ran = scene.new(Case(tool="refund_bare"))
    scene.client.switch("latency_ms", 300, times=1, match=f"invoice={ran.invoice}", on="changes")
    worker = started(scene, ran, stay=True)
    until(lambda: "body/wire.reply#1" in ran.trace(0), worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LIMIT_S) == 143
    ran.codes.append(0)
    judged = judge(ran, scene.books())
    assert judged.broken == []
    assert (judged.changes, judged.states) == (1, ["committed"])


def test_killed_it_has_lost_nothing_that_it_told(scene: Stage) -> None:
    """SIGKILL at the instant after the caller was told: the ledger has it, before and after a restart."""
    ran = scene.new(Case(tool="refund_probed"))
    worker = started(scene, ran, at="caller/told#1:before")
    assert worker.wait(LIMIT_S) == -signal.SIGKILL
    assert [told.outcome for told in ran.told()] == ["Verified"]
    ran.codes.append(-signal.SIGKILL)
    before = judge(ran, scene.books())
    assert before.states == ["verified"]
    restarted = started(scene, ran)
    ran.codes.append(restarted.wait(LIMIT_S))
    judged = judge(ran, scene.books())
    assert judged.broken == []
    assert len({told.text for told in ran.told()}) == 1
