"""A suite's document: every row as it came, in one file that is read and projected later without playing again.

Decides the form: one JSON line for the head, one for each row. Promises that a file that was cut off in the middle is
read as far as it goes and says so; rows are written as they come. Does not hold the cases' code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from holdfast.harness.suite.run import Row
from holdfast.kernel.errors import BadConfig
from holdfast.tools.code import installed

VERSION = 1


class Kept(NamedTuple):
    """A suite as it was kept. ``whole`` is False where the file ends in the middle."""

    head: dict[str, Any]
    rows: tuple[Row, ...]
    whole: bool


class Writer:
    """Rows go in as they come."""

    def __init__(self, file: Any) -> None:
        """An open binary file."""
        self._file = file
        self._rows = 0

    def add(self, row: Row) -> None:
        """One row, on its way to disk at once."""
        self._file.write(msgspec.json.encode(row, order="deterministic") + b"\n")
        self._file.flush()
        self._rows += 1

    def end(self, **more: Any) -> None:
        """The last line: how many rows there are."""
        self._file.write(msgspec.json.encode({"rows": self._rows, **more}) + b"\n")


@contextmanager
def writing(path: Path, **head: Any) -> Iterator[Writer]:
    """A suite's file while the suite runs; the same path is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(msgspec.json.encode({"v": VERSION, "holdfast": installed(), **head}) + b"\n")
        writer = Writer(file)
        yield writer
        writer.end()


def read(path: Path) -> Kept:
    """A suite's file. Raises BadConfig where it is none."""
    try:
        lines = path.read_bytes().splitlines()
        head = msgspec.json.decode(lines[0]) if lines else None
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(file=str(path), key="suite", nearest=None, why=str(error)) from error
    if not isinstance(head, dict) or head.get("v") != VERSION:
        why = f"its first line is not the head of a suite of version {VERSION}"
        raise BadConfig(file=str(path), key="suite", nearest=None, why=why)
    rows: list[Row] = []
    whole = False
    for line in lines[1:]:
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except msgspec.DecodeError:
            whole = _ends(line, len(rows))
            break
    return Kept(head, tuple(rows), whole)


def _ends(line: bytes, rows: int) -> bool:
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(said, dict) and said.get("rows") == rows
