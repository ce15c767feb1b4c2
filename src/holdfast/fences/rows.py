"""Rows of a SQL database: a stale writer is refused by the statement that writes, in one compare-and-set.

:class:`Rows` keeps the door in two columns of the row itself; :class:`Guards` keeps it in a table of its own, so that
it outlives the row and stands before any statements of one transaction:

    PRODUCTS = fences.Rows("products", key="sku")           # columns: see PRODUCTS.migration()
    GUARDS = fences.Guards()                                # table: see GUARDS.migration()

    with connect() as db:
        PRODUCTS.update(db, fx.token, "lamp-7", {"price": 450})

    with connect() as db:
        GUARDS.enter(db, fx.token, f"product:{sku}")        # first, and then whatever is to be done
        db.execute("DELETE FROM products WHERE sku = …")

`db` is a DB-API 2.0 connection (sqlite3, psycopg). Token and condition are compared by the database inside the
statement that writes, under its own row lock, so that no other writer comes in between, at any isolation level.

Promises: when `Stale` is raised the statement wrote nothing; leave the transaction by the exception, as every ``with``
block does, and none of it did. `found` commits before it answers: a door that is rolled back is no door.

Does not promise anything about a statement that leaves the column out: **all writers must** go through it. `Rows`
forgets with the row: where rows are deleted, a late insert is refused by `Guards` alone. Values are set, never
computed (`n = n + 1` would be done again by a resend). An error of COMMIT proves nothing, and is left to be a doubt.
Needs UPSERT (SQLite 3.24, PostgreSQL 9.5) and a driver that counts matched rows in `rowcount`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from holdfast.fences.door import Door, Unsure, checked
from holdfast.kernel.answers import Absent, Found
from holdfast.kernel.errors import BadValue
from holdfast.tools.fx import Look
from holdfast.tools.signals import DidNotHappen

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MARKS: Final = {"qmark": "?", "format": "%s", "pyformat": "%s"}


class _Doors:
    """The statements that both kinds of door are made of."""

    def __init__(self, table: str, key: str, fence: str, written: str) -> None:
        self._table = ".".join(quoted(part) for part in table.split("."))
        self._key, self._fence, self._written = quoted(key), quoted(fence), quoted(written)

    def _at(self, column: str) -> str:
        """A column by its whole name: SQLite takes an unknown bare name in quotes for a text."""
        return f"{self._table}.{column}"

    @property
    def _lets_in(self) -> str:
        return f"COALESCE({self._at(self._fence)}, 0) <= ?"

    def door(self, db: Any, key: Any) -> Door | None:
        """The door as this transaction sees it; None where there is none."""
        found = _rows(
            db,
            f"SELECT {self._at(self._fence)}, {self._at(self._written)} FROM {self._table}"  # noqa: S608 - checked names.
            f" WHERE {self._at(self._key)} = ?",
            (key,),
        )
        if not found:
            return None
        highest, last = (int(value or 0) for value in found[0])
        # One column remembers one write: whatever was written before it is forgotten.
        return Door(highest=max(highest, last), written=(last,) if last else (), forgotten=last)

    def _refused(self, db: Any, token: int, key: Any) -> NoReturn:
        """Say why the statement wrote nothing."""
        door, name = self.door(db, key), f"{self._table} {key}"
        if door is None:
            raise DidNotHappen(f"there is no row {name}; nothing was written")
        door.refuse(name, token)
        raise Unsure(f"{name} lets token {token} in, and yet the database wrote no row")


class Rows(_Doors):
    """Rows of one table, each with its door in two columns. `key` names one row, as its primary key does."""

    def __init__(self, table: str, *, key: str = "id", fence: str = "fence", written: str = "fence_written") -> None:
        super().__init__(table, key, fence, written)

    def migration(self) -> tuple[str, ...]:
        """The statements that add the columns to a table that is there, on SQLite and PostgreSQL."""
        columns = (self._fence, self._written)
        return tuple(f"ALTER TABLE {self._table} ADD COLUMN {c} BIGINT NOT NULL DEFAULT 0" for c in columns)

    def update(self, db: Any, token: int, key: Any, values: Mapping[str, Any]) -> dict[str, int]:
        """Set these columns of one row. Raises Stale, or DidNotHappen where there is no such row."""
        columns = [*(quoted(name) for name in values), self._fence, self._written]
        sets = ", ".join(f"{column} = ?" for column in columns)
        statement = f"UPDATE {self._table} SET {sets} WHERE {self._at(self._key)} = ? AND {self._lets_in}"  # noqa: S608
        if not _counted(db, statement, (*values.values(), checked(token), token, key, token)):
            self._refused(db, token, key)
        return {"token": token}

    def insert(self, db: Any, token: int, key: Any, values: Mapping[str, Any]) -> dict[str, int]:
        """Insert one row. Raises Stale, or DidNotHappen where it is there; one that this attempt inserted is kept."""
        columns = [self._key, *(quoted(name) for name in values), self._fence, self._written]
        statement = (
            f"INSERT INTO {self._table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            f" ON CONFLICT ({self._key}) DO NOTHING"
        )
        if not _counted(db, statement, (key, *values.values(), checked(token), token)):
            door = self.door(db, key)
            if door is None or token not in door.written:
                self._taken(db, token, key)
        return {"token": token}

    def found(self, db: Any, look: Look, key: Any) -> Found:
        """For a probe: shut the door on whoever was sent before, commit, then say what they did.

        Where there is no row there is no door either, and the absence is not final.
        """
        statement = f"UPDATE {self._table} SET {self._fence} = ? WHERE {self._at(self._key)} = ? AND {self._lets_in}"  # noqa: S608
        _counted(db, statement, (checked(look.token), key, look.token))
        door = self.door(db, key)
        db.commit()
        if door is None:
            return Absent(why=f"there is no row {self._table} {key}, and nothing keeps a late insert out")
        return door.found(f"{self._table} {key}", look)

    def _taken(self, db: Any, token: int, key: Any) -> NoReturn:
        door = self.door(db, key)
        if door is not None:
            door.refuse(f"{self._table} {key}", token)
        raise DidNotHappen(f"row {self._table} {key} is there already; nothing was written")


class Guards(_Doors):
    """A table of doors, one for each resource name, to be entered first in the transaction that writes."""

    def __init__(self, table: str = "holdfast_fences") -> None:
        super().__init__(table, "resource", "fence", "written")

    def migration(self) -> tuple[str, ...]:
        """The statement that makes the table, on SQLite and PostgreSQL."""
        columns = f"{self._fence} BIGINT NOT NULL DEFAULT 0, {self._written} BIGINT NOT NULL DEFAULT 0"
        return (f"CREATE TABLE IF NOT EXISTS {self._table} ({self._key} TEXT PRIMARY KEY, {columns})",)

    def enter(self, db: Any, token: int, resource: str) -> dict[str, int]:
        """Go through the door of a resource and hold it until the transaction ends. Raises Stale.

        What is committed after this counts as written: leave by an exception where nothing was.
        """
        statement = self._raise(written=True)
        if not _counted(db, statement, (resource, checked(token), token, token)):
            self._refused(db, token, resource)
        return {"token": token}

    def shut(self, db: Any, token: int, resource: str) -> None:
        """From now on lower tokens are refused; committed when this returns. Raises Stale where a higher one was."""
        if not _counted(db, self._raise(written=False), (resource, checked(token), 0, token)):
            self._refused(db, token, resource)
        db.commit()

    def found(self, db: Any, look: Look, resource: str) -> Found:
        """For a probe: shut the door on whoever was sent before, commit, then say what they did."""
        _counted(db, self._raise(written=False), (resource, checked(look.token), 0, look.token))
        door = self.door(db, resource)
        db.commit()
        assert door is not None, "the statement before makes one"
        return door.found(resource, look)

    def _raise(self, *, written: bool) -> str:
        also = f", {self._written} = excluded.{self._written}" if written else ""
        return (
            f"INSERT INTO {self._table} ({self._key}, {self._fence}, {self._written}) VALUES (?, ?, ?)"  # noqa: S608
            f" ON CONFLICT ({self._key}) DO UPDATE SET {self._fence} = excluded.{self._fence}{also}"
            f" WHERE {self._lets_in}"
        )


def quoted(name: str) -> str:
    """An SQL name in quotes. Raises BadValue for what is no plain name."""
    if not _NAME.fullmatch(name):
        why = "a table or column is named by letters, digits and underscores, at most 63"
        raise BadValue(path=f"name {name[:80]!r}", why=why, value_type=type(name).__name__)
    return f'"{name}"'


def _marked(db: Any, statement: str) -> str:
    """The statement with the driver's own placeholders; no name in it has a question mark or a percent sign."""
    drivers = (kind.__module__.partition(".")[0] for kind in type(db).__mro__)
    styles = (getattr(sys.modules.get(driver), "paramstyle", "") for driver in drivers)
    style = next((style for style in styles if style in _MARKS), None)
    if style is None:
        why = f"its driver names no DB-API paramstyle of {', '.join(_MARKS)}; give the driver's own connection"
        raise BadValue(path="db", why=why, value_type=type(db).__name__)
    return statement.replace("?", _MARKS[style])


def _rows(db: Any, statement: str, values: tuple[Any, ...]) -> list[Any]:
    cursor = db.cursor()
    try:
        cursor.execute(_marked(db, statement), values)
        return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in cursor.fetchall()]
    finally:
        cursor.close()


def _counted(db: Any, statement: str, values: tuple[Any, ...]) -> bool:
    """Whether the statement wrote its one row. Raises Unsure where that cannot be told, or it wrote several."""
    cursor = db.cursor()
    try:
        cursor.execute(_marked(db, statement), values)
        count = cursor.rowcount
    finally:
        cursor.close()
    if count not in (0, 1):
        raise Unsure(f"the database wrote {count} rows where one is fenced; leave the transaction by this error")
    return bool(count)
