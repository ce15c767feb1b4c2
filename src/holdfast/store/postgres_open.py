"""Reaching a PostgreSQL server: the driver, the settings that a ledger needs, and what failures are called.

Decides whether a server may hold a ledger at all. Promises that a server which answers commits before they are on
disk is refused, whoever set it so (the server, the database, the role), that a connection which says nothing any more
is noticed, and that neither a password nor a connection string ever reaches an error. Does not promise that a server
which says ``fsync = on`` has a disk that tells the truth.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from holdfast.kernel.errors import (
    BadConfig,
    BadValue,
    HoldfastError,
    OurBug,
    StoreAway,
    StoreBusy,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreMoved,
    StoreReadOnly,
)
from holdfast.store.address import SCHEMA
from holdfast.store.migrate import Migration
from holdfast.store.migrate import migrations as known_in
from holdfast.store.postgres_silence import connection_type

if TYPE_CHECKING:
    import psycopg

OLDEST_SERVER = 140_000
SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

SETTINGS = (
    "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
    " current_setting('full_page_writes'), current_setting('default_transaction_isolation'),"
    " current_setting('server_encoding'), current_setting('server_version_num')::int, pg_is_in_recovery(),"
    " current_setting('session_replication_role')"
)
SESSION = (
    "SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('statement_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false),"
    " set_config('jit', 'off', false)"
)
STATEMENT_FACTOR = 3
"""How often the wait for a lock a statement may take, and an open transaction be left alone."""
SILENCE_S = 10.0
"""How much longer than the server's own bound a statement may go unanswered."""

# A server that is gone without a word is noticed within about half a minute, and not after TCP's hours.
LIVELY = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 4,
    "tcp_user_timeout": 20_000,
}
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
    place = Place(_named(psycopg, parts, schema), schema, lock_ms)
    longest = f"{max(lock_ms, 1_000) * STATEMENT_FACTOR}ms"
    given: dict[str, Any] = LIVELY | {"application_name": "holdfast"} | {k: v for k, v in parts.items() if k in LIVELY}
    try:
        db = connection_type(psycopg).connect(dsn, autocommit=True, prepare_threshold=None, **given)
        db.limit_s = max(lock_ms, 1_000) * STATEMENT_FACTOR / 1000 + SILENCE_S
        # Of this session alone, whatever the role or the database would have.
        db.execute(SESSION, (f"{schema}, pg_temp", f"{lock_ms}ms", longest, longest))
    except psycopg.Error as error:
        why = f"the server was not reached: {said(error, str(parts.get('password') or ''))}"
        raise StoreAway(store=place.name, why=why) from None
    return db, place


def _named(psycopg: Any, parts: dict[str, Any], schema: str) -> str:
    """Where a store is as anybody may read it, with what libpq's variables and defaults fill in: no secret."""
    defaults = {one.keyword.decode(): one.val.decode() for one in psycopg.pq.Conninfo.get_defaults() if one.val}
    told = {name: str(parts.get(name) or defaults.get(name) or "") for name in ("user", "host", "port", "dbname")}
    host = quote(told["host"], safe=",:[]") or ("" if parts.get("service") else "local")
    query = {"service": parts.get("service") or "", "schema": "" if schema == SCHEMA else schema}
    asked = "&".join(f"{name}={value}" for name, value in query.items() if value)
    database = quote(told["dbname"] or told["user"], safe="")
    return f"postgresql://{told['user']}@{host}:{told['port']}/{database}" + (f"?{asked}" if asked else "")


def check_settings(db: psycopg.Connection[Any], place: Place) -> None:
    """Refuse a server on which a commit means less than it must. Raises BadConfig naming the setting."""
    row = db.execute(SETTINGS).fetchone()
    assert row is not None
    fsync, commit, pages, isolation, encoding, version, standby, replication = row
    wrong: tuple[tuple[bool, str, str], ...] = (
        (fsync != "on", "fsync", f"it is {fsync}, so {LOST}"),
        (commit == "off", "synchronous_commit", f"it is {commit}, so {LOST}"),
        (pages != "on", "full_page_writes", f"it is {pages}, so a page may be torn when the machine stops"),
        (
            isolation == "read uncommitted",
            "default_transaction_isolation",
            "it is read uncommitted; read committed is the weakest level a ledger is kept on",
        ),
        (
            replication != "origin",
            "session_replication_role",
            f"it is {replication}, so the triggers that keep the ledger do not run",
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


def migrations() -> tuple[Migration, ...]:
    """All steps of a schema that this version knows, in order."""
    return known_in("holdfast.store.postgres_schema")


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
    if code in ("55P03", "57014"):
        holder = "another transaction" if code == "55P03" else "what made a statement take too long"
        waited_ms = place.lock_ms * (1 if code == "55P03" else STATEMENT_FACTOR)
        return StoreBusy(store=place.name, holder=holder, waited_ms=waited_ms)
    if code.startswith("23") and "the store was moved" in said(error):
        return StoreMoved(store=place.name, to="elsewhere")
    if code.startswith("23"):
        return OurBug(where="the store's write", what=f"{place.name} refused a row: {said(error)}")
    if code.startswith(("22", "54")) or type(error).__name__ == "DataError":  # 54: longer than an index can hold
        return BadValue(path="$", why=f"PostgreSQL cannot hold it as text: {said(error)}", value_type="str")
    return (StoreAway if away(error) else StoreFailed)(store=place.name, why=said(error))


def away(error: Exception) -> bool:
    """Whether this failure says that the server, or the way to it, went away, and nothing of what is stored."""
    code = str(getattr(error, "sqlstate", None) or "")
    lost = not code and type(error).__name__ in ("OperationalError", "ConnectionTimeout")
    return lost or code.startswith(("08", "57P", "53300")) or code in ("25P03", "25P04", "HF001")
