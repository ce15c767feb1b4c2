"""A world in memory: tables and files as plain data that is replaced and never altered.

Decides nothing beyond what services and their rules decide. Promises that a snapshot is a handful of references, that
going back to one takes no longer for a large world than for a small one, and that the same seed and the same choices
give the same bytes in any process. A table is copied when one of its rows changes; rows and all other tables are shared
between instants. Does not survive its process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from holdfast.harness.world import change as changing
from holdfast.harness.world.booked import Booked, Books
from holdfast.harness.world.change import Change, split
from holdfast.harness.world.face import Act, Done, State

Rows = Mapping[str, Any]


class Instant(NamedTuple):
    """Everything of one instant. Its parts are shared with other instants and never altered."""

    tables: Mapping[str, Rows]
    books: Books
    ms: int


class MemoryWorld(Booked):
    """``MemoryWorld(tables={"invoices": {"in_1": {"cents": 1200}}}, files={"notes.txt": "…"})``."""

    kind = "memory"
    real = False

    def __init__(
        self,
        seed: int = 1,
        *,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        files: Mapping[str, str] | None = None,
        services: Mapping[str, Iterable[str]] | None = None,
        permits: Mapping[str, Iterable[str]] | None = None,
        hidden: Mapping[str, Any] | None = None,
        acts: Iterable[Act] = (),
    ) -> None:
        """Rows are JSON by table and key, files are texts by path; see :class:`Simulated` for the rest."""
        super().__init__(seed, services=services, permits=permits, hidden=hidden, acts=acts)
        given = changing.beginning(tables, files)
        start: dict[str, Rows] = {}
        for name in sorted(given):
            start[name] = {key: changing.plain(given[name][key]) for key in sorted(given[name])}
        self._tables: Mapping[str, Rows] = start
        self._flat: tuple[Mapping[str, Rows], dict[str, Any]] = ({}, {})

    # --- reads -----------------------------------------------------------------------------------------------------

    def value(self, place: str) -> Any:
        """What is there now; None: nothing."""
        return _value(self._tables, place)

    def all_of(self, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table now, in the order of keys."""
        return _all(self._tables, table)

    def value_at(self, at: Instant, place: str) -> Any:
        """What was there at an instant."""
        return _value(at.tables, place)

    def all_at(self, at: Instant, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table at an instant, in the order of keys."""
        return _all(at.tables, table)

    def state(self) -> State:
        """Everything there is, by place. The values are the world's own: to be read, not written into."""
        tables, flat = self._flat
        if tables is not self._tables:
            tables = self._tables
            flat = {f"{name}/{key}": value for name, rows in tables.items() for key, value in rows.items()}
            self._flat = tables, flat
        return dict(flat)

    # --- changes -----------------------------------------------------------------------------------------------------

    def land(self, changes: tuple[Change, ...], done: Done) -> None:
        """Do it, and write it down: both at once, or neither where a change makes no sense."""
        tables = dict(self._tables)
        for change in changes:
            table, key = split(change.place)
            rows = dict(tables.get(table, {}))
            value = changing.applied(rows.get(key), change)
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
            tables[table] = rows
        self._tables = tables
        self.enter(done)

    # --- instants ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Instant:
        """This instant."""
        return Instant(self._tables, self._books, self.clock.ms)

    def restore(self, at: Instant) -> None:
        """Go back to an instant: state, log, clock, what services remember, and who has acted."""
        self._tables, self._books, self.clock.ms = at


def _value(tables: Mapping[str, Rows], place: str) -> Any:
    table, key = split(place)
    rows = tables.get(table)
    return None if rows is None else rows.get(key)


def _all(tables: Mapping[str, Rows], table: str) -> Iterator[tuple[str, Any]]:
    return iter([(f"{table}/{key}", value) for key, value in sorted(tables.get(table, {}).items())])
