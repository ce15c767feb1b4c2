"""The disk under the store: which file system, whether a sync costs something, how much room is left.

Decides what of it cannot keep a record: memory instead of a disk, a network file system, a full one. Writes only
files of its own into the store's directory and takes them away.

Does not promise that a sync reaches the platter: a disk or a host that lies and takes its time cannot be told from
an honest one by looking.
"""

from __future__ import annotations

import errno
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from holdfast.report.doctor import Finding, broken, doubtful, fine, skipped
from holdfast.report.text import escaped

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
OVER_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"}
)
IN_A_LAYER = frozenset({"overlay", "aufs"})
SYNCS = 25
BLOCK = b"\0" * 4096
NO_SYNC_US = 15
"""No disk makes 4 KiB durable in less; what answers sooner has only been told, not written."""
LEAST_FREE_BYTES = 64 * 1024 * 1024
LOW_FREE_BYTES = 1024 * 1024 * 1024
LEAST_FREE_FILES = 16
LARGE_LOG_BYTES = 64 * 1024 * 1024


def file_system(place: Path, mounts: str | None = None) -> tuple[str, str]:
    """The type and mount point of the file system that a path is on, from /proc/self/mountinfo; empty if unknown."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace") if mounts is None else mounts
    except OSError:
        return "", ""
    real = os.path.realpath(place)
    best = ("", "")
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        if len(words) < 5 or not after:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[4])
        within = real == point or real.startswith(point.rstrip("/") + "/")
        if within and len(point) >= len(best[1]):  # the last one mounted over a point counts
            best = after.split()[0], point
    return best


def kind(place: Path) -> Iterator[Finding]:
    """What the store lies on."""
    name, point = file_system(place)
    on = f"{escaped(str(place))} is on {name or 'an unknown file system'}" + (f" ({escaped(point)})" if point else "")
    if name in IN_MEMORY:
        yield broken(
            "disk-is-memory", "disk", on, why="Nothing there outlives a reboot: records and keys would be gone, and "
            "what was done outside could be done again.",
            to_do="Put the store on a disk.", file_system=name, mount=point,
        )  # fmt: skip
    elif name in OVER_NETWORK:
        yield broken(
            "disk-over-network", "disk", on, why="SQLite's locks and shared memory do not hold on a network file "
            "system: two machines would write at once.",
            to_do="Put the store on a local disk.", file_system=name, mount=point,
        )  # fmt: skip
    elif name in IN_A_LAYER:
        yield doubtful(
            "disk-in-a-layer", "disk", on, why="A container's own layer goes when the container is removed, and the "
            "record of what was done with it.",
            to_do="Mount a volume and put the store there.", file_system=name, mount=point,
        )  # fmt: skip
    elif not name:
        yield skipped("disk-kind", "disk", on)
    else:
        yield fine("disk-kind", "disk", on, file_system=name, mount=point)


def sync_us(place: Path) -> float:
    """The median of what it takes to make 4 KiB durable in a directory, in microseconds, on a nameless file there."""
    took: list[int] = []
    with tempfile.TemporaryFile(dir=place, buffering=0) as file:
        for _ in range(SYNCS):
            file.write(BLOCK)
            since = time.perf_counter_ns()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter_ns() - since)
    return statistics.median(took) / 1000


def sync(place: Path) -> Iterator[Finding]:
    """Whether a sync costs what a disk must charge for it."""
    try:
        took_us = sync_us(place)
    except OSError as error:
        yield skipped("disk-sync", "disk", f"sync: {escaped(str(error))}")
        return
    said = f"fdatasync of 4 KiB takes {took_us:.0f} µs (median of {SYNCS})"
    if took_us < NO_SYNC_US:
        yield broken(
            "disk-sync-is-nothing", "disk", said, why="No disk is that fast: the sync is left out (memory, eatmydata, "
            "a mount or host option), so a power cut takes acknowledged records with it.",
            to_do="Remove what leaves it out, or put the store elsewhere.", p50_us=round(took_us, 1),
        )  # fmt: skip
    else:
        yield fine("disk-sync", "disk", said, p50_us=round(took_us, 1))


def space(place: Path, least: int = LEAST_FREE_BYTES, low: int = LOW_FREE_BYTES) -> Iterator[Finding]:
    """Room for this user on the store's file system."""
    stat = os.statvfs(place)
    free, files = stat.f_bavail * stat.f_frsize, stat.f_favail if stat.f_files else None
    said = f"{_mib(free)} free" + (f", {files} files" if files is not None and files < LEAST_FREE_FILES else "")
    if free < least or (files is not None and files < LEAST_FREE_FILES):
        yield broken(
            "disk-full", "disk", said, why="A store that cannot write stops, and everything open waits.",
            to_do="Free space on that disk.", free_bytes=free,
        )  # fmt: skip
    elif free < low:
        yield doubtful(
            "disk-low", "disk", said, why="A store that cannot write stops, and everything open waits.",
            to_do="Free space on that disk before it is full.", free_bytes=free,
        )  # fmt: skip
    else:
        yield fine("disk-space", "disk", said, free_bytes=free)


def log_size(store: Path) -> Iterator[Finding]:
    """Whether the write-ahead log is copied back, or grows because somebody keeps reading an old state."""
    try:
        size = Path(f"{store}-wal").stat().st_size
    except OSError:
        size = 0
    if size > LARGE_LOG_BYTES:
        yield doubtful(
            "log-not-copied-back", "disk", f"the write-ahead log holds {_mib(size)}",
            why="It is copied back into the store every few megabytes, unless a reader keeps an old state open; every "
            "read gets slower and the disk fills.",
            to_do="End the program that reads the store without an end (a backup tool, a shell with an open "
            "transaction).", wal_bytes=size,
        )  # fmt: skip
    else:
        yield fine("log-size", "disk", f"the write-ahead log holds {_mib(size)}", wal_bytes=size)


def as_opened(place: Path) -> Iterator[Finding]:
    """How a store in this directory is opened: a scratch one is made there, asked, and taken away."""
    from holdfast.kernel.errors import HoldfastError
    from holdfast.report.doctor import of_error
    from holdfast.store import open_sqlite

    try:
        with tempfile.TemporaryDirectory(prefix=".holdfast-doctor-", dir=place) as scratch:
            store = open_sqlite(Path(scratch) / "scratch.db", state_dir=scratch)
            try:
                db = store._write_db  # noqa: SLF001  # the very connection that writes is what is asked about.
                assert db is not None
                mode, level = str(db.pragma("journal_mode")), int(db.pragma("synchronous"))
            finally:
                store.close_now()
    except HoldfastError as error:
        yield of_error("store-cannot-be-made", "disk", error)
        return
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno != errno.EROFS:
            yield skipped("store-as-opened", "disk", f"a store here: {escaped(str(error))}")
            return
        yield broken(
            "directory-not-writable", "disk", f"this user cannot write in {escaped(str(place))}",
            why="The store and its log are made and written there; without that nothing is recorded or dispatched.",
            to_do="Run this as the user that the directory belongs to, or name another place for the store.",
            path=str(place),
        )  # fmt: skip
        return
    if (mode, level) != ("wal", 2):
        yield broken(
            "store-not-durable", "disk", f"a store here opens with journal {mode} and synchronous {level}",
            why="holdfast asks for a write-ahead log with full sync, and this SQLite gave something else.",
            to_do="Use the apsw that holdfast was installed with.", journal_mode=mode, synchronous=level,
        )  # fmt: skip
    else:
        said = "a store here opens with a write-ahead log and full sync"
        yield fine("store-as-opened", "disk", said, journal_mode=mode, synchronous=level)


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MiB"
