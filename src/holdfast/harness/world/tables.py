"""A world whose rows stand in the tables of a real database, which writes the log itself, through triggers.

Decides how rows become columns and back, and what the database's own log looks like. Promises that a change made by a
tool's own SQL is in the log as one made through a service is: the database wrote it, in the same transaction. A row's
primary key is its place and is not repeated in its value; a column that is NULL is not in the value. Does not log what
is done to tables that were not there when the world began, nor statements that change no row.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.harness.world import change as changing
from holdfast.harness.world.change import FILES, Change, split
from holdfast.harness.world.face import START_MS, Act, Clock, Done, State
from holdfast.harness.world.services import Kept, Refused
from holdfast.harness.world.simulated import Simulated

BOOKS: Final = "world_"
"""How the names of the world's own tables and triggers begin."""

OWN: Final = frozenset(f"{BOOKS}{name}" for name in ("log", "request", "kept", "floor", "fired", "clock"))
"""The world's own tables. Another whose name begins like theirs is somebody's, and a part of the state."""

ASKED: Final = ("number", "at_ms", "service", "operation", "args", "by", "principal", "key", "token", "effect", "run")
"""What the log says of each change besides its place."""


class Shape(NamedTuple):
    """A table: the columns of its primary key, and the other columns with what they hold (json, bool or plain)."""

    keys: tuple[str, ...]
    columns: dict[str, str]


class Told(Clock):
    """A clock that a database is told about, so that its own log knows the time."""

    def __init__(self, tell: Callable[[int], object], now_ms: int = START_MS) -> None:
        """``tell`` is called whenever somebody moves the clock."""
        self._tell: Callable[[int], object] = lambda _: None
        super().__init__(now_ms)
        self._tell = tell

    def hear(self, ms: int) -> None:
        """Somebody else has moved the clock, and told the database."""
        self._ms = ms

    @property
    def ms(self) -> int:
        """The time now."""
        return self._ms

    @ms.setter
    def ms(self, ms: int) -> None:
        self._ms = ms
        self._tell(ms)


