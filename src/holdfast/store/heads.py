"""The head that is remembered outside the store, and what follows when the store is found behind it.

A log cannot tell that its own tail was cut off, nor a file that it is a copy. So after every commit the
newest position and hash go into a small file in the user's state directory, which no backup of the store
carries along. A store that is behind its remembered head, has another entry there, was copied (other inode or
machine), or of which a later incarnation was released, opens *restored* (DESIGN §1.6).

Promises a lower bound: the record is written after the commit and not synced. Does not promise anything where
the file is missing on the same machine and inode (first use, or somebody removed it), nor across machines.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

_RECORD = struct.Struct(">8sQQ32s")
_SIZE = _RECORD.size + 4
_MAGIC = b"hfhead1\n"


class Head(NamedTuple):
    """The newest entry that was ever seen on disk: which incarnation of the store wrote it, where, and its
    hash.
    """

    incarnation: int
    pos: int
    hash: bytes


def state_directory() -> Path:
    """Where heads are remembered: $HOLDFAST_STATE_DIR, else holdfast/ in the XDG state directory."""
    if chosen := os.environ.get("HOLDFAST_STATE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "holdfast"


def machine() -> str:
    """Which machine this is: $HOLDFAST_MACHINE_ID, else /etc/machine-id; empty if neither is there."""
    if chosen := os.environ.get("HOLDFAST_MACHINE_ID"):
        return chosen
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def place(path: str) -> str:
    """The machine and inode a store is bound to: a copy has another."""
    return f"{machine()}:{Path(path).stat().st_ino}"


class HeadFile:
    """One store's remembered head. Several processes share it; it only ever rises."""

    def __init__(self, directory: Path, store: str, *, look_only: bool = False) -> None:
        """Open or make the file; where it cannot be written, nothing is remembered (see ``kept``)."""
        self.path = directory / f"{store}.head"
        self._fd = -1
        try:
            if look_only:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                return
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return

    @property
    def kept(self) -> bool:
        """Whether heads are remembered at all."""
        return self._fd >= 0

    def read(self) -> Head | None:
        """The remembered head; None if there is none or its bytes do not check out."""
        if self._fd < 0:
            return None
        raw = os.pread(self._fd, _SIZE, 0)
        if len(raw) != _SIZE or zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:]):
            return None
        magic, incarnation, pos, digest = _RECORD.unpack(raw[:-4])
        return Head(incarnation, pos, digest) if magic == _MAGIC else None

    def rise(self, head: Head) -> Head:
        """Remember ``head`` unless a higher one is remembered; the one that is remembered now."""
        if self._fd < 0:
            return head
        try:
            # Never waited for: a process that is paused with this lock would hold up every writer. What is not
            # raised now is raised by the next commit; a lower bound is all that was promised.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return self.read() or head
        try:
            known = self.read()
            if known is not None and known[:2] >= head[:2]:
                return known
            raw = _RECORD.pack(_MAGIC, head.incarnation, head.pos, head.hash)
            os.pwrite(self._fd, raw + zlib.crc32(raw).to_bytes(4), 0)
            return head
        except OSError:
            self.close()  # nothing can be remembered there any more; the commit itself stands
            return head
        finally:
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def superseded(remembered: Head, incarnation: int) -> str:
    """In words: another copy of this store was released and goes on instead of this one."""
    newer = f"incarnation {remembered.incarnation} of it was released elsewhere"
    return f"{newer}; this is incarnation {incarnation}"


def suspicion(
    *,
    incarnation: int,
    last_pos: int,
    hash_there: bytes | None,
    bound_to: str,
    here: str,
    remembered: Head | None,
) -> str | None:
    """Why a store must open restored, in words; None if all that is remembered fits it.

    ``hash_there`` is the hash of the store's own entry at the remembered position.
    """
    if bound_to != here:
        return "the file is a copy: it was last used on another machine or under another inode"
    if remembered is None or remembered.incarnation < incarnation:
        return None
    if remembered.incarnation > incarnation:
        return superseded(remembered, incarnation)
    if remembered.pos > last_pos:
        return f"it ends at entry {last_pos} and was last seen with entry {remembered.pos}"
    if remembered.pos and hash_there != remembered.hash:
        return f"its entry {remembered.pos} is not the one that was last seen there"
    return None
