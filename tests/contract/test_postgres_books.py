"""The connection over which evidence is read and sealed on PostgreSQL: SQLite's words, its kinds of transaction."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import psycopg
import pytest

from holdfast.kernel.errors import BadConfig, StoreBusy, StoreFailed, StoreReadOnly
from holdfast.store.connection import each
from holdfast.store.postgres_access import PostgresAccess
from holdfast.store.postgres_books import PostgresConnection, alone, log_key, spelled
from tests.contract.postgres_server import server

__all__ = ["server"]

SCHEMA = f"hf_books_{os.getpid()}"


@pytest.fixture
def access(server: str) -> Iterator[PostgresAccess]:
    """A schema with one table, and how it is reached; a lock is waited for half a second."""
    admin = psycopg.connect(server, autocommit=True)
    admin.execute(f"CREATE SCHEMA {SCHEMA}")
    admin.execute(f"CREATE TABLE {SCHEMA}.line (n bigint PRIMARY KEY, open integer, body bytea, said text)")
    yield PostgresAccess(server, SCHEMA, 500, "postgres here")
    admin.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
    admin.close()


@pytest.fixture
def db(access: PostgresAccess) -> Iterator[PostgresConnection]:
    """A connection that may write, and a hundred rows."""
    db = access.sealer()
    many = ((n, n % 2 == 0, b'{"stop":{"code":"late"},"why":"\\u0000"}', f"50% of {n}?") for n in range(1, 101))
    db.executemany("INSERT INTO line (n, open, body, said) VALUES (?, ?, ?, ?)", many)
    yield db
    db.close()


@pytest.mark.parametrize(
    ("given", "spelled_so"),
    [
        ("SELECT 1 WHERE n = ? AND m = ?", b"SELECT 1 WHERE n = %s AND m = %s"),
        ("SELECT ?1, ?2, ?1", b"SELECT %(p1)s, %(p2)s, %(p1)s"),
        ("SELECT '?' LIKE 'a%' || ?", b"SELECT '?' LIKE 'a%%' || %s"),
        ("SELECT n LIMIT ?", b"SELECT n LIMIT nullif(%s, -1)"),
        ("SELECT n LIMIT ?3", b"SELECT n LIMIT nullif(%(p3)s, -1)"),
    ],
)
def test_placeholders_are_spelled_as_the_driver_takes_them(given: str, spelled_so: bytes) -> None:
    """By place or by number, never inside of a text, and a limit of -1 is none."""
    assert spelled(given)[0] == spelled_so


def test_one_row_is_got_as_sqlite_gives_it(db: PostgresConnection) -> None:
    """One value, one row as a tuple, nothing, and rows one after the other; truth is a number, a digest is bytes."""
    assert db.execute("SELECT count(*) FROM line WHERE open = ?", (True,)).get == 50
    assert db.execute("SELECT n, open, said FROM line WHERE n = ?1 AND n < ?1 + 1", (4,)).get == (4, 1, "50% of 4?")
    assert db.execute("SELECT n FROM line WHERE n = ?", (-1,)).get is None
    assert len(db.execute("SELECT n FROM line LIMIT ?", (-1,)).fetchall()) == 100
    found = db.execute("SELECT n FROM line ORDER BY n LIMIT ?", (3,))
    assert (found.fetchone(), list(found), found.fetchone()) == ((1,), [(2,), (3,)], None)
    assert type(db.execute("SELECT body FROM line LIMIT 1").get) is bytes


def test_members_of_bodies_are_read_whatever_else_is_in_them(db: PostgresConnection) -> None:
    """A member by its path, also beside a character that PostgreSQL cannot keep in a text."""
    sql = "SELECT json_extract(CAST(body AS TEXT), '$.stop.code'), count(*) FROM line GROUP BY 1"
    assert db.execute(sql).get == ("late", 100)
    assert db.execute("SELECT json_extract(CAST(body AS TEXT), '$.stop.none') FROM line LIMIT 1").get is None


def test_a_reading_transaction_is_one_moment_and_can_be_shared(access: PostgresAccess, db: PostgresConnection) -> None:
    """What others commit meanwhile is not seen, neither here nor by who was given the snapshot; nothing is written."""
    mine, theirs = access.reader(), access.reader()
    mine.execute("BEGIN")
    assert mine.execute("SELECT count(*) FROM line").get == 100
    snapshot = mine.snapshot()
    db.execute("DELETE FROM line WHERE n > 50")
    theirs.begin_in(snapshot)
    for reader in (mine, theirs):
        assert sum(1 for _ in each(reader, "SELECT n FROM line WHERE n > ?", (0,))) == 100
    with pytest.raises(StoreReadOnly):
        theirs.execute("DELETE FROM line")
    for reader in (mine, theirs):
        reader.execute("ROLLBACK")
        assert reader.execute("SELECT count(*) FROM line").get == 50
        reader.close()


def test_who_seals_waits_for_the_other_and_leaves_nothing_open(access: PostgresAccess, db: PostgresConnection) -> None:
    """Of two that begin to write the second waits its time, is refused, and has no transaction open then."""
    db.execute("BEGIN IMMEDIATE")
    other = access.sealer()
    with pytest.raises(StoreBusy):
        other.execute("BEGIN IMMEDIATE")
    assert not other.in_transaction
    db.execute("COMMIT")
    other.execute("BEGIN IMMEDIATE")
    assert other.in_transaction
    other.execute("ROLLBACK")
    other.close()


def test_the_log_is_had_alone_only_while_nobody_commits(access: PostgresAccess, db: PostgresConnection) -> None:
    """Commits share the lock, and who has the log alone keeps them out, and they it; another store's do not count."""
    other = access.sealer()
    shared = "SELECT pg_advisory_xact_lock_shared(?)"
    other.execute("BEGIN IMMEDIATE")
    other.execute(shared, (log_key("another"),))
    alone(db)
    other.execute(shared, (log_key(SCHEMA),))
    db.raw.execute("BEGIN")
    with pytest.raises(StoreBusy):
        alone(db)
    db.execute("ROLLBACK")
    other.execute("COMMIT")
    db.raw.execute("BEGIN")
    alone(db)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        other.execute(shared, (log_key(SCHEMA),))
    other.execute("ROLLBACK")
    db.execute("ROLLBACK")
    other.close()


