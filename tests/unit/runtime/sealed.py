"""A store to seal: entries by hand, a key file, and a sealer over it in this thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.gate import logkey
from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.canon import decode
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.runtime.sealer import Evidence, Pace, Sealing
from holdfast.store import SqliteStore, open_store
from holdfast.store.tree import Sealed

FAST = Pace(lease_ms=60_000)


class Place:
    """A folder with a store and a key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "log.db"
        self.key = folder / "log.pem"
        self.now_ms = 1_800_000_000_000
        Key.make("log").save(self.key)

    def open(self) -> SqliteStore:
        """The store, at a time that the test moves."""
        return open_store(self.path, state_dir=self.folder / "state", wall=lambda: self.now_ms)

    def evidence(self, *witnesses: str, **given: Any) -> Evidence:
        """How it is sealed."""
        return Evidence(**({"key": self.key} | given), witnesses=witnesses, home=self.folder)

    @contextmanager
    def sealing(self, *witnesses: str, me: str = "sealer", pace: Pace = FAST, **given: Any) -> Iterator[Sealing]:
        """A sealer over a store of its own."""
        store = self.open()
        sealing = Sealing(store, self.evidence(*witnesses, **given), me, pace)
        try:
            yield sealing
        finally:
            sealing.close()
            store.close_now()


def write(store: SqliteStore, count: int, kind: str = "told") -> None:
    """So many entries of the store's own run, in one commit."""
    store.commit_now(
        Change(run=STORE_RUN_ID, notes=tuple(Note(kind=kind, by="test", body={"n": n}) for n in range(count)))
    )


def more(sealing: Sealing, count: int = 3) -> Sealed:
    """More entries, sealed; nobody is told yet."""
    write(sealing._store, count)
    sealed = sealing.seal()
    assert sealed is not None
    return sealed


def forks(sealing: Sealing) -> list[dict[str, Any]]:
    """What the log says of forks."""
    return [decode(e.body) for e in sealing._store.entries("ru_store") if e.kind == "log_forked"]


def another(sealing: Sealing, place: Place, size: int) -> str:
    """A note of this log's own key over a root that this log never had."""
    name = logkey.origin(sealing._store)
    return signed(Checkpoint(name, size, b"x" * 32), Key.load(name, place.key)).note
