"""An archive as books: its runs, entries, requests and documents, read the way a store's are.

So that whoever reads a record does not know that it lies in a file. Promises nothing about what it reads:
:mod:`holdfast.adapters.archive.checking` does the checking.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.adapters.archive.sheets import (
    APPROVALS,
    DOCUMENTS,
    EFFECTS,
    ENTRIES,
    MANIFEST,
    RUNS,
    read_manifest,
    read_rows,
)
from holdfast.kernel.documents import AnyDocument, decode
from holdfast.kernel.errors import NotReplayable
from holdfast.kernel.model import Approval, Effect, Run
from holdfast.runtime.record import Books, Record, record_of
from holdfast.store import rows
from holdfast.store.evidence import Entry


class ArchiveBooks:
    """One archive, read; what it says of requests and documents is kept, since a record asks for it one by one."""

    def __init__(self, folder: Path) -> None:
        """Read what the archive says it is. Raises ChainBroken."""
        self.folder = folder
        self.manifest, self.digest = read_manifest(folder)
        self._documents: dict[tuple[str, str], AnyDocument] | None = None

    def status(self) -> dict[str, Any]:
        """The store's name, under ``store``."""
        return {"store": self.manifest.store, "path": str(self.folder)}

    def run(self, run: str) -> Run | None:
        """One run by its full id."""
        found = next(read_rows(self.folder, RUNS, id=run), None)
        return rows.decode_run(found["view"]) if found is not None else None

    def runs(self) -> Iterator[dict[str, Any]]:
        """Every run's row, the store's own among them, by id."""
        return read_rows(self.folder, RUNS)

    def entries(self, of: str) -> list[Entry]:
        """Entries of a run (``ru_…``) or of an effect (``ef_…``), in order."""
        column = "effect" if of.startswith("ef_") else "run"
        return list(self.every_entry(**{column: of}))

    def every_entry(self, **only: str) -> Iterator[Entry]:
        """All entries, by run and in order, or those of one run or effect."""
        return (entry_of(row) for row in read_rows(self.folder, ENTRIES, **only))

    def effects(self, run: str = "") -> Iterator[Effect]:
        """Every effect, or those of one run, as their entries leave them."""
        only = {"run": run} if run else {}
        return (rows.decode_effect(row["view"]) for row in read_rows(self.folder, EFFECTS, **only))

    def approval(self, approval: str) -> Approval | None:
        """One request by its full id."""
        found = next(read_rows(self.folder, APPROVALS, id=approval), None)
        return rows.decode_approval(found["view"]) if found is not None else None

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        return self._all().get((kind, key))

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Documents of a kind, of one run or of all, by id."""
        found = (d for d in self._all().values() if d.kind == kind and (not run or d.run == run))
        return sorted(found, key=lambda document: document.id)[:limit]

    def _all(self) -> dict[tuple[str, str], AnyDocument]:
        if self._documents is None:
            views = (decode(row["view"]) for row in read_rows(self.folder, DOCUMENTS))
            self._documents = {(d.kind, d.id): d for d in views}
        return self._documents


def entry_of(row: dict[str, Any]) -> Entry:
    """A row of the entries' file as the entry it was."""
    body: str | None = row["body"]
    return Entry(
        run=row["run"], seq=row["seq"], effect=row["effect"], kind=row["kind"], before=row["before"],
        after=row["after"], at_ms=row["at_ms"], by=row["by"], token=row["token"], tenant=row["tenant"],
        prev=row["prev"], commitment=row["commitment"], hash=row["hash"], salt=row["salt"],
        body=body.encode() if body is not None else None, pos=row["pos"],
    )  # fmt: skip


def find(path: Path) -> list[Path]:
    """The archives at a path: the one that it is, or those in it, by name."""
    if (path / MANIFEST).is_file():
        return [path]
    found = path.iterdir() if path.is_dir() else ()
    return sorted(folder for folder in found if not folder.name.startswith(".") and (folder / MANIFEST).is_file())


def holding(path: Path, run: str) -> ArchiveBooks | None:
    """Of the archives at a path the one that holds a run."""
    for folder in find(path):
        books = ArchiveBooks(folder)
        if books.run(run) is not None:
            return books
    return None


class Both:
    """An archived run beside the store that it left: what is the run's from the archive, all else as it is now."""

    def __init__(self, archive: ArchiveBooks, store: Books) -> None:
        """Over the archive that holds the run, and the open store."""
        self.run, self.approval = archive.run, archive.approval
        self.status = store.status
        self._archive, self._store = archive, store

    def entries(self, of: str) -> list[Entry]:
        """Entries of the store's own run from the store, others from the archive."""
        return self._store.entries(of) if of == rows.STORE_RUN else self._archive.entries(of)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        return self._store.document(kind, key) or self._archive.document(kind, key)

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Documents of a kind: those of a run from the archive, others from the store."""
        return (self._archive if run else self._store).documents(kind, run, limit)


def record(path: Path, run: str, store: Books | None = None) -> Record:
    """The record of a run from the archive, or the directory of archives, at a path. Raises NotReplayable, ChainBroken.

    With ``store`` grants, keys and the store's own run are as they are there now, else as they were at its writing.
    What it says was not checked: :func:`holdfast.adapters.archive.verify` does that.
    """
    books = holding(path, run)
    if books is None:
        raise NotReplayable(run=run, why=f"no archive at {path} holds it")
    return record_of(books if store is None else Both(books, store), run)
