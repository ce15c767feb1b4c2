"""The two ends of a copy (:mod:`.copy_sides`) that are a schema of a PostgreSQL database.

A source is held by the lock that every commit shares, so workers wait and the one that waits too long learns that the
store is busy. A target is made, filled, checked and committed in one transaction: whatever ends before that leaves
nothing in the database. Filling needs the right to make a schema, as a first opening does.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from holdfast.kernel.errors import BadValue, HoldfastError, NotCopied
from holdfast.store.address import Address
from holdfast.store.copy_sides import BUSY_MS, FIRST_ROWS, TABLES
from holdfast.store.postgres_books import PostgresConnection, alone
from holdfast.store.postgres_migrate import cluster, migrate
from holdfast.store.postgres_open import check_settings, connect, driver, translate

HELD: Final = ("witness", "cosignature", "sealer")
"""Tables that change without an entry."""

_COLUMNS = (
    "SELECT column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position"
)
_TYPES: Final = {"bigint": "int8", "integer": "int4"}


def _connected(at: Address) -> PostgresConnection:
    """A connection of which a transaction may take as long as it takes."""
    db, place = connect(at.dsn, at.schema, BUSY_MS)
    try:
        check_settings(db, place)
        db.execute("SET statement_timeout = 0")
        db.execute("SET idle_in_transaction_session_timeout = 0")
    except driver().Error as error:
        db.close()
        raise translate(error, place) from None
    except HoldfastError:
        db.close()
        raise
    return PostgresConnection(db, place)


def _columns(db: PostgresConnection, table: str) -> dict[str, str]:
    """The columns of a table and their types."""
    return dict(db.execute(_COLUMNS, (db.place.schema, table)).fetchall())


class Schema:
    """A store in a schema."""

    def __init__(self, at: Address) -> None:
        """It is there, and of the newest schema."""
        self.db = _connected(at)

    def hold(self) -> None:
        """Nothing is committed and nothing is sealed until the end of the transaction."""
        self.db.execute("BEGIN IMMEDIATE")
        alone(self.db)
        for table in HELD:
            self.db.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")

    def look(self) -> None:
        """One moment of it, with nobody kept waiting."""
        self.db.execute("BEGIN")

    def columns(self, table: str) -> tuple[str, ...]:
        """As the schema has them."""
        return tuple(_columns(self.db, table))

    def now_ms(self) -> int:
        """The server's clock."""
        return int(self.db.execute("SELECT wall_ms()").get)

    def last_token(self) -> int:
        """What was drawn counts, whether or not it was recorded."""
        drawn, recorded = self.db.execute("SELECT (SELECT last_value FROM token), last_token FROM meta").fetchone()
        return max(int(drawn), int(recorded))

    def said_pos(self, pos: int) -> None:
        """The row that every commit locks has it."""
        self.db.execute("UPDATE meta SET pos = ?", (pos,))

    def close(self) -> None:
        """Let go; an open transaction ends with it."""
        self.db.close()


class NewSchema:
    """A schema that has a store once its transaction is committed."""

    db: PostgresConnection

    def __init__(self, at: Address) -> None:
        """Nothing is opened yet."""
        self._at = at

    def begin(self) -> None:
        """Tables without their checks, in a transaction that nobody else sees."""
        self.db = _connected(self._at)
        db, schema = self.db, self._at.schema
        raw = db.raw
        try:
            raw.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            raw.execute("SET LOCAL lock_timeout = 0")
            # As a migration does: whoever else makes a store there is waited for, and then found.
            db.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast migration ' || ?, 0))", (schema,))
            if db.execute("SELECT to_regclass(?)::text", (f'"{schema}".migration',)).get is not None:
                raise NotCopied(store="", to=self._at.shown, why="there is a store already")
            migrate(raw, db.place)
            for table in (*TABLES, "meta"):
                db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for table in FIRST_ROWS:
                db.execute(f"DELETE FROM {table}")  # noqa: S608  # names of ours
        except driver().Error as error:
            raise translate(error, db.place) from None

    def columns(self, table: str) -> tuple[str, ...]:
        """As the schema has them."""
        return tuple(_columns(self.db, table))

    def put(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> int:
        """By COPY, in the server's own form."""
        kinds = _columns(self.db, table)
        raw = [number for number, name in enumerate(columns) if kinds[name] == "bytea"]
        count = 0
        into = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)".encode()
        try:
            with self.db.raw.cursor() as cursor, cursor.copy(into) as copy:
                copy.set_types([_TYPES.get(kinds[name], kinds[name]) for name in columns])
                for row in rows:
                    copy.write_row(_raw(row, raw))
                    count += 1
        except driver().DataError as error:
            why = f"a text of the table {table} cannot be kept by PostgreSQL: {type(error).__name__}"
            raise BadValue(path=table, why=why, value_type="str") from None
        except driver().Error as error:
            raise translate(error, self.db.place) from None
        return count

    def bound(self) -> dict[str, Any]:
        """The database cluster and the timeline of its history."""
        named, timeline = cluster(self.db.raw)
        return {"bound_to": named, "timeline": timeline}

    def checked(self, last: dict[str, int]) -> None:
        """Triggers speak again, sequences go on behind what is there, and the planner knows how much that is."""
        for table in (*TABLES, "meta"):
            self.db.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        for sequence, value in last.items():
            self.db.execute("SELECT setval(?::regclass, ?)", (sequence, max(1, value)))
        for table in TABLES:
            self.db.execute(f"ANALYZE {table}")

    def said_pos(self, pos: int) -> None:
        """The row that every commit locks has it."""
        self.db.execute("UPDATE meta SET pos = ?", (pos,))

    def arrive(self) -> None:
        """One commit. Where its answer is lost, the same command says whether it took place."""
        try:
            self.db.raw.execute("COMMIT")
        except driver().Error as error:
            raise translate(error, self.db.place) from None

    def close(self) -> None:
        """Let go; an open transaction ends with it."""
        with suppress(AttributeError):
            self.db.close()


def _raw(row: tuple[Any, ...], at: list[int]) -> tuple[Any, ...]:
    """Bytes where the server wants bytes: an identity that is no digest is its text."""
    if any(isinstance(row[number], str) for number in at):
        return tuple(v.encode() if number in at and isinstance(v, str) else v for number, v in enumerate(row))
    return row
