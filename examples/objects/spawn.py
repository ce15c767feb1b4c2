"""Start an S3-compatible store that we did not write: moto's server, in its own process, on a free loopback port."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

START_WITHIN_S = 30.0


@contextmanager
def running() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the endpoint URL and the process; the process is ended by its own id when the block is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- ours
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process)
        yield url, process
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the store answers; raise if it ended or stayed silent."""
    end = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=2).close()  # noqa: S310 -- our own loopback address
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the object store did not start (exit code {process.poll()})")
