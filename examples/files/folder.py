"""A directory whose files are changed by one step each, under a lock, a fence, a condition and a key.

Beside the files lie two folders that everybody can read: `.fences/PATH.json` holds the highest token seen for a path
and what was done to it under which key; `.backups/` holds, for each change, what was there before. In their names `%`
stands for `/`.

A change is made under the lock of its path: the token is compared and kept, the content is compared with what was
expected, the intention is written down, the new content is staged in `.backups/` and synced, and then **one** rename
exchanges the staged file with the one in place. So the staged name holds the new content before that step and the old
content after it, which is how anybody can tell afterwards whether it was made.

Promises: a change is there as a whole or not at all, whenever the process is killed; a token lower than the highest
seen changes nothing; what another program wrote in between is put back in place. Knows nothing of holdfast.

Does not promise to keep out programs that ignore the lock: they may see the new content for the moment in which it is
exchanged back. Keys are remembered for two days.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from examples.files.paths import EXCHANGE, NOREPLACE, Place, Refused, digest, place, put, read, rename, status

LOCK_S: Final = 3.0
REMEMBERED_S: Final = 2 * 86_400
Entry = dict[str, Any]


class Held(NamedTuple):
    """A path under its lock: where it is, where its backups go, and what is recorded of it."""

    path: str
    where: Place
    backups: int
    record: dict[str, Any]

    def backup(self, key: str) -> Place:
        """Where the change under this key stages its content, and leaves what was there before."""
        return Place(self.backups, f"{flat(self.path)}.{hashlib.sha256(key.encode()).hexdigest()[:16]}")


def flat(path: str) -> str:
    """A path as one name; no part of a path has a percent sign."""
    return path.replace("/", "%")


class Folder:
    """One directory."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    # ---- reading ---------------------------------------------------------------------------------

    def digest(self, path: str) -> str | None:
        """The SHA-256 of a file as it is now; None where there is none."""
        with place(str(self.root), path) as where:
            return digest(where)

    def listing(self) -> dict[str, str]:
        """Every file that a path can name, with its SHA-256."""
        shown = (p.relative_to(self.root).as_posix() for p in sorted(self.root.rglob("*")) if p.is_file())
        return {path: self.digest(path) or "" for path in shown if not path.startswith(".")}

    def settle(self, path: str, key: str, token: int) -> Entry | None:
        """Raise the fence, so that no lower token can act any more; then what the key did here, or None: nothing."""
        with self._held(path) as held:
            self._raise(held, token)
            return self._happened(held, key)

    def kept(self, path: str, backup: str) -> bytes:
        """The bytes of one backup of this path."""
        with self._held(path) as held:
            known = backup.startswith(f"{flat(path)}.") and "/" not in backup
            data = read(Place(held.backups, backup)) if known else None
        if data is None:
            raise Refused(f"{path} has no backup {backup!r}")
        return data

    # ---- changing --------------------------------------------------------------------------------

    def write(self, path: str, data: bytes, *, key: str, token: int, expect: str | None) -> Entry:
        """Put these bytes where `expect` (None: nothing) is now."""
        wanted = hashlib.sha256(data).hexdigest()
        with self._held(path) as held:
            if (done := self._begin(held, key, token, expect)) is not None:
                return done
            entry: Entry = {"kind": "write", "sha256": wanted, "was": expect, "backup": ""}
            if wanted == expect:
                return self._done(held, key, entry)
            staged = held.backup(key)
            entry["backup"] = staged.name if expect is not None else ""
            self._intend(held, key, entry | {"staged": False})
            put(staged, data)
            self._intend(held, key, entry | {"staged": True})
            self._rename(staged, held.where, NOREPLACE if expect is None else EXCHANGE)
            return self._checked(held, key)

    def delete(self, path: str, *, key: str, token: int, expect: str | None) -> Entry:
        """Move a file into the backups, if it still is what is expected."""
        with self._held(path) as held:
            if (done := self._begin(held, key, token, expect)) is not None:
                return done
            if expect is None:
                raise Refused(f"there is no file {path}")
            self._intend(held, key, {"kind": "delete", "was": expect, "backup": held.backup(key).name})
            self._rename(held.where, held.backup(key), NOREPLACE)
            return self._checked(held, key)

    def move(self, path: str, target: str, *, key: str, token: int, expect: str | None) -> Entry:
        """Give a file another name; never over a file that is there."""
        with place(str(self.root), target) as there, self._held(path) as held:
            if (done := self._begin(held, key, token, expect)) is not None:
                return done
            source = status(held.where)
            if source is None or expect is None:
                raise Refused(f"there is no file {path}")
            self._intend(held, key, {"kind": "move", "was": expect, "target": target, "inode": source.st_ino})
            self._rename(held.where, there, NOREPLACE)
            return self._checked(held, key)

    # ---- the steps of a change -------------------------------------------------------------------

    @contextmanager
    def _held(self, path: str) -> Iterator[Held]:
        """The path under its lock, which ends with the process that holds it."""
        with place(str(self.root), path) as where:
            (self.root / ".fences").mkdir(exist_ok=True)
            (self.root / ".backups").mkdir(exist_ok=True)
            backups = os.open(self.root / ".backups", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                with (self.root / ".fences" / f"{flat(path)}.lock").open("w") as lock:
                    self._lock(lock.fileno(), path)
                    yield Held(path, where, backups, self._record(path))
            finally:
                os.close(backups)

    def _lock(self, file: int, path: str) -> None:
        end_s = time.monotonic() + LOCK_S
        while True:
            with suppress(BlockingIOError):
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.monotonic() > end_s:
                raise Refused(f"somebody has held the lock of {path} for {LOCK_S} s; nothing was done")
            time.sleep(0.01)  # Nobody tells when a lock of the file system is given back in time.

    def _record(self, path: str) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads((self.root / ".fences" / f"{flat(path)}.json").read_text())
        except FileNotFoundError:
            known = {"token": 0, "keys": {}}
        since_s = time.time() - REMEMBERED_S
        known["keys"] = {key: entry for key, entry in known["keys"].items() if entry["at_s"] > since_s}
        return known

    def _save(self, held: Held) -> None:
        fences = os.open(self.root / ".fences", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            half = Place(fences, f"{flat(held.path)}.json.new")
            put(half, json.dumps(held.record).encode())
            os.rename(half.name, f"{flat(held.path)}.json", src_dir_fd=fences, dst_dir_fd=fences)
            os.fsync(fences)
        finally:
            os.close(fences)

    def _raise(self, held: Held, token: int) -> None:
        highest = held.record["token"]
        if token < highest:
            raise Refused(f"token {token} is stale: {held.path} has seen {highest}")
        if token > highest:
            held.record["token"] = token
            self._save(held)

    def _begin(self, held: Held, key: str, token: int, expect: str | None) -> Entry | None:
        """Fence, key and condition, in this order; what the key did already, if it did."""
        self._raise(held, token)
        if (done := self._happened(held, key)) is not None:
            return done
        now = digest(held.where)
        if now != expect:
            raise Refused(f"{held.path} is {now or 'not there'}, and {expect or 'nothing'} was expected")
        return None

    def _intend(self, held: Held, key: str, entry: Entry) -> None:
        held.record["keys"][key] = entry | {"done": False, "at_s": int(time.time())}
        self._save(held)

    def _done(self, held: Held, key: str, entry: Entry) -> Entry:
        held.record["keys"][key] = entry | {"done": True, "at_s": int(time.time())}
        self._save(held)
        return shown(entry)

    def _rename(self, old: Place, new: Place, flag: int) -> None:
        """The one step. What is missing or in the way was refused by the file system, and is found by what follows."""
        with suppress(FileExistsError, FileNotFoundError):
            rename(old, new, flag)

    def _checked(self, held: Held, key: str) -> Entry:
        entry = self._happened(held, key)
        if entry is None:
            raise Refused(f"{held.path} was changed by somebody else in between; theirs is in place")
        return entry

    def _happened(self, held: Held, key: str) -> Entry | None:
        """What an intended change came to; one that met a foreign change is taken back, one half begun is cleared."""
        entry = held.record["keys"].get(key)
        if entry is None or entry["done"]:
            return None if entry is None else shown(entry)
        backup = held.backup(key)
        if _made(held, entry, backup, str(self.root)):
            return self._done(held, key, entry)
        with suppress(FileNotFoundError):
            os.unlink(backup.name, dir_fd=backup.folder)
        del held.record["keys"][key]
        self._save(held)
        return None


def _made(held: Held, entry: Entry, backup: Place, root: str) -> bool:
    """Whether the one step was made, and on the content that was expected; if on another, it is taken back here."""
    if entry["kind"] == "move":
        with place(root, entry["target"]) as there:
            landed = status(there)
            if landed is None or landed.st_ino != entry["inode"]:
                return False
            if digest(there) == entry["was"]:
                return True
            rename(there, held.where, NOREPLACE)
            return False
    if not entry.get("staged", True):
        return False  # Whatever lies under the staged name may be half written.
    kept = digest(backup)
    if entry["kind"] == "write" and entry["was"] is None:
        return kept is None  # The staged file was moved into place; had it not been, it would still be here.
    if kept is None or kept == entry.get("sha256"):
        return False  # Not begun, or staged and not exchanged.
    if kept == entry["was"]:
        return True
    rename(backup, held.where, NOREPLACE if entry["kind"] == "delete" else EXCHANGE)
    return False


def shown(entry: Entry) -> Entry:
    """What a caller is told of a change."""
    return {name: value for name, value in entry.items() if name not in ("done", "at_s", "staged")}
