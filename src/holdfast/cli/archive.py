"""``holdfast evidence archive``, and what ``evidence show`` and ``evidence verify`` do with archives."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.kernel.checkpoint import VerifierKey
    from holdfast.store import Store


def archive(
    *,
    before: Annotated[str, Parameter(name="--before")],
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    who: As,
    reason: Reason,
    dry_run: Annotated[bool, Parameter(name="--dry-run", negative="")] = False,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Move runs that ended long ago out of the store, into Parquet files with proofs; tombstones stay.

    A run goes once nothing of it can move any more and a signed checkpoint covers it (holdfast evidence seal). The
    files are on disk before anything leaves the store. Keeping them is yours. Exit code 1: nothing went.

    Parameters
    ----------
    before
        A day (2026-01-31, UTC) or a span from now (90d): runs whose last entry is older.
    output
        The directory in which the archive gets a folder of its own.
    who
        The person who decides.
    reason
        Why; it is recorded.
    dry_run
        Say what would go, and why the rest stays; change nothing.
    """
    from holdfast.adapters import archive as archives
    from holdfast.adapters.archive.writing import Order
    from holdfast.cli.progress import progress
    from holdfast.report.archive import archived_page

    opened = reading if dry_run else deciding
    with opened(shared) as store, progress("archived", "entries") as tell:
        before_ms = _instant(before, store.now_ms())
        order = Order(before_ms, who, reason, f"vouched for by {vouched()}")
        done = archives.archive(store, output, order, dry_run=dry_run, tell=tell)
        return archived_page(done._asdict(), before_ms, dry_run=dry_run)


def _instant(given: str, now_ms: int) -> int:
    """A day, or a span before now, in milliseconds UTC."""
    from holdfast.kernel.amounts import parse_duration
    from holdfast.kernel.errors import BadValue

    try:
        return int(dt.datetime.fromisoformat(given).replace(tzinfo=dt.UTC).timestamp() * 1000)
    except ValueError:
        pass
    try:
        return now_ms - parse_duration(given, name="before")
    except BadValue:
        raise Misused(f"--before is a day such as 2026-01-31, or a span such as 90d, and not {given}") from None


def checked(path: str, keys: list[VerifierKey]) -> Page:
    """Check an archive, or every archive in a directory, with nothing but itself and the keys that are brought."""
    from holdfast.adapters import archive as archives
    from holdfast.kernel.errors import ChainBroken
    from holdfast.report.archive import checked_page
    from holdfast.report.evidence import broken_page

    found = archives.find(Path(path).parent if path.endswith(".parquet") else Path(path))
    if not found:
        raise Misused(f"{path} holds no archive: a folder with manifest.json in it")
    try:
        return checked_page(path, [archives.verify(folder, keys=keys)._asdict() for folder in found])
    except ChainBroken as broken:
        return broken_page(f"archive {path}", **broken.values)


def compared(store: Store, path: Path, keys: list[VerifierKey]) -> dict[str, Any]:
    """Check the archives of a store that are at a path; what was checked, and which were not there."""
    from holdfast.adapters import archive as archives

    found = archives.against(store.reading.access, path, keys=keys)
    return {
        "archives": [one._asdict() for one in found.checked],
        "missing": [{"archive": name, "runs": runs, "entries": entries} for name, runs, entries in found.missing],
    }


def entries_at(path: Path, of: str) -> list[Any]:
    """The entries of a run or an effect, from the archive, or directory of archives, at a path; empty: not there."""
    from holdfast.adapters import archive as archives

    for folder in archives.find(path):
        if found := archives.ArchiveBooks(folder).entries(of):
            return found
    return []
