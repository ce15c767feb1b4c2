"""The PostgreSQL server under a store: its settings, who it takes us for, the way to it, its clock, its room.

Decides what of it breaks a promise (a commit that is answered before it is on disk), and what somebody should know (a
superuser, a way that others can read, a standby that is not waited for). Promises to read only, and that no password is
in what it says. Does not promise that the server tells the truth about its disk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast.cli.config import STORE_ENV
from holdfast.report.doctor import Finding, broken, doubtful, fine, skipped
from holdfast.report.text import escaped, iso, span

if TYPE_CHECKING:
    from holdfast.store.address import Address

OLDEST, NEWEST_TRIED = 14, 18
APART_MS = 1_000
"""More than this between this machine's clock and the server's is said; what counts is the server's."""
WORKER_CONNECTIONS = 7
"""What one process of ours may have open at a time: three to work, and four more where it also seals the log."""
FEW_WORKERS = 4
CONNECT_S = 10

_ASKED = """
SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
    (SELECT count(*) FROM pg_stat_replication), current_setting('default_transaction_isolation'),
    current_setting('default_transaction_read_only'), current_setting('server_encoding'), pg_is_in_recovery(),
    current_user, role.rolsuper, role.rolconnlimit, base.datconnlimit,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
    coalesce(ssl.ssl, false), coalesce(ssl.version, ''), coalesce(host(inet_client_addr()), ''),
    current_setting('statement_timeout')
FROM pg_roles AS role, pg_database AS base LEFT JOIN pg_stat_ssl AS ssl ON ssl.pid = pg_backend_pid()
WHERE role.rolname = current_user AND base.datname = current_database()
"""
_CLOCK = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_RIGHTS = """
SELECT bool_or(pg_has_role(relowner, 'USAGE')), bool_and(has_any_column_privilege(oid, 'SELECT')),
    bool_or(has_table_privilege(oid, 'TRUNCATE')),
    bool_or(relname = 'entry' AND has_table_privilege(oid, 'INSERT'))
FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'
"""


@dataclass(slots=True)
class Server:
    """What a server said of itself, once."""

    version: int
    fsync: str
    pages: str
    commit: str
    standbys_waited_for: str
    standbys: int
    isolation: str
    read_only: str
    encoding: str
    standby: bool
    role: str
    superuser: bool
    role_limit: int
    database_limit: int
    places: int
    taken: int
    taken_by_role: int
    taken_in_database: int
    tls: bool
    tls_version: str
    client: str
    statement_timeout: str
    # not asked by SQL
    ssl_mode: str = ""
    pooled: bool = False
    clock_ms: tuple[int, int, int] = (0, 0, 0)


def looks(at: Address, stored_in: str, wall: Callable[[], int]) -> Iterator[Finding]:
    """Everything about the server of a store. Raises what connecting raises as our own errors."""
    from holdfast.store.postgres_open import driver, said

    yield from secret(at, stored_in)
    psycopg = driver()
    try:
        db = psycopg.connect(at.dsn, autocommit=True, connect_timeout=CONNECT_S, application_name="holdfast doctor")
    except psycopg.Error as error:
        yield broken(
            "server-not-reached", "server", f"{escaped(at.shown)}: {escaped(said(error))}",
            why="Nothing can be recorded or dispatched by this process, and nothing can be said about the store.",
            to_do="See that the server runs, that this machine may reach it, and who it takes this user for "
            "(pg_hba.conf).",
        )  # fmt: skip
        return
    with db:
        server = asked(db, wall)
        for look in (settings, replication, role, way, clock, room):
            yield from look(server)
        yield from rights(db, server, at.schema)
        yield from schema(db, at.schema)


