"""Start the deployment service in its own process, and end it by its own id."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVICE = Path(__file__).resolve().with_name("service.py")


@contextmanager
def running(
    books: str | Path, *, port: int = 0, rollout_ms: int = 300
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the base URL and the process; a rollout takes so long by the service's own clock. The books stay."""
    command = [sys.executable, "-I", "-S", str(SERVICE), "--books", str(books), "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603 -- ours
        [*command, "--rollout-ms", str(rollout_ms), "--end-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the deployment service did not start (exit code {process.wait()})")
        yield json.loads(line)["url"], process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
