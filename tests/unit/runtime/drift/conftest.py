"""The store under test, a file or a schema of a real server, and the catalogue outside."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.contract.postgres_server import server
from tests.unit.runtime.drift.catalogue import Catalogue

__all__ = ["catalogue", "server", "store"]

NUMBERS = itertools.count(1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a store that nobody has opened yet."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path / 'holdfast.db'}"
        return
    dsn, schema = request.getfixturevalue("server"), f"hf_drift_{os.getpid()}_{next(NUMBERS)}"
    yield f"{dsn}{'&' if '?' in dsn else '?'}schema={schema}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """A catalogue of its own for each test."""
    before = os.environ.get("CATALOGUE_URL")
    yield Catalogue(tmp_path)
    os.environ.pop("CATALOGUE_URL", None)
    if before is not None:
        os.environ["CATALOGUE_URL"] = before
