"""Numbered migrations: which schema a store has, and how it comes to the newest.

The first line of each says what older code may do once it was applied: ``-- compatible``, it goes on as if nothing
had been; ``-- needs N``, only code that knows N steps does. A file without such a line needs itself. What it says is
recorded in its row, where older code reads it, which has never seen the file.

Promises that a migration runs once, whole, under an exclusive lock (two processes that open a new file at once are
safe), that an applied one whose text differs is refused, and so is a schema of which a newer step needs newer code.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
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


FOLDER = "holdfast.store.schema"
NEEDS = re.compile(r"-- (?:(compatible)|needs (\d+))\n")


class Migration(NamedTuple):
    """One numbered step; ``sha256`` is of its text, ``needs`` how many steps code must know to work behind it."""

    number: int
    name: str
    text: str
    sha256: str
    needs: int


class Applied(NamedTuple):
    """What a store says of a step that was applied to it."""

    number: int
    sha256: str
    needs: int


def migrations(folder: str = FOLDER) -> tuple[Migration, ...]:
    """All steps this version knows, in order."""
    found = []
    for file in resources.files(folder).iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            number, said = int(file.name[:4]), NEEDS.match(text)
            needs = number if said is None else int(said[2] or 0)
            found.append(Migration(number, file.name[5:-4], text, digest, needs))
    return tuple(sorted(found))


def undone(applied: Sequence[Applied], known: Sequence[Migration], store: str) -> Sequence[Migration]:
    """The steps that a store still lacks. Raises SchemaFromFuture where one that this code does not know needs newer
    code, MigrationChanged where one was applied with another text.
    """
    for there, step in zip(applied, known, strict=False):
        if there.number != step.number or there.sha256 != step.sha256:
            raise MigrationChanged(store=store, number=step.number)
    if any(newer.needs > len(known) for newer in applied[len(known) :]):
        raise SchemaFromFuture(store=store, found=len(applied), known=len(known))
    return known[len(applied) :]


def migrate(db: apsw.Connection, path: str, now_ms: int, bound_to: str) -> None:
    """Bring the file to the newest schema. Raises SchemaFromFuture, MigrationChanged, StoreCorrupt.

    The connection must wait for locks by itself (busy timeout).
    """
    known = migrations()
    if not undone(_applied(db, path), known, path):
        return
    db.execute("BEGIN EXCLUSIVE")
    try:
        # Looked at again: another process may have done it while this one waited for the lock.
        left = undone(_applied(db, path), known, path)
        for step in left:
            db.execute(step.text)
            if step.number == 1:
                _begin_store(db, now_ms, bound_to)
            row = (step.number, step.name, step.sha256, now_ms)
            if _says_needs(db):
                db.execute(
                    "INSERT INTO migration (number, name, sha256, at_ms, needs) VALUES (?, ?, ?, ?, ?)",
                    (*row, step.needs),
                )
            else:
                db.execute("INSERT INTO migration (number, name, sha256, at_ms) VALUES (?, ?, ?, ?)", row)
        db.pragma("application_id", APPLICATION_ID)
        if left:
            db.pragma("user_version", known[-1].number)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _says_needs(db: apsw.Connection) -> bool:
    """Whether rows say what a step needs: those that were applied before any did need themselves."""
    return bool(db.execute("SELECT count(*) FROM pragma_table_info('migration') WHERE name = 'needs'").get)


def _applied(db: apsw.Connection, path: str) -> list[Applied]:
    """The steps that were applied to the file, in order."""
    # Asked of the file: the connection's own idea of the schema may be older than the lock it holds.
    tables, ours = db.execute("SELECT count(*), count(CASE WHEN name = 'migration' THEN 1 END) FROM sqlite_schema").get
    if not ours:
        if tables:
            raise StoreCorrupt(store=path, where="it is an SQLite file, but not one of holdfast's")
        return []
    needs = "needs" if _says_needs(db) else "number"
    found = db.execute(f"SELECT number, sha256, {needs} FROM migration ORDER BY number")  # noqa: S608 - our own words
    applied = [Applied(*row) for row in found]
    version = db.pragma("user_version")
    if version > len(applied):  # more than its rows tell of: nothing is known of those steps
        raise SchemaFromFuture(store=path, found=version, known=len(migrations()))
    return applied


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
