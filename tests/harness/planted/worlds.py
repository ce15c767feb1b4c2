"""Planted defects of worlds: dice that fall by chance, instants that are half brought back, actors who never act."""

from __future__ import annotations

import random
from typing import Any

from holdfast.harness.world import folder, sqlite, tables
from holdfast.harness.world.memory import MemoryWorld
from holdfast.harness.world.simulated import Simulated
from tests.harness.planted import Put


def _dice_by_chance(put: Put) -> None:
    """Dice do not know the seed."""
    put(Simulated, "rng", lambda self, name: random.Random())


def _half_back(put: Put) -> None:
    """Going back leaves the clock where it was."""

    def restore(self: Any, at: Any) -> None:
        self._tables, self._books, _ = at

    put(MemoryWorld, "restore", restore)


def _asleep(put: Put) -> None:
    """Nobody but the tools acts."""
    put(Simulated, "others", lambda self, until_ms: 0)
    put(Simulated, "follow", lambda self: None)


def _shared_rows(put: Put) -> None:
    """A row is altered where it stands, in every instant that shares it."""

    def land(self: Any, changes: Any, done: Any) -> None:
        for change in changes:
            table, key = change.place.split("/", 1)
            row = self._tables[table].get(key)
            if isinstance(row, dict) and isinstance(change.value, dict):
                row.update(change.value)
        self.enter(done)

    put(MemoryWorld, "land", land)


def _books_by_the_caller(put: Put) -> None:
    """The log has only what comes through a service: somebody's own SQL is not in it."""
    put(sqlite, "_events", lambda keys: {})


def _looks_away(put: Put) -> None:
    """A directory is not compared with what it was: only services tell what they have changed."""
    put(folder.FolderWorld, "_notice", lambda self, *given: None)


def _forgets_keys(put: Put) -> None:
    """A service over a database promises to honour keys and remembers none."""
    put(tables.Tables, "keep", lambda self, service, key, kept: None)


PLANT = {
    "world-forgets-keys": _forgets_keys,
    "world-looks-away": _looks_away,
    "world-dice-by-chance": _dice_by_chance,
    "world-half-back": _half_back,
    "world-actors-asleep": _asleep,
    "world-rows-shared": _shared_rows,
    "world-books-by-the-caller": _books_by_the_caller,
}
