"""A product catalogue in SQL, on SQLite or PostgreSQL: the outside, with books of its own. Knows nothing of holdfast.

Decides how one change is made: **one transaction** that locks the row's guard, looks the key up, compares token and
version, writes the row, and writes the key into ``changes``. Promises:

- a key that has made a change gets its first answer again, for ever (``changes.key`` is unique), before any other rule
  is looked at;
- a token lower than one that was seen for the product is refused, also where the row is gone: the guard outlives it;
- a write is made over exactly the version that was read, and a product that is deleted and inserted anew goes on
  counting, so that its row is never taken for the old one;
- :class:`Refused` is raised only where the transaction is known not to have been committed.

Does not promise to notice an actor that writes a row without raising its version.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

Row = dict[str, Any]
WAITS_S = 5
"""How long a connection is tried, and a lock waited for."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY, title TEXT NOT NULL, price BIGINT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS guards (
    sku TEXT PRIMARY KEY, token BIGINT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS changes (
    number {numbered}, key TEXT NOT NULL UNIQUE, request TEXT NOT NULL, result TEXT NOT NULL)
"""


class Refused(Exception):  # noqa: N818  # it says what happened
    """The transaction was not committed, and will not be: nothing was changed."""


class NotReached(Refused):
    """No COMMIT was sent: the connection did not come about, or was lost before."""


class Fenced(Refused):
    """A newer writer was here: the token is lower than one that was seen."""


class Changed(Refused):
    """The row is not at the version that was read."""


class KeyConflict(Exception):  # noqa: N818
    """This key has made another change than the one asked for: something *was* done, so this is not a Refused."""


def commit(db: Any) -> None:
    """Make the transaction last. Once this has been called, only an answer says whether it does."""
    db.commit()


class Session:
    """One transaction on either database. Statements name their values (``:sku``)."""

    def __init__(self, db: Any, *, postgres: bool) -> None:
        self._db = db
        self._postgres = postgres

    def run(self, statement: str, **values: Any) -> list[Row]:
        """Execute a statement; the rows that it gives, if it gives any."""
        if self._postgres:
            statement = re.sub(r":(\w+)", r"%(\1)s", statement)
        cursor = self._db.execute(statement, values)
        return [dict(row) for row in cursor.fetchall()] if cursor.description else []


def connected(url: str, *, writes: bool) -> tuple[Any, bool]:
    """A connection inside a transaction, and whether it is PostgreSQL's."""
    if url.startswith("sqlite:"):
        db = sqlite3.connect(url.removeprefix("sqlite:"), timeout=WAITS_S, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # Writers stand in line here, so that nothing they read changes before they write.
        db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        return db, False
    import psycopg
    from psycopg.rows import dict_row

    return psycopg.connect(url, row_factory=dict_row, connect_timeout=WAITS_S), True


def driver_errors(*, postgres: bool) -> type[Exception]:
    """What the driver raises."""
    if not postgres:
        return sqlite3.Error
    import psycopg

    return psycopg.Error


@contextmanager
def transaction(url: str) -> Iterator[Session]:
    """One transaction, committed at the end of the block; left by an error, it is not.

    Raises NotReached for whatever went wrong before COMMIT was sent. What goes wrong from then on is raised as it is,
    and proves nothing, unless the database itself says that it did not commit (SQLSTATE class 23 or 40).
    """
    errors = driver_errors(postgres=not url.startswith("sqlite:"))
    try:
        db, postgres = connected(url, writes=True)
    except errors as error:
        raise NotReached(f"no transaction was begun: {error}") from error
    try:
        try:
            yield Session(db, postgres=postgres)
        except errors as error:
            raise NotReached(f"COMMIT was never sent: {error}") from error
        try:
            commit(db)
        except errors as error:
            if str(getattr(error, "sqlstate", None) or "")[:2] in ("23", "40"):
                raise Refused(f"the database did not commit: {error}") from error
            raise
    finally:
        db.close()


@contextmanager
def reading(url: str) -> Iterator[Session]:
    """One consistent look; nothing is committed."""
    db, postgres = connected(url, writes=False)
    try:
        yield Session(db, postgres=postgres)
    finally:
        db.close()


def prepare(url: str) -> None:
    """Make the tables if they are not there."""
    numbered = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    if url.startswith("sqlite:"):
        numbered = "INTEGER PRIMARY KEY"
    with transaction(url) as session:
        for statement in SCHEMA.format(numbered=numbered).split(";"):
            session.run(statement)


# -- reading ----------------------------------------------------------------------------------------------------------


def product(url: str, sku: str) -> Row | None:
    """One row as it is now."""
    with reading(url) as session:
        return next(iter(session.run("SELECT * FROM products WHERE sku = :sku", sku=sku)), None)


def change_of(url: str, key: str) -> Row | None:
    """What was done under a key."""
    with reading(url) as session:
        found = session.run("SELECT result FROM changes WHERE key = :key", key=key)
    return json.loads(found[0]["result"]) if found else None


def changes(url: str, after: int = 0, limit: int = 100) -> list[Row]:
    """A page of changes in the order in which they were made: number, key and what was done."""
    with reading(url) as session:
        rows = session.run(
            "SELECT number, key, result FROM changes WHERE number > :after ORDER BY number LIMIT :limit",
            after=after,
            limit=limit,
        )
    return [{"number": row["number"], "key": row["key"], **json.loads(row["result"])} for row in rows]


# -- changing ---------------------------------------------------------------------------------------------------------


def raise_fence(url: str, sku: str, token: int) -> None:
    """From now on lower tokens are refused for this product. Waits for a transaction that is changing it."""
    with transaction(url) as session:
        session.run(
            "INSERT INTO guards VALUES (:sku, :token, 0) ON CONFLICT (sku) DO UPDATE SET token ="
            " CASE WHEN excluded.token > guards.token THEN excluded.token ELSE guards.token END",
            sku=sku,
            token=token,
        )


Write = Callable[[Session, int], Row | None]
"""Writes the row at a version; gives the row as it is afterwards."""


def once(url: str, request: Row, *, key: str, token: int, expect: int | None, write: Write) -> Row:
    """Make one change, or give the first answer under this key again. Raises Refused where nothing was done."""
    asked = json.dumps(request, sort_keys=True)
    sku = request["sku"]
    with transaction(url) as session:
        # The guard's row is locked first: from here on nobody else changes this product.
        session.run(
            "INSERT INTO guards VALUES (:sku, 0, 0) ON CONFLICT (sku) DO UPDATE SET token = guards.token", sku=sku
        )
        known = session.run("SELECT request, result FROM changes WHERE key = :key", key=key)
        if known and known[0]["request"] != asked:
            raise KeyConflict(f"key {key} has done {known[0]['request']}")
        if known:
            return dict(json.loads(known[0]["result"]))
        guard = session.run("SELECT token, version FROM guards WHERE sku = :sku", sku=sku)[0]
        if token < guard["token"]:
            raise Fenced(f"token {token} is lower than {guard['token']}, which was seen for {sku}")
        before = next(iter(session.run("SELECT * FROM products WHERE sku = :sku", sku=sku)), None)
        found = before["version"] if before else None
        if found != expect:
            raise Changed(f"{sku} is at version {found}, not at {expect}")
        version = max(guard["version"], found or 0) + 1
        after = write(session, version)
        session.run(
            "UPDATE guards SET token = :token, version = :version WHERE sku = :sku",
            token=token,
            version=version,
            sku=sku,
        )
        result = {**request, "version": version, "before": before, "after": after}
        session.run(
            "INSERT INTO changes (key, request, result) VALUES (:key, :request, :result)",
            key=key,
            request=asked,
            result=json.dumps(result),
        )
    return result


def _insert(session: Session, version: int, row: Mapping[str, Any]) -> Row:
    after = {"sku": row["sku"], "title": row["title"], "price": row["price"], "version": version}
    session.run("INSERT INTO products VALUES (:sku, :title, :price, :version)", **after)
    return after


def _reprice(session: Session, version: int, row: Mapping[str, Any]) -> Row:
    values = {"sku": row["sku"], "price": row["price"], "version": version}
    session.run("UPDATE products SET price = :price, version = :version WHERE sku = :sku", **values)
    return session.run("SELECT * FROM products WHERE sku = :sku", sku=row["sku"])[0]


def _delete(session: Session, version: int, row: Mapping[str, Any]) -> None:
    session.run("DELETE FROM products WHERE sku = :sku", sku=row["sku"])


def insert(url: str, sku: str, title: str, price: int, *, key: str, token: int) -> Row:
    """Insert a product that is not there."""
    request = {"verb": "insert", "sku": sku, "title": title, "price": price}
    return once(url, request, key=key, token=token, expect=None, write=partial(_insert, row=request))


def update(url: str, sku: str, price: int, *, key: str, token: int, version: int) -> Row:
    """Set the price of a product that is at this version."""
    request = {"verb": "update", "sku": sku, "price": price}
    return once(url, request, key=key, token=token, expect=version, write=partial(_reprice, row=request))


def delete(url: str, sku: str, *, key: str, token: int, version: int) -> Row:
    """Delete a product that is at this version."""
    request = {"verb": "delete", "sku": sku}
    return once(url, request, key=key, token=token, expect=version, write=partial(_delete, row=request))
