"""Where the time of an effect goes: exclusive time by part, by clocks around the functions of each part.

A part's time is what was spent in its functions and not in those of another part that they called; *rest* is what
remains of the process's CPU: verbs, driver, event loop, tool. What is clocked is the thread's CPU, so that a busy
machine and a slow disk do not show as work of ours; reading that clock costs about a microsecond, which is measured
and taken off. Rates are never taken from a measured pass.

Promises that the parts add up to the CPU of the process. Does not promise that a part is only what its name says:
reading a row is counted as SQL with the building of its record, which is counted as encoding.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from holdfast.app import App
from holdfast.gate.decide import Judge
from holdfast.gate.rulings import Rulings
from holdfast.kernel import canon, commit
from holdfast.store import rows
from holdfast.store.batch import Batch
from holdfast.store.evidence import seal
from holdfast.store.reading import Reading
from holdfast.store.source import SqliteSource
from holdfast.store.sqlite import SqliteStore
from holdfast.store.writer import Writer

PARTS = ("policy", "encode", "hash", "plan", "sql", "sync", "rest")

FUNCTIONS: tuple[tuple[str, Any], ...] = (
    ("encode", canon.encode),
    ("encode", canon.decode),
    ("encode", canon.freeze),
    ("encode", rows.encode),
    ("encode", rows.decode_effect),
    ("encode", rows.decode_run),
    ("encode", rows.decode_approval),
    ("encode", msgspec.to_builtins),
    ("hash", canon.keyed),
    ("hash", canon.digest),
    ("hash", canon.commitment),
    ("hash", canon.leaf_hash),
    ("hash", seal),
    ("plan", commit.plan),
)
METHODS: tuple[tuple[str, type, str], ...] = (
    ("policy", Rulings, "rule_now"),
    ("policy", Judge, "decide"),
    ("plan", Batch, "apply"),
    ("sql", SqliteStore, "read_now"),
    ("sql", SqliteStore, "latest_now"),
    ("sql", Reading, "run"),
    ("sql", Batch, "write"),
    ("sql", Batch, "__init__"),
    ("sql", Writer, "_begin"),
    ("sql", SqliteSource, "load_effect"),
    ("sql", SqliteSource, "load_run"),
    ("sql", SqliteSource, "load_lease"),
    ("sql", SqliteSource, "load_fact"),
    ("sql", SqliteSource, "load_latest"),
    ("sync", Batch, "commit"),
)


class Parts:
    """Clocks around the functions of holdfast in this process."""

    def __init__(self) -> None:
        """Nothing is changed before :meth:`start`."""
        self._ns = dict.fromkeys((*PARTS, "clocks"), 0)
        self._cost_ns = _clock_cost_ns()
        self._inner_ns = 0
        self._undo: list[Callable[[], None]] = []
        self._cpu_ns = 0

    def start(self) -> None:
        """Put the clocks around."""
        for part, function in FUNCTIONS:
            self._replace_everywhere(function, self._clocked(part, function))
        for part, owner, name in METHODS:
            function = owner.__dict__[name]
            clocked = self._burning(function) if part == "sync" else self._clocked(part, function)
            setattr(owner, name, clocked)
            self._undo.append(lambda o=owner, n=name, f=function: setattr(o, n, f))  # type: ignore[misc]
        self._cpu_ns = time.process_time_ns()

    def stop(self) -> dict[str, int]:
        """Take the clocks away; nanoseconds of CPU by part."""
        cpu_ns = time.process_time_ns() - self._cpu_ns
        for undo in reversed(self._undo):
            undo()
        clocks_ns = self._ns.pop("clocks")
        self._ns["rest"] = cpu_ns - clocks_ns - sum(self._ns.values())
        return self._ns

    def _clocked(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        clock, ns, cost_ns = time.thread_time_ns, self._ns, self._cost_ns

        def clocked(*args: Any, **kwargs: Any) -> Any:
            outer_ns, self._inner_ns = self._inner_ns, 0
            start_ns = clock()
            try:
                return function(*args, **kwargs)
            finally:
                took_ns = clock() - start_ns
                ns[part] += took_ns - self._inner_ns - cost_ns
                ns["clocks"] += 2 * cost_ns
                self._inner_ns = outer_ns + took_ns + cost_ns

        return clocked

    def _burning(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A sync is mostly waiting, perhaps in a thread: only the CPU that it burns is counted."""

        def burning(*args: Any, **kwargs: Any) -> Any:
            start_ns = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                self._ns["sync"] += time.thread_time_ns() - start_ns

        return burning

    def _replace_everywhere(self, function: Any, other: Any) -> None:
        """Modules hold a function by the name they imported it under; every one of these names is replaced."""
        for name, module in list(sys.modules.items()):
            if not name.startswith("holdfast"):
                continue
            for attribute, value in list(vars(module).items()):
                if value is function:
                    setattr(module, attribute, other)
                    self._undo.append(lambda m=module, a=attribute: setattr(m, a, function))  # type: ignore[misc]


def _clock_cost_ns() -> int:
    """What one pair of readings adds to what lies between them."""
    clock = time.thread_time_ns
    return min(-clock() + clock() for _ in range(1_000))


class Statements:
    """Counts the SQL statements of one open application, those inside triggers aside."""

    def __init__(self, app: App) -> None:
        """Nothing is counted before :meth:`start`."""
        self._connections = connections(app)
        self.count = 0

    def start(self) -> None:
        """Count from here. The callback costs more than some statements: never in a pass that is timed."""
        for db in self._connections:
            db.trace_v2(apsw.SQLITE_TRACE_STMT, self._counted)

    def stop(self) -> int:
        """How many there were."""
        for db in self._connections:
            db.trace_v2(0, None)
        return self.count

    def _counted(self, event: dict[str, Any]) -> None:
        self.count += not event["trigger"]


def connections(app: App) -> list[apsw.Connection]:
    """The connections of the application's store: the one that reads and the one that writes."""
    store = app.store
    return [db for db in (store._read_db, store._write_db) if db is not None]  # noqa: SLF001
