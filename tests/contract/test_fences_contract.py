"""Rows behind a door, on SQLite and on PostgreSQL: one suite, the statements of `holdfast.fences` on real databases."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import holdfast as hf
from holdfast.fences import Guards, Rows, Stale, Unsure
from holdfast.kernel.errors import BadValue
from tests.unit.fences.test_door import looking

PRODUCTS = Rows("products", key="sku")
GUARDS = Guards()
Connect = Callable[[], Any]


@pytest.fixture(scope="session")
def outside_server() -> Iterator[str]:
    """A PostgreSQL server: the one that the store's tests have started, or one of our own."""
    from tests.contract import postgres_server  # it loads the store, which these tests do not need

    if postgres_server.ANSWERING:
        yield postgres_server.ANSWERING[0]
        return
    with postgres_server.running() as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgres"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Gives connections to a database with one product, whose table had no doors when it was made."""
    if request.param == "sqlite":

        def opened() -> Any:
            return sqlite3.connect(tmp_path / "outside.db", timeout=5, check_same_thread=False)

        cleanup = None
    else:
        dsn, schema = request.getfixturevalue("outside_server"), f"fences_{secrets.token_hex(4)}"
        # A test that fails may leave a transaction open: its schema is then left, rather than waited for.
        admin = psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=20s")
        admin.execute(f"CREATE SCHEMA {schema}")

        def opened() -> Any:
            return psycopg.connect(dsn, options=f"-c search_path={schema} -c lock_timeout=20s")

        def cleanup() -> None:
            admin.execute(f"DROP SCHEMA {schema} CASCADE")
            admin.close()

    db = opened()
    db.execute("CREATE TABLE products (sku TEXT PRIMARY KEY, price BIGINT NOT NULL)")
    db.execute("INSERT INTO products VALUES ('lamp', 500)")
    for statement in (*PRODUCTS.migration(), *GUARDS.migration()):
        db.execute(statement)
    db.commit()
    db.close()
    yield opened
    if cleanup is not None:
        cleanup()


def price(connect: Connect, sku: str = "lamp") -> int | None:
    """What the database itself says."""
    db = connect()
    try:
        row = db.execute(f"SELECT price FROM products WHERE sku = '{sku}'").fetchone()
        return row[0] if row else None
    finally:
        db.close()


def in_one(connect: Connect, act: Callable[[Any], Any]) -> Any:
    """A transaction that is committed at its end, and rolled back by an error."""
    db = connect()
    try:
        result = act(db)
        db.commit()
    except BaseException:
        db.rollback()
        raise
    else:
        return result
    finally:
        db.close()


def set_price(connect: Connect, token: int, cents: int, sku: str = "lamp") -> Any:
    """The fenced update in a transaction of its own."""
    return in_one(connect, lambda db: PRODUCTS.update(db, token, sku, {"price": cents}))


@pytest.mark.req("1.4b", mutant="fence-sql-without-the-condition")
def test_a_stale_update_writes_nothing_and_a_newer_one_passes(connect: Connect) -> None:
    """The newer value stands, whatever order they come in; the row tells the highest."""
    assert set_price(connect, 9, 450) == {"token": 9}
    with pytest.raises(Stale) as refusal:
        set_price(connect, 8, 400)
    assert refusal.value.highest == 9
    assert price(connect) == 450
    set_price(connect, 10, 475)
    assert price(connect) == 475


@pytest.mark.req("1.4a", mutant="fence-sql-refuses-equal")
def test_an_equal_token_writes_again(connect: Connect) -> None:
    """A repeat of the same attempt is the same write."""
    set_price(connect, 9, 450)
    set_price(connect, 9, 450)
    assert price(connect) == 450


def test_a_row_that_is_not_there_is_a_plain_no(connect: Connect) -> None:
    """Nothing was written, and it is not called stale."""
    with pytest.raises(hf.DidNotHappen) as refusal:
        set_price(connect, 9, 450, sku="sofa")
    assert not isinstance(refusal.value, Stale)


def test_an_insert_is_made_once_and_told_from_a_stale_one(connect: Connect) -> None:
    """Again under its token: kept. Under a lower one: stale. Under a higher one: it is there already."""

    def insert(token: int, cents: int) -> Any:
        return in_one(connect, lambda db: PRODUCTS.insert(db, token, "sofa", {"price": cents}))

    assert insert(9, 900) == insert(9, 900) == {"token": 9}
    with pytest.raises(Stale):
        insert(8, 800)
    with pytest.raises(hf.DidNotHappen, match="there already"):
        insert(10, 1000)
    assert price(connect, "sofa") == 900


@pytest.mark.req("1.1e", "1.4b", mutant="fence-probe-leaves-the-door-open")
def test_a_probe_shuts_the_door_for_good_and_finds_who_wrote(connect: Connect) -> None:
    """Absent and final, and the late write is refused afterwards; once written, found by its token."""
    probe = connect()
    answer = PRODUCTS.found(probe, looking(9, 5), "lamp")
    probe.rollback()  # too late: it has been committed
    probe.close()
    assert isinstance(answer, hf.Absent)
    assert answer.final
    with pytest.raises(Stale):
        set_price(connect, 5, 400)
    set_price(connect, 10, 450)
    db = connect()
    assert PRODUCTS.found(db, looking(11, 5, 10), "lamp") == hf.Happened({"token": 10})
    assert isinstance(PRODUCTS.found(db, looking(12, 5), "lamp"), hf.CannotTell)
    db.close()


