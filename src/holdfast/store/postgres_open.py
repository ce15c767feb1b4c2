"""Opening a PostgreSQL store: the driver, the settings a ledger needs, the schema, and what failures are
called.

Decides whether a server may hold a ledger at all. Promises that a server which answers commits before they
are on disk is refused, that a migration runs once and whole however many processes open a new store at once,
and that neither a password nor a connection string ever reaches an error. Does not promise that a server
which says ``fsync = on`` has a disk that tells the truth.
"""

from __future__ import annotations

import hashlib
import os
import re
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.kernel.errors import (
    BadConfig,
    BadValue,
    HoldfastError,
    MigrationChanged,
    OurBug,
    SchemaFromFuture,
    StoreBusy,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
)
from holdfast.kernel.life import MOVES
from holdfast.kernel.model import DEFAULT_TENANT, Principal, Run
from holdfast.store.postgres_rows import STORE_RUN, text

if TYPE_CHECKING:
    import psycopg

OLDEST_SERVER = 140_000
SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

SETTINGS = (
    "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
    " current_setting('full_page_writes'), current_setting('default_transaction_isolation'),"
    " current_setting('server_encoding'), current_setting('server_version_num')::int, pg_is_in_recovery()"
)
LOST = "a commit that was answered may be lost when the machine stops"


class Place(NamedTuple):
    """Where a store is, in words that hold no secret."""

    name: str
    schema: str
    lock_ms: int


def driver() -> Any:
    """The psycopg module, imported when the first PostgreSQL store is opened. Raises BadConfig where it is
    missing.
    """
    try:
        import psycopg
    except ImportError as missing:
        why = "a PostgreSQL store needs the extra `postgres`: pip install 'holdfast[postgres]'"
        raise BadConfig(file="the environment", key="psycopg", nearest=None, why=why) from missing
    return psycopg


def connect(dsn: str, schema: str, lock_ms: int) -> tuple[psycopg.Connection[Any], Place]:
    """A connection in which each statement is its own transaction until BEGIN. Raises BadConfig,
    StoreFailed.
    """
    if not SCHEMA_NAME.fullmatch(schema):
        why = "a schema is named with at most 63 small letters, digits and underscores"
        raise BadConfig(file="the store", key="schema", nearest=None, why=why)
    psycopg = driver()
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        # libpq quotes the part it could not read, which may be the password: neither text nor cause is passed
        # on.
        why = "it cannot be read as a PostgreSQL connection string"
        raise BadConfig(file="the store", key="connection string", nearest=None, why=why) from None
    database = parts.get("dbname") or parts.get("user") or ""
    where = f"{parts.get('host') or 'local'}:{parts.get('port') or 5432}/{database}"
    place = Place(f"postgres {where} schema {schema}", schema, lock_ms)
    try:
        db = psycopg.connect(dsn, autocommit=True, application_name="holdfast")
        db.execute("SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false)",
                   (f"{schema}, pg_temp", f"{lock_ms}ms"))  # fmt: skip
    except psycopg.Error as error:
        raise StoreFailed(store=place.name, why=said(error, str(parts.get("password") or ""))) from None
    return db, place


def check_settings(db: psycopg.Connection[Any], place: Place) -> None:
    """Refuse a server on which a commit means less than it must. Raises BadConfig naming the setting."""
    row = db.execute(SETTINGS).fetchone()
    assert row is not None
    fsync, commit, pages, isolation, encoding, version, standby = row
    wrong: tuple[tuple[bool, str, str], ...] = (
        (fsync != "on", "fsync", f"it is {fsync}, so {LOST}"),
        (commit == "off", "synchronous_commit", f"it is {commit}, so {LOST}"),
        (pages != "on", "full_page_writes", f"it is {pages}, so a page may be torn when the machine stops"),
        (
            isolation == "read uncommitted",
            "default_transaction_isolation",
            "it is read uncommitted; read committed is the weakest level a ledger is kept on",
        ),
        (encoding != "UTF8", "server_encoding", f"it is {encoding}; records are UTF-8"),
        (
            version < OLDEST_SERVER,
            "server_version",
            f"it is {version // 10000}; 14 is the oldest that is supported",
        ),
    )
    for is_wrong, key, why in wrong:
        if is_wrong:
            raise BadConfig(file=place.name, key=key, nearest=None, why=why)
    if standby:
        raise StoreReadOnly(store=place.name)


# ------------------------------------------------------------------------------------------- the schema


class Migration(NamedTuple):
    """One numbered step; ``sha256`` is of its text."""

    number: int
    name: str
    text: str
    sha256: str