def asked(db: Any, wall: Callable[[], int]) -> Server:
    """Ask a connection."""
    server = Server(*db.execute(_ASKED).fetchone())
    server.ssl_mode = str(db.info.get_parameters().get("sslmode", "prefer"))
    # A pooler invents the number that it tells its clients; the server's own is another one.
    server.pooled = db.execute("SELECT pg_backend_pid()").fetchone()[0] != db.info.backend_pid
    since, began_ms = time.perf_counter_ns(), wall()
    (theirs_ms,) = db.execute(_CLOCK).fetchone()
    server.clock_ms = (theirs_ms, began_ms, (time.perf_counter_ns() - since) // 1_000_000)
    return server


def secret(at: Address, stored_in: str) -> Iterator[Finding]:
    """Whether the password stands where others find it."""
    has_one = "password=" in at.url or re.match(r"\w+://[^@/:]*:[^@]+@", at.url) is not None
    if not has_one or stored_in == STORE_ENV:
        yield fine("password", "access", "no password stands in a file or a command line")
        return
    on_line = stored_in == "--store"
    yield doubtful(
        "password-on-command-line" if on_line else "password-in-file", "access",
        f"the address of the store has a password in it ({escaped(stored_in)})",
        why="Whoever lists this machine's processes reads it." if on_line
        else "Whoever may read the file, or its history in version control, has it.",
        to_do=f"Give the address in ${STORE_ENV}, or leave the password out of it: PGPASSFILE, PGPASSWORD, PGSERVICE.",
    )  # fmt: skip


def settings(server: Server) -> Iterator[Finding]:
    """What a commit means there."""
    major = server.version // 10_000
    if major < OLDEST:
        yield broken(
            "server-too-old", "server", f"PostgreSQL {major}", why=f"{OLDEST} is the oldest that is supported.",
            to_do="Use a newer server.", version=server.version,
        )  # fmt: skip
    elif major > NEWEST_TRIED:
        yield doubtful(
            "server-not-tried", "server", f"PostgreSQL {major}", why=f"{NEWEST_TRIED} is the newest that was tried.",
            to_do="Run the contract tests against it: HOLDFAST_TEST_POSTGRES.", version=server.version,
        )  # fmt: skip
    else:
        yield fine("server-version", "server", f"PostgreSQL {major}", version=server.version)
    good = True
    lost = "a commit that was answered may be lost when the machine stops, and what it dispatched with it"
    for name, value, is_wrong, why in (
        ("fsync", server.fsync, server.fsync != "on", lost),
        ("full_page_writes", server.pages, server.pages != "on", "a page may be torn when the machine stops"),
        ("synchronous_commit", server.commit, server.commit == "off", lost),
        ("server_encoding", server.encoding, server.encoding != "UTF8", "records are UTF-8"),
        ("default_transaction_isolation", server.isolation, server.isolation == "read uncommitted",
         "a ledger is kept at read committed or stricter"),
        ("default_transaction_read_only", server.read_only, server.read_only == "on", "nothing can be recorded"),
    ):  # fmt: skip
        if is_wrong:
            good = False
            yield broken(
                f"server-{name.replace('_', '-')}", "server", f"{name} is {escaped(value)}", why=f"So {why}.",
                to_do=f"Set {name} right, for the server, this database or this role.", value=value,
            )  # fmt: skip
    if good:
        said = f"fsync on, full_page_writes on, synchronous_commit {server.commit}, {server.isolation}"
        yield fine("server-settings", "server", said, synchronous_commit=server.commit, isolation=server.isolation)
    if server.statement_timeout != "0":
        yield doubtful(
            "server-statement-timeout", "server", f"statement_timeout is {escaped(server.statement_timeout)}",
            why="A long read (evidence verify, store copy) ends by it; commits are short and end by it under load.",
            to_do="Leave it off for the role that workers use; they bound their own waits.",
        )  # fmt: skip


def replication(server: Server) -> Iterator[Finding]:
    """Primary or standby, and whether a failover may lose what was answered."""
    if server.standby:
        yield broken(
            "server-is-standby", "server", "it is a standby, in recovery",
            why="Reading works and may be behind; nothing can be recorded, so nothing is dispatched.",
            to_do="Name the primary, or several hosts and target_session_attrs=read-write in the address.",
        )  # fmt: skip
    elif server.standbys and not server.standbys_waited_for:
        yield doubtful(
            "server-standby-not-waited-for", "server", f"{server.standbys} standby(s) follow, and none is waited for",
            why="A failover may lose the last commits. The store then opens restored, and dispatches nothing until a "
            "person has compared it with the outside.",
            to_do="synchronous_standby_names, where losing the tail would be worse than waiting.",
            standbys=server.standbys,
        )  # fmt: skip
    elif server.standbys_waited_for and server.commit == "local":
        yield doubtful(
            "server-commits-locally", "server", "synchronous_commit is local, so no standby is waited for",
            why="A failover may lose the last commits.", to_do="synchronous_commit = on.",
        )  # fmt: skip
    else:
        said = f", {server.standbys} standby(s), waited for" if server.standbys_waited_for else ""
        yield fine("server-primary", "server", f"it is a primary{said}", standbys=server.standbys)


def role(server: Server) -> Iterator[Finding]:
    """Who the server takes us for."""
    if server.superuser:
        yield doubtful(
            "role-is-superuser", "access", f"the role {escaped(server.role)} is a superuser",
            why="A program that runs as it can switch off every check of the database, and read every other one.",
            to_do="holdfast store roles --create, then give workers a login of their own.", role=server.role,
        )  # fmt: skip


def rights(db: Any, server: Server, name: str) -> Iterator[Finding]:
    """What this role may do with the store's tables."""
    owns, reads, truncates, records = db.execute(_RIGHTS, (name,)).fetchone()
    if owns is None:
        return
    if not reads:
        yield broken(
            "role-cannot-read", "access", f"the role {escaped(server.role)} may not read every table of {name}",
            why="Nothing can be said about the store.", to_do=f"GRANT {name}_reader or {name}_worker to it.",
        )  # fmt: skip
    elif (owns or truncates) and not server.superuser:
        yield doubtful(
            "role-owns-store", "access", f"the role {escaped(server.role)} owns the store's tables",
            why="A program that runs as it can switch off the triggers that keep the record whole.",
            to_do=f"holdfast store roles --create, and let workers log in with {name}_worker only.", role=server.role,
        )  # fmt: skip
    elif not server.superuser:
        can = "records, and changes no table" if records else "only reads"
        yield fine("role", "access", f"the role {escaped(server.role)} {can}", role=server.role)


def way(server: Server) -> Iterator[Finding]:
    """Whether others can listen, whether the server is who it says, and whether somebody stands between."""
    near = server.client in ("", "127.0.0.1", "::1")
    if not server.tls and not near:
        yield broken(
            "way-in-the-open", "access", "the connection is not encrypted, and the server is another machine",
            why="Whoever listens on the way reads every argument and the secret that keys are minted with.",
            to_do="sslmode=verify-full and sslrootcert in the address, and ssl = on at the server.",
        )  # fmt: skip
    elif not near and server.ssl_mode not in ("verify-full", "verify-ca"):
        yield doubtful(
            "server-not-proved", "access", f"encrypted ({server.tls_version}), and nobody checks with whom",
            why="Somebody in between can answer as the server.", to_do="sslmode=verify-full and sslrootcert.",
            sslmode=server.ssl_mode,
        )  # fmt: skip
    else:
        said = f"encrypted ({server.tls_version})" if server.tls else "within this machine"
        yield fine("way", "access", f"the connection is {said}", sslmode=server.ssl_mode, tls=server.tls)
    if server.pooled:
        yield doubtful(
            "server-pooled", "server", "a connection pooler stands between",
            why="One that hands a transaction's statements, or a session's settings and locks, to several sessions "
            "breaks what a commit means.",
            to_do="Go past it, or let it pool by session.",
        )  # fmt: skip


def clock(server: Server) -> Iterator[Finding]:
    """The server's clock is the store's; this machine's times what is sent."""
    theirs_ms, ours_ms, took_ms = server.clock_ms
    apart_ms = theirs_ms - ours_ms - took_ms // 2
    if abs(apart_ms) > APART_MS + took_ms:
        yield doubtful(
            "clocks-apart", "clock", f"the server's clock is {span(apart_ms)} from this machine's",
            why="Leases, approvals and deadlines are judged by the server's; what outsides are told to take until when "
            "is told in the store's time.",
            to_do="Keep both clocks by the same time service.", apart_ms=apart_ms,
        )  # fmt: skip
    else:
        yield fine("clock-of-server", "clock", f"the server says {iso(theirs_ms)}, as this machine", apart_ms=apart_ms)


def room(server: Server) -> Iterator[Finding]:
    """How many more workers can connect."""
    free = [server.places - server.taken]
    free += [server.role_limit - server.taken_by_role] if server.role_limit >= 0 else []
    free += [server.database_limit - server.taken_in_database] if server.database_limit >= 0 else []
    left = max(0, min(free))
    workers = left // WORKER_CONNECTIONS
    said = f"{left} connection(s) are free: room for {workers} more worker(s), at most {WORKER_CONNECTIONS} each"
    if workers < FEW_WORKERS:
        yield (broken if not workers else doubtful)(
            "server-connections", "server", said, why="A worker that gets no connection stops and starts anew.",
            to_do="Raise max_connections, or the limit of this role or database.", free=left,
        )  # fmt: skip
    else:
        yield fine("server-connections", "server", said, free=left)


def schema(db: Any, name: str) -> Iterator[Finding]:
    """Which schema the store has there."""
    from holdfast.store.postgres_open import migrations

    if db.execute("SELECT to_regclass(%s)", (f'"{name}".migration',)).fetchone()[0] is None:
        yield skipped("schema", "store", f"there is no store in the schema {name} yet; a worker makes it")
        return
    known = len(migrations())
    try:
        (found,) = db.execute(f'SELECT count(*) FROM "{name}".migration'.encode()).fetchone()  # noqa: S608  # a name by pattern
    except Exception as error:  # noqa: BLE001  # the rights of this role, which are said where they are looked at
        yield skipped("schema", "store", f"its migrations cannot be read: {type(error).__name__}")
        return
    if found < known:
        yield doubtful(
            "schema-old", "store", f"it has schema {found}, and this version brings it to {known}",
            why="It is migrated when it is next opened to write by a role that owns it.",
            to_do=f"Start one process as {name}_owner, or holdfast store show as that role.", found=found, known=known,
        )  # fmt: skip
    elif found == known:
        yield fine("schema", "store", f"schema {found}, the newest that this version knows", found=found)
    elif found > known:  # opening it says whether this version may go on
        yield fine("schema", "store", f"schema {found}, newer than the {known} that this version knows", found=found)