def test_a_refused_second_write_of_one_attempt_is_a_doubt(connect: Connect) -> None:
    """It wrote before it went stale, so nobody may hear that it did not happen."""
    set_price(connect, 5, 400)
    db = connect()
    PRODUCTS.found(db, looking(9, 5), "lamp")
    db.close()
    with pytest.raises(Unsure):
        set_price(connect, 5, 410)
    assert price(connect) == 400


def test_a_row_without_a_value_in_the_column_lets_the_first_token_in(connect: Connect) -> None:
    """A column that somebody added without a default counts as never fenced."""
    in_one(connect, lambda db: db.execute("CREATE TABLE old (id TEXT PRIMARY KEY, v BIGINT, f BIGINT, w BIGINT)"))
    in_one(connect, lambda db: db.execute("INSERT INTO old (id, v) VALUES ('a', 1)"))
    old = Rows("old", fence="f", written="w")
    in_one(connect, lambda db: old.update(db, 3, "a", {"v": 2}))
    with pytest.raises(Stale):
        in_one(connect, lambda db: old.update(db, 2, "a", {"v": 3}))


@pytest.mark.req("1.4b", mutant="fence-sql-without-the-condition")
def test_a_guard_outlives_the_row(connect: Connect) -> None:
    """Deleted by a newer writer, the row is not brought back by a late insert; the transaction leaves nothing."""

    def delete(db: Any) -> None:
        GUARDS.enter(db, 9, "product:lamp")
        db.execute("DELETE FROM products WHERE sku = 'lamp'")

    def late(db: Any) -> None:
        db.execute("INSERT INTO products (sku, price) VALUES ('before', 1)")
        GUARDS.enter(db, 8, "product:lamp")
        db.execute("INSERT INTO products (sku, price) VALUES ('lamp', 1)")

    in_one(connect, delete)
    with pytest.raises(Stale):
        in_one(connect, late)
    assert (price(connect), price(connect, "before")) == (None, None)


def test_nonguarantee_a_door_in_a_row_is_forgotten_with_the_row(connect: Connect) -> None:
    """Not guaranteed: without a guard, a late insert after a delete lands; the absence before it was not final."""
    in_one(connect, lambda db: db.execute("DELETE FROM products WHERE sku = 'lamp'"))
    db = connect()
    answer = PRODUCTS.found(db, looking(9, 5), "lamp")
    db.close()
    assert isinstance(answer, hf.Absent)
    assert not answer.final
    in_one(connect, lambda db: PRODUCTS.insert(db, 5, "lamp", {"price": 1}))
    assert price(connect) == 1


@pytest.mark.req("1.1e", mutant="fence-probe-leaves-the-door-open")
def test_a_guard_tells_a_probe_what_was_committed(connect: Connect) -> None:
    """Entered and committed: happened. Entered and rolled back: absent, and final."""

    def enter(db: Any) -> None:
        GUARDS.enter(db, 5, "r")

    def enter_and_fail(db: Any) -> None:
        GUARDS.enter(db, 6, "r")
        raise TimeoutError

    in_one(connect, enter)
    with pytest.raises(TimeoutError):
        in_one(connect, enter_and_fail)
    db = connect()
    assert GUARDS.found(db, looking(9, 5), "r") == hf.Happened({"token": 5})
    absent = GUARDS.found(db, looking(9, 6), "r")
    with pytest.raises(Stale):
        in_one(connect, lambda db: GUARDS.enter(db, 8, "r"))
    GUARDS.shut(db, 10, "r")
    with pytest.raises(Stale):
        GUARDS.shut(db, 9, "r")
    db.close()
    assert isinstance(absent, hf.Absent)
    assert absent.final
    with pytest.raises(Stale):
        in_one(connect, lambda db: GUARDS.enter(db, 9, "r"))


def test_two_writers_at_once_leave_the_newer_value(connect: Connect) -> None:
    """The late writer waits for the newer one's transaction and is refused when that is committed."""
    newer = connect()
    PRODUCTS.update(newer, 9, "lamp", {"price": 450})
    came: list[BaseException | None] = []

    def late() -> None:
        try:
            set_price(connect, 8, 400)
        except BaseException as error:
            came.append(error)
        else:
            came.append(None)

    thread = threading.Thread(target=late)
    thread.start()
    newer.commit()
    newer.close()
    thread.join(30)
    assert [type(error) for error in came] == [Stale]
    assert price(connect) == 450


def test_a_key_that_is_not_one_row_is_never_committed(connect: Connect) -> None:
    """Several rows under one key: a doubt, and the transaction leaves nothing."""
    in_one(connect, lambda db: db.execute("CREATE TABLE many (id TEXT, v BIGINT)"))
    in_one(connect, lambda db: db.execute("INSERT INTO many VALUES ('a', 1), ('a', 2)"))
    many = Rows("many")
    for statement in many.migration():
        in_one(connect, lambda db, statement=statement: db.execute(statement))
    with pytest.raises(Unsure, match="2 rows"):
        in_one(connect, lambda db: many.update(db, 9, "a", {"v": 3}))
    assert in_one(connect, lambda db: db.execute("SELECT sum(v) FROM many").fetchone()[0]) == 3


@pytest.mark.parametrize("name", ['a"; DROP TABLE products; --', "a b", "", "a" * 64, "1a", "ä", "a%s", "a?"])
def test_names_are_names(name: str) -> None:
    """What is no plain name is refused before any statement is made."""
    with pytest.raises(BadValue):
        Rows(name or "products", key=name or "")


def test_a_stranger_is_no_connection() -> None:
    """A driver whose placeholders are unknown is refused before anything is sent."""

    class Stranger:
        def cursor(self) -> Any:
            return sqlite3.connect(":memory:").cursor()

    with pytest.raises(BadValue, match="paramstyle"):
        PRODUCTS.door(Stranger(), "lamp")
