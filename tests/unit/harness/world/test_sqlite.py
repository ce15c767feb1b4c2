"""The world in a SQLite file: somebody's own SQL is in its log, and the file is there for others."""

from __future__ import annotations

import sqlite3

import pytest

import holdfast as hf
from holdfast.harness.world.face import dump
from holdfast.harness.world.sqlite import SqliteWorld

SCHEMA = """
CREATE TABLE accounts (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, cents INTEGER NOT NULL, meta JSON);
INSERT INTO accounts VALUES (17, 'ada; "grace"', 500, '{"vip": true}');
CREATE TABLE lines (invoice TEXT, line INTEGER, text TEXT, PRIMARY KEY (invoice, line));
CREATE TABLE notes (text TEXT);
"""


@pytest.fixture
def world(tmp_path):
    world = SqliteWorld(path=tmp_path / "shop.sqlite", schema=SCHEMA)
    yield world
    world.close()


@pytest.mark.req("3.2a", mutant="world-books-by-the-caller")
def test_what_a_tools_own_sql_changes_is_in_the_log(world):
    """Inserts, updates, deletes and changed keys over another connection are logged by the file, at its time."""
    world.clock.ms += 1_000
    with sqlite3.connect(world.path) as other:
        other.execute("UPDATE accounts SET cents = cents - 100 WHERE number = 17")
        other.execute("INSERT INTO lines VALUES ('in_1', 2, 'a pen')")
        other.execute("UPDATE lines SET line = 3")
        other.execute("DELETE FROM lines")
        other.execute("INSERT INTO notes VALUES ('no key')")
    other.close()
    assert [(done.operation, done.places, done.by) for done in world.log()] == [
        ("update", ("accounts/17",), "tool"),
        ("insert", ("lines/in_1/2",), "tool"),
        ("update", ("lines/in_1/3",), "tool"),
        ("update", ("lines/in_1/2",), "tool"),
        ("delete", ("lines/in_1/3",), "tool"),
        ("insert", ("notes/1",), "tool"),
    ]
    assert {done.at_ms for done in world.log()} == {world.clock.start_ms + 1_000}
    assert dict(world.state()) == {
        "accounts/17": {"owner": 'ada; "grace"', "cents": 400, "meta": {"vip": True}},
        "notes/1": {"text": "no key"},
    }


def test_what_is_rolled_back_is_neither_in_the_state_nor_in_the_log(world):
    """The log is written in the transaction of the change."""
    before = dump(world)
    other = sqlite3.connect(world.path)
    other.execute("DELETE FROM accounts")
    other.rollback()
    other.close()
    assert dump(world) == before


def test_nobody_alters_the_log(world):
    """The file refuses to change or delete a line of its log."""
    world.service("bank").merge("accounts", "17", {"cents": 1}, fx=hf.Fx())
    other = sqlite3.connect(world.path)
    for statement in ("DELETE FROM world_log", "UPDATE world_log SET place = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
    other.close()
    assert len(world.log()) == 1


def test_services_and_sql_see_the_same_rows(world):
    """A key of several columns is one place; a new field becomes a column; SQL sees both."""
    service = world.service("shop")
    service.put("lines", "in_1/4", {"text": "ink", "colour": {"hex": "#00f"}, "paid": False}, fx=hf.Fx())
    assert service.get("lines", "in_1/4") == {"text": "ink", "colour": {"hex": "#00f"}, "paid": False}
    service.put("lines", "in_1/4", {"text": "ink"}, fx=hf.Fx())
    assert world.state()["lines/in_1/4"] == {"text": "ink"}
    other = sqlite3.connect(world.path)
    assert other.execute("SELECT invoice, line, text, colour FROM lines").fetchall() == [("in_1", 4, "ink", None)]
    other.close()


def test_going_back_is_seen_by_whoever_has_the_file_open(world):
    """A connection that was open all the time reads the restored rows."""
    at = world.snapshot()
    other = sqlite3.connect(world.path, isolation_level=None)
    other.execute("UPDATE accounts SET cents = 0")
    assert world.state()["accounts/17"]["cents"] == 0
    world.restore(at)
    assert other.execute("SELECT cents FROM accounts").fetchall() == [(500,)]
    other.close()
    assert world.log() == ()


def test_a_column_that_would_keep_another_value_is_an_error(world):
    """A text of digits in a column of numbers would be read back as a number: it is refused, and nothing changes."""
    before = dump(world)
    with pytest.raises(ValueError, match="the columns of accounts cannot hold"):
        world.service("bank").merge("accounts", "17", {"cents": "12"}, fx=hf.Fx())
    with pytest.raises(ValueError, match="no table cellar; it has accounts, lines, notes"):
        world.service("bank").put("cellar", "a", {}, fx=hf.Fx())
    assert dump(world) == before


def test_a_world_begins_with_a_new_file_or_joins_one_that_lives(world, tmp_path):
    """A file that is there is not written over; a second process may join it and sees state, log and time."""
    world.clock.ms += 5
    world.service("bank", keyed=True).merge("accounts", "17", {"cents": 1}, fx=hf.Fx(key="k"))
    with pytest.raises(FileExistsError, match="is there already"):
        SqliteWorld(path=world.path)
    with SqliteWorld(path=world.path, joins=True) as second:
        assert dump(second) == dump(world)
        assert second.clock.ms == world.clock.ms
        assert second.service("bank", keyed=True).merge("accounts", "17", {"cents": 2}, fx=hf.Fx(key="k")) == {
            "change": 1
        }
    assert world.state()["accounts/17"]["cents"] == 1


def test_a_table_that_is_called_like_the_worlds_own_is_a_part_of_the_state():
    """``world_regions`` is somebody's table: its rows are in the state, and a change of one is in the log."""
    schema = "CREATE TABLE world_regions (id TEXT PRIMARY KEY, n INTEGER);\nINSERT INTO world_regions VALUES ('a', 1);"
    with SqliteWorld(1, schema=schema) as made:
        other = sqlite3.connect(made.path)
        other.execute("UPDATE world_regions SET n = 2")
        other.commit()
        other.close()
        assert made.state() == {"world_regions/a": {"n": 2}}
        assert [done.places for done in made.log()] == [("world_regions/a",)]
