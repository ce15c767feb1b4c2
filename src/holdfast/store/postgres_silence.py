"""A connection that answers nothing for too long is shut, so that whoever waits on it learns that it is gone.

The server bounds each statement itself; this bounds what the server cannot: a way to it that swallows everything, or a
server that is stopped and answers nobody. TCP notices neither where something in between answers for it. Promises that
nothing which waits on a connection of :func:`connection_type`, or under :func:`watched`, waits longer than its bound
and a second. Does not say what became of the statement: that is asked on the next connection.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

LOOK_EVERY_S = 1.0
LIMIT_S = 40.0


class Watch:
    """Looks at every wait of this process once a second, on one thread."""

    def __init__(self) -> None:
        """Its thread starts with the first wait."""
        self._turn = threading.Lock()
        self._waits: dict[int, tuple[float, Any]] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def begin(self, db: Any, limit_s: float) -> int:
        """A wait that may last so long; its number."""
        number = next(self._numbers)
        self._waits[number] = time.monotonic() + limit_s, db
        if self._thread is None:
            with self._turn:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._look, name="holdfast-postgres-watch", daemon=True)
                    self._thread.start()
        return number

    def end(self, number: int) -> None:
        """It is over."""
        self._waits.pop(number, None)

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)  # what it looks for is that nothing happens
            now = time.monotonic()
            for number, (until, db) in list(self._waits.items()):
                if now > until and self._waits.pop(number, None) is not None:
                    _shut(db)

    def forked(self) -> None:
        """In a forked process: its thread is not here, and none of its waits is ours."""
        self.__init__()  # type: ignore[misc]


WATCH = Watch()
os.register_at_fork(after_in_child=WATCH.forked)


@contextmanager
def watched(db: Any, limit_s: float) -> Iterator[None]:
    """Shut the connection where what is done with it takes longer than that."""
    number = WATCH.begin(db, limit_s)
    try:
        yield
    finally:
        WATCH.end(number)


@lru_cache(maxsize=1)
def connection_type(psycopg: Any) -> Any:
    """Psycopg's blocking connection, each of whose waits is bounded by its ``limit_s``."""

    class Bounded(psycopg.Connection):  # type: ignore[misc]  # the driver is imported when it is needed
        limit_s = LIMIT_S

        def wait(self, *asked: Any, **how: Any) -> Any:
            number = WATCH.begin(self, self.limit_s)
            try:
                return super().wait(*asked, **how)
            finally:
                WATCH.end(number)

    return Bounded


def _shut(db: Any) -> None:
    with suppress(Exception):  # it is closed by itself, or no socket of ours
        copy = socket.socket(fileno=os.dup(db.fileno()))
        try:
            copy.shutdown(socket.SHUT_RDWR)
        finally:
            copy.close()
