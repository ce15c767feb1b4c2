"""A change of one place, as data: what a request asks for, before any world has done it.

Decides what each kind of change makes of a value. Promises that nothing given to it is altered, that what a world keeps
is plain JSON of its own, and that a change written as JSON means the same at the other end of a wire. Does not know
places that are ruled out, or who may change them: services do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.kernel import canon

FILES: Final = "files"
"""The table whose rows are texts, by path."""

MAX_VALUE_BYTES: Final = 1 << 24
"""How large one row or file may be."""


class Change(NamedTuple):
    """``how`` is put, merge, add or remove; ``place`` is ``table/key`` or ``files/path``."""

    how: str
    place: str
    value: Any = None


def put(table: str, key: str, row: Any) -> Change:
    """The row is this afterwards, whatever it was."""
    return Change("put", place_of(table, key), row)


def merge(table: str, key: str, fields: Mapping[str, Any]) -> Change:
    """These fields of the row are so afterwards; the others stay. A row that was not there has only these."""
    return Change("merge", place_of(table, key), dict(fields))


def add(table: str, key: str, fields: Mapping[str, int]) -> Change:
    """These numbers are added to what the fields hold (nothing counts as 0): twice is not once."""
    return Change("add", place_of(table, key), dict(fields))


def remove(table: str, key: str) -> Change:
    """The row is not there afterwards."""
    return Change("remove", place_of(table, key))


def write_file(path: str, text: str) -> Change:
    """The file holds this text afterwards."""
    return Change("put", place_of(FILES, path), text)


def remove_file(path: str) -> Change:
    """The file is not there afterwards."""
    return Change("remove", place_of(FILES, path))


def place_of(table: str, key: str) -> str:
    """The place of a row. A table's name has no slash; a key may have some, as the path of a file does."""
    if not table or not key or "/" in table:
        raise ValueError(f"{table!r} and {key!r} name no place: a place is table/key, and a table has no slash")
    return f"{table}/{key}"


def split(place: str) -> tuple[str, str]:
    """Table and key of a place."""
    table, _, key = place.partition("/")
    if not table or not key:
        raise ValueError(f"{place!r} names no place: a place is table/key")
    return table, key


def beginning(
    tables: Mapping[str, Mapping[str, Any]] | None, files: Mapping[str, str] | None
) -> dict[str, dict[str, Any]]:
    """What a world begins with: rows by table and key, with the files as one of the tables."""
    given = {name: dict(rows) for name, rows in (tables or {}).items()}
    if files:
        given[FILES] = given.get(FILES, {}) | dict(files)
    for table, rows in given.items():
        for key, row in rows.items():
            _fits(place_of(table, key), row)
    return given


def plain(value: Any) -> Any:
    """The value as plain JSON that nobody else holds. Raises BadValue for what has no JSON form."""
    return canon.decode(canon.encode(value, max_bytes=MAX_VALUE_BYTES), max_bytes=MAX_VALUE_BYTES)


def own(value: Any) -> Any:
    """A copy of plain JSON, for somebody who may write into it."""
    return value if isinstance(value, (str, int, float, bool, type(None))) else msgspec.to_builtins(value)


def applied(before: Any, change: Change) -> Any:
    """The value of the place afterwards; None: not there. ``before`` is None where the place was not there."""
    match change.how:
        case "put":
            if change.value is None:
                raise ValueError(f"{change.place} cannot be put as null: remove it instead")
            _fits(change.place, change.value)
            return plain(change.value)
        case "merge":
            return {**_fields(before, change), **plain(change.value)}
        case "add":
            row = _fields(before, change)
            return row | {name: _sum(change.place, name, row.get(name, 0), by) for name, by in change.value.items()}
        case "remove":
            return None
    raise ValueError(f"no kind of change is called {change.how!r}: there are put, merge, add and remove")


def _fits(place: str, value: Any) -> None:
    if place.startswith(f"{FILES}/") and not isinstance(value, str):
        raise ValueError(f"{place} is a file: it holds a text, not {type(value).__name__}")


def _sum(place: str, name: str, held: Any, by: Any) -> Any:
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in (held, by)):
        raise ValueError(f"{place} holds {held!r} as {name}: {by!r} cannot be added to it")
    return held + by


def _fields(before: Any, change: Change) -> dict[str, Any]:
    if before is None:
        return {}
    if isinstance(before, dict):
        return before
    raise ValueError(f"{change.place} holds no fields that {change.how} could change: it is no row")
