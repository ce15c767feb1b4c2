"""The providers of a trip, and their books: what was booked, paid, sent and cancelled. Knows nothing of holdfast.

One SQLite file holds a line for each change, once a key. A provider that is down says no, finally. Promises that a key
which made a change gets its first answer again; that is all the tools rely on.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS change (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, what TEXT NOT NULL, of TEXT NOT NULL,
    answer TEXT NOT NULL);
"""


class Refused(Exception):  # noqa: N818  # it says what happened
    """The provider said no: nothing was changed."""


@contextmanager
def _books() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(os.environ["TRAVEL_BOOKS"], timeout=10)) as books, books:
        books.executescript(SCHEMA)
        yield books


def change(what: str, of: str, key: str) -> dict[str, Any]:
    """Make a change, once a key: a booking, a payment, a message, a cancellation. Raises Refused."""
    with _books() as books:
        known = books.execute("SELECT answer FROM change WHERE key = ?", (key,)).fetchone()
        if known is not None:
            return dict(json.loads(known[0]))
        if what in os.environ.get("TRAVEL_DOWN", "").split():
            raise Refused(f"{what} is not to be had")
        answer = {"id": f"{what}-{of}"}
        books.execute(
            "INSERT INTO change (key, what, of, answer) VALUES (?, ?, ?, ?)", (key, what, of, json.dumps(answer))
        )
        return answer


def find(key: str) -> dict[str, Any] | None:
    """What was answered under a key, if a change was made under it."""
    with _books() as books:
        known = books.execute("SELECT answer FROM change WHERE key = ?", (key,)).fetchone()
    return dict(json.loads(known[0])) if known is not None else None


def stands(trip: str) -> list[str]:
    """What of a trip stands: changed and not cancelled, in order."""
    with _books() as books:
        lines = [tuple(line) for line in books.execute("SELECT what, of FROM change ORDER BY number")]
    gone = {of for what, of in lines if what == "cancellation"}
    return [what for what, of in lines if of == trip and f"{what}-{of}" not in gone]


def lines() -> list[str]:
    """The books, line by line."""
    with _books() as books:
        return [f"{what} {of}" for what, of in books.execute("SELECT what, of FROM change ORDER BY number")]
