"""Every kind of world, made from the same rows: what a suite for all of them needs to know of each.

Rows are ``{"a": {...}, "b": {...}}`` in one table; a world that has only texts gets the same two as texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from holdfast.harness.world.change import FILES
from holdfast.harness.world.folder import FolderWorld
from holdfast.harness.world.http import HttpWorld
from holdfast.harness.world.mcp import McpWorld
from holdfast.harness.world.memory import MemoryWorld
from holdfast.harness.world.objects import ObjectsWorld
from holdfast.harness.world.postgres import PostgresWorld
from holdfast.harness.world.sqlite import SqliteWorld

ROWS: Mapping[str, Any] = {
    "a": {"cents": 1200, "open": True, "tags": ["new", {"deep": 1}], "share": 0.5},
    "b": {"cents": 70, "open": False, "note": "straße ☃"},
}
TEXTS: Mapping[str, Any] = {"a": "the first\n", "b": "straße ☃\n"}


class Kind(NamedTuple):
    """One kind of world: ``make(**options)`` gives one with the two values in ``table``."""

    name: str
    table: str
    values: Mapping[str, Any]
    new: Any
    """A value that neither of the two places has."""
    make: Callable[..., Any]


def with_rows(name: str, make: Callable[..., Any]) -> Kind:
    """A kind whose values are rows."""

    def made(seed: int = 1, **options: Any) -> Any:
        return make(seed, tables={"invoices": dict(ROWS)}, files={"docs/notes.txt": "one\n"}, **options)

    return Kind(name, "invoices", ROWS, {"cents": 5, "open": True}, made)


def with_texts(name: str, make: Callable[..., Any]) -> Kind:
    """A kind whose values are texts."""

    def made(seed: int = 1, **options: Any) -> Any:
        return make(seed, files=dict(TEXTS) | {"docs/notes.txt": "one\n"}, **options)

    return Kind(name, FILES, TEXTS, "another\n", made)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        with_rows("memory", MemoryWorld),
        with_rows("sqlite", SqliteWorld),
        with_rows("postgres", PostgresWorld),
        with_rows("http", HttpWorld),
        with_texts("folder", FolderWorld),
        with_rows("mcp", McpWorld),
        with_texts("objects", ObjectsWorld),
    )
}
