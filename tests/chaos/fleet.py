"""Several real workers on one store: started, killed, paused, drained, each by its own process id.

A worker is `holdfast work` as a user starts it. Where this machine allows it, every second one lives in a process-id
namespace of its own, and so counts as another machine: nobody can prove from outside that it is dead, its lease has to
run out. Promises that no process is left.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
SHOP = Path(__file__).with_name("shop.py")
LEASE = "2s"
APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@functools.cache
def machines_allowed() -> str:
    """Why no process can be given a place of its own here; empty: it can."""
    if shutil.which("unshare") is None:
        return "there is no unshare"
    tried = subprocess.run([*APART, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip() or "not permitted"


class Worker:
    """One process of `holdfast work`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        url: str,
        payments: str,
        *,
        apart: bool = False,
        more: tuple[str, ...] = (),
        shop: Path = SHOP,
        inside: tuple[str, ...] = (),
        lease: str = LEASE,
        env: dict[str, str] | None = None,
    ) -> None:
        """Start it. Its own state folder stands for its machine's; what it says goes into a file.

        ``inside`` is a command that it is started by, as by one that enters another machine's network.
        """
        self.name, self.apart = name, apart
        self.log = folder / f"{name}.log"
        env = os.environ | {
            "PAYMENTS_URL": payments,
            "PAYMENTS_TIMEOUT_S": "1.5",
            "HOLDFAST_STATE_DIR": str(folder / f"state-{name}"),
            "HOLDFAST_STORE": url,
            "PYTHONPATH": str(ROOT),
            **(env or {}),
        }
        command = [sys.executable, "-m", "holdfast.cli.main", "work", str(shop), "--lease", lease, *more]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*inside, *(APART if apart else ()), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=folder,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The worker's own process, seen from here; 0: it is gone."""
        if not self.apart:
            return self._process.pid if self._process.poll() is None else 0
        import psutil

        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self._process.pid).children()
            if children:
                return int(children[0].pid)
        return 0

    @property
    def there(self) -> bool:
        """Whether its process has not ended."""
        return self._process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether its own process is stopped (state T)."""
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
            return stat.rpartition(")")[2].split()[0] == "T"
        return False

    def signal(self, number: int) -> bool:
        """Send a signal to the worker's own process. Whether there was one."""
        pid = self.pid
        if not pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def wait(self, within_s: float = 30.0) -> int | None:
        """Its exit code; None: it has not ended in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(within_s)
        return None

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._process.kill()
        self._process.wait(10)


class Fleet:
    """So many workers; one that ended is replaced when :meth:`tend` looks."""

    def __init__(self, folder: Path, url: str, payments: str, count: int, more: tuple[str, ...] = ()) -> None:
        """None runs yet."""
        self._folder, self._url, self._payments, self._count, self._more = folder, url, payments, count, more
        self._numbers = 0
        self.workers: list[Worker] = []
        self.ended: list[tuple[str, int | None]] = []

    def __enter__(self) -> Self:
        """Start them."""
        self.tend()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is left."""
        for worker in self.workers:
            worker.end()

    def tend(self) -> int:
        """Replace those that are gone; how many were."""
        gone = [worker for worker in self.workers if not worker.there]
        for worker in gone:
            self.ended.append((worker.name, worker.wait(0)))
            self.workers.remove(worker)
        while len(self.workers) < self._count:
            self._numbers += 1
            apart = self._numbers % 2 == 0 and not machines_allowed()
            name = f"w{self._numbers}"
            self.workers.append(Worker(name, self._folder, self._url, self._payments, apart=apart, more=self._more))
        return len(gone)

    def logs(self, last: int = 1_500) -> str:
        """The end of what each said."""
        said = sorted(self._folder.glob("w*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-last:]}" for file in said)


def ask(folder: Path, url: str, *words: str, within_s: float = 60.0) -> tuple[int, dict[str, Any]]:
    """A command with --json, as a person gives it: its exit code and its answer."""
    env = os.environ | {
        "HOLDFAST_STORE": url,
        "HOLDFAST_STATE_DIR": str(folder / "state-desk"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.cli.main", *words, "--json"],
        capture_output=True, text=True, env=env, cwd=folder, timeout=within_s, check=False,
    )  # fmt: skip
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, {"error": {"text": (done.stdout + done.stderr)[-2_000:]}}


def until(what: Any, within_s: float, every_s: float = 0.05) -> bool:
    """Whether a condition came to hold in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(every_s)
    return bool(what())
