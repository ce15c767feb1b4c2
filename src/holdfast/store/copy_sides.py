"""The two ends of a copy: a store that is read whole while nothing moves in it, and a place where one comes to be.

Decides how a store is held still, read row by row, filled, and brought into being in one step. Promises that a place is
empty, or has a whole store: what is filled lies in a draft file that gets its name at the end, or in a transaction that
is committed at the end (:mod:`.copy_server`); whatever ends before that leaves nothing that could be opened. Rows are
passed on a few hundred at a time. Does not decide what is copied, nor who may go on: :mod:`.copying` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import apsw

from holdfast.kernel.errors import NotCopied, StoreBusy
from holdfast.store import migrate
from holdfast.store.address import Address
from holdfast.store.clock import wall_ms
from holdfast.store.connection import Connection, each
from holdfast.store.heads import place

BUSY_MS = 10_000
AT_ONCE = 500

TABLES: Final = {
    "word": "n", "run": "n", "effect": "n", "effect_view": "n", "entry": "pos", "entry_body": "pos",
    "lease": "resource", "approval": "id", "fact": "scope", "document": "kind, id", "checkpoint": "size",
    "witness": "name", "cosignature": "size, witness", "node": "level, n", "redaction": "pos", "archive": "run",
    "archived": "pos", "sealer": "one", "life": "before, after",
}  # fmt: skip
"""Every table of a store that is copied row by row, and the order in which it is read. ``meta`` is made anew."""

FIRST_ROWS: Final = ("meta", "sealer", "run", "life", "word")
"""Tables that a new store has rows in; they give way to those of the one that is copied."""


class Source(Protocol):
    """A store that is copied."""

    @property
    def db(self) -> Connection:
        """Its connection."""
        ...

    def hold(self) -> None:
        """Keep everybody from changing it, until the end of the transaction."""

    def look(self) -> None:
        """Begin to read one moment of it."""

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table."""
        ...

    def now_ms(self) -> int:
        """The clock that it is kept by."""
        ...

    def last_token(self) -> int:
        """The highest token that it can have given out."""
        ...

    def said_pos(self, pos: int) -> None:
        """Where the last entry is now."""

    def close(self) -> None:
        """Let go; what was not committed is not there."""


class Target(Protocol):
    """A place where a store comes to be."""

    @property
    def db(self) -> Connection:
        """Its connection."""
        ...

    def begin(self) -> None:
        """Make the tables, empty, without their checks. Raises NotCopied where there is a store already."""

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table."""
        ...

    def put(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> int:
        """Fill one table; how many rows."""
        ...

    def bound(self) -> dict[str, Any]:
        """What is recorded of the place itself, as columns of ``meta``."""
        ...

    def checked(self, last: dict[str, int]) -> None:
        """Switch the checks on; what is counted goes on behind the ``last`` of each kind."""

    def said_pos(self, pos: int) -> None:
        """Where the last entry is now."""

    def arrive(self) -> None:
        """All of it is there, durably and under its name, in one step."""

    def close(self) -> None:
        """Let go; what has not arrived is not there."""


def rows_of(db: Connection, table: str, columns: tuple[str, ...]) -> Iterator[Any]:
    """The rows of a table in the order of its key, in bounded memory."""
    named = ", ".join(columns)
    return each(db, f"SELECT {named} FROM {table} ORDER BY {TABLES[table]}")  # noqa: S608  # names of ours


class File:
    """A store in a file."""

    def __init__(self, at: Address) -> None:
        """The file is there, and of the newest schema."""
        self._at = at
        self.db = apsw.Connection(str(at.path), flags=apsw.SQLITE_OPEN_READWRITE)
        self.db.set_busy_timeout(BUSY_MS)
        self.db.pragma("synchronous", "FULL")

    def hold(self) -> None:
        """The write lock: whoever wants to record something waits for it."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            raise StoreBusy(store=self._at.shown, holder="another process", waited_ms=BUSY_MS) from error

    def look(self) -> None:
        """One moment of the file, with nobody kept waiting."""
        self.db.execute("BEGIN")

    def columns(self, table: str) -> tuple[str, ...]:
        """As the file has them."""
        return _columns(self.db, table)

    def now_ms(self) -> int:
        """This machine's clock."""
        return wall_ms()

    def last_token(self) -> int:
        """As it is counted."""
        return int(self.db.execute("SELECT last_token FROM meta").get)

    def said_pos(self, pos: int) -> None:
        """The entries say it."""

    def close(self) -> None:
        """Let go."""
        self.db.close()


