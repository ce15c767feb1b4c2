"""Start an S3-compatible store that we did not write: moto's server, in its own process, on a free loopback port."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

START_WITHIN_S = 30.0

# It takes a port that the system gives it and says which: one that was free a moment ago may be another's by now.
PROGRAM = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def running() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the endpoint URL and the process; the process is ended by its own id when the block is left."""
    process = subprocess.Popen(  # noqa: S603 -- ours
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the object store did not start (exit code {process.wait()})")
        url = f"http://127.0.0.1:{int(port)}"
        wait_until_ready(url, process)
        yield url, process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


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