def migrations() -> tuple[Migration, ...]:
    """All steps this version knows, in order."""
    found = []
    for file in resources.files("holdfast.store.postgres_schema").iterdir():
        if file.name.endswith(".sql"):
            script = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(script.encode()).hexdigest()
            found.append(Migration(int(file.name[:4]), file.name[5:-4], script, digest))
    return tuple(sorted(found))


def migrate(db: psycopg.Connection[Any], place: Place) -> None:
    """Bring the schema to the newest step. Raises SchemaFromFuture, MigrationChanged."""
    known = migrations()
    with db.transaction():
        # A stricter default would keep the view from before the wait for the lock below.
        db.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        # One process migrates; the others wait here and then find it done.
        db.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast migration ' || %s, 0))", (place.schema,))
        done = _applied(db, place, known)
        if done == len(known):
            return
        if done == 0:
            db.execute(f'CREATE SCHEMA IF NOT EXISTS "{place.schema}"'.encode())
        for step in known[done:]:
            db.execute(step.text.encode())
            if step.number == 1:
                _begin_store(db)
            db.execute(
                "INSERT INTO migration (number, name, sha256, at_ms) VALUES (%s, %s, %s, wall_ms())",
                (step.number, step.name, step.sha256),
            )


def _applied(db: psycopg.Connection[Any], place: Place, known: tuple[Migration, ...]) -> int:
    there = db.execute("SELECT to_regclass(%s)", (f'"{place.schema}".migration',)).fetchone()
    if there is None or there[0] is None:
        return 0
    applied = db.execute("SELECT number, sha256 FROM migration ORDER BY number").fetchall()
    if len(applied) > len(known):
        raise SchemaFromFuture(store=place.name, found=len(applied), known=len(known))
    for (number, sha256), step in zip(applied, known, strict=False):
        if number != step.number or sha256 != step.sha256:
            raise MigrationChanged(store=place.name, number=step.number)
    return len(applied)


def _begin_store(db: psycopg.Connection[Any]) -> None:
    """The rows a new store starts with: the state table, the store's own run, its name and its secret."""
    moves = sorted({(move.before.value if move.before else "", move.after.value) for move in MOVES})
    befores, afters = [before for before, _ in moves], [after for _, after in moves]
    db.execute("INSERT INTO life SELECT * FROM unnest(%s::text[], %s::text[])", (befores, afters))
    row = db.execute("SELECT wall_ms()").fetchone()
    assert row is not None
    run = Run(
        id=STORE_RUN,
        tenant=DEFAULT_TENANT,
        environment="",
        intent="",
        purpose="store",
        goal="store",
        principal=Principal(name="store", vouched_by="holdfast"),
        opened_ms=row[0],
    )
    db.execute(
        "INSERT INTO run (id, tenant, intent, state, seq, head, view) VALUES (%s, %s, '', %s, 0, '', %s)",
        (run.id, run.tenant, run.state, text(run)),
    )
    db.execute(
        "INSERT INTO meta (one, store, incarnation, mode, identity_secret, base_ms, created_ms)"
        " VALUES (1, %s, 1, 'normal', %s, %s, %s)",
        ("st_" + os.urandom(10).hex(), os.urandom(32), row[0], row[0]),
    )


# ----------------------------------------------------------------------------------------- what went wrong


def said(error: Exception, secret: str = "") -> str:
    """What the server said, without the row it said it about (that may hold arguments) and without the
    password.
    """
    diagnosis = getattr(error, "diag", None)
    words = (diagnosis.message_primary if diagnosis is not None else None) or str(error)
    first = words.strip().splitlines()[0] if words.strip() else type(error).__name__
    return f"{type(error).__name__}: {first.replace(secret, '***') if secret else first}"


def translate(error: Exception, place: Place) -> HoldfastError:
    """The error that this failure of PostgreSQL is. Nothing here says that a write failed when that is not
    known.
    """
    if isinstance(error, HoldfastError):
        return error
    code = str(getattr(error, "sqlstate", None) or "")
    if code == "53100":
        return StoreFull(store=place.name)
    if code in ("25006", "42501"):
        return StoreReadOnly(store=place.name)
    if code in ("XX001", "XX002"):
        return StoreCorrupt(store=place.name, where=said(error))
    if code == "55P03":
        return StoreBusy(store=place.name, holder="another transaction", waited_ms=place.lock_ms)
    if code.startswith("23"):
        return OurBug(where="the store's write", what=f"{place.name} refused a row: {said(error)}")
    if code.startswith("22") or type(error).__name__ == "DataError":
        return BadValue(path="$", why=f"PostgreSQL cannot hold it as text: {said(error)}", value_type="str")
    return StoreFailed(store=place.name, why=said(error))
