"""How a store on PostgreSQL is reached beside the connections that it has: to read, to seal, to write tables anew.

Promises that once :meth:`PostgresAccess.erase` says so, no row version from before the redaction is in a table or an
index of the store. Does NOT reach the write-ahead log and its archives, replicas that lag, backups, the server's log
where that holds statements, nor blocks that a file system gave back: docs/explain/evidence.md says what to do there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

from holdfast.kernel.errors import HoldfastError, StoreBusy, StoreFailed
from holdfast.store.connection import Connection, Erased
from holdfast.store.postgres_books import PostgresConnection
from holdfast.store.postgres_open import connect

BUSY_MS = 10_000
LOCK_MS = 10_000
HOLDS_VALUES = ("entry_body", "run", "effect_view", "approval", "document", "fact")
LEFT_BY_ARCHIVES = ("entry", "entry_body", "redaction", "approval", "document", "effect_view")

_SIZE = (
    "SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint FROM pg_class"
    " JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace"
    " WHERE pg_namespace.nspname = ? AND pg_class.relkind = 'r'"
)
_FIRST_NUMBER = re.compile(r"\d+")


class PostgresAccess:
    """One schema of a database. The connection string is in it and never in what it says of itself."""

    __slots__ = ("_dsn", "_lock_ms", "_schema", "name")

    def __init__(self, dsn: str, schema: str, lock_ms: int = LOCK_MS, name: str = "") -> None:
        """Nothing is opened yet; ``name`` is what :class:`holdfast.store.postgres_open.Place` has of it."""
        self._dsn, self._schema, self._lock_ms = dsn, schema, lock_ms
        self.name = name

    def __repr__(self) -> str:
        """Without what it connects with."""
        return f"PostgresAccess({self.name!r})"

    @property
    def on_server(self) -> bool:
        """It is."""
        return True

    def reader(self) -> PostgresConnection:
        """A connection that only reads. Raises StoreFailed, BadConfig."""
        db = self._connected()
        db.execute("SET default_transaction_read_only = on")
        return db

    def sealer(self) -> PostgresConnection:
        """A connection that may write. Raises StoreFailed, BadConfig."""
        return self._connected()

    def _connected(self) -> PostgresConnection:
        db, place = connect(self._dsn, self._schema, self._lock_ms)
        return PostgresConnection(db, place)

    def told(self) -> dict[str, Any]:
        """The connection string, for the standard input of a process of ours."""
        return {"dsn": self._dsn, "schema": self._schema, "lock_ms": self._lock_ms, "name": self.name}

    def size_bytes(self, db: Connection) -> int:
        """Tables, indexes and what is kept beside them, as the server counts."""
        return int(db.execute(_SIZE, (self._schema,)).get)

    def shrink(self) -> tuple[int, int]:
        """Let the room of rows that left be used again, and give back what lies at the end of tables: nobody waits.

        To give all of it back a table must be written anew, and everybody waits: that is an operator's ``VACUUM FULL``.
        """
        db = self._connected()
        try:
            before = self.size_bytes(db)
            for table in LEFT_BY_ARCHIVES:
                db.execute(f"VACUUM {table}")
            return before, self.size_bytes(db)
        finally:
            db.close()

    def erase(self, values: Iterable[str] = (), busy_ms: int = BUSY_MS) -> Erased:  # noqa: ARG002  # nothing to look in
        """Write the tables that hold values anew, each under an exclusive lock for as long as that takes.

        A transaction that is older than the redaction keeps the server from leaving out what it may still see: it is
        waited for, and where it stays, that is said. The bytes cannot be looked through from here: ``left`` is -1.
        """
        try:
            db = self._connected()
        except HoldfastError as error:
            return Erased(whole=False, why=error.message, left=-1)
        until = time.monotonic() + busy_ms / 1000
        try:
            for table in HOLDS_VALUES:
                while kept := _anew(db, table):
                    if time.monotonic() > until:
                        why = f"an older transaction still sees {kept} row(s) of {table} as they were"
                        return Erased(whole=False, why=why, left=-1)
                    time.sleep(0.1)  # the server has no queue to stand in until an older transaction is over
        except HoldfastError as error:
            return Erased(whole=False, why=_why(error), left=-1)
        finally:
            db.close()
        return Erased(whole=True, why="", left=-1)


def _anew(db: PostgresConnection, table: str) -> int:
    """Write a table anew; how many dead row versions had to be taken along. Raises StoreFailed where it was skipped."""
    told: list[tuple[str, str, str]] = []

    def hear(notice: Any) -> None:  # what it says is gone once this returns
        severity, text, detail = notice.severity_nonlocalized, notice.message_primary, notice.message_detail
        told.append((severity or "", text or "", detail or ""))

    db.raw.add_notice_handler(hear)
    try:
        db.execute(f"VACUUM (FULL, VERBOSE) {table}")
    finally:
        db.raw.remove_notice_handler(hear)
    for severity, text, _ in told:
        if severity == "WARNING":  # for a role that may not, the server skips the table and goes on
            raise StoreFailed(store=db.place.name, why=text)
    # Of the verbose notice the detail begins with their number, in whatever language.
    numbers = [_FIRST_NUMBER.search(detail) for _, _, detail in told]
    return max((int(found[0]) for found in numbers if found is not None), default=0)


def _why(error: HoldfastError) -> str:
    if isinstance(error, StoreBusy):
        return "a table could not be locked: somebody reads or writes it all the while"
    return str(error.values.get("why") or error.message)
