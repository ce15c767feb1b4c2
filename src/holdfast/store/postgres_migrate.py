"""Numbered migrations of a schema in PostgreSQL, and the rows that a new store begins with.

Promises that a migration runs once and whole, however many processes open a new store at once, and that one which was
applied with another text is refused. Older code goes on working on a newer schema as long as each newer step says so
in its first line (:mod:`.migrate`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from holdfast.kernel.errors import BadConfig
from holdfast.kernel.life import MOVES
from holdfast.kernel.model import DEFAULT_TENANT, State
from holdfast.store import rows
from holdfast.store.memory import STORE_RUN
from holdfast.store.migrate import Applied, Migration, undone
from holdfast.store.postgres_open import Place, migrations

if TYPE_CHECKING:
    import psycopg

# The schema's own number is among it: a dump that was read in again is another schema, in the same cluster as well.
CLUSTER = (
    "SELECT concat_ws('/', system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()),"
    " (SELECT oid FROM pg_namespace WHERE nspname = current_schema())) FROM pg_control_system()"
)
OWNER = (
    "SELECT rolname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner WHERE pg_class.oid = to_regclass(%s)"
    " AND pg_has_role(pg_roles.oid, 'MEMBER') AND rolname <> current_user"
)
TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint"


def migrate(db: psycopg.Connection[Any], place: Place) -> None:
    """Bring the schema to the newest step. Raises SchemaFromFuture, MigrationChanged; BadConfig: this role may not."""
    known = migrations()
    if not undone(_applied(db, place), known, place.name):
        return
    try:
        _migrated(db, place, known)
    except _may_not() as error:
        there = len(_applied(db, place))
        why = f"it has {there} of {len(known)} steps, and this role may not add the others: open it once as its owner"
        why = why if there else f"there is no store yet, and this role may not make one: {error.diag.message_primary}"
        raise BadConfig(file=place.name, key="schema", nearest=None, why=why) from None


def _migrated(db: psycopg.Connection[Any], place: Place, known: Sequence[Migration]) -> None:
    with db.transaction():
        # A stricter default would keep the view from before the wait for the lock below.
        db.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        db.execute("SET LOCAL lock_timeout = 0")
        db.execute("SET LOCAL statement_timeout = 0")
        # One process migrates; the others wait here and then find it done.
        db.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast migration ' || %s, 0))", (place.schema,))
        left = undone(_applied(db, place), known, place.name)
        if left and left[0].number == 1 and not _there(db, place.schema):
            db.execute(f'CREATE SCHEMA "{place.schema}"'.encode())
        elif left and (owner := db.execute(OWNER, (f'"{place.schema}".migration',)).fetchone()) is not None:
            db.execute(f'SET LOCAL ROLE "{owner[0]}"'.encode())  # what is made belongs to whom the rest belongs to
        for step in left:
            db.execute(step.text.encode())
            if step.number == 1:
                _begin_store(db)
            db.execute(
                "INSERT INTO migration (number, name, sha256, at_ms, needs) VALUES (%s, %s, %s, wall_ms(), %s)",
                (step.number, step.name, step.sha256, step.needs),
            )


def look(db: psycopg.Connection[Any], place: Place) -> bool:
    """Whether there is a store whose schema this version can read. Raises SchemaFromFuture, MigrationChanged."""
    applied = _applied(db, place)
    undone(applied, migrations(), place.name)
    return bool(applied)


def _there(db: psycopg.Connection[Any], schema: str) -> bool:
    """Whether the schema is there: a role that may not make one may work in one that was made for it."""
    return db.execute("SELECT to_regnamespace(%s)", (f'"{schema}"',)).fetchall()[0][0] is not None


def _applied(db: psycopg.Connection[Any], place: Place) -> list[Applied]:
    there = db.execute("SELECT to_regclass(%s)", (f'"{place.schema}".migration',)).fetchone()
    if there is None or there[0] is None:
        return []
    return [Applied(*row) for row in db.execute("SELECT number, sha256, needs FROM migration ORDER BY number")]


def cluster(db: psycopg.Connection[Any]) -> tuple[str, int]:
    """Which cluster, database and schema this is, and the timeline of its history; ("", 0): the role may not know."""
    try:
        with db.transaction():
            named = db.execute(CLUSTER).fetchall()[0][0]
            standby = db.execute("SELECT pg_is_in_recovery()").fetchall()[0][0]
            timeline = 0 if standby else db.execute(TIMELINE).fetchall()[0][0]
    except _may_not():
        return "", 0
    return str(named), int(timeline)


def _may_not() -> Any:
    from psycopg import errors

    return errors.InsufficientPrivilege


def _begin_store(db: psycopg.Connection[Any]) -> None:
    """The rows a new store starts with: the state table, the store's own run, its words and its secret."""
    words = ["", *(state.value for state in State), DEFAULT_TENANT]
    number = {word: n for n, word in enumerate(words)}
    db.execute(
        "INSERT INTO word (n, text) SELECT * FROM unnest(%s::bigint[], %s::text[])", (list(range(len(words))), words)
    )
    db.execute("SELECT setval('word_n', %s)", (len(words) - 1,))
    moves = sorted({(number[move.before.value if move.before else ""], number[move.after.value]) for move in MOVES})
    befores, afters = [before for before, _ in moves], [after for _, after in moves]
    db.execute("INSERT INTO life SELECT * FROM unnest(%s::bigint[], %s::bigint[])", (befores, afters))
    now_ms = db.execute("SELECT wall_ms()").fetchall()[0][0]
    run = replace(STORE_RUN, opened_ms=now_ms)
    db.execute(
        "INSERT INTO run (n, id, tenant, intent, state, seq, head, view)"
        " VALUES (nextval('run_n'), %s, %s, %s, %s, 0, ''::bytea, %s)",
        (run.id, number[DEFAULT_TENANT], run.intent, run.state, rows.encode(run)),
    )
    named, timeline = cluster(db)
    db.execute(
        "INSERT INTO meta (one, store, incarnation, mode, identity_secret, last_token, high_ms, bound_to, created_ms,"
        " timeline) VALUES (1, %s, 1, 'normal', %s, 0, %s, %s, %s, %s)",
        ("st_" + os.urandom(10).hex(), os.urandom(32), now_ms, named, now_ms, timeline),
    )