class Tables(Simulated):
    """One world in tables. A kind of database gives the methods that raise NotImplementedError here.

    Every method that takes ``at`` reads this world now where that is None, else an instant of it.
    """

    real = True

    def __init__(
        self,
        seed: int = 1,
        *,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        files: Mapping[str, str] | None = None,
        schema: str = "",
        joins: bool = False,
        services: Mapping[str, Iterable[str]] | None = None,
        permits: Mapping[str, Iterable[str]] | None = None,
        hidden: Mapping[str, Any] | None = None,
        acts: Iterable[Act] = (),
    ) -> None:
        """``schema`` is SQL that makes tables and fills them; ``tables`` and ``files`` are as in a world in memory."""
        super().__init__(seed, services=services, permits=permits, hidden=hidden, acts=acts)
        self._lock = threading.RLock()
        self.clock: Told = Told(self._tell)
        given = changing.beginning(tables, files)
        if joins:
            self.clock = Told(self._tell, self.told_ms())
            return
        with self.together():
            if schema:
                self.script(schema)
            for name, rows in given.items():
                self._make(name, rows)
            self.install()
            self._tell(START_MS)

    # --- what a kind of database says --------------------------------------------------------------------------------

    def ask(self, sql: str, args: Sequence[Any] = (), at: Any = None) -> list[tuple[Any, ...]]:
        """Do one statement, with ``?`` where an argument stands; gives its rows."""
        raise NotImplementedError

    def script(self, sql: str) -> None:
        """Do several statements."""
        raise NotImplementedError

    def install(self) -> None:
        """Make the world's own tables and the triggers on all others."""
        raise NotImplementedError

    def names(self, at: Any = None) -> list[str]:
        """The tables there are, in order, the world's own left out."""
        raise NotImplementedError

    def shape(self, table: str, at: Any = None) -> Shape | None:
        """The columns of a table; None where there is no such table."""
        raise NotImplementedError

    def column_type(self, values: Iterable[Any]) -> str:
        """The type of a column that is to hold these values."""
        raise NotImplementedError

    def begin(self) -> None:
        """Begin a transaction that nobody else writes beside."""
        raise NotImplementedError

    def end(self, *, keep: bool) -> None:
        """End it."""
        raise NotImplementedError

    # --- reads -----------------------------------------------------------------------------------------------------

    def value(self, place: str) -> Any:
        """What is there now; None: nothing."""
        return self.value_at(None, place)

    def all_of(self, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table now, in the order of keys."""
        return self.all_at(None, table)

    def value_at(self, at: Any, place: str) -> Any:
        """What was there at an instant."""
        table, key = split(place)
        with self._lock:
            shape = self.shape(table, at)
            if shape is None:
                return None
            found = self.ask(f"{_select(table, shape)} WHERE {_where(shape)}", _parts(shape, key), at)
        return _value(table, shape, found[0]) if found else None

    def all_at(self, at: Any, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table at an instant, in the order of keys."""
        with self._lock:
            shape = self.shape(table, at)
            rows = [] if shape is None else self.ask(_select(table, shape), (), at)
        if shape is None:
            return iter(())
        wide = len(shape.keys)
        pairs = [(f"{table}/{'/'.join(map(str, row[:wide]))}", _value(table, shape, row)) for row in rows]
        return iter(sorted(pairs, key=lambda pair: pair[0]))

    def state(self) -> State:
        """Everything there is, in tables of whoever made them."""
        with self._lock:
            return dict(pair for table in self.names() for pair in self.all_of(table))

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning, as the triggers wrote it down."""
        with self._lock:
            rows = self.ask(f"SELECT place, {_listed(ASKED)} FROM world_log ORDER BY part")  # noqa: S608 - own names.
        found: dict[int, Done] = {}
        for place, number, *rest in rows:
            if number in found:
                done = found[number]
                found[number] = msgspec.structs.replace(done, places=tuple(dict.fromkeys((*done.places, place))))
            else:
                said = dict(zip(ASKED[1:], rest, strict=True)) | {"args": json.loads(rest[3])}
                found[number] = Done(number=number, places=(place,), **said)
        return tuple(found[number] for number in sorted(found))

    def changes(self) -> int:
        """How many changes the log has."""
        with self._lock:
            return int(self.ask("SELECT coalesce(max(number), 0) FROM world_log")[0][0])

    # --- changes -----------------------------------------------------------------------------------------------------

    def land(self, changes: tuple[Change, ...], done: Done) -> None:
        """Do it, while the database knows who asks: its triggers write that down with every row."""
        said = [getattr(done, name) for name in ASKED]
        said[ASKED.index("args")] = json.dumps(done.args, sort_keys=True)
        marks = ", ".join("?" * len(said))
        self.ask(f"INSERT INTO world_request ({_listed(ASKED)}) VALUES ({marks})", said)  # noqa: S608 - own names.
        for change in changes:
            self._write(change)
        if self.changes() < done.number:
            # What changed no row, like taking away what is not there, was asked for and done all the same.
            columns = f"{_listed(ASKED)}, place"
            for place in done.places:
                self.ask(f"INSERT INTO world_log ({columns}) VALUES ({marks}, ?)", [*said, place])  # noqa: S608
        self.ask("DELETE FROM world_request")

    def _write(self, change: Change) -> None:
        table, key = split(change.place)
        before = self.value(change.place)
        after = changing.applied(before, change)
        if table == FILES and after is not None:
            after = {"text": after}
        shape = self._room(table, after)
        name, parts = quoted(table), _parts(shape, key)
        if after is None:
            self.ask(f"DELETE FROM {name} WHERE {_where(shape)}", parts)  # noqa: S608 - quoted.
            return
        row = {column: _stored(after.get(column), kind) for column, kind in shape.columns.items()}
        if before is None:
            columns = (*shape.keys, *row)
            marks = ", ".join("?" * len(columns))
            self.ask(f"INSERT INTO {name} ({_listed(columns)}) VALUES ({marks})", [*parts, *row.values()])  # noqa: S608
        elif row:
            sets = ", ".join(f"{quoted(column)} = ?" for column in row)
            self.ask(f"UPDATE {name} SET {sets} WHERE {_where(shape)}", [*row.values(), *parts])  # noqa: S608 - quoted.
        kept = self.value(change.place)
        if kept != (after["text"] if table == FILES else {k: v for k, v in after.items() if v is not None}):
            raise ValueError(f"the columns of {table} cannot hold {after!r}: {kept!r} would be left of it")

    def _room(self, table: str, row: Mapping[str, Any] | None) -> Shape:
        """The table, with a column for every field of the row."""
        shape = self.shape(table)
        if shape is None:
            raise ValueError(f"this world has no table {table}; it has {', '.join(self.names())}")
        missing = [name for name in row or {} if name not in shape.columns]
        for name in missing:
            kind = self.column_type([(row or {})[name]])
            self.ask(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
        return (self.shape(table) or shape) if missing else shape

    def _make(self, table: str, rows: Mapping[str, Any]) -> None:
        """A table for these rows, with ``id`` as its key, and the rows in it."""
        full = {key: {"text": row} if table == FILES else changing.plain(dict(row)) for key, row in rows.items()}
        columns = {"text": self.column_type([""])} if table == FILES else {}
        for name in dict.fromkeys(name for row in full.values() for name in row):
            columns[name] = self.column_type([row[name] for row in full.values() if name in row])
        text = self.column_type([""])
        made = "".join(f", {quoted(name)} {kind}" for name, kind in columns.items())
        self.ask(f"CREATE TABLE {quoted(table)} (id {text} PRIMARY KEY{made})")
        shape = self.shape(table)
        assert shape is not None
        marks = ", ".join("?" * (1 + len(shape.columns)))
        insert = f"INSERT INTO {quoted(table)} ({_listed(('id', *shape.columns))}) VALUES ({marks})"  # noqa: S608
        for key, row in full.items():
            self.ask(insert, [key, *(_stored(row.get(name), kind) for name, kind in shape.columns.items())])

    # --- what services remember --------------------------------------------------------------------------------------

    def kept(self, service: str, key: str) -> Kept | None:
        """What the service remembers of the newest request it did with this key."""
        return self.kept_at(None, service, key)

    def kept_at(self, at: Any, service: str, key: str) -> Kept | None:
        """What it remembered at an instant."""
        with self._lock:
            rows = self.ask("SELECT at_ms, answer FROM world_kept WHERE service = ? AND key = ?", (service, key), at)
        return Kept(rows[0][0], json.loads(rows[0][1])) if rows else None

    def keep(self, service: str, key: str, kept: Kept) -> None:
        """Remember it, instead of what was done with this key before."""
        self.ask("DELETE FROM world_kept WHERE service = ? AND key = ?", (service, key))
        self.ask(
            "INSERT INTO world_kept (service, key, at_ms, answer) VALUES (?, ?, ?, ?)",
            (service, key, kept.at_ms, json.dumps(kept.answer, sort_keys=True)),
        )

    def floor(self, place: str) -> int:
        """The newest token this place has seen; 0: none."""
        with self._lock:
            rows = self.ask("SELECT token FROM world_floor WHERE place = ?", (place,))
        return int(rows[0][0]) if rows else 0

    def raise_floor(self, place: str, token: int) -> None:
        """The place has seen this token."""
        if token > self.floor(place):
            self.ask("DELETE FROM world_floor WHERE place = ?", (place,))
            self.ask("INSERT INTO world_floor (place, token) VALUES (?, ?)", (place, token))

    def fired(self) -> frozenset[int]:
        """The numbers of the acts that are over."""
        with self._lock:
            return frozenset(int(row[0]) for row in self.ask("SELECT number FROM world_fired"))

    def fire(self, number: int) -> None:
        """This act is over."""
        with self._lock:
            self.ask("INSERT INTO world_fired (number) VALUES (?)", (number,))

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction. What is refused keeps what the refusal has noted; what breaks leaves nothing."""
        with self._lock:
            self.begin()
            try:
                yield
            except Refused:
                self.end(keep=True)
                raise
            except BaseException:
                self.end(keep=False)
                raise
            self.end(keep=True)

    def hear(self) -> None:
        """Take over the time that another process told the database."""
        self.clock.hear(self.told_ms())

    def told_ms(self) -> int:
        """The time that the database was told last, in ms UTC: that of whoever drives this world."""
        with self._lock:
            return int(self.ask("SELECT ms FROM world_clock")[0][0])

    def _tell(self, ms: int) -> None:
        with self._lock:
            self.ask("UPDATE world_clock SET ms = ?", (ms,))


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(map(quoted, columns))


def _where(shape: Shape) -> str:
    return " AND ".join(f"CAST({quoted(key)} AS TEXT) = ?" for key in shape.keys)


def _select(table: str, shape: Shape) -> str:
    columns = [f"CAST({quoted(key)} AS TEXT)" for key in shape.keys] + [quoted(name) for name in shape.columns]
    return f"SELECT {', '.join(columns)} FROM {quoted(table)}"  # noqa: S608 - quoted.


def _parts(shape: Shape, key: str) -> list[str]:
    return key.split("/", len(shape.keys) - 1) if len(shape.keys) > 1 else [key]


def _value(table: str, shape: Shape, row: Sequence[Any]) -> Any:
    """A row as a value: plain JSON, without what is NULL."""
    cells = zip(shape.columns.items(), row[len(shape.keys) :], strict=True)
    value = {name: _read(cell, kind) for (name, kind), cell in cells if cell is not None}
    return value.get("text", "") if table == FILES and set(value) <= {"text"} else value


def _read(cell: Any, kind: str) -> Any:
    if kind == "json" and isinstance(cell, str):
        return json.loads(cell)
    if kind == "bool":
        return bool(cell)
    if isinstance(cell, (bytes, memoryview)):
        return {"base64": base64.b64encode(bytes(cell)).decode()}
    return cell if isinstance(cell, (str, int, float, list, dict)) else str(cell)


def _stored(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value, sort_keys=True)
    return bool(value) if kind == "bool" else value
