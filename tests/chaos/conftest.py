"""One payment service and one database server for the tests that end neither; each test has a store of its own."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from examples.payments.spawn import running as outside_running
from tests.chaos import database
from tests.chaos.database import Database
from tests.chaos.yard import Yard

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def outside() -> Iterator[str]:
    """The payment service's address; orders of one test are told from those of another by their names."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-chaos-") as folder,
        outside_running(Path(folder) / "books.sqlite") as (url, _),
    ):
        yield url


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """A server that nobody ends."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-chaos-", ignore_cleanup_errors=True) as folder,
        database.running(Path(folder)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def yard_of(outside: str, request: pytest.FixtureRequest) -> Callable[[Path, str], Yard]:
    """A yard over a store of this kind, in a folder."""

    def made(folder: Path, kind: str) -> Yard:
        if kind == "sqlite":
            return Yard(folder, f"sqlite:{folder / 'store.db'}", outside)
        name, running = f"store{next(numbers)}", request.getfixturevalue("server")
        with psycopg.connect(running.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        return Yard(folder, running.url.removesuffix("postgres") + name, outside)

    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def yard(request: pytest.FixtureRequest, yard_of: Callable[[Path, str], Yard], tmp_path: Path) -> Iterator[Yard]:
    """A yard of the test's own, over each kind of store."""
    with yard_of(tmp_path, request.param) as opened:
        yield opened
