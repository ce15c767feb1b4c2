"""Compares the archives of a store with what the store kept of them: digest, heads, and the leaf hash of each entry.

Promises that an archive which is not the one that an entry names is found, and that one which is not at hand is said to
be so: its entries were then not checked, and that is no fault of the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from holdfast.adapters.archive.books import find
from holdfast.adapters.archive.checking import Checked, verify
from holdfast.adapters.archive.sheets import RUNS, off, read_rows
from holdfast.kernel.checkpoint import VerifierKey
from holdfast.store import rows
from holdfast.store.connection import Access, Connection
from holdfast.store.elsewhere import Laid, laid
from holdfast.store.evidence import Entry


class Compared(NamedTuple):
    """The archives that were checked, and those that were not at hand, each with its runs and entries."""

    checked: tuple[Checked, ...]
    missing: tuple[tuple[str, int, int], ...]


def against(access: Access, path: Path | None, *, keys: Iterable[VerifierKey] = ()) -> Compared:
    """Check every archive that a store names and that is at ``path`` (None: none is). Raises ChainBroken."""
    db = access.reader()
    try:
        named: dict[str, list[Laid]] = {}
        for one in laid(db):
            named.setdefault(one.archive, []).append(one)
        there = {folder.name: folder for folder in find(path)} if path is not None else {}
        keys = tuple(keys)
        checked = tuple(_one(db, there[name], named[name], keys) for name in sorted(named) if name in there)
        missing = tuple((n, len(named[n]), sum(o.entries for o in named[n])) for n in sorted(named) if n not in there)
        return Compared(checked, missing)
    finally:
        db.close()


def _one(db: Connection, folder: Path, runs: list[Laid], keys: tuple[VerifierKey, ...]) -> Checked:
    leaf = "SELECT hash FROM archived WHERE pos = ?"
    found = 0

    def seen(entry: Entry) -> None:
        nonlocal found
        if entry.run == rows.STORE_RUN:
            return
        kept = db.execute(leaf, (entry.pos,)).get
        if kept is None or kept.hex() != entry.hash:
            expected = kept.hex() if kept is not None else "no entry at this position"
            raise off(folder.name, f"run {entry.run}", expected, entry.hash, entry.seq)
        found += 1

    checked = verify(folder, keys=keys, digest=runs[0].digest, seen=seen)
    wanted = {one.run: one.entries for one in runs}
    there = {row["id"]: row["entries"] for row in read_rows(folder, RUNS) if row["id"] != rows.STORE_RUN}
    if there != wanted or found != sum(wanted.values()):
        raise off(folder.name, RUNS, f"{len(wanted)} runs of this store", f"{len(there)}, or others")
    return checked
