"""What goes wrong: each fault by its name, how it is done to a scene, and how it is made good again.

A fault is done, held for a moment, and undone; the next one may come while workers still recover from it. Promises that
a fault which could not be done (nobody to kill, nothing to cut) is not counted.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

Undo = Callable[[], None]


class Fault(NamedTuple):
    """A fault: its name, what it is done to, whether it needs the database on a wire, how long it is held (s)."""

    name: str
    of: str
    database: bool
    held_s: tuple[float, float]
    do: Callable[[Scene, random.Random], Undo | None]


def nothing() -> None:
    """Nothing has to be made good."""


def _some_worker(scene: Scene, dice: random.Random) -> Any:
    there = [worker for worker in scene.fleet.workers if worker.pid]
    return dice.choice(there) if there else None


def kill_worker(scene: Scene, dice: random.Random) -> Undo | None:
    """Kill -9 of one worker; another takes its place."""
    worker = _some_worker(scene, dice)
    return nothing if worker is not None and worker.signal(signal.SIGKILL) else None


def kill_all(scene: Scene, dice: random.Random) -> Undo | None:
    """Kill -9 of every worker at once."""
    return nothing if [worker.signal(signal.SIGKILL) for worker in scene.fleet.workers] else None


def pause_worker(scene: Scene, dice: random.Random) -> Undo | None:
    """SIGSTOP of one worker past its lease, then SIGCONT: it wakes and believes that it still may."""
    worker = _some_worker(scene, dice)
    if worker is None or not worker.signal(signal.SIGSTOP):
        return None
    return lambda: (worker.signal(signal.SIGCONT), None)[1]


def drain_worker(scene: Scene, dice: random.Random) -> Undo | None:
    """SIGTERM: it gives back what it holds."""
    worker = _some_worker(scene, dice)
    return nothing if worker is not None and worker.signal(signal.SIGTERM) else None


def kill_database(scene: Scene, dice: random.Random) -> Undo | None:
    """Kill -9 of the database server; it is started again and recovers."""
    scene.database.kill()
    return scene.database.start


def crash_database(scene: Scene, dice: random.Random) -> Undo | None:
    """The server is stopped as if it crashed, and started again."""
    scene.database.stop("immediate")
    return scene.database.start


def restart_database(scene: Scene, dice: random.Random) -> Undo | None:
    """A planned restart: open transactions are ended."""
    scene.database.stop("fast")
    return scene.database.start


def kill_backend(scene: Scene, dice: random.Random) -> Undo | None:
    """Kill -9 of one of the server's own processes: all connections are lost, and it recovers."""
    scene.database.wait_until_it_answers()
    return scene.database.wait_until_it_answers if scene.database.kill_backend() else None


def pause_database(scene: Scene, dice: random.Random) -> Undo | None:
    """The server answers nobody for a while, and its connections stay."""
    scene.database.pause()
    return scene.database.go_on


def _wire(mode: str) -> Callable[[Scene, random.Random], Undo | None]:
    def do(scene: Scene, dice: random.Random) -> Undo | None:
        scene.wire.mode = mode
        if mode.endswith(" commit") and not scene.wire.wait_for("did " + mode, scene.cuts[mode] + 1, 5.0):
            scene.wire.mode = "pass"
            return None  # nobody committed
        scene.cuts[mode] = scene.wire.did["did " + mode]
        return lambda: setattr(scene.wire, "mode", "pass")

    return do


def cut_wire(scene: Scene, dice: random.Random) -> Undo | None:
    """Every connection is reset at once; new ones are served."""
    scene.wire.cut()
    return nothing


def _outside(
    name: str, value: Any, times: int, match: str | None = None
) -> Callable[[Scene, random.Random], Undo | None]:
    def do(scene: Scene, dice: random.Random) -> Undo | None:
        scene.payments.switch(name, value, times=times, match=match)
        return nothing

    return do


def clock_ahead(scene: Scene, dice: random.Random) -> Undo | None:
    """The database server's clock leaps ahead by an hour or more, until a person says that it is right again."""
    return scene.leap(dice.choice((3_600_000, 86_400_000)))


def clock_behind(scene: Scene, dice: random.Random) -> Undo | None:
    """The database server's clock falls back by an hour or more; the store's time does not."""
    return scene.leap(-dice.choice((3_600_000, 86_400_000)))


SHORT, MIDDLE, PAST_LEASE = (0.0, 0.2), (0.3, 1.5), (2.5, 4.0)

FAULTS = (
    Fault("a worker is killed", "workers", False, SHORT, kill_worker),
    Fault("all workers are killed", "workers", False, SHORT, kill_all),
    Fault("a worker is paused past its lease", "workers", False, PAST_LEASE, pause_worker),
    Fault("a worker is drained", "workers", False, SHORT, drain_worker),
    Fault("the database is killed", "database", True, MIDDLE, kill_database),
    Fault("the database crashes", "database", True, SHORT, crash_database),
    Fault("the database is restarted", "database", True, SHORT, restart_database),
    Fault("a process of the database is killed", "database", True, MIDDLE, kill_backend),
    Fault("the database hangs", "database", True, PAST_LEASE, pause_database),
    Fault("the wire is cut", "wire", True, SHORT, cut_wire),
    Fault("the wire is refused", "wire", True, MIDDLE, _wire("refuse")),
    Fault("the wire is a hole", "wire", True, PAST_LEASE, _wire("hole")),
    Fault("the wire is slow", "wire", True, MIDDLE, _wire("slow")),
    Fault("a commit is cut after it was sent", "wire", True, MIDDLE, _wire("cut commit")),
    Fault("a commit is cut before it arrives", "wire", True, MIDDLE, _wire("lose commit")),
    Fault("a reply of the outside is lost", "outside", False, SHORT, _outside("drop_reply", None, 2)),
    Fault("the outside works and hangs", "outside", False, SHORT, _outside("work_then_hang", 4_000, 1)),
    Fault("the outside is down", "outside", False, SHORT, _outside("outage", "503", 5)),
    Fault("the outside answers garbage", "outside", False, SHORT, _outside("garbage", "body", 2)),
    Fault("the clock leaps ahead", "clock", True, MIDDLE, clock_ahead),
    Fault("the clock falls back", "clock", True, MIDDLE, clock_behind),
)


def drawn(dice: random.Random, *, database: bool) -> Fault:
    """One fault, by its seed."""
    return dice.choice([fault for fault in FAULTS if database or not fault.database])


def hold(fault: Fault, dice: random.Random) -> None:
    """For as long as the fault lasts. A real pause: processes live on meanwhile."""
    time.sleep(dice.uniform(*fault.held_s))
