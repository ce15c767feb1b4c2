"""The stores that keep the port's contract, each behind the same few handles. A new store joins by one class
here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.store import SqliteStore, open_store
from holdfast.store.memory import MemoryStore
from tests.contract.acts import Acts

START_MS = 1_800_000_000_000


class Clock:
    """A wall clock and a boot clock that tests move; together, unless told otherwise."""

    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.boot_ms = 50_000
        self.boots = 1

    def wall(self) -> int:
        return self.wall_ms

    def boot(self) -> int:
        return self.boot_ms

    def reboot(self) -> None:
        """The machine starts again: another boot, and its time counts from 0."""
        self.boot_ms = 0
        self.boots += 1

    def advance(self, by_ms: int) -> None:
        self.wall_ms += by_ms
        self.boot_ms += by_ms


class InMemory:
    """The frozen books of the harness. Another worker is another face of the same books."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self._store = MemoryStore(self.clock.wall, boot=self.clock.boot)

    def open(self, worker: str = "first") -> Any:
        return self._store.face(worker)

    def leave(self) -> None:
        """The process ends; what it had on disk stays."""
        self._store = MemoryStore(self.clock.wall, boot=self.clock.boot, books=self._store.durable)

    def reopen(self, *, same_boot: bool = True) -> Any:
        self.leave()
        if not same_boot:
            self.clock.reboot()
            books = self._store.durable
            self._store.durable = self._store.current = books._replace(clock=books.clock._replace(boot="before"))
        return self.open()

    def mark_restored(self) -> None:
        self._store.flush()
        self._store.durable = self._store.current = self._store.durable._replace(restored=True)

    def close(self) -> None:
        """Nothing to let go of."""


class Sqlite:
    """One file. Another worker has connections of its own, as another process would."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.folder = folder
        self.path = folder / "ledger.db"
        self.state = folder / "state"
        self._open: dict[str, SqliteStore] = {}

    def open(self, worker: str = "first", **more: Any) -> SqliteStore:
        if worker not in self._open:
            self._open[worker] = open_store(
                self.path,
                wall=self.clock.wall,
                boot=self.clock.boot,
                boot_named=f"boot {self.clock.boots}",
                state_dir=self.state,
                **more,
            )
        return self._open[worker]

    def leave(self) -> None:
        """Every process ends."""
        self.close()

    def reopen(self, *, same_boot: bool = True) -> SqliteStore:
        self.close()
        if not same_boot:
            self.clock.reboot()
        return self.open()

    def mark_restored(self) -> None:
        """As after a restore: the file is a copy, under another inode."""
        self.close()
        copy = self.path.with_suffix(".copy")
        copy.write_bytes(self.path.read_bytes())
        copy.rename(self.path)

    def close(self) -> None:
        for store in self._open.values():
            with contextlib.suppress(Exception):  # a test may have broken it on purpose
                store.close_now()
        self._open.clear()


BACKENDS = {"memory": InMemory, "sqlite": Sqlite}


@pytest.fixture(params=sorted(BACKENDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Each store in turn."""
    backend = BACKENDS[request.param](tmp_path)
    yield backend
    backend.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Sqlite]:
    """The SQLite store, for what only a file can show."""
    backend = Sqlite(tmp_path)
    yield backend
    backend.close()


@pytest.fixture
def acts() -> Acts:
    """The acts of the first worker on the first run."""
    return Acts(now_ms=START_MS)
