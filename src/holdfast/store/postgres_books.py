"""A PostgreSQL connection with the face of :mod:`.connection`: blocking, for whoever reads, seals and judges evidence.

Decides how SQL that is written for both databases is spelled for this one: placeholders, a limit that is none (-1), the
two kinds of transaction, and members of bodies. Promises that a transaction which reads is one snapshot, that ``BEGIN
IMMEDIATE`` waits until no other sealer has one open, that a commit which the server turned into a rollback is not taken
for one, and that errors arrive as the store's own, without rows, passwords or connection strings in them.

Does not keep writers out by ``BEGIN IMMEDIATE``: they need not wait for a checkpoint. Who must have the log for itself
takes it with :func:`alone`; every commit takes the same lock shared, with :data:`SHARED`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from holdfast.kernel.errors import StoreFailed
from holdfast.store.postgres_open import Place, driver, translate

if TYPE_CHECKING:
    import psycopg

READS = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITES = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

SHARED = "SELECT pg_advisory_xact_lock_shared(%s)"
"""What every commit of a change does first, with :func:`log_key`: it waits for whoever has the log for itself."""

ALONE = "SELECT pg_advisory_xact_lock(%s)"

AT_ONCE = 2_000
"""Rows that a scan holds in memory."""

_TOKEN = re.compile(r"json_extract\(CAST\((\w+) AS TEXT\), '\$\.([\w.]+)'\)|'(?:[^']|'')*'|(LIMIT )?\?\d*|%")


def log_key(schema: str) -> int:
    """The number of the advisory lock over the whole log of the store in a schema."""
    return _key("log", schema)


def _key(what: str, schema: str) -> int:
    return int.from_bytes(hashlib.sha256(f"holdfast {what} {schema}".encode()).digest()[:8], signed=True)


@lru_cache(maxsize=512)
def spelled(statement: str) -> tuple[bytes, bool]:
    """A statement as psycopg takes it, and whether its placeholders are numbered."""
    numbered = False

    def other(found: re.Match[str]) -> str:
        nonlocal numbered
        text = found[0]
        if found[1]:
            # A body may hold the one character that PostgreSQL cannot keep in text; nothing that is counted has it.
            whole = f"replace(convert_from({found[1]}, 'UTF8'), '\\u0000', '\\ufffd')::json"
            return f"({whole} #>> '{{{found[2].replace('.', ',')}}}')"
        if "?" in text and not text.startswith("'"):
            number = text.partition("?")[2]
            numbered = numbered or bool(number)
            place = f"%(p{number})s" if number else "%s"
            return f"LIMIT nullif({place}, -1)" if found[3] else place
        return text.replace("%", "%%")

    return _TOKEN.sub(other, statement).encode(), numbered


class Rows:
    """What a statement found; all of it is here."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: list[Any]) -> None:
        """The rows, each a tuple."""
        self._rows = rows
        self._at = 0

    @property
    def get(self) -> Any:
        """The one value, or the one row; None where there is none."""
        left = self.fetchall()
        if not left:
            return None
        plain = [row[0] if len(row) == 1 else row for row in left]
        return plain[0] if len(plain) == 1 else plain

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self, None)

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        left = self._rows[self._at :] if self._at else self._rows
        self._at = len(self._rows)
        return left

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._at >= len(self._rows):
            raise StopIteration
        self._at += 1
        return self._rows[self._at - 1]


