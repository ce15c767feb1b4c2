"""When the disk says no: a clear error, nothing half-written, and a writer that never goes on as if it were
clean.
"""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from holdfast.kernel.errors import (
    BadConfig,
    IntegrityError,
    MigrationChanged,
    NotOpen,
    SchemaFromFuture,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
)
from holdfast.kernel.model import State
from holdfast.store import migrate, open_store
from holdfast.store.heads import place
from holdfast.store.migrate import migrations
from tests.contract.acts import Acts, applied

ROOT = Path(__file__).resolve().parents[2]


class Brittle(apsw.VFS):
    """A disk whose write-ahead log cannot be synced, or written, once ``broken`` says so."""

    def __init__(self) -> None:
        self.broken = ""
        super().__init__("brittle", "")

    def xOpen(self, name, flags):
        return BrittleFile(self, name, flags)


class BrittleFile(apsw.VFSFile):
    def __init__(self, disk: Brittle, name, flags) -> None:
        super().__init__("", name, flags)
        self.disk = disk
        self.is_log = str(name.filename() if isinstance(name, apsw.URIFilename) else name).endswith("-wal")

    def xSync(self, flags):
        if self.is_log and self.disk.broken == "sync":
            raise apsw.IOError("the disk did not take the sync")
        return super().xSync(flags)

    def xWrite(self, data, offset):
        if self.is_log and self.disk.broken == "full":
            raise apsw.FullError("no space left")
        return super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[Brittle]:
    """A disk that can be broken."""
    brittle = Brittle()
    yield brittle
    brittle.unregister()


@pytest.mark.req("3.5a", mutant=None, reason="the fault is the disk's own")
@pytest.mark.parametrize("fast_ns", [0, 10**9], ids=["in a thread", "in the loop"])
@pytest.mark.parametrize("broken", ["sync", "full"])
async def test_a_batch_whose_commit_fails_is_recorded_by_nobody(sqlite, disk, monkeypatch, broken, fast_ns) -> None:
    """Of 64 concurrent commits none is answered yes when the disk fails; none of them is on record
    afterwards; the writer is dead for good, reading works, and a new opening finds only what was
    acknowledged.
    """
    error, acts = {"sync": StoreFailed, "full": StoreFull}[broken], Acts(now_ms=sqlite.clock.wall_ms)
    monkeypatch.setattr("holdfast.store.writer.FAST_SYNC_NS", fast_ns)
    store = sqlite.open(vfs="brittle")
    await store.commit(acts.begin())
    applied(await store.commit(acts.propose(0)))
    disk.broken = broken
    done = await asyncio.gather(*(store.commit(acts.propose(n)) for n in range(1, 65)), return_exceptions=True)
    assert {type(answer) for answer in done} == {error}
    assert len({id(answer) for answer in done}) == 64
    disk.broken = ""
    for again in (store.commit(acts.propose(1)), store.later(acts.propose(1)), store.flush()):
        with pytest.raises(error):
            await again
    assert store.read_now(acts.id(0)).effect.state is State.PROPOSED
    assert store.read_now(acts.id(1)).effect is None
    sqlite.close()
    fresh = sqlite.open()
    assert [view.id for view in fresh.effects()] == [acts.id(0)]
    assert fresh.verify().effects == 1
    assert applied(await fresh.commit(acts.propose(1))).state is State.PROPOSED


async def test_what_later_promised_is_known_to_be_lost_when_the_disk_fails(sqlite, acts, disk) -> None:
    """A record that was only promised for later is gone with a failed sync, and the next caller learns it."""
    store = sqlite.open(vfs="brittle")
    await store.commit(acts.begin())
    disk.broken = "sync"
    applied(await store.later(acts.propose(1)))
    with pytest.raises(StoreFailed):
        await store.flush()
    with pytest.raises(StoreFailed):
        await store.commit(acts.propose(2))
    assert store.read_now(acts.id(1)).effect is None


def test_a_store_that_may_not_grow_is_full(sqlite, acts) -> None:
    """SQLite's own limit on pages answers StoreFull; the store keeps what it had."""
    store = sqlite.open()
    store.commit_now(acts.begin())
    store._write_db.pragma("max_page_count", store._write_db.pragma("page_count") + 2)
    with pytest.raises(StoreFull) as full:
        for n in range(200):
            store.commit_now(acts.propose(n))
    assert str(sqlite.path) in str(full.value)
    kept = len(store.effects())
    assert 0 < kept < 200
    assert store.verify().effects == kept


def test_a_damaged_page_is_named(sqlite, acts) -> None:
    """Bytes overwritten in the middle of the file end in StoreCorrupt, when opened or looked at."""
    store = sqlite.open()
    store.commit_now(acts.begin())
    for n in range(60):
        store.commit_now(acts.propose(n))
    sqlite.close()
    size = sqlite.path.stat().st_size
    with sqlite.path.open("r+b") as file:
        for page in range(2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 200)
    with pytest.raises(StoreCorrupt):
        sqlite.open().verify()


