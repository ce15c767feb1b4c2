"""What everything that reads, seals, redacts, archives and counts evidence needs of a database: one small face for two.

``apsw.Connection`` has this face as it is; :mod:`.postgres_books` gives it to PostgreSQL. The SQL that goes through it
is one text for both: SQLite's placeholders (``?``, ``?1``), ``INSERT … ON CONFLICT``, digests as bytes, numbers for
truth. Promises nothing by itself: a transaction that only reads is one moment of the store, one that begins with
``BEGIN IMMEDIATE`` keeps other sealers out, and what a connection says of itself is true of both kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol


class Cursor(Protocol):
    """What a statement found."""

    @property
    def get(self) -> Any:
        """The one value, or the one row as a tuple; None where nothing was found. For at most one row."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""
        ...


class Connection(Protocol):
    """One connection, for one thread at a time. Each statement is its own transaction until ``BEGIN``."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, statements: str, bindings: Any = None, /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any], /) -> Cursor:
        """Run one statement for each row of values."""
        ...

    def data_version(self) -> int:
        """The same number as before only where nobody else has committed anything since."""
        ...

    def close(self) -> None:
        """Let go; harmless twice."""


class Erased(NamedTuple):
    """What became of the bytes: whether they were written anew, why not, and how often a value is still found in them.

    ``left`` is -1 where the bytes cannot be looked through from here.
    """

    whole: bool
    why: str
    left: int


class Access(Protocol):
    """How a store is reached beside the connections that it has: a way for each purpose, and what is said of it."""

    @property
    def name(self) -> str:
        """Where it is, in words that hold no secret."""
        ...

    @property
    def on_server(self) -> bool:
        """Whether others run what holds it: its log and its copies are then theirs."""
        ...

    def reader(self) -> Connection:
        """A connection of its own that only reads."""
        ...

    def sealer(self) -> Connection:
        """A connection of its own that seals: it waits for others, and what it commits is on disk."""
        ...

    def told(self) -> dict[str, Any]:
        """What a process of ours needs to open a reader (:func:`.access.reached`). It may hold a password: it goes
        through a pipe, and nowhere else.
        """
        ...

    def size_bytes(self, db: Connection) -> int:
        """How much room it takes."""
        ...

    def shrink(self) -> tuple[int, int]:
        """Give back the room that rows left: the size before and after, in bytes. Raises what the database raises."""
        ...

    def erase(self, values: Iterable[str]) -> Erased:
        """Write anew what held rows that were changed or taken out, so that nothing of them is in free room."""
        ...


def each(db: Connection, statement: str, bindings: Any = ()) -> Iterator[Any]:
    """The rows of a statement that may have any number of them, within a transaction: in bounded memory on both."""
    scan = getattr(db, "scan", None)
    return iter(db.execute(statement, bindings)) if scan is None else iter(scan(statement, bindings))
