"""Real worker processes, quickly: one process imports everything once and forks a worker for each plan.

A forked worker is a process like any other: its own id, its own connections, killed and paused by real signals. Only
the import is shared. Nothing is open and one thread runs when it forks, so nothing but code is inherited.

Promises: every worker is reaped at once (a zombie is no sign of life), its end is reported with its exit code, and
when whoever started the nursery goes, so do its workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.crash.worker import Plan, main

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """One worker process: its id once it is there, its exit code (negative: the signal) once it has ended."""

    def __init__(self) -> None:
        """Not started yet."""
        self.started: Future[int] = Future()
        self.ended: Future[int] = Future()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.started.result(30)

    def wait(self, within_s: float = 60.0) -> int:
        """Its exit code; killed, and TimeoutError, if it does not end in time."""
        try:
            return self.ended.result(within_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            raise

    def signal(self, number: int) -> None:
        """Send a signal to this one process, if it has not ended."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait_until_stopped(self, within_s: float = 20.0) -> bool:
        """Whether it came to be paused (state T) in time; False also when it ended instead."""
        pause = threading.Event()
        for _ in range(int(within_s / 0.02)):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
                if stat.rpartition(")")[2].split()[0] == "T":
                    return True
            if self.ended.done():
                return False
            pause.wait(0.02)
        return False


class Nursery:
    """The parent's side. Threads may share it."""

    def __init__(self, *, outsides: bool = False) -> None:
        """Start the nursery process; with ``outsides`` it loads what the tools of all the examples need."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery", *(["outsides"] if outsides else [])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True, name="nursery")
        self._reader.start()

    def start(self, plan: Plan) -> Child:
        """A new worker process for this plan."""
        child = Child()
        assert self._process.stdin is not None
        with self._lock:
            self._count += 1
            self._children[self._count] = child
            order = {"n": self._count, "plan": msgspec.to_builtins(plan)}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        return child

    def run(self, plan: Plan, within_s: float = 60.0) -> int:
        """Start a worker and wait for its exit code."""
        return self.start(plan).wait(within_s)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            child = self._children[said["n"]]
            if "status" in said:
                del self._children[said["n"]]
                child.ended.set_result(said["status"])
            else:
                child.started.set_result(said["pid"])

    def close(self) -> None:
        """End the nursery and whatever workers it still has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve() -> None:
    """The nursery's side: fork on each line of stdin, report each end on stdout, leave at the end of stdin."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    alive: dict[int, int] = {}
    pending = b""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            _reap(alive)
        if 0 in ready:
            piece = os.read(0, 65536)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                order: dict[str, Any] = json.loads(line)
                alive[_fork(order)] = order["n"]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _fork(order: dict[str, Any]) -> int:
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork beside a running thread may inherit its locks"
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        plan = msgspec.convert(order["plan"], Plan)
        os.dup2(os.open(f"{plan.folder}/errors", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        code = 1
        try:
            code = main(plan)
        finally:
            os._exit(code)
    _say({"n": order["n"], "pid": pid})
    return pid


def _reap(alive: dict[int, int]) -> None:
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _say({"n": alive.pop(pid), "pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    if "outsides" in sys.argv:
        from tests.crash import wires  # noqa: F401 -- loaded for the workers that are forked
        from tests.crash.outsides import warm

        warm()
    serve()