class PostgresConnection:
    """One connection of psycopg's, which is in autocommit mode and has the store's schema in sight."""

    def __init__(self, db: psycopg.Connection[Any], place: Place) -> None:
        """``db`` as :func:`holdfast.store.postgres_open.connect` gives it; it is this object's from now on."""
        self._psycopg = driver()
        self.raw = db
        self.place = place
        self._writing = False
        self._seen = ""
        self._version = 0
        self._scans = 0
        # One type a kind of value: a statement is prepared once, and not once for each length of its numbers.
        numbers = self._psycopg.types.numeric
        db.adapters.register_dumper(int, numbers.Int8Dumper)
        db.adapters.register_dumper(bool, _dumps_truth(numbers.Int8Dumper))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or failed and not yet given up."""
        return self.raw.info.transaction_status in _open_states(self._psycopg)

    def execute(self, statements: str, bindings: Any = None, /) -> Rows:
        """Run one statement, and take in all that it finds."""
        try:
            if statements in _ENDS:
                return self._transaction(statements)
            sql, numbered = spelled(statements)
            found = self.raw.execute(sql, _values(bindings, numbered=numbered), binary=True)
            return Rows(found.fetchall() if found.description is not None else [])
        except self._psycopg.Error as error:
            raise translate(error, self.place) from None

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any], /) -> Rows:
        """Run one statement for each row of values, in few round trips."""
        sql, numbered = spelled(statements)
        try:
            with self.raw.cursor() as cursor:
                cursor.executemany(sql, [_values(row, numbered=numbered) for row in sequenceofbindings])
        except self._psycopg.Error as error:
            raise translate(error, self.place) from None
        return Rows([])

    def scan(self, statement: str, bindings: Any = (), /) -> Iterator[Any]:
        """The rows of one statement, :data:`AT_ONCE` at a time. A transaction is open."""
        sql, numbered = spelled(statement)
        self._scans += 1
        try:
            with self.raw.cursor(f"scan_{self._scans}", binary=True) as cursor:
                cursor.itersize = AT_ONCE
                cursor.execute(sql, _values(bindings, numbered=numbered))
                yield from cursor
        except self._psycopg.Error as error:
            raise translate(error, self.place) from None

    def data_version(self) -> int:
        """Rises whenever any transaction of this server ended or began to write since it was last asked."""
        seen = str(self.execute("SELECT pg_current_snapshot()::text").get)
        if seen != self._seen:
            self._seen = seen
            self._version += 1
        return self._version

    def close(self) -> None:
        """Let go; harmless twice."""
        self.raw.close()

    # -- transactions --

    def _transaction(self, word: str) -> Rows:
        if word == "BEGIN":
            self._writing = False
            self.raw.execute(READS)
        elif word == "BEGIN IMMEDIATE":
            self._writing = True
            self.raw.execute(WRITES)
            try:
                self.raw.execute(ALONE, (_key("sealing", self.place.schema),))
            except self._psycopg.Error:
                self._give_up()
                raise
        else:
            ended = self.raw.execute(word.encode())
            if word == "COMMIT" and ended.statusmessage != "COMMIT" and self._writing:
                raise StoreFailed(store=self.place.name, why="the server rolled back what was to be committed")
        return Rows([])

    def _give_up(self) -> None:
        """Leave no transaction behind; silent where the connection is gone, and the transaction with it."""
        with suppress(self._psycopg.Error):
            self.raw.execute(b"ROLLBACK")

    def begin_in(self, snapshot: str) -> None:
        """Begin to read what the transaction sees that exported this snapshot."""
        try:
            self._transaction("BEGIN")
            self.raw.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'".encode())
        except self._psycopg.Error as error:
            raise translate(error, self.place) from None

    def snapshot(self) -> str:
        """What the open transaction sees, for :meth:`begin_in` of others, for as long as it is open."""
        return str(self.execute("SELECT pg_export_snapshot()").get)


_ENDS = frozenset({"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"})


def alone(db: PostgresConnection) -> None:
    """Have the log for oneself until the end of the open transaction: no change is committed meanwhile.

    Waits for those that are being committed. Raises StoreBusy.
    """
    db.execute("SELECT pg_advisory_xact_lock(?)", (log_key(db.place.schema),))


def _values(bindings: Sequence[Any] | None, *, numbered: bool) -> Any:
    if numbered:
        return {f"p{n}": value for n, value in enumerate(bindings or (), 1)}
    return tuple(bindings or ())


@lru_cache(maxsize=1)
def _open_states(psycopg: Any) -> frozenset[Any]:
    status = psycopg.pq.TransactionStatus
    return frozenset({status.INTRANS, status.INERROR, status.ACTIVE})


@lru_cache(maxsize=1)
def _dumps_truth(number: Any) -> Any:
    """Truth is a number in both databases: a dumper that says so."""
    parts = {"dump": lambda self, value: number.dump(self, int(value)), "oid": number.oid}
    return type("TruthDumper", (number,), parts)
