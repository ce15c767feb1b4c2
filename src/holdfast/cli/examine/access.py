"""Who may read and change what is kept: the store with its secret, the remembered head, the rules.

Decides by the permission bits of the files and of the directories above them. Does not know access control lists,
other mounts of the same disk, or backups.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from holdfast.report.doctor import Finding, broken, doubtful, fine, skipped
from holdfast.report.text import escaped

OTHERS_READ, OTHERS_WRITE, OTHERS_ENTER = stat.S_IROTH, stat.S_IWOTH, stat.S_IXOTH


def reachable(path: Path) -> bool:
    """Whether this user may even ask if it is there."""
    try:
        path.stat()
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def store_files(store: Path) -> Iterator[Finding]:
    """The store holds the secret that keys are minted with, and what agents did: it is for one user."""
    good = True
    if not reachable(store):
        yield broken(
            "store-unreadable", "access", f"this user may not enter the directory of {escaped(str(store))}",
            why="Nothing can be said about it, and nothing is dispatched from it by this user.",
            to_do="Run this as the user that the store belongs to.", path=str(store),
        )  # fmt: skip
        return
    for path in (store, Path(f"{store}-wal"), Path(f"{store}-shm")):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        loose = mode & (stat.S_IRWXG | stat.S_IRWXO)
        if not loose:
            continue
        good = False
        exposed = mode & (OTHERS_READ | OTHERS_WRITE) and _reachable(path)
        tell = broken if exposed else doubtful
        can = "read and change" if mode & OTHERS_WRITE else "read" if mode & OTHERS_READ else "as its group, open"
        yield tell(
            "store-open-to-others", "access", f"others may {can} {escaped(str(path))} (mode {stat.S_IMODE(mode):04o})",
            why="It holds the secret that keys are minted with and the arguments of every call."
            + ("" if exposed else " For now only the group or a closed directory above stands in the way."),
            to_do=f"chmod 600 {escaped(str(path))}", path=str(path), mode=f"{stat.S_IMODE(mode):04o}",
        )  # fmt: skip
    if store.exists() and not os.access(store, os.R_OK):
        good = False
        yield broken(
            "store-unreadable", "access", f"this user cannot read {escaped(str(store))}",
            why="Nothing can be said about it, and nothing is dispatched from it by this user.",
            to_do="Run this as the user that the store belongs to.", path=str(store),
        )  # fmt: skip
    elif store.exists() and not (os.access(store, os.W_OK) and os.access(store.parent, os.W_OK)):
        good = False
        yield broken(
            "store-read-only", "access", f"this user cannot write {escaped(str(store))} or its directory",
            why="Nothing can be recorded, so nothing is dispatched by this user.",
            to_do="Run this as the user that the store belongs to, or give it the directory.", path=str(store),
        )  # fmt: skip
    if good:
        is_there = f"{escaped(str(store))} is for this user alone"
        yield (fine if store.exists() else skipped)(
            "store-access", "access", is_there if store.exists() else "no store yet"
        )


def directories(store: Path, state: Path) -> Iterator[Finding]:
    """Whoever may write a directory may put another file in the place of the one that is there."""
    good = True
    for path, holds in ((store.parent, "the store"), (state, "the head that is remembered outside the store")):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if not path.is_dir():
            good = False
            yield broken(
                "directory-is-none", "access", f"{escaped(str(path))} is no directory", why=f"It is to hold {holds}.",
                to_do="Name another, or move the file away ($HOLDFAST_STATE_DIR names the second).", path=str(path),
            )  # fmt: skip
        elif mode & OTHERS_WRITE and not mode & stat.S_ISVTX:
            good = False
            yield broken(
                "directory-open-to-others", "access", f"others may write to {escaped(str(path))}",
                why=f"It holds {holds}: anybody on this machine can replace it.",
                to_do=f"chmod o-w {escaped(str(path))}", path=str(path), mode=f"{stat.S_IMODE(mode):04o}",
            )  # fmt: skip
    for head in sorted(state.glob("*.head")) if state.is_dir() else ():
        if (mode := head.stat().st_mode) & (OTHERS_WRITE | stat.S_IWGRP):
            good = False
            yield broken(
                "head-open-to-others", "access", f"others may change {escaped(str(head))}",
                why="It is what tells a cut-off or replaced store from the true one.",
                to_do=f"chmod 600 {escaped(str(head))}", path=str(head), mode=f"{stat.S_IMODE(mode):04o}",
            )  # fmt: skip
    if good:
        yield fine("directories", "access", "nobody else may replace the store or the remembered head")


def rules(files: list[Path]) -> Iterator[Finding]:
    """Configuration, policy and tools say what may happen: whoever may change them may allow anything."""
    good = True
    for path in files:
        try:
            found = path.stat()
        except OSError:
            continue
        # A group with the number of its only user is what many systems give every user.
        by_group = found.st_mode & stat.S_IWGRP and found.st_gid != found.st_uid
        if found.st_mode & OTHERS_WRITE or by_group:
            good = False
            tell = broken if found.st_mode & OTHERS_WRITE else doubtful
            who = "others" if found.st_mode & OTHERS_WRITE else "its group"
            yield tell(
                "rules-open-to-others", "access", f"{who} may change {escaped(str(path))}",
                why="It says what may happen: a changed line there allows anything.",
                to_do=f"chmod go-w {escaped(str(path))}", path=str(path), mode=f"{stat.S_IMODE(found.st_mode):04o}",
            )  # fmt: skip
    if good and files:
        yield fine(
            "rules-access", "access", f"nobody else may change configuration, policy and tools ({len(files)} files)"
        )


def _reachable(path: Path) -> bool:
    """Whether others get through every directory above; a directory that cannot be looked at counts as open."""
    for above in path.absolute().parents:
        try:
            if not above.stat().st_mode & OTHERS_ENTER:
                return False
        except OSError:
            return True
    return True
