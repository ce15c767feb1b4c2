"""What each of the four outsides says of one setting by itself, read past the tools and past the fences.

A database has a trigger that logs what is written, the service has its table of changes, git has the reflog of the
branch. For files the kernel is asked: inotify reports every file that was closed after writing or moved to a name.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import struct
import subprocess
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from examples.fences.tools import ask, done
from holdfast.harness.prove import files_under


def prepare(tool: str, name: str) -> None:
    """Put the setting there with the value `first`, as somebody did before there were tokens."""
    if tool == "set_row":
        with sqlite3.connect(os.environ["SETTINGS_DB"].removeprefix("sqlite:")) as db:
            db.execute("INSERT INTO settings (name, value) VALUES (?, 'first')", (name,))
        db.close()
    elif tool == "set_file":
        (Path(os.environ["SETTINGS_FOLDER"]) / name).write_text("first", encoding="utf-8")


class Watch:
    """The kernel's own word on a folder: how often each file in it was written or put in place. Linux only."""

    CLOSE_WRITE = 0x8
    MOVED_TO = 0x80
    EVENT = struct.Struct("iIII")

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._queue: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watched = libc.inotify_add_watch(self._queue, os.fsencode(folder), self.CLOSE_WRITE | self.MOVED_TO)
        if self._queue < 0 or watched < 0:
            raise OSError(ctypes.get_errno(), f"inotify cannot watch {folder}")
        self._folder = folder
        self._values: defaultdict[str, list[str]] = defaultdict(list)

    def written(self, name: str) -> list[str]:
        """One entry for each write of a file so far: what it held when this was asked first after it.

        Ask after each write that is to be told from the next by what it wrote.
        """
        with suppress(BlockingIOError):
            while events := os.read(self._queue, 1 << 16):
                while events:
                    *_, length = self.EVENT.unpack_from(events)
                    end = self.EVENT.size + length
                    self._add(events[self.EVENT.size : end].rstrip(b"\0").decode())
                    events = events[end:]
        return list(self._values[name])

    def _add(self, name: str) -> None:
        if not name.startswith("."):
            self._values[name].append((self._folder / name).read_text(encoding="utf-8"))

    def close(self) -> None:
        """Watch no more."""
        os.close(self._queue)


def values(tool: str, name: str, watch: Watch) -> list[str]:
    """Every value that was written, in order."""
    if tool == "set_row":
        with sqlite3.connect(os.environ["SETTINGS_DB"].removeprefix("sqlite:")) as db:
            rows = db.execute("SELECT value FROM log WHERE name = ? ORDER BY n", (name,)).fetchall()
        db.close()
        return [value for (value,) in rows]
    if tool == "set_page":
        status, _, body = ask("GET", "/changes")
        return [change["value"] for change in done(status, body) if change["path"] == f"/settings/{name}"]
    if tool == "set_branch":
        remote = Path(os.environ["SETTINGS_REMOTE"])
        log = remote / "logs" / "refs" / "heads" / name
        moves = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [git_show(remote, move.split()[1]) for move in moves]
    return watch.written(name)


def git_show(remote: Path, commit: str) -> str:
    """The value in a commit."""
    command = ["git", "-C", str(remote), "show", f"{commit}:value"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 -- git


def beside(tool: str, name: str) -> dict[str, str]:
    """Whatever else the outside keeps, by its name there."""
    if tool == "set_row":
        with sqlite3.connect(os.environ["SETTINGS_DB"].removeprefix("sqlite:")) as db:
            rows = db.execute("SELECT * FROM settings WHERE name <> ?", (name,)).fetchall()
        db.close()
        return {other: repr(rest) for other, *rest in rows}
    if tool == "set_page":
        status, _, body = ask("GET", "/changes")
        return {change["path"]: change["value"] for change in done(status, body) if not change["path"].endswith(name)}
    if tool == "set_branch":
        command = ["git", "-C", os.environ["SETTINGS_REMOTE"], "for-each-ref", "--format=%(refname) %(objectname)"]
        refs = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 -- git
        named = dict(line.split() for line in refs.splitlines())
        return {ref: at for ref, at in named.items() if ref != f"refs/heads/{name}"}
    return files_under(os.environ["SETTINGS_FOLDER"], leave_out=(name,))
