"""The fast pass by several processes: each has a read-only connection of its own and sweeps one range after the other.

:func:`main` is such a process: it reads ranges from its input, a line each, and answers each with a line. A process of
its own rather than a fork or a pool: no connection crosses a fork, and a program that verifies need not be one that can
be imported again.

Promises that every range up to the last position was swept, whoever did it, that of several breaks the first position
is told, and that a password is in no command line. Each range is one consistent read; entries are only ever appended,
so that ranges fit together, and PostgreSQL lets all of them see one moment.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from holdfast.kernel.errors import ChainBroken, OurBug
from holdfast.store import rows
from holdfast.store.access import reached
from holdfast.store.connection import Access, Connection
from holdfast.store.sweep import RANGE, Sweep, Swept, ranges

WORTH_IT = 4 * RANGE
"""Below so many entries a second process takes longer to start than it saves."""

PROCESS = "import sys; from holdfast.store.spread import main; sys.exit(main())"

Tick = Callable[[int, int], None]
"""Told after each range: entries swept, entries there are."""


def swept(
    db: Connection, access: Access, last: int, marks: Iterable[int], *, jobs: int = 1, tick: Tick | None = None
) -> Iterator[Swept]:
    """Every range up to ``last`` in order. With one job over ``db`` itself, whose transaction is open."""
    todo = ranges(last, marks)
    if jobs <= 1 or last < WORTH_IT:
        sweep = Sweep(db)
        for first, end, within in todo:
            yield sweep.range(first, end, within)
            if tick is not None:
                tick(end, last)
        return
    yield from Crew(access.told() | _moment(db), todo, last, tick).work(jobs)


def _moment(db: Connection) -> dict[str, str]:
    """The moment of the store that is read, where the database can give it to other connections."""
    snapshot = getattr(db, "snapshot", None)
    return {} if snapshot is None else {"snapshot": snapshot()}


class Crew:
    """Processes that share a list of ranges; a thread waits on each."""

    def __init__(
        self, told: dict[str, Any], todo: list[tuple[int, int, list[int]]], last: int, tick: Tick | None
    ) -> None:
        """Nothing is started yet; ``told`` is what each needs to open the store."""
        self._told, self._todo, self._last, self._tick = told, todo, last, tick
        self._lock = threading.Lock()
        self._next = 0
        self._done: list[Swept | None] = [None] * len(todo)
        self._wrong: list[tuple[int, Exception]] = []

    def work(self, jobs: int) -> Iterator[Swept]:
        """Sweep all of it. Raises ChainBroken at the first position that does not fit."""
        threads = [threading.Thread(target=self._employ, daemon=True) for _ in range(min(jobs, len(self._todo)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _, wrong in sorted(self._wrong, key=lambda pair: pair[0]):
            raise wrong
        for number, found in enumerate(self._done):
            if found is None:
                raise OurBug(where="the fast pass", what=f"range {number} was swept by nobody")
            yield found

    def _employ(self) -> None:
        """One process, for as long as there are ranges and none is broken."""
        command = [
            sys.executable,
            "-P",
            "-c",
            PROCESS,
        ]  # where the store is may hold a password: it goes through a pipe
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603
            number = None
            try:
                _say(child, self._told)
                while (number := self._take()) is not None:
                    self._ask(child, number)
            except Exception as error:  # noqa: BLE001  # told to whoever waits for the range
                self._wrong.append((number or 0, error))
            finally:
                if child.stdin is not None:
                    child.stdin.close()

    def _take(self) -> int | None:
        with self._lock:
            if self._wrong or self._next == len(self._todo):
                return None
            self._next += 1
            return self._next - 1

    def _ask(self, child: subprocess.Popen[str], number: int) -> None:
        first, last, marks = self._todo[number]
        assert child.stdout is not None, "it is a pipe"
        _say(child, [first, last, marks])
        line = child.stdout.readline()
        if not line:
            what = f"the process that swept entries {first} to {last} ended with {child.wait()}"
            raise OurBug(where="the fast pass", what=what)
        said = json.loads(line)
        if "broken" in said:
            raise ChainBroken(**said["broken"])
        self._done[number] = _understood(said)
        if self._tick is not None:
            with self._lock:
                self._tick(sum(s.last - s.first + 1 for s in self._done if s is not None), self._last)


def _say(child: subprocess.Popen[str], what: Any) -> None:
    assert child.stdin is not None, "it is a pipe"
    child.stdin.write(json.dumps(what) + "\n")
    child.stdin.flush()


def _told(found: Swept) -> dict[str, Any]:
    tiles = b"".join(found.tiles).hex()
    marks = {str(size): [part.hex() for part in parts] for size, parts in found.marks.items()}
    return {**found._asdict(), "tiles": tiles, "marks": marks}


def _understood(said: dict[str, Any]) -> Swept:
    whole = bytes.fromhex(said["tiles"])
    tiles = [whole[at : at + 32] for at in range(0, len(whole), 32)]
    marks = {int(size): [bytes.fromhex(part) for part in parts] for size, parts in said["marks"].items()}
    return Swept(said["first"], said["last"], said["bodies"], said["redacted"], said["archived"], tiles, marks)


def main() -> int:
    """Sweep what is asked for until nobody asks any more. The first line says where."""
    gc.disable()  # nothing here makes cycles, and a scan of what is alive costs more than the hashing
    told = json.loads(sys.stdin.readline())
    snapshot = told.pop("snapshot", "")
    db = reached(told).reader()
    sweep = Sweep(db)
    for line in sys.stdin:
        first, last, marks = json.loads(line)
        _begin(db, snapshot)
        try:
            said = _told(sweep.range(first, last, marks))
        except ChainBroken as broken:
            said = {"broken": broken.values}
        finally:
            db.execute(rows.COMMIT)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    db.close()
    return 0


def _begin(db: Any, snapshot: str) -> None:
    """A consistent read: of the moment that was given, or of now."""
    if snapshot:
        db.begin_in(snapshot)
    else:
        db.execute(rows.BEGIN_READ)