class Draft:
    """A file that becomes a store once it gets its name."""

    db: apsw.Connection

    def __init__(self, at: Address, store: str) -> None:
        """Nothing is made yet; ``store`` is the id of what is copied there."""
        assert at.path is not None, "a file has a path"
        self._at = at
        self._path = at.path
        self._drafts = f".{at.path.name}.{store}"
        self._draft = at.path.with_name(f"{self._drafts}.{os.getpid()}.draft")

    def begin(self) -> None:
        """A private file beside the place. What an earlier copy of the same store left there is taken away."""
        if self._path.exists():
            raise NotCopied(store="", to=self._at.shown, why="there is a file already")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.sweep()
        os.close(os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self.db = apsw.Connection(str(self._draft), flags=apsw.SQLITE_OPEN_READWRITE)
        self.db.pragma("synchronous", "FULL")
        migrate.migrate(self.db, str(self._draft), wall_ms(), "")
        self.db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        self.db.execute("BEGIN IMMEDIATE")
        for table in FIRST_ROWS:
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608  # names of ours

    def sweep(self) -> None:
        """Take away the drafts of processes that are no more. One that is at it keeps its own."""
        for left in self._path.parent.glob(f"{self._drafts}.*.draft*"):
            pid = left.name.removeprefix(f"{self._drafts}.").partition(".")[0]
            if pid == str(os.getpid()) or not Path("/proc", pid).exists():
                left.unlink(missing_ok=True)

    def columns(self, table: str) -> tuple[str, ...]:
        """As the file has them."""
        return _columns(self.db, table)

    def put(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> int:
        """Row by row, some hundred a call."""
        marks = ", ".join("?" * len(columns))
        put, count = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", 0  # noqa: S608  # names of ours
        identity = columns.index("identity") if table == "effect" else -1
        many = iter(rows)
        while some := list(islice(many, AT_ONCE)):
            self.db.executemany(put, [_digest(row, identity) for row in some] if identity >= 0 else some)
            count += len(some)
        return count

    def bound(self) -> dict[str, Any]:
        """The file keeps its inode when it gets its name."""
        return {"bound_to": place(str(self._draft))}

    def checked(self, last: dict[str, int]) -> None:  # noqa: ARG002  # a file counts by its rows
        """Triggers speak again."""
        self.db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)

    def said_pos(self, pos: int) -> None:
        """The entries say it."""

    def arrive(self) -> None:
        """Synced, then named: linked, so that a file which appeared there meanwhile is not replaced."""
        self.db.execute("COMMIT")
        self.db.close()
        try:
            os.link(self._draft, self._path)
        except FileExistsError:
            raise NotCopied(store="", to=self._at.shown, why="a file appeared there meanwhile") from None
        _synced(self._path.parent)
        self._draft.unlink()

    def close(self) -> None:
        """A draft that has no name is taken away."""
        with suppress(AttributeError):
            self.db.close()
        self.sweep()


def _columns(db: apsw.Connection, table: str) -> tuple[str, ...]:
    return tuple(name for _, name, *_ in db.execute(f"PRAGMA table_info({table})"))


def _digest(row: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    """An identity as a file has it: 32 raw bytes, or the text that it is."""
    value = row[at]
    if isinstance(value, bytes) and len(value) != 32:
        return (*row[:at], value.decode(), *row[at + 1 :])
    return row


def _synced(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
