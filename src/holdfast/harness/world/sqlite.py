"""A world in one SQLite file: a tool may use the services, or open the file and speak SQL.

Decides how the file logs its own changes, and how it goes back to an instant. Promises that every change of a row is
in the file's log, whoever's connection made it, and that the file outlives the process that made it. Does not sync to
the disk: the file survives the death of processes, not that of the machine.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.harness.world.tables import BOOKS, OWN, Shape, Tables, quoted

SCHEMA: Final = """
CREATE TABLE world_log (
    part INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, service TEXT NOT NULL,
    operation TEXT NOT NULL, place TEXT NOT NULL, args TEXT NOT NULL, "by" TEXT NOT NULL, principal TEXT NOT NULL,
    "key" TEXT NOT NULL, token INTEGER NOT NULL, effect TEXT NOT NULL, run TEXT NOT NULL
);
CREATE TABLE world_request (
    number INTEGER, at_ms INTEGER, service TEXT, operation TEXT, args TEXT, "by" TEXT, principal TEXT, "key" TEXT,
    token INTEGER, effect TEXT, run TEXT
);
CREATE TABLE world_kept (service TEXT, "key" TEXT, at_ms INTEGER, answer TEXT, PRIMARY KEY (service, "key"));
CREATE TABLE world_floor (place TEXT PRIMARY KEY, token INTEGER);
CREATE TABLE world_fired (number INTEGER PRIMARY KEY);
CREATE TABLE world_clock (ms INTEGER NOT NULL);
INSERT INTO world_clock VALUES (0);
CREATE TRIGGER world_log_keeps BEFORE UPDATE ON world_log BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
CREATE TRIGGER world_log_stays BEFORE DELETE ON world_log BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
"""

# Where no service is asked, somebody's own SQL changes the row: the log says with what kind of statement.
NOTE: Final = """
INSERT INTO world_log (number, at_ms, service, operation, place, args, "by", principal, "key", token, effect, run)
SELECT coalesce(r.number, 1 + (SELECT coalesce(max(number), 0) FROM world_log)),
    coalesce(r.at_ms, (SELECT ms FROM world_clock)), coalesce(r.service, ''), coalesce(r.operation, '{operation}'),
    {place}, coalesce(r.args, '{{}}'), coalesce(r."by", 'tool'), coalesce(r.principal, ''), coalesce(r."key", ''),
    coalesce(r.token, 0), coalesce(r.effect, ''), coalesce(r.run, '')
