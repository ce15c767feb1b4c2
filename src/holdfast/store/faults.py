"""From what SQLite and the operating system say to what an operator can act on.

Decides which integrity error a failed statement is. Promises that a message names the store and never claims
that a write failed when all that is known is that it was not acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction, isfunction
from pathlib import Path
from typing import Any, TypeVar

import apsw

from holdfast.kernel.errors import (
    IntegrityError,
    OurBug,
    StoreBusy,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreMoved,
    StoreReadOnly,
)

Spoken = TypeVar("Spoken", bound=type[Any])

WRITE_LOCK_BYTE = 120  # the byte of the -shm file that a WAL writer locks (SQLite file format, section 2.3.1)


def translate(error: Exception, path: str) -> IntegrityError:
    """The integrity error that this failure of SQLite is, for the store at ``path``."""
    if isinstance(error, IntegrityError):
        return error
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return busy(path, 0)
    if isinstance(error, apsw.FullError):
        return StoreFull(store=path)
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return StoreReadOnly(store=path)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreCorrupt(store=path, where=str(error))
    if isinstance(error, apsw.ConstraintError) and "the store was moved" in str(error):
        return StoreMoved(store=path, to="elsewhere")
    if isinstance(error, apsw.ConstraintError):
        return OurBug(where="the store's write", what=f"{path} refused a row: {error}")
    return StoreFailed(store=path, why=f"{type(error).__name__}: {error}")


def speaks(cls: Spoken) -> Spoken:
    """Class decorator: whatever SQLite raises in a public method is translated, by the object's ``path``."""
    for name, member in list(vars(cls).items()):
        if isfunction(member) and not name.startswith("_") and not iscoroutinefunction(member):
            setattr(cls, name, _translating(member))
    return cls


def _translating(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def spoken(self: Any, *args: Any, **named: Any) -> Any:
        try:
            return method(self, *args, **named)
        except apsw.Error as error:
            raise translate(error, self.path) from error

    return spoken


def busy(path: str, waited_ms: int) -> StoreBusy:
    """The lock was not to be had; names its holder as far as the system tells."""
    return StoreBusy(store=path, holder=lock_holder(path), waited_ms=waited_ms)


def lock_holder(path: str) -> str:
    """Which process holds the write lock, from /proc/locks.

    The file itself is not opened: closing it again would drop this process's own locks on it (POSIX fcntl).
    """
    try:
        inode = Path(path + "-shm").stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "another process"
    for line in lines:
        words = line.split()
        if "->" in words or len(words) < 8 or words[3] != "WRITE" or words[5].rpartition(":")[2] != str(inode):
            continue
        last = int(words[7]) if words[7].isdigit() else WRITE_LOCK_BYTE
        if int(words[6]) <= WRITE_LOCK_BYTE <= last:
            return f"process {words[4]}"
    return "another process"
