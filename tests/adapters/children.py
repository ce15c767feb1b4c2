"""Commands in processes of their own, quickly: one process imports everything once and forks a child for each command.

A child is a process like any other: its own id, its own connections, killed by a real SIGKILL. Only the import is
shared. Promises that every child is reaped when it has ended, so that it counts as dead, and that none outlives a test.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "examples.payments.tools",
        "holdfast.adapters.models.faults",
        "holdfast.adapters.models.planner",
        "holdfast.cli.driving",
        "holdfast.cli.main",
        "holdfast.cli.run",
        "pydantic_ai.direct",
        "pydantic_ai.models.anthropic",
        "pydantic_ai.models.openai",
        "tests.adapters.children",
    ]
)
LIMIT_S = 60


class Command:
    """One ``holdfast`` command in a process of its own."""

    def __init__(self, folder: Path, name: str, environ: Mapping[str, str], argv: list[str]) -> None:
        """Start it in a folder; what it prints goes into files there."""
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        arguments = (str(folder), dict(environ), argv, str(self._out), str(self._err))
        self._process: BaseProcess = FORKS.Process(target=command, args=arguments, daemon=True)
        self._process.start()

    def kill(self) -> None:
        """SIGKILL, by its own id."""
        assert self._process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM, by its own id."""
        self._process.terminate()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.exitcode is not None

    def wait(self) -> int:
        """Its exit code; negative: the signal. Killed, and an error, if it does not end in time."""
        self._process.join(LIMIT_S)
        if self._process.exitcode is None:
            self.kill()
            self._process.join()
            raise TimeoutError(f"the command did not end within {LIMIT_S} s: {self.told()}")
        return self._process.exitcode

    def said(self) -> str:
        """What it printed on stdout."""
        return self._out.read_text(encoding="utf-8") if self._out.exists() else ""

    def told(self) -> str:
        """What it printed on stderr."""
        return self._err.read_text(encoding="utf-8") if self._err.exists() else ""


def command(folder: str, environ: dict[str, str], argv: list[str], out: str, err: str) -> None:
    """What a child does: be the command line."""
    os.chdir(folder)
    os.environ.update(environ)
    for place, number in ((out, 1), (err, 2)):
        opened = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", encoding="utf-8") for n in (1, 2))
    from holdfast.cli.main import run

    try:
        code = run(argv)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