def test_a_commit_that_the_server_rolled_back_is_none(db: PostgresConnection) -> None:
    """A statement failed before: the server answers COMMIT with a rollback, and that is said."""
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed):
        db.execute("SELECT no_such_column FROM line")
    with pytest.raises(StoreFailed, match="rolled back"):
        db.execute("COMMIT")
    assert not db.in_transaction


def test_a_version_changes_where_anybody_wrote(access: PostgresAccess, db: PostgresConnection) -> None:
    """Unchanged only while nothing was committed: another's insert, and one that was under way, both show."""
    reader = access.reader()
    before = reader.data_version()
    db.execute("INSERT INTO line (n) VALUES (?)", (1_000,))
    after = reader.data_version()
    assert after != before
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO line (n) VALUES (?)", (1_001,))
    under_way = reader.data_version()
    db.execute("COMMIT")
    assert reader.data_version() != under_way
    reader.close()


def test_no_error_and_no_name_holds_what_it_connects_with(server: str) -> None:
    """A way in is shown by its name; a server that cannot be reached is named without the password."""
    secret = "postgresql://eve:hunter2@127.0.0.1:1/none"
    access = PostgresAccess(secret, SCHEMA, 500, "postgres elsewhere")
    assert "hunter2" not in f"{access!r} {access.name}"
    with pytest.raises((StoreFailed, BadConfig)) as failed:
        access.reader()
    assert "hunter2" not in str(failed.value)
    assert access.erase(()).whole is False


def test_rows_that_were_changed_are_in_no_old_version(access: PostgresAccess, db: PostgresConnection) -> None:
    """Tables are written anew; that an older transaction still sees old rows is said, and it is done once that ends."""
    for table in ("entry_body", "run", "effect_view", "approval", "document", "fact"):
        db.execute(f"CREATE TABLE {table} AS SELECT n, said FROM line")
    older = access.reader()
    older.execute("BEGIN")
    older.execute("SELECT 1").fetchall()
    db.execute("UPDATE entry_body SET said = ''")
    first = access.erase((), busy_ms=0)
    assert (first.whole, "100 row(s) of entry_body" in first.why) == (False, True)
    ended = threading.Timer(0.3, older.execute, ("COMMIT",))
    ended.start()
    assert access.erase(()).whole
    ended.join()
    older.close()
