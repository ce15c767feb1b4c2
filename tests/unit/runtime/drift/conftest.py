"""The store under test, and the catalogue outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.runtime.drift.catalogue import Catalogue


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The address of a store that nobody has opened yet."""
    return f"sqlite:{tmp_path / 'holdfast.db'}"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """A catalogue of its own for each test."""
    before = os.environ.get("CATALOGUE_URL")
    yield Catalogue(tmp_path)
    os.environ.pop("CATALOGUE_URL", None)
    if before is not None:
        os.environ["CATALOGUE_URL"] = before
