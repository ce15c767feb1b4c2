"""Where a path of a call leads, and renames that never overwrite: nothing here leaves the directory it was given.

Decides which paths are taken. A part of a path is ASCII letters, digits and `_ . -`, and does not begin with a dot:
that refuses `..`, hidden files, control characters and every look-alike of slash and dot at once, without listing them.
Folders on the way are opened one by one without following links, and what follows works relative to the open folder,
so that a link which is put there in between leads nowhere.

Linux only: `renameat2` (Linux 3.15, glibc 2.28) can exchange two files in one step, or refuse to replace one.
"""

# ruff: noqa: N818 -- these are answers, named after what was said

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
NOREPLACE: Final = 1
EXCHANGE: Final = 2
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """Nothing was changed."""


class Place(NamedTuple):
    """A name in an open folder."""

    folder: int
    name: str


@contextmanager
def place(root: str, path: str) -> Iterator[Place]:
    """The place a path leads to; raises Refused for one that leaves the root, or leads through or to a link."""
    parts = path.split("/")
    if not all(PART.fullmatch(part) for part in parts):
        raise Refused(f"the path {path!r} is not taken: parts of letters, digits and _ . - that begin with no dot")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            try:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except OSError as error:
                raise Refused(f"{part!r} in {path!r} is no folder: {error.strerror}") from error
            os.close(folder)
            folder = inner
        where = Place(folder, parts[-1])
        there = status(where)
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise Refused(f"{path!r} is a link or a folder, no file")
        yield where
    finally:
        os.close(folder)


def status(where: Place) -> os.stat_result | None:
    """What lies at a place, links not followed; None where nothing does."""
    try:
        return os.stat(where.name, dir_fd=where.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def read(where: Place) -> bytes | None:
    """The bytes at a place; None where nothing lies."""
    try:
        with os.fdopen(os.open(where.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=where.folder), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def digest(where: Place) -> str | None:
    """The SHA-256 of what lies at a place; None where nothing does."""
    held = read(where)
    return None if held is None else hashlib.sha256(held).hexdigest()


def put(where: Place, data: bytes) -> None:
    """Write a file anew and have it on disk; it is not yet where anybody looks for it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(where.name, flags, 0o644, dir_fd=where.folder), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def rename(old: Place, new: Place, flag: int) -> None:
    """One step on disk: move without replacing, or exchange the two. Raises FileExistsError, FileNotFoundError."""
    code = _LIBC.renameat2(old.folder, os.fsencode(old.name), new.folder, os.fsencode(new.name), flag)
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new.name)
    os.fsync(old.folder)
    os.fsync(new.folder)
