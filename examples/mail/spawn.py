"""Start the mail server in its own process on a free loopback port, and end it again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SERVER = Path(__file__).resolve().with_name("server.py")
DOMAINS = ("example.org", "partner.example")


class Mail(NamedTuple):
    """A running mail server: its address, its mailboxes, and the folder that makes it misbehave."""

    address: str
    folder: Path
    faults: Path
    process: subprocess.Popen[bytes]

    def goes_wrong(self, how: str, times: int = 1) -> None:
        """The next so many messages are disturbed; see server.py for the ways."""
        (self.faults / how).write_text(str(times))


@contextmanager
def running(folder: str | Path) -> Iterator[Mail]:
    """Yield the server; its process is ended by its own id when the block is left."""
    folder = Path(folder)
    command = [sys.executable, "-I", "-S", str(SERVER), "--folder", str(folder / "mailboxes"), "--end-with-stdin"]
    command += ["--faults", str(folder / "faults"), *(part for name in DOMAINS for part in ("--domain", name))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 -- ours
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        said = process.stdout.readline()
        if not said:
            raise RuntimeError(f"the mail server did not start (exit code {process.wait()})")
        yield Mail(f"127.0.0.1:{json.loads(said)['port']}", folder / "mailboxes", folder / "faults", process)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
