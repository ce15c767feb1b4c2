"""The world in a PostgreSQL database: somebody's own SQL is in its log, and its databases end with it."""

from __future__ import annotations

import threading

import psycopg
import pytest

import holdfast as hf
from holdfast.harness.world.face import dump
from holdfast.harness.world.postgres import PostgresWorld
from tests.contract.postgres_server import server  # noqa: F401 - a fixture that the next one asks for.

SCHEMA = """
CREATE TABLE accounts (number BIGINT PRIMARY KEY, owner TEXT NOT NULL, cents BIGINT NOT NULL, meta JSONB);
INSERT INTO accounts VALUES (17, 'ada', 500, '{"vip": true}');
CREATE TABLE "order lines" (invoice TEXT, line INTEGER, text TEXT, PRIMARY KEY (invoice, line));
"""


@pytest.fixture
def world(server):  # noqa: F811 - the fixture.
    world = PostgresWorld(dsn=server, schema=SCHEMA)
    yield world
    world.close()


def test_what_a_tools_own_sql_changes_is_in_the_log(world):
    """Inserts, updates, changed keys, deletes and truncation over another connection are logged by the database."""
    world.clock.ms += 1_000
    with psycopg.connect(world.dsn) as other:
        other.execute("UPDATE accounts SET cents = cents - 100")
        other.execute("INSERT INTO \"order lines\" VALUES ('in_1', 2, 'a pen')")
        other.execute('UPDATE "order lines" SET line = 3')
        other.execute('DELETE FROM "order lines"')
        other.execute("TRUNCATE accounts")
    assert [(done.operation, done.places, done.by) for done in world.log()] == [
        ("update", ("accounts/17",), "tool"),
        ("insert", ("order lines/in_1/2",), "tool"),
        ("update", ("order lines/in_1/3",), "tool"),
        ("update", ("order lines/in_1/2",), "tool"),
        ("delete", ("order lines/in_1/3",), "tool"),
        ("truncate", ("accounts/17",), "tool"),
    ]
    assert {done.at_ms for done in world.log()} == {world.clock.start_ms + 1_000}
    assert dict(world.state()) == {}


def test_what_is_rolled_back_is_neither_in_the_state_nor_in_the_log(world):
    """The log is written in the transaction of the change."""
    before = dump(world)
    other = psycopg.connect(world.dsn)
    other.execute("DELETE FROM accounts")
    other.rollback()
    other.close()
    assert dump(world) == before


def test_nobody_alters_the_log(world):
    """The database refuses to change, delete or truncate its log."""
    world.service("bank").merge("accounts", "17", {"cents": 1}, fx=hf.Fx())
    with psycopg.connect(world.dsn, autocommit=True) as other:
        for statement in (b"DELETE FROM world_log", b"UPDATE world_log SET place = 'x'", b"TRUNCATE world_log"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                other.execute(statement)
    assert [done.places for done in world.log()] == [("accounts/17",)]


def test_writers_at_the_same_time_leave_a_log_without_gaps(world):
    """Two connections and a service that change one row together: every change has a number of its own."""

    def changes():
        with psycopg.connect(world.dsn, autocommit=True) as other:
            for _ in range(20):
                other.execute("UPDATE accounts SET cents = cents + 1")

    threads = [threading.Thread(target=changes) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(20):
        world.service("bank").merge("accounts", "17", {"owner": f"o{n}"}, fx=hf.Fx())
    for thread in threads:
        thread.join()
    assert [done.number for done in world.log()] == list(range(1, 61))
    assert world.state()["accounts/17"]["cents"] == 540


def test_a_table_without_a_key_is_refused_when_the_world_is_made(server):  # noqa: F811 - the fixture.
    """A row without a primary key has no place that anybody could compare."""
    with psycopg.connect(server, autocommit=True) as admin:
        before = admin.execute("SELECT count(*) FROM pg_database").fetchone()
        with pytest.raises(ValueError, match="notes has no primary key"):
            PostgresWorld(dsn=server, schema="CREATE TABLE notes (text TEXT)")
        assert admin.execute("SELECT count(*) FROM pg_database").fetchone() == before


def test_the_databases_of_a_world_end_with_it(server):  # noqa: F811 - the fixture.
    """World, instants and past are databases of the server, and none is left, even with a client connected."""
    with psycopg.connect(server, autocommit=True) as admin:
        before = admin.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
        with PostgresWorld(dsn=server, schema=SCHEMA) as world:
            at = world.snapshot()
            world.restore(at)
            with world.as_of(at):
                assert world.service("bank").get("accounts", "17")["cents"] == 500
            other = psycopg.connect(world.dsn)
            assert len(admin.execute("SELECT datname FROM pg_database").fetchall()) == len(before) + 2
        assert admin.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall() == before
        other.close()
