"""Worlds over parts that only an extra brings say which one, before anything is started."""

from __future__ import annotations

import sys

import pytest

from holdfast.harness.world.mcp import McpWorld
from holdfast.harness.world.objects import ObjectsWorld
from holdfast.harness.world.postgres import PostgresWorld
from holdfast.kernel.errors import ExtraMissing


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("psycopg", "postgres", lambda: PostgresWorld(dsn="postgresql://127.0.0.1:1/none")),
        ("mcp", "mcp", McpWorld),
        ("boto3", "objects", ObjectsWorld),
        ("moto", "objects", ObjectsWorld),
    ],
)
def test_a_world_whose_library_is_missing_names_the_extra(monkeypatch, module, extra, make):
    """The error names the library and the extra that brings it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing) as caught:
        make()
    assert f"needs {module}, which is not installed" in str(caught.value)
    assert f"holdfast[{extra}]" in str(caught.value)
