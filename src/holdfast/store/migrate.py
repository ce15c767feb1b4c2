"""Numbered migrations: which schema a file has, and how it comes to the newest.

Promises that a migration runs once, whole, under an exclusive lock (two processes that open a new file at
once are safe), that an applied one whose text differs is refused, and so is a file that a newer version
wrote.
"""

from __future__ import annotations

import hashlib
import os
from importlib import resources
from typing import NamedTuple

import apsw
from msgspec.structs import replace

from holdfast.kernel.errors import MigrationChanged, SchemaFromFuture, StoreCorrupt
from holdfast.kernel.life import MOVES
from holdfast.kernel.model import DEFAULT_TENANT, State
from holdfast.store import rows
from holdfast.store.memory import STORE_RUN

APPLICATION_ID = 0x68666474  # "hfdt": tells this file from any other SQLite file


class Migration(NamedTuple):
    """One numbered step; ``sha256`` is of its text."""

    number: int
    name: str
    text: str
    sha256: str


def migrations() -> tuple[Migration, ...]:
    """All steps this version knows, in order."""
    found = []
    for file in resources.files("holdfast.store.schema").iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(file.name[:4]), file.name[5:-4], text, digest))
    return tuple(sorted(found))


def migrate(db: apsw.Connection, path: str, now_ms: int, bound_to: str) -> None:
    """Bring the file to the newest schema. Raises SchemaFromFuture, MigrationChanged, StoreCorrupt.

    The connection must wait for locks by itself (busy timeout).
    """
    known = migrations()
    if _applied(db, path, known) == len(known):
        return
    db.execute("BEGIN EXCLUSIVE")
    try:
        # Looked at again: another process may have done it while this one waited for the lock.
        done = _applied(db, path, known)
        for step in known[done:]:
            db.execute(step.text)
            db.execute(
                "INSERT INTO migration (number, name, sha256, at_ms) VALUES (?, ?, ?, ?)",
                (step.number, step.name, step.sha256, now_ms),
            )
            if step.number == 1:
                _begin_store(db, now_ms, bound_to)
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", known[-1].number)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _applied(db: apsw.Connection, path: str, known: tuple[Migration, ...]) -> int:
    """How many of the known steps the file has, all of them unchanged."""
    version = db.pragma("user_version")
    if version > len(known):
        raise SchemaFromFuture(store=path, found=version, known=len(known))
    # Asked of the file: the connection's own idea of the schema may be older than the lock it holds.
    tables, ours = db.execute("SELECT count(*), count(CASE WHEN name = 'migration' THEN 1 END) FROM sqlite_schema").get
    if not ours:
        if tables:
            raise StoreCorrupt(store=path, where="it is an SQLite file, but not one of holdfast's")
        return 0
    applied = db.execute("SELECT number, sha256 FROM migration ORDER BY number").fetchall()
    if len(applied) > len(known):
        raise SchemaFromFuture(store=path, found=len(applied), known=len(known))
    for (number, sha256), step in zip(applied, known, strict=False):
        if number != step.number or sha256 != step.sha256:
            raise MigrationChanged(store=path, number=step.number)
    return len(applied)


def _begin_store(db: apsw.Connection, now_ms: int, bound_to: str) -> None:
    """The rows a new store starts with: the state table, the store's own run, its names and its secret."""
    words = ["", *(state.value for state in State), DEFAULT_TENANT]
    db.executemany("INSERT INTO word (n, text) VALUES (?, ?)", list(enumerate(words)))
    number = {word: n for n, word in enumerate(words)}
    moves = {(number[move.before.value if move.before else ""], number[move.after.value]) for move in MOVES}
    db.executemany("INSERT INTO life (before, after) VALUES (?, ?)", sorted(moves))
    run = replace(STORE_RUN, opened_ms=now_ms)
    tenant = number[DEFAULT_TENANT]
    db.execute(rows.ADD_RUN, (1, run.id, tenant, run.intent, run.state, 0, b"", rows.encode(run)))
    db.execute(
        "INSERT INTO meta"
        " (one, store, incarnation, mode, identity_secret, last_token, high_ms, bound_to, created_ms)"
        " VALUES (1, ?, 1, 'normal', ?, 0, ?, ?, ?)",
        ("st_" + os.urandom(10).hex(), os.urandom(32), now_ms, bound_to, now_ms),
    )
