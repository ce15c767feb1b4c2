"""The ground of real deaths: one folder with a ledger file and a world file, set back to its beginning for each play.

Decides what outlives a process: the two files and the head that is remembered beside the ledger, and nothing else.
Promises that the beginning of a play is byte for byte that of the one before, under the same inodes, so that the
ledger does not take itself for a copy; and that a world in memory begins on file as it would in memory, or that it is
said where it cannot. Keeps its folder in memory where the machine has such a place: what dies is the process and not
the machine, and what a write costs on the disk is measured elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec
from msgspec.structs import replace

from holdfast.harness.death.life import FileWorker
from holdfast.harness.play.stage import key_of
from holdfast.harness.world.difference import difference
from holdfast.harness.world.face import START_MS, State, World
from holdfast.harness.world.memory import MemoryWorld
from holdfast.harness.world.sqlite import Image, SqliteWorld
from holdfast.kernel.errors import BadConfig
from holdfast.runtime import approvers
from holdfast.store import SqliteStore, open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.harness.case.case import Case
    from holdfast.kernel.model import Contract

IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder of its own is made there, as the system makes them
BOOT: Final = "the boot of a play"
KINDS: Final = ("memory", "sqlite")
"""The kinds of worlds that can be put on file as they are."""


def over_file(case: Case) -> Case:
    """The same case over a world in a SQLite file, with the same tables, files, services, actors and permissions.

    Raises BadConfig for a world of another kind, and for one whose rows a table cannot hold as they are.
    """
    return replace(case, world=lambda seed: cast("World", _on_file(case, case.world(seed))))


class OnFile(SqliteWorld):
    """A world on file that processes join and leave: the object outlives a fork, its connection never does."""

    real = False  # a file is as quick as memory: nobody waits for it, so time need not really pass meanwhile

    def leave(self) -> None:
        """Close the file. Nothing but :meth:`join` may be asked afterwards."""
        self._now.close()

    def join(self) -> None:
        """Open the file in this process, at the time that it was told last."""
        self._now = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._now.execute("PRAGMA synchronous = OFF")
        self.hear()


class Ground:
    """Where the plays of one case with one seed happen. Use it in a ``with`` block, in one process at a time."""

    def __init__(self, case: Case, *, seed: int | None = None, under: Path | None = None) -> None:
        """Make the files and remember them as they are. ``under`` is where the folder is made."""
        self.case = case
        self.seed = case.seed if seed is None else seed
        room = under or (IN_MEMORY if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) else None)
        self.stands(Path(tempfile.mkdtemp(prefix="holdfast-death-", dir=room)))
        try:
            given = case.world(self.seed)
            try:
                first = _on_file(case, given)
                self.before: State = first.state()
                image: Image = first.snapshot()
                first.close()
                self.outside.write_bytes(image.content)
                self.preload(given)
            finally:
                given.close()
            self._ledger_begins()
            self._kept = {path: path.read_bytes() for path in (self.ledger, self.outside, *self._heads())}
        except BaseException:
            self.close()
            raise

    @classmethod
    def there(cls, case: Case, seed: int, folder: Path) -> Self:
        """The ground that another process has made, only to play on."""
        ground = cls.__new__(cls)
        ground.case, ground.seed = case, seed
        ground.stands(folder)
        given = case.world(seed)
        ground.preload(given)
        given.close()
        return ground

    def stands(self, folder: Path) -> None:
        """In which folder."""
        self.folder = folder
        self.ledger, self.outside = folder / "ledger.db", folder / "world.sqlite"

    def preload(self, given: Any) -> None:
        """What every process of a play would make alike: its world, closed; its tools; its application, not open."""
        self.world = OnFile(self.seed, path=self.outside, joins=True, **_parts(given))
        _keep(self.world, _rules(given))
        tools = list(self.case.tools(self.world))
        self.worker = FileWorker(cast("Any", SimpleNamespace(case=self.case, tools=lambda: tools)), "preloaded")
        self.contracts: dict[str, Contract] = dict(self.worker.registry.contracts)
        self.world.leave()

    def _ledger_begins(self) -> None:
        """An empty ledger, with whoever can be asked on record."""
        store = self.opened(lambda: START_MS)
        people = self.case.people
        first = key_of(people[0].name) if people else None
        for person in people:
            signer = first if person is not people[0] else None
            approvers.add(store, person.name, key_of(person.name).public_key, groups=person.groups, signer=signer)
        store.close_now()

    def _heads(self) -> list[Path]:
        return sorted((self.folder / "state").glob("*"))

    def opened(self, clock: Callable[[], int], *, read_only: bool = False) -> SqliteStore:
        """The ledger, under a clock in ms UTC that nobody sets."""
        return open_sqlite(
            self.ledger, wall=clock, boot=lambda: clock() - START_MS, boot_named=BOOT,
            state_dir=self.folder / "state", read_only=read_only,
        )  # fmt: skip

    def rewind(self) -> None:
        """Back to the beginning. No process may have the files open."""
        for path in self.folder.iterdir():
            if path.name.endswith(("-wal", "-shm", "-journal")):
                path.unlink()
        for path in self._heads():
            if path not in self._kept:
                path.unlink()
        for path, content in self._kept.items():
            path.write_bytes(content)  # into the same inode: the ledger is bound to it

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _parts(world: Any) -> dict[str, Any]:
    """What of a world is no row: it is the same on file."""
    if getattr(world, "kind", "") not in KINDS:
        why = f"its world is of the kind {getattr(world, 'kind', '?')}, and only {' and '.join(KINDS)} are put on file"
        raise BadConfig(file="over_file", key="world", nearest=None, why=why)
    return {
        "services": {name: sorted(tables) for name, tables in world.services.items()},
        "permits": {name: sorted(allowed) for name, allowed in world.permits.items()},
        "hidden": dict(world.hidden),
        "acts": world.acts,
    }


def _rules(world: Any) -> dict[str, dict[str, Any]]:
    """What each named service of a world promises."""
    return {name: msgspec.structs.asdict(world.rules(name)) for name in world.services}


def _keep(world: SqliteWorld, rules: dict[str, dict[str, Any]]) -> None:
    """Let the services promise the same."""
    for name, said in rules.items():
        world.service(name, **said)


def _on_file(case: Case, given: Any) -> SqliteWorld:
    """A new world on file that begins as this one does."""
    parts = _parts(given)
    if isinstance(given, SqliteWorld):
        return given
    assert isinstance(given, MemoryWorld), "a world in memory"
    tables: dict[str, dict[str, Any]] = {table: {} for table in given.snapshot().tables}
    for place, value in given.state().items():
        table, key = place.split("/", 1)
        tables[table][key] = value
    made = SqliteWorld(given.seed, tables=tables, **parts)
    _keep(made, _rules(given))
    lost = [str(one) for one in difference(given.state(), made.state())]
    if lost:
        made.close()
        why = f"a table cannot hold its rows as they are: {lost[0]}"
        raise BadConfig(file=f"over_file({case.name})", key="world", nearest=None, why=why)
    return made
