"""Opening a store: picking its kind by its address; and one SQLite file, making it, migrating it, and judging whether
it is the one that was last used.

Write-ahead log with full sync. Opening binds the file to this machine and inode, compares it with the head
that is remembered outside, and marks it *restored* where they do not fit (DESIGN §1.6): a copy, an old
backup, a lost tail.

Does not promise to work on a network file system: SQLite's locks do not hold there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import BadConfig, StoreReadOnly
from holdfast.store import rows
from holdfast.store.address import Address, address
from holdfast.store.clock import StoreClock, boot_ms, wall_ms
from holdfast.store.face import Store
from holdfast.store.faults import busy, translate
from holdfast.store.heads import HeadFile, place, state_directory, suspicion
from holdfast.store.migrate import migrate
from holdfast.store.moved import must_be_here
from holdfast.store.reading import Reading
from holdfast.store.source import SqliteSource, Words
from holdfast.store.sqlite import SqliteStore
from holdfast.store.writer import Writer

TOKENS_PER_INCARNATION = 2**32
CHECKPOINT_PAGES = 2_000
CONNECT_MS = 10_000
CACHE_KB = 32_000  # the newest pages of every index of a store with about a million entries


def open_store(
    where: str | os.PathLike[str] | Address, *, wall: Callable[[], int] = wall_ms, boot: Callable[[], int] = boot_ms,
    state_dir: str | os.PathLike[str] | None = None, read_only: bool = False, busy_ms: int = 10_000,
    boot_named: str | None = None, **file_only: Any,
) -> Store:  # fmt: skip
    """Open a store, making it if it is not there: a path, ``sqlite:PATH`` or ``postgresql://…`` (:mod:`.address`).

    ``wall`` is the clock of a file's store; a server has its own. ``busy_ms`` bounds the wait for somebody else's lock,
    ``read_only`` takes none and changes nothing. Raises BadConfig or what keeps the store from being used.
    """
    at = address(where)
    if not at.on_server:
        return open_sqlite(
            at, wall=wall, boot=boot, state_dir=state_dir, read_only=read_only, busy_ms=busy_ms,
            boot_named=boot_named, **file_only,
        )  # fmt: skip
    from holdfast.store import postgres

    # Not every argument is known there yet; the types of both stores meet once they are.
    opened: Any = postgres.open_postgres
    more = {"state_dir": state_dir, "read_only": True} if read_only else {}
    store: Store = opened(at.dsn, schema=at.schema, lock_ms=busy_ms, boot=boot, boot_named=boot_named, **more)
    return store


def is_there(at: Address) -> bool:
    """Whether there is a store, without opening or making one. Raises what keeps a server from being asked."""
    if at.path is not None:
        return at.path.is_file()
    from holdfast.store import postgres_open

    db, place = postgres_open.connect(at.dsn, at.schema, CONNECT_MS)
    try:
        found = db.execute("SELECT to_regclass(%s)", (f'"{at.schema}".migration',)).fetchone()
        return found is not None and found[0] is not None
    except postgres_open.driver().Error as error:
        raise postgres_open.translate(error, place) from None
    finally:
        db.close()


def reader_beside(store: Store) -> Store:
    """The same store once more, over connections of its own, only to read: for another thread."""
    told = store.reading.access.told()
    if "path" in told:
        return open_sqlite(Path(told["path"]), read_only=True)
    from holdfast.store import postgres

    opened: Any = postgres.open_postgres
    beside: Store = opened(told["dsn"], schema=told["schema"], lock_ms=told["lock_ms"], read_only=True)
    return beside


def open_sqlite(
    where: str | os.PathLike[str] | Address, *, wall: Callable[[], int] = wall_ms, boot: Callable[[], int] = boot_ms,
    state_dir: str | os.PathLike[str] | None = None, read_only: bool = False, busy_ms: int = 10_000,
    flush_ms: int = 3, vfs: str | None = None, boot_named: str | None = None,
) -> SqliteStore:  # fmt: skip
    """Open a store on a file, making it if it is not there (mode 0600). ``wall`` and ``boot`` give milliseconds;
    ``boot_named`` says which boot the second counts from.

    ``where`` is a path or ``sqlite:PATH``. Raises BadConfig, StoreReadOnly, StoreCorrupt, StoreBusy,
    StoreFull, StoreFailed, SchemaFromFuture, MigrationChanged.
    """
    name = _path(where)
    clock = StoreClock(wall, boot, boot_named)
    opened: list[apsw.Connection] = []
    try:
        if read_only:
            reader = _connect(name, vfs, opened, writes=False, busy_ms=busy_ms)
            return _reading_only(name, reader, clock, state_dir)
        _make_file(name)
        db = _connect(name, vfs, opened, writes=True, busy_ms=busy_ms)
        migrate(db, name, clock.now_ms(), place(name))
        words = Words(db)
        source = SqliteSource(db, words)
        heads = HeadFile(_directory(state_dir), source.meta[0])
        must_be_here(source, name)
        clock.opened(source.meta[4], source.measure)
        db.set_busy_timeout(0)
        writer = Writer(db, words, clock, heads, name, busy_ms=busy_ms, flush_ms=flush_ms)
        _settle_identity(writer, source, heads, name)
        if clock.jumped_ms() or clock.measure != source.measure:
            writer.commit_now(None)  # the doubt, or the measure of this boot, outlives this process
        reader = _connect(name, vfs, opened, writes=False, busy_ms=busy_ms)
        reading = Reading(reader, Words(reader), name)
        return SqliteStore(reading, reader, clock, heads, writer=writer, write_db=db)
    except (apsw.Error, OSError) as error:
        for connection in opened:
            connection.close()
        if isinstance(error, apsw.BusyError):
            raise busy(name, busy_ms) from error
        if read_only and not Path(name).exists():
            why = f"there is no store at {name}"
            raise BadConfig(file="open_store", key="where", nearest=None, why=why) from error
        if isinstance(error, apsw.CantOpenError | PermissionError) and Path(name).exists():
            raise StoreReadOnly(store=name) from error
        raise translate(error, name) from error
    except BaseException:
        for connection in opened:
            connection.close()
        raise


def _path(where: str | os.PathLike[str] | Address) -> str:
    at = address(where)
    if at.path is None:
        raise BadConfig(file="open_sqlite", key="where", nearest="sqlite:holdfast.db", why=f"{at} is no SQLite file")
    return str(at.path)


def _reading_only(
    name: str, reader: apsw.Connection, clock: StoreClock, state_dir: str | os.PathLike[str] | None
) -> SqliteStore:
    """No lock, no migration, no mark on the file; a doubt about it is only reported."""
    migrate(reader, name, 0, "")
    source = SqliteSource(reader, Words(reader))
    clock.opened(source.meta[4], source.measure)
    heads = HeadFile(_directory(state_dir), source.meta[0], look_only=True)
    doubt = _doubt(source, heads, name)
    return SqliteStore(Reading(reader, Words(reader), name), reader, clock, heads, doubt=doubt)


def _directory(state_dir: str | os.PathLike[str] | None) -> Path:
    return Path(state_dir) if state_dir is not None else state_directory()


def _make_file(name: str) -> None:
    """Nobody else may read what agents do: the file is private from its first byte, and its log files follow
    it.
    """
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return


def _connect(
    name: str, vfs: str | None, opened: list[apsw.Connection], *, writes: bool, busy_ms: int
) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE if writes else apsw.SQLITE_OPEN_READONLY
    db = apsw.Connection(name, flags=flags, vfs=vfs, statementcachesize=200)
    opened.append(db)
    db.set_busy_timeout(busy_ms)
    if not writes:
        db.pragma("query_only", True)
        return db
    if db.readonly("main"):
        raise StoreReadOnly(store=name)
    _use_log(db, busy_ms)
    db.pragma("synchronous", "FULL")
    db.pragma("cache_size", -CACHE_KB)
    db.wal_autocheckpoint(CHECKPOINT_PAGES)
    return db


def _use_log(db: apsw.Connection, busy_ms: int) -> None:
    """Switch to the write-ahead log. SQLite does not wait by itself where two processes switch a new file at
    once.
    """
    since = time.monotonic()
    while True:
        try:
            mode = db.pragma("journal_mode", "WAL")
        except apsw.BusyError:
            if (time.monotonic() - since) * 1000 > busy_ms:
                raise
            time.sleep(0.005)  # the other process is switching this very file; it takes a moment
            continue
        if mode != "wal":
            raise apsw.IOError(f"this file system cannot keep a write-ahead log (journal mode {mode})")
        return


def _doubt(source: SqliteSource, heads: HeadFile, name: str) -> str | None:
    """Why the file must open restored. The head is read first: what it names was committed before."""
    remembered = heads.read()
    source.begin()
    _, incarnation, _, _, _, bound_to = source.meta[:6]
    there = source.db.execute(rows.HASH_AT, (remembered.pos,)).get if remembered is not None else None
    return suspicion(
        incarnation=incarnation,
        last_pos=source.db.execute(rows.LAST_POS).get,
        hash_there=there,
        bound_to=bound_to,
        here=place(name),
        remembered=remembered,
    )


def _settle_identity(writer: Writer, source: SqliteSource, heads: HeadFile, name: str) -> None:
    """Mark a copy or a store that is behind as restored, with a new incarnation and tokens nobody can have
    seen.
    """
    if _doubt(source, heads, name) is None:
        return
    writer.begin_now()
    # Judged again under the lock: another process may have marked the same file just before.
    why = _doubt(source, heads, name)
    if why is None:
        writer.commit_now(None)
        return
    _, old, _, last_token = source.meta[:4]
    remembered = heads.read()
    new = max(old, remembered.incarnation if remembered is not None else 0) + 1
    token = last_token + (new - old) * TOKENS_PER_INCARNATION
    note = Note(kind="restored", by="store", body={"why": why, "incarnation": new, "before": old})
    writer.commit_now(Change(run=rows.STORE_RUN, notes=(note,)), ("restored", new, token, place(name)))
