"""How a store on one SQLite file is reached beside the connections that it has: to read, to seal, to write it anew.

Promises that what was taken out of rows is in no free page and no log once :meth:`SqliteAccess.erase` says so. Does not
reach copies of the file, nor blocks that a file system gave back.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from holdfast.kernel.canon import encode
from holdfast.kernel.standin import STAND_IN
from holdfast.store.connection import Access, Connection, Erased

BUSY_MS = 10_000


class SqliteAccess(NamedTuple):
    """One file."""

    name: str

    @property
    def on_server(self) -> bool:
        """It is a file."""
        return False

    def reader(self) -> apsw.Connection:
        """A connection that only reads."""
        db = apsw.Connection(self.name, flags=apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(BUSY_MS)
        return db

    def sealer(self) -> apsw.Connection:
        """It waits for the lock, syncs each commit, and leaves the log's copying to writers."""
        db = apsw.Connection(self.name, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=50)
        db.set_busy_timeout(BUSY_MS)
        db.pragma("synchronous", "FULL")
        db.wal_autocheckpoint(0)
        return db

    def told(self) -> dict[str, Any]:
        """The path."""
        return {"path": self.name}

    def size_bytes(self, db: Connection) -> int:  # noqa: ARG002  # the files say it
        """The file and its log."""
        files = [Path(self.name + tail) for tail in ("", "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def shrink(self, busy_ms: int = BUSY_MS) -> tuple[int, int]:
        """Write the file anew without the room that rows left.

        Raises what SQLite raises where somebody reads or writes all the while, or no room is left to do it in; the rows
        are gone all the same, and their room is used again.
        """
        db = apsw.Connection(self.name, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            before = self.size_bytes(db)
            db.set_busy_timeout(busy_ms)
            db.execute("VACUUM")
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            db.close()
        return before, self.size_bytes(db)

    def erase(self, values: Iterable[str] = (), busy_ms: int = BUSY_MS) -> Erased:
        """Write the file anew and empty its log. What is still found of ``values`` in the bytes is counted.

        Somebody who reads or writes all the while keeps that from being done: then it says why, and may be done again.
        """
        why = ""
        db = apsw.Connection(self.name, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.set_busy_timeout(busy_ms)
            db.pragma("secure_delete", True)
            db.execute("VACUUM")
            _empty_log(db, busy_ms)
        except apsw.Error as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            db.close()
        return Erased(not why, why, _left(self.name, values))


def reached(told: Mapping[str, Any]) -> Access:
    """The store that another process of ours was told of."""
    if "path" in told:
        return SqliteAccess(str(told["path"]))
    from holdfast.store.postgres_access import PostgresAccess

    return PostgresAccess(**told)


def _empty_log(db: apsw.Connection, busy_ms: int) -> None:
    """Copy the log back and cut it to nothing, once nobody reads from it any more."""
    until = time.monotonic() + busy_ms / 1000
    while True:
        with suppress(apsw.BusyError):
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return
        if time.monotonic() > until:
            raise apsw.BusyError("somebody reads the store all the while")
        time.sleep(0.01)  # SQLite has no queue to stand in until the last reader is done


def _left(path: str, values: Iterable[str]) -> int:
    """How often one of these texts is in the bytes of the store's files, as it was named or as JSON has it."""
    needles = {raw for text in values for raw in (text.encode(), encode(text)[1:-1]) if not STAND_IN.search(text)}
    found = 0
    for name in (path, f"{path}-wal", f"{path}-journal"):
        file = Path(name)
        if not file.exists() or not file.stat().st_size:
            continue
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            for needle in needles:
                at = raw.find(needle)
                while at >= 0:
                    found, at = found + 1, raw.find(needle, at + 1)
    return found
