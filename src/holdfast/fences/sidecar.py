"""Doors kept in files: one record and one lock for each resource, in a folder of the local file system.

Decides how a record is read and replaced. Promises: whoever holds a record is alone with it among all processes that
share the folder, until they leave the block or die (the lock is the kernel's: `flock`); a record is replaced as a whole
or not at all, and is on disk when `save` returns (the new file is synced, renamed over the old one, and the folder
synced), so that a kill or a power cut at any step leaves the old record or the new one.

Does not promise exclusion across hosts (that is for the file system to say: most network file systems do not), nor
that a holder which is stopped *inside* the block gives way: the others are refused, with nothing done, until it goes
on or dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from holdfast.fences.door import Door
from holdfast.tools.signals import DidNotHappen

POLL_S: Final = 0.01
PRIVATE: Final = 0o600
_OPEN: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A door, and a write that was announced and may or may not have been made (its token; 0: none)."""

    door: Door = Door()
    writing: int = 0


class Held:
    """A record under its lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.record = self._read()

    def save(self, record: Record) -> None:
        """Replace the record. Returns when it would survive a power cut."""
        replace(self._path, msgspec.json.encode(record))
        self.record = record

    def _read(self) -> Record:
        try:
            written = read(self._path)
        except FileNotFoundError:
            return Record()
        return msgspec.json.decode(written, type=Record)


def take(lock: Path) -> int | None:
    """The lock, as an open file to be closed; None where somebody holds it now."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT | _OPEN, PRIVATE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    return file


@contextmanager
def held(record: Path, lock: Path, *, wait_s: float) -> Iterator[Held]:
    """The record under its lock. Raises DidNotHappen if somebody else keeps the lock for all of `wait_s`."""
    end_s = time.monotonic() + wait_s
    while (file := take(lock)) is None:
        if time.monotonic() >= end_s:
            raise DidNotHappen(f"somebody has held {lock.name} for {wait_s} s; nothing was written")
        time.sleep(POLL_S)  # The kernel tells nobody in bounded time when a lock becomes free.
    try:
        yield Held(record)
    finally:
        os.close(file)


def read(path: Path) -> bytes:
    """The bytes of a file that is no link."""
    with os.fdopen(os.open(path, os.O_RDONLY | _OPEN), "rb") as file:
        return file.read()


def put(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """A new file with these bytes, on disk with its name; one of that name, half written before, is removed."""
    with suppress(FileNotFoundError):
        path.unlink()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, mode)
    try:
        with os.fdopen(os.dup(file), "wb") as stream:
            stream.write(data)
        os.fchmod(file, mode)
        os.fsync(file)
    finally:
        os.close(file)
    sync(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Put these bytes in place of a file, in one step."""
    half = path.with_name(f"{path.name}.half")
    put(half, data)
    move(half, path)


def move(old: Path, new: Path) -> None:
    """Rename within a folder, and make that last."""
    os.rename(old, new)  # noqa: PTH104 - the one step; its name says what the manual promises of it.
    sync(new.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder last."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
