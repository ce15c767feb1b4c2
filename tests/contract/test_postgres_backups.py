"""Backups of a server, restored in the ways that operators restore them: what is behind or copied dispatches nothing.

Real dumps, real base backups, a real standby that takes over without the last commits. Who may go on is found by asking
each store to really dispatch something, and the outside counts.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.store import open_store
from tests.contract.moving_house import booked, work
from tests.contract.postgres_house import House, free_port, house

pytestmark = pytest.mark.req("1.4e", mutant=None, reason="a real server's dumps, data folders and standbys are used")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A server for this test alone, and what this machine remembers of its stores."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    with house() as one:
        yield one


def asked(url: str, books: Path, invoice: str) -> str:
    """What a dispatch from this store comes to; the books agree."""
    before = booked(books).count(invoice)
    (said,) = work(url, books, [invoice], purpose=f"asked for {invoice}")
    assert booked(books).count(invoice) - before == (said == "Committed")
    return said


def mode(url: str) -> str:
    store = open_store(url)
    try:
        return str(store.status()["mode"])
    finally:
        store.close_now()


def released(url: str) -> None:
    """A named person compared it with the outside."""
    store = open_store(url)
    try:
        store.release("maria", "compared with the books")
        store.verify()
    finally:
        store.close_now()


def dumped(server: House, path: Path, database: str = "postgres") -> None:
    where = ("-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres")
    path.write_bytes(server.run("pg_dump", *where, "-Fc", "-n", "holdfast", database))


def read_in(server: House, path: Path, database: str) -> None:
    """As an operator does: no options that would leave out triggers or owners."""
    server.run("pg_restore", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "--exit-on-error", "-d",
               database, stdin=path.read_bytes())  # fmt: skip


def test_a_dump_that_is_read_in_again_in_place_is_restored(server: House, tmp_path: Path) -> None:
    """The schema came back from a dump: what was done since is looked for before anything is dispatched."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    dumped(server, tmp_path / "dump")
    assert asked(server.url(), books, "b") == "Committed"
    with server.admin() as db:
        db.execute("DROP SCHEMA holdfast CASCADE")
    read_in(server, tmp_path / "dump", "postgres")
    assert asked(server.url(), books, "c") == "Stopped"
    assert mode(server.url()) == "restored"
    released(server.url())
    # The same purpose has the same key, which the probe finds in the books: nothing is booked twice.
    assert work(server.url(), books, ["b"], purpose="asked for b") == ["Committed"]
    assert asked(server.url(), books, "c") == "Committed"
    assert sorted(set(booked(books))) == ["a", "b", "c"]


def test_a_newest_dump_in_another_database_of_the_same_server_is_a_copy(server: House, tmp_path: Path) -> None:
    """Nothing is behind, and still there are two of them: the one that was read in waits for a person."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    dumped(server, tmp_path / "dump")
    read_in(server, tmp_path / "dump", server.database("twin"))
    twin = server.url(database="twin")
    assert asked(twin, books, "b") == "Stopped"
    assert mode(twin) == "restored"
    assert asked(server.url(), books, "c") == "Committed"  # the first one goes on


def test_a_dump_on_another_server_is_restored_without_anything_remembered(
    server: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster, another machine: the database itself says that it is not where it was."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    dumped(server, tmp_path / "dump")
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "elsewhere"))
    with house() as other:
        read_in(other, tmp_path / "dump", "postgres")
        assert asked(other.url(), books, "b") == "Stopped"
        assert mode(other.url()) == "restored"


def test_a_data_folder_from_before_is_found_behind(server: House, tmp_path: Path) -> None:
    """A snapshot of the disk, put back: the same cluster in every respect, but for what this machine remembers."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    server.stop()
    subprocess.run(["cp", "-a", server.data, server.folder / "snapshot"], check=True)  # as a snapshot does
    server.start()
    assert asked(server.url(), books, "b") == "Committed"
    server.stop()
    shutil.rmtree(server.data)
    (server.folder / "snapshot").rename(server.data)
    server.start()
    assert asked(server.url(), books, "c") == "Stopped"
    assert mode(server.url()) == "restored"


def standby_of(server: House) -> House:
    """A standby that follows, not waited for: the second server of an ordinary pair."""
    other = House(server.folder, free_port())
    other.data = server.folder / f"standby-{other.port}"
    server.run(
        "pg_basebackup", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-D", other.data, "-R", "-X",
        "stream", "-c", "fast",
    )  # fmt: skip
    other.start("hot_standby=on")
    return other


def caught_up(server: House, other: House) -> None:
    """Until the standby has replayed everything that the primary has written."""
    with server.admin() as db:
        lsn = db.execute("SELECT pg_current_wal_flush_lsn()").fetchall()[0][0]
    with other.admin() as db:
        for _ in range(3_000):
            if db.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)).fetchall()[0][0]:
                return
            db.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("the standby did not follow")


@pytest.mark.slow
@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "another machine"])
def test_a_standby_that_lacks_the_last_commits_takes_over_and_is_restored(
    server: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, remembered: bool
) -> None:
    """The tail is lost with the primary; neither a machine that saw it nor one that never did dispatches anything."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    other = standby_of(server)
    try:
        caught_up(server, other)
        other.stop("immediate")  # it falls behind from here on
        assert asked(server.url(), books, "b") == "Committed"
        server.kill()
        other.start("hot_standby=on")
        other.run("pg_ctl", "-D", other.data, "-w", "promote")
        if not remembered:
            monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "elsewhere"))
        assert asked(other.url(), books, "c") == "Stopped"
        assert mode(other.url()) == "restored"
        released(other.url())
        assert work(other.url(), books, ["b"], purpose="asked for b") == ["Committed"]
        assert booked(books).count("a") == 1
    finally:
        other.stop("immediate")


@pytest.mark.slow
def test_a_standby_that_lacks_nothing_goes_on(server: House, tmp_path: Path) -> None:
    """A failover that lost nothing is no restore: the machine that remembers the last entry finds it there."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    other = standby_of(server)
    try:
        caught_up(server, other)
        server.stop("fast")
        other.run("pg_ctl", "-D", other.data, "-w", "promote")
        assert asked(other.url(), books, "b") == "Committed"
        assert mode(other.url()) == "normal"
    finally:
        other.stop("immediate")


def test_a_standby_is_read_and_not_written(server: House, tmp_path: Path) -> None:
    """Commands that only read work on a standby; one that records says that it cannot."""
    books = tmp_path / "books"
    assert asked(server.url(), books, "a") == "Committed"
    other = standby_of(server)
    try:
        caught_up(server, other)
        store = open_store(other.url(), read_only=True)
        try:
            assert len(store.effects()) == 1
            store.verify()
        finally:
            store.close_now()
        with pytest.raises(Exception, match="cannot be written to"):
            asked(other.url(), books, "b")
    finally:
        other.stop("immediate")