FROM (SELECT 1) LEFT JOIN world_request r ON true WHERE {when};
"""

BUSY_S: Final = 10.0


class Image(NamedTuple):
    """The whole file at one instant, and what time it was."""

    content: bytes
    ms: int


class SqliteWorld(Tables):
    """``SqliteWorld(tables={"invoices": {"in_1": {"cents": 1200}}})``; tools may open ``world.path`` themselves."""

    kind = "sqlite"

    def __init__(self, seed: int = 1, *, path: str | Path | None = None, joins: bool = False, **given: Any) -> None:
        """A new file at ``path``, or in a folder of its own that ends with the world. See :class:`Tables`.

        ``joins``: the file is that of a world that lives, perhaps in another process; nothing is made.
        """
        self._folder = None if path else tempfile.TemporaryDirectory(prefix="holdfast-world-")
        self.path = Path(path) if path else Path(self._folder.name if self._folder else "") / "world.sqlite"
        if not joins and self.path.exists() and self.path.stat().st_size:
            raise FileExistsError(f"{self.path} is there already: a world begins with a new file")
        self._now = _open(str(self.path))
        self._past: tuple[Image, sqlite3.Connection] | None = None
        super().__init__(seed, joins=joins, **given)

    # --- statements --------------------------------------------------------------------------------------------------

    def ask(self, sql: str, args: Sequence[Any] = (), at: Any = None) -> list[tuple[Any, ...]]:
        """Do one statement."""
        return (self._now if at is None else self._then(at)).execute(sql, args).fetchall()

    def script(self, sql: str) -> None:
        """Do several statements, inside the transaction that is open."""
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._now.execute(statement)
                statement = ""
        if statement.strip():
            self._now.execute(statement)

    def begin(self) -> None:
        """Begin a transaction that nobody else writes beside."""
        self._now.execute("BEGIN IMMEDIATE")

    def end(self, *, keep: bool) -> None:
        """End it."""
        self._now.execute("COMMIT" if keep else "ROLLBACK")

    def install(self) -> None:
        """Make the world's own tables and the triggers on all others."""
        tables = self.names()
        self.script(SCHEMA)
        for table in tables:
            shape = self.shape(table)
            keys = shape.keys if shape else ()
            for operation, notes in _events(keys).items():
                body = ""
                for side, when in notes:
                    place = " || '/' || ".join([_text(table), *(f"CAST({side}.{quoted(key)} AS TEXT)" for key in keys)])
                    body += NOTE.format(operation=operation, place=place, when=when)
                name = quoted(f"{BOOKS}{operation}_{table}")
                self.ask(f"CREATE TRIGGER {name} AFTER {operation} ON {quoted(table)} BEGIN {body} END")

    def names(self, at: Any = None) -> list[str]:
        """The tables there are, in order, the world's own left out."""
        rows = self.ask("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", (), at)
        return [name for (name,) in rows if name not in OWN and not name.startswith("sqlite_")]

    def shape(self, table: str, at: Any = None) -> Shape | None:
        """The columns of a table; the row's number is the key of one that has no other."""
        rows = self.ask(f"PRAGMA table_info({quoted(table)})", (), at)
        if not rows or table in OWN:
            return None
        keys = [(order, name) for _, name, _, _, _, order in rows if order]
        columns = {name: _holds(declared) for _, name, declared, _, _, order in rows if not order}
        return Shape(tuple(name for _, name in sorted(keys)) or ("rowid",), columns)

    def column_type(self, values: Iterable[Any]) -> str:
        """The type of a column that is to hold these values."""
        kinds = {type(value) for value in values}
        known: Mapping[frozenset[type], str] = {
            frozenset({str}): "TEXT",
            frozenset({bool}): "BOOLEAN",
            frozenset({int}): "INTEGER",
            frozenset({float}): "REAL",
        }
        return known.get(frozenset(kinds - {type(None)}), "JSON")

    # --- instants ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Image:
        """This instant: the whole file."""
        with self._lock:
            return Image(self._now.serialize(), self.clock.ms)

    def restore(self, at: Image) -> None:
        """Go back: the file's content is replaced under its own locks, so that others may have it open."""
        with self._lock:
            self._then(at).backup(self._now)
            self.clock.ms = at.ms

    def close(self) -> None:
        """Close the file; delete it where it was the world's own."""
        with self._lock:
            self._now.close()
            if self._past is not None:
                self._past[1].close()
                self._past = None
        if self._folder is not None:
            self._folder.cleanup()

    def _then(self, at: Image) -> sqlite3.Connection:
        """A connection to an instant, in memory. The newest one that was asked for stays open."""
        if self._past is None or self._past[0] is not at:
            if self._past is not None:
                self._past[1].close()
            connection = _open(":memory:")
            connection.deserialize(at.content)
            self._past = at, connection
        return self._past[1]


def _open(where: str) -> sqlite3.Connection:
    connection = sqlite3.connect(where, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _events(keys: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """For each kind of statement the rows whose place is noted, and when."""
    moved = " OR ".join(f"OLD.{quoted(key)} IS NOT NEW.{quoted(key)}" for key in keys)
    # A row that gets another key leaves its place.
    return {"insert": [("NEW", "true")], "delete": [("OLD", "true")], "update": [("NEW", "true"), ("OLD", moved)]}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _holds(declared: str) -> str:
    known = {"JSON": "json", "JSONB": "json", "BOOLEAN": "bool", "BOOL": "bool"}
    return known.get(declared.upper(), "plain")
