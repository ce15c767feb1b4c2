"""The stage of the demo: a folder of its own, the payment service in its own process, and worker processes.

Decides where the demo plays and how its processes start and end. Promises that everything is real: processes are
ended by SIGKILL and by their own id, the service keeps its own books, and nothing but loopback is used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast.kernel.errors import BadConfig
from holdfast.store import open_store

Say = Callable[[str], None]

MARK = ".holdfast-demo"
FILES = ("holdfast.toml", "policy.cedar", "refunds.py", "agent.py", "naive.py", "confident.py", "context.py")
WAIT_S = 20.0


def outside_source() -> Path:
    """Where the payment service's folder is: beside the package when installed, in ``examples/`` in a checkout."""
    package = Path(str(resources.files("holdfast")))
    for place in (package / "demo_outside" / "payments", package.parents[1] / "examples" / "payments"):
        if (place / "service.py").is_file():
            return place
    raise BadConfig(
        file=str(package), key="examples/payments", nearest=None, why="the payment service is not installed"
    )


def prepare(folder: Path) -> None:
    """Make the demo's folder anew. Refuses a folder that is not empty and was not made by the demo."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            why = "it exists, is not empty, and was not made by the demo; name another with --folder"
            raise BadConfig(file=str(folder), key="--folder", nearest=None, why=why)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).write_text("made by holdfast demo; it may be deleted\n")
    ignore = shutil.ignore_patterns("__pycache__", "tools.py", "policy.cedar")
    shutil.copytree(outside_source(), folder / "payments", ignore=ignore)
    files = resources.files("holdfast.cli.demo").joinpath("files")
    for name in FILES:
        (folder / name).write_text(files.joinpath(name).read_text())


class Stage:
    """One demo folder with its service running."""

    def __init__(self, folder: Path, url: str, client: Any) -> None:
        """Made by :func:`staged`."""
        self.folder = folder
        self.bank = client
        self._env = {**os.environ, "PAYMENTS_URL": url, "HOLDFAST_STATE_DIR": str(folder / "state")}
        self._env["HOLDFAST_KEYS"] = str(folder / "keys")

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a worker process."""
        command = [sys.executable, script, *arguments]
        return subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=self.folder, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, script: str, *arguments: str) -> str:
        """Run a worker process to its end; its last line."""
        return self.ended(self.start(script, *arguments))

    def ended(self, process: subprocess.Popen[str]) -> str:
        """Wait for a worker process; its last line."""
        out, _ = process.communicate(timeout=60)
        if process.returncode != 0:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        return out.strip().splitlines()[-1] if out.strip() else ""

    def agent(self, purpose: str, invoice: str, amount: int) -> dict[str, Any]:
        """Run the agent under holdfast to its end."""
        said: dict[str, Any] = json.loads(self.run("agent.py", purpose, invoice, str(amount)))
        return said

    def holdfast(self, *arguments: str) -> tuple[int, str]:
        """Run a holdfast command as an operator would; exit code and output."""
        command = [sys.executable, "-m", "holdfast.cli.main", *arguments]
        done = subprocess.run(  # noqa: S603 - our own command
            command, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def kill_when_paid(self, process: subprocess.Popen[str], invoice: str) -> None:
        """SIGKILL a worker as soon as the service's own books show its change, before any reply reached it."""
        before = self.paid(invoice)
        end = time.monotonic() + WAIT_S
        while self.paid(invoice) == before:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError("the worker never paid")
            time.sleep(0.02)  # Reading another process's books: there is nothing to wait on.
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def kill_when_said(self, process: subprocess.Popen[str], line: str) -> None:
        """SIGKILL a worker as soon as it has printed a line."""
        assert process.stdout is not None
        if process.stdout.readline().strip() != line:
            raise RuntimeError(f"the worker never said {line!r}")
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def effect(self, effect: str) -> dict[str, Any]:
        """What the ledger says of an effect, read as an operator's command would read it."""
        store = open_store(f"sqlite:{self.folder / 'holdfast.db'}", read_only=True)
        try:
            view = store.read_now(effect).effect
            assert view is not None
            return {
                "id": view.id,
                "state": view.state.value,
                "basis": view.basis,
                "reason": view.reason,
                "successor": view.successor,
            }
        finally:
            store.close_now()

    def changes(self, invoice: str) -> list[dict[str, Any]]:
        """What the service's own books say happened to an invoice."""
        return [c for c in self.bank.books()["changes"] if c["invoice"] == invoice]

    def paid(self, invoice: str) -> int:
        """How many changes the books hold for an invoice."""
        return len(self.changes(invoice))


def outcome_line(view: dict[str, Any]) -> str:
    """An effect and what became of it, in one line."""
    return f"{view['id']} is {view['state']}: {view['reason']}"


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Prepare the folder, start the service, and end it by its own id when the block is left."""
    prepare(folder)
    spawn = _module(folder / "payments" / "spawn.py", "holdfast_demo_spawn")
    client = _module(folder / "payments" / "client.py", "holdfast_demo_client")
    with spawn.running(folder / "books.sqlite") as (url, _process):
        yield Stage(folder, url, client.PaymentsClient(url, name="demo"))


def _module(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
