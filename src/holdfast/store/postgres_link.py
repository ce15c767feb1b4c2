"""A connection to a PostgreSQL server that is made anew when it breaks, and asks what became of its last transaction.

Decides how long a server may be away, and when a connection that answers no more is given up. Promises that each
connection made is judged anew: the settings of the server, and whether it is the same store, at least as far as it
was last seen. Promises that :meth:`Link.landed` never says no of a transaction that is committed later: the broken
connection is given up by name first, and what it may still have under way ends there.

Does not hide an outage: one that is longer than its bound is an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.kernel.errors import HoldfastError, StoreBusy, StoreFailed, StoreReadOnly
from holdfast.store import postgres_sql as sql
from holdfast.store.postgres_open import Place, connect, driver, translate
from holdfast.store.postgres_silence import watched

if TYPE_CHECKING:
    import psycopg

OUTAGE_MS = 30_000
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0
FORGOTTEN_MS = 7 * 86_400_000
Settle = Callable[["psycopg.Connection[Any]", Place], None]


class Gone(Exception):  # noqa: N818  # what it says is no error yet: it is tried again
    """The connection broke; whether the commit that it carried took place is asked on the next one."""


class Session(NamedTuple):
    """One connection, by the name under which it writes, and as the server knows it."""

    db: psycopg.Connection[Any]
    writer: str
    pid: int
    since: str


class Link:
    """The connection that writes. For one thread at a time."""

    def __init__(self, dsn: str, schema: str, lock_ms: int, settle: Settle, outage_ms: int = OUTAGE_MS) -> None:
        """``settle`` judges each new connection, and raises where it must not be used."""
        self._dsn, self._schema, self._lock_ms = dsn, schema, lock_ms
        self._settle = settle
        self._outage_s = outage_ms / 1000
        self._psycopg = driver()
        self._session: Session | None = None
        self._broken: Session | None = None
        self.links = 0

    def ready(self) -> Session:
        """The connection, made anew where it broke. Raises what keeps it from being made, once that lasted too long."""
        if self._session is not None and not self._session.db.closed:
            return self._session
        until, pause_s = time.monotonic() + self._outage_s, FIRST_PAUSE_S
        while True:
            try:
                return self.connect()
            except HoldfastError as error:
                if not passing(error) or time.monotonic() + pause_s > until:
                    raise
            time.sleep(pause_s)  # nobody tells when a server is back
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def connect(self) -> Session:
        """The connection, made anew without waiting."""
        db, place = connect(self._dsn, self._schema, self._lock_ms)
        try:
            numbers = self._psycopg.types.numeric
            db.adapters.register_dumper(int, numbers.Int8Dumper)
            db.adapters.register_dumper(int, numbers.Int8BinaryDumper)
            self._settle(db, place)
            writer = os.urandom(9).hex()
            db.execute(sql.SWEEP.encode(), (FORGOTTEN_MS,))
            db.execute(sql.TAKE_UP, (writer,))
            pid, since = db.execute(sql.MYSELF).fetchall()[0]
            # Whatever the planner believes of tables that were empty a moment ago: each row is found by its index.
            for path in ("seqscan", "hashjoin", "mergejoin"):
                db.execute(f"SET enable_{path} = off".encode())
            db.execute(b"SET plan_cache_mode = force_generic_plan")
        except self._psycopg.Error as error:
            db.close()
            raise translate(error, place) from None
        except BaseException:
            db.close()
            raise
        self._session = Session(db, writer, pid, since)
        self.links += 1
        return self._session

    def watched(self, limit_s: float) -> AbstractContextManager[None]:
        """Give the connection up where what is done with it takes longer than that."""
        assert self._session is not None, "asked for by whoever has a session"
        return watched(self._session.db, limit_s)

    @property
    def broken(self) -> bool:
        """Whether the connection is of no more use."""
        return self._session is None or self._session.db.closed

    def give_up(self) -> None:
        """The connection broke, or is to be no longer used: the next one asks after it."""
        if self._session is not None:
            self._broken, self._session = self._session, None
            with suppress(self._psycopg.Error):
                self._broken.db.close()

    def landed(self, mark: str) -> bool | None:
        """Whether the transaction with this mark, the last of the connection given up, was committed. None: that is not
        known. From here on it is not committed any more. Raises what keeps a connection from being made.
        """
        broken = self._broken
        assert broken is not None, "asked after a connection was given up"
        until = time.monotonic() + self._outage_s
        while time.monotonic() < until:
            session = self.ready()
            try:
                session.db.execute(sql.END_OTHER.encode(), (2_000, broken.pid, broken.since))
                found = session.db.execute(sql.GIVE_UP, (broken.writer,)).fetchone()
            except self._psycopg.Error:
                if session.db.closed:
                    # What is asked about is still the connection before this one.
                    self._session = None
                continue  # it waited for the broken connection's own lock; that ends
            self._broken = None
            return None if found is None else bool(found[0] == mark)
        return None

    def close(self) -> None:
        """Let go; harmless twice."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(self._psycopg.Error):
                session.db.execute(sql.GIVE_UP, (session.writer,))
            session.db.close()


def passing(error: Exception) -> bool:
    """Whether what went wrong with a connection may be over in a moment: an outage, too many connections, a standby."""
    return isinstance(error, StoreReadOnly | StoreFailed | StoreBusy)