def test_a_file_of_something_else_is_left_alone(sqlite) -> None:
    """A text file, and another program's SQLite file, are refused and not changed by a byte."""
    sqlite.path.write_bytes(b"dear diary, " * 100)
    with pytest.raises(StoreCorrupt):
        sqlite.open()
    assert sqlite.path.read_bytes() == b"dear diary, " * 100
    sqlite.path.unlink()
    other = apsw.Connection(str(sqlite.path))
    other.execute("CREATE TABLE diary (day TEXT)")
    other.close()
    with pytest.raises(StoreCorrupt):
        sqlite.open()


def test_a_schema_from_the_future_is_refused(sqlite) -> None:
    """A file that a newer version wrote is not opened, and the error says which schema it has."""
    sqlite.open()
    sqlite.close()
    raw = apsw.Connection(str(sqlite.path))
    raw.pragma("user_version", 99)
    raw.close()
    with pytest.raises(SchemaFromFuture) as refused:
        sqlite.open()
    assert refused.value.found == 99


def test_an_edited_migration_is_refused(sqlite) -> None:
    """A file whose applied migration has another text than ours is not opened."""
    sqlite.open()
    sqlite.close()
    raw = apsw.Connection(str(sqlite.path))
    raw.execute("DROP TRIGGER migration_stays; UPDATE migration SET sha256 = 'other'")
    raw.close()
    with pytest.raises(MigrationChanged) as refused:
        sqlite.open()
    assert refused.value.number == 1


AS_NOBODY = """
import os, sys
from holdfast.kernel.errors import StoreReadOnly
from holdfast.store import open_store
os.setgid(65534); os.setuid(65534)
try:
    open_store(sys.argv[1], state_dir=sys.argv[2])
except StoreReadOnly as error:
    print(error.code)
"""


def test_a_file_that_may_not_be_written_is_read_only(sqlite, acts) -> None:
    """A file without the right to write is refused as read-only; opened for reading it can be looked at."""
    sqlite.open().commit_now(acts.begin())
    sqlite.close()
    read_only = open_store(sqlite.path, state_dir=sqlite.state, read_only=True)
    with pytest.raises(StoreReadOnly):
        read_only.commit_now(acts.propose(1))
    assert read_only.run(acts.run.id).goal == acts.run.goal
    read_only.close_now()
    if os.geteuid() != 0:  # the rights of a file do not bind root, who therefore becomes nobody below
        sqlite.path.chmod(0o400)
        with pytest.raises(StoreReadOnly):
            sqlite.open()
        return
    sqlite.path.chmod(0o444)
    for folder in [sqlite.path.parent, *sqlite.path.parent.parents]:
        if folder != Path("/") and folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    out = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(sqlite.path), str(sqlite.state)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert out.stdout.strip() == StoreReadOnly.code, out.stderr


def test_the_file_is_private(sqlite, acts) -> None:
    """Nobody else on the machine can read the ledger or its log."""
    sqlite.open().commit_now(acts.begin())
    files = [file for file in sqlite.folder.glob("ledger.db*") if file.is_file()]
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_closed_store_says_so(sqlite, acts) -> None:
    """After closing, a commit raises NotOpen; closing a second time is harmless."""
    store = sqlite.open()
    store.close_now()
    with pytest.raises(NotOpen):
        store.commit_now(acts.begin())
    store.close_now()


def test_a_store_needs_a_scheme_that_is_known(tmp_path) -> None:
    """`sqlite:PATH` and a bare path name one file; another scheme is refused with the nearest right one."""
    one = open_store(f"sqlite:{tmp_path}/x.db", state_dir=tmp_path)
    one.close_now()
    two = open_store(tmp_path / "x.db", state_dir=tmp_path)
    assert two.path == one.path
    two.close_now()
    with pytest.raises(BadConfig):
        open_store("mysql:here")


def test_an_error_of_the_store_is_an_integrity_error() -> None:
    """Everything that the disk can do to a store belongs to the family that stops the work."""
    assert all(issubclass(kind, IntegrityError) for kind in (StoreFailed, StoreFull, StoreCorrupt, StoreReadOnly))


async def test_everything_is_on_disk_after_close(sqlite, acts) -> None:
    """Closing makes durable what was only promised for later."""
    store = sqlite.open()
    await store.later(acts.begin())
    applied(await store.later(Acts(now_ms=acts.now_ms).propose(1)))
    await store.close()
    sqlite.close()
    assert sqlite.open().read_now(acts.id(1)).effect is not None


def test_a_store_of_an_older_schema_is_brought_to_the_newest(sqlite, monkeypatch) -> None:
    """A file with the first two migrations gets the third when it is opened: nothing doubted, this boot measured."""
    known = migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: known[:2])
    sqlite.path.touch()
    raw = apsw.Connection(str(sqlite.path))
    migrate.migrate(raw, str(sqlite.path), sqlite.clock.wall_ms, place(sqlite.path))
    raw.close()
    monkeypatch.setattr(migrate, "migrations", lambda: known)
    store = sqlite.open()
    assert (store.clock_jumped_ms(), store.restored()) == (0, False)
    assert store.verify().runs == 1
    raw = apsw.Connection(str(sqlite.path))
    doubt = raw.execute("SELECT leapt_ms, steady_ms, ahead_ms, boot FROM meta").fetchall()
    assert doubt == [(0, 0, 0, f"boot {sqlite.clock.boots}")]
    raw.close()
