"""Writes an archive: runs that can move no more go into files, are synced, and only then leave the store.

The order is the promise: files under a temporary name, each synced; the folder renamed and synced; then the one commit
that takes the rows out (:func:`holdfast.store.archived.take_out`). Killed before that commit, the store has everything,
and killed after it the archive has. What is written is read entry by entry and checked on the way: a chain that does
not hold is never archived. Holds one run's effects and a few thousand rows in memory, whatever the store's size.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from holdfast.adapters.archive.pages import Pages, Tallied
from holdfast.adapters.archive.sheets import CHECKPOINT, FORMAT, MANIFEST, VERSION, Manifest, described
from holdfast.kernel.canon import encode
from holdfast.kernel.checkpoint import Checkpoint, origin_of, read
from holdfast.kernel.errors import BadValue, ChainBroken, HoldfastError, NotArchived
from holdfast.store import Store, rows
from holdfast.store.archived import Choice, Going, Said, Spool, choose, take_out
from holdfast.store.connection import Access, Connection
from holdfast.store.faults import translate
from holdfast.store.reading import Reading
from holdfast.store.source import Words
from holdfast.store.tree import Sealed, Tree

DAY_CHARS = 10

Tell = Callable[[int, int], None]
"""Told how many entries were written, of how many."""


class Done(NamedTuple):
    """What was archived, or would be: counts, why the rest stays, and what became of the store's size.

    ``archive`` is empty where nothing went; ``not_shrunk`` says why the file still has its size.
    """

    archive: str
    path: str
    digest: str
    runs: int
    entries: int
    effects: int
    stay: dict[str, int]
    size: int
    at_pos: int = 0
    before_bytes: int = 0
    after_bytes: int = 0
    not_shrunk: str = ""
    most_rows: int = 0


class Order(NamedTuple):
    """What is asked for: runs whose last entry is before a time, by whom, why, and who vouches for them."""

    before_ms: int
    by: str
    reason: str
    note: str = ""


def archive(store: Store, out: Path, order: Order, *, dry_run: bool = False, tell: Tell | None = None) -> Done:
    """Archive into a new folder below ``out``. Raises NotArchived, BadValue, ChainBroken, what the store raises.

    With ``dry_run`` nothing is written, and what would go is counted.
    """
    for name, given in (("by", order.by), ("reason", order.reason)):
        if not given.strip():
            raise BadValue(path=name, why="archiving needs a name and a reason", value_type="str")
    access = store.reading.access
    db = access.reader()
    try:
        db.execute(rows.BEGIN_READ)
        reading = Reading(db, Words(db), store.path, access)
        sealed = _sealed(Tree(db), str(store.status()["store"]), out)
        choice = choose(db, iter(reading.open_effects()), order.before_ms, sealed.size)
        entries = sum(run.seq for run in choice.going)
        done = Done("", "", "", len(choice.going), entries, 0, choice.stay, sealed.size)
        if not choice.going or dry_run:
            effects = sum(_effects(db, run) for run in choice.going)
            return done._replace(effects=effects)
        return _written(store, db, reading, out, order, (choice, sealed), tell)
    except apsw.Error as error:
        raise translate(error, store.path) from error
    finally:
        db.close()


def _effects(db: Connection, run: Going) -> int:
    return int(db.execute("SELECT count(*) FROM effect WHERE run = ?", (run.n,)).get)


def _sealed(tree: Tree, store: str, out: Path) -> Sealed:
    """The newest checkpoint, if it is signed and the tree has its root. Raises NotArchived, ChainBroken."""
    sealed = tree.latest()
    if sealed is None:
        raise NotArchived(where=str(out), why="nothing is sealed yet; holdfast evidence seal signs what there is")
    note: Checkpoint = read(sealed.note)
    root = tree.root(sealed.size)
    if (note.origin, note.size, note.root) != (origin_of(store), sealed.size, sealed.root) or root != sealed.root:
        expected, found = note.root.hex(), root.hex()
        raise ChainBroken(run="the whole store", seq=sealed.size, field="root", expected=expected, found=found)
    if not note.signatures:
        raise NotArchived(where=str(out), why="its newest checkpoint bears no signature")
    return sealed


def _name(out: Path, order: Order, choice: Choice) -> str:
    """A name of its own for these runs: the day of the date, and a digest of where their chains end."""
    from holdfast.adapters.archive.sheets import at

    total = hashlib.sha256()
    for run in choice.going:
        total.update(run.head)
    when = at(order.before_ms)
    name = f"archive-{when.date().isoformat() if when else 'all'}-{total.hexdigest()[:12]}"
    free = (name, *(f"{name}-{number}" for number in range(2, 1_000)))
    return next(one for one in free if not (out / one).exists())


def _written(
    store: Store,
    db: Connection,
    reading: Reading,
    out: Path,
    order: Order,
    chosen: tuple[Choice, Sealed],
    tell: Tell | None,
) -> Done:
    choice, sealed = chosen
    try:
        out.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".archive-", dir=out))
    except OSError as error:
        raise NotArchived(where=str(out), why=f"the directory cannot be written: {error.strerror}") from error
    name = _name(out, order, choice)
    spool = Spool(draft / "spool", name)
    try:
        seen_pos = int(db.execute(rows.LAST_POS).get)
        tallied = Pages(draft, db, reading, sealed.size).write(choice.going, spool, tell)
        digest = _proved(draft, str(store.status()["store"]), name, order, (sealed, spool, tallied), store.now_ms())
        db.execute(rows.COMMIT)  # the look is over; what moved since is found under the lock
        place = named(draft, out / name)
        note = Said(order.by, order.reason, order.note, digest, tallied.spent, tallied.facts)
        try:
            pos = take_out(store, spool, note, seen_pos)
        except NotArchived:
            shutil.rmtree(place)  # the store has all of it, and nothing speaks of the files
            raise
    except OSError as error:
        raise NotArchived(where=str(out / name), why=f"a file was not written: {error.strerror}") from error
    finally:
        spool.close()
        shutil.rmtree(draft, ignore_errors=True)
    done = Done(
        name, str(place), digest.hex(), spool.runs, spool.entries, spool.effects, choice.stay, sealed.size, pos,
        most_rows=tallied.most_rows,
    )  # fmt: skip
    return _smaller(store.reading.access, done)


def _proved(
    draft: Path, store: str, name: str, order: Order, what: tuple[Sealed, Spool, Tallied], now_ms: int
) -> bytes:
    """Write the checkpoint and the manifest; the digest by which the archive is known."""
    sealed, spool, tallied = what
    (draft / CHECKPOINT).write_text(sealed.note, encoding="utf-8")
    files = (*tallied.files, described(draft / CHECKPOINT, 0))
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        archive=name,
        store=store,
        made_ms=now_ms,
        before_ms=order.before_ms,
        by=order.by,
        reason=order.reason,
        size=sealed.size,
        root=sealed.root.hex(),
        runs=spool.runs,
        entries=spool.entries,
        effects=spool.effects,
        files=tuple(sorted(files, key=lambda file: file.name)),
    )
    from msgspec import to_builtins

    (draft / MANIFEST).write_bytes(encode(to_builtins(manifest)))
    return bytes.fromhex(described(draft / MANIFEST, 0).sha256)


def named(draft: Path, place: Path) -> Path:
    """Give the finished folder its name; both the folder and the name are on disk when this returns."""
    for file in draft.iterdir():
        file.chmod(0o600)  # what agents did is in there, and what it was done with
    synced(draft)
    draft.rename(place)
    synced(place.parent)
    return place


def synced(folder: Path) -> None:
    """The names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _smaller(access: Access, done: Done) -> Done:
    """Give the room back. Where that is not possible now it is said, and the room is used again all the same."""
    try:
        before, after = access.shrink()
    except HoldfastError as error:
        return done._replace(not_shrunk=error.message)
    except apsw.Error as error:
        return done._replace(not_shrunk=str(error) or type(error).__name__)
    return done._replace(before_bytes=before, after_bytes=after)


def as_data(done: Done) -> dict[str, Any]:
    """For a page."""
    return done._asdict()
