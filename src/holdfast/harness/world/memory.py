"""A world in memory: tables and files as plain data that is replaced and never altered.

Decides nothing beyond what services and their rules decide. Promises that a snapshot is a handful of references, that
going back to one takes no longer for a large world than for a small one, and that the same seed and the same choices
give the same bytes in any process. A table is copied when one of its rows changes; rows and all other tables are shared
between instants. Does not survive its process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from holdfast.harness.world import change as changing
from holdfast.harness.world.change import FILES, Change, split
from holdfast.harness.world.face import Act, Done, State
from holdfast.harness.world.services import Kept
from holdfast.harness.world.simulated import Simulated

Rows = Mapping[str, Any]


class Instant(NamedTuple):
    """Everything of one instant. Its parts are shared with other instants and never altered."""

    tables: Mapping[str, Rows]
    log: tuple[Done, ...] = ()
    kept: Mapping[tuple[str, str], Kept] = {}
    floors: Mapping[str, int] = {}
    fired: frozenset[int] = frozenset()
    ms: int = 0


class MemoryWorld(Simulated):
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
        given = {name: rows for name, rows in (tables or {}).items() if name != FILES}
        if files:
            given[FILES] = files
        start: dict[str, Rows] = {}
        for name in sorted(given):
            start[name] = {key: changing.plain(given[name][key]) for key in sorted(given[name])}
        self._lock = threading.RLock()
        self._now = Instant(start)
        self._flat: tuple[Mapping[str, Rows], dict[str, Any]] = ({}, {})

    # --- reads -----------------------------------------------------------------------------------------------------

    def value(self, place: str) -> Any:
        """What is there now; None: nothing."""
        return self.value_at(self._now, place)

    def all_of(self, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table now, in the order of keys."""
        return self.all_at(self._now, table)

    def value_at(self, at: Instant, place: str) -> Any:
        """What was there at an instant."""
        table, key = split(place)
        rows = at.tables.get(table)
        return None if rows is None else rows.get(key)

    def all_at(self, at: Instant, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table at an instant, in the order of keys."""
        return iter([(f"{table}/{key}", value) for key, value in sorted(at.tables.get(table, {}).items())])

    def state(self) -> State:
        """Everything there is, by place. The values are the world's own: to be read, not written into."""
        tables, flat = self._flat
        if tables is not self._now.tables:
            tables = self._now.tables
            flat = {f"{name}/{key}": value for name, rows in tables.items() for key, value in rows.items()}
            self._flat = tables, flat
        return dict(flat)

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning."""
        return self._now.log

    # --- changes -----------------------------------------------------------------------------------------------------

    def land(self, changes: tuple[Change, ...], done: Done) -> None:
        """Do it, and write it down: both at once, or neither where a change makes no sense."""
        tables = dict(self._now.tables)
        for change in changes:
            table, key = split(change.place)
            rows = dict(tables.get(table, {}))
            value = changing.applied(rows.get(key), change)
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
            tables[table] = rows
        self._now = self._now._replace(tables=tables, log=(*self._now.log, done))

    def kept(self, service: str, key: str) -> Kept | None:
        """What the service remembers of the newest request it did with this key."""
        return self._now.kept.get((service, key))

    def keep(self, service: str, key: str, kept: Kept) -> None:
        """Remember it, instead of what was done with this key before."""
        self._now = self._now._replace(kept={**self._now.kept, (service, key): kept})

    def floor(self, place: str) -> int:
        """The newest token this place has seen; 0: none."""
        return self._now.floors.get(place, 0)

    def raise_floor(self, place: str, token: int) -> None:
        """The place has seen this token."""
        if token > self.floor(place):
            self._now = self._now._replace(floors={**self._now.floors, place: token})

    def together(self) -> AbstractContextManager[Any]:
        """One thread at a time."""
        return self._lock

    # --- instants ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Instant:
        """This instant."""
        return self._now._replace(ms=self.clock.ms)

    def restore(self, at: Instant) -> None:
        """Go back to an instant: state, log, clock, what services remember, and who has acted."""
        self._now = at
        self.clock.ms = at.ms

    def fired(self) -> frozenset[int]:
        """The numbers of the acts that are over."""
        return self._now.fired

    def fire(self, number: int) -> None:
        """This act is over."""
        self._now = self._now._replace(fired=self._now.fired | {number})
