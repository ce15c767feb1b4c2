"""A witness that is a file: notes are appended, each with an empty line after it, under a lock.

Promises that a note is on disk before it counts as pushed, that a torn end is not taken for a note, and that nothing
but a regular file is written to, nor what a link in its place leads to. Does not keep anybody who may write the file
from emptying it: a witness that matters is where the operator cannot.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from pathlib import Path

from holdfast.kernel.checkpoint import MAX_BYTES
from holdfast.runtime.witness.ours import NotPushed, Ours, compared

LOCK_S = 5.0


class File:
    """``file:PATH``."""

    def __init__(self, path: Path) -> None:
        """The file is made with the first push; its directory is not."""
        self._path = path
        self.name = f"file:{path}"

    def push(self, ours: Ours) -> str:
        """Append the note unless the file ends in it, or in a later one. Raises NotPushed, Forked."""
        try:
            how = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self._path, how, 0o644)
        except OSError as error:
            raise NotPushed(f"the file cannot be written: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise NotPushed("it is no regular file")
            _locked(handle)
            _append(handle, ours)
        except OSError as error:
            raise NotPushed(f"the file cannot be written: {error.strerror}") from None
        finally:
            os.close(handle)
        return ""


def _append(handle: int, ours: Ours) -> None:
    size = os.fstat(handle).st_size
    end = os.pread(handle, MAX_BYTES, max(0, size - MAX_BYTES)).decode("utf-8", "replace")
    whole, torn = newest(end, ours.origin), bool(end) and not end.endswith("\n\n")
    if whole and compared(ours, whole) >= ours.sealed.size:
        return
    data = (("\n\n" if torn else "") + ours.sealed.note + "\n").encode()
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)


def newest(text: str, origin: str) -> str:
    """The last whole note of a log in a text of notes, each followed by an empty line; empty: there is none."""
    blocks = re.split(rf"^{re.escape(origin)}\n", text, flags=re.MULTILINE)
    for block in reversed(blocks[1:]):
        body, gap, rest = block.partition("\n\n")
        lines, end, _ = rest.partition("\n\n")
        if gap and end and lines:
            return f"{origin}\n{body}\n\n{lines}\n"
    return ""


def _locked(handle: int) -> None:
    until = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise NotPushed(f"somebody holds the file's lock for more than {LOCK_S:g} s") from None
            time.sleep(0.02)  # flock cannot wait for a bounded time by itself
        else:
            return
