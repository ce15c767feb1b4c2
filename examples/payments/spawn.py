"""Start the payment service in its own process and end it again.

    with running("books.sqlite") as (base_url, process):
        client = PaymentsClient(base_url)

Decides how the service is started: isolated (`-I -S`), so that it starts fast and cannot import anything
but the standard library and itself, from any working directory.

Promises: the address is given when requests are answered; the process has ended when the block is left,
however it is left; it also ends by itself when its parent dies without a word.

Does not promise: to restart the service. After a kill, enter `running` again with the same books (and the
same `port`).
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVICE = Path(__file__).resolve().with_name("service.py")
START_WITHIN_S = 20.0


class NotStartedError(RuntimeError):
    """The service ended, or said nothing in time."""


@contextmanager
def running(
    books_path: str | Path,
    *,
    port: int = 0,
    key_window_ms: int | None = None,
    payout_ms: int | None = None,
    ready_file: str | Path | None = None,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the base URL and the process; options not given are the service's own defaults."""
    options = {
        "--port": port,
        "--key-window-ms": key_window_ms,
        "--payout-ms": payout_ms,
        "--ready-file": ready_file,
    }
    arguments = [sys.executable, "-I", "-S", str(SERVICE), "--books", str(books_path), "--end-with-stdin"]
    for name, value in options.items():
        if value is not None:
            arguments += [name, str(value)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 -- ours
    try:
        yield wait_until_ready(process), process
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], within_s: float = START_WITHIN_S) -> str:
    """Read the line in which the service says where it listens."""
    assert process.stdout is not None
    end, line = time.monotonic() + within_s, b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        # Read what is there and no more, so that half a line cannot block us past the time.
        piece = process.stdout.raw.read(4096) if readable else b""  # type: ignore[attr-defined]
        if not piece:
            raise NotStartedError(f"The payment service said nothing within {within_s} s (exit code {process.poll()}).")
        line += piece
    url: str = json.loads(line)["url"]
    return url


def stop(process: subprocess.Popen[bytes], within_s: float = 5.0) -> int:
    """End the process by its id: SIGTERM, then SIGKILL if it does not react; returns the exit code."""
    if process.poll() is None:
        process.terminate()
        # A process that a test has paused must wake up to hear it.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return code
