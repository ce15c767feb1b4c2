"""The database example on SQLite and on a real PostgreSQL server, judged by the database's own tables."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import holdfast as hf
from examples.database import books, run, tools
from examples.database.sandbox import Catalogue
from holdfast.harness.prove import Verdict, prove
from tests.contract.postgres_server import server

ROOT = Path(__file__).resolve().parents[2]
POLICY = 'permit (principal, action in [Action::"insert_row", Action::"update_row", Action::"delete_row"], resource);'
NUMBERS = itertools.count(1)

__all__ = ["server"]


class Severing:
    """A loopback proxy before PostgreSQL that ends one connection at its COMMIT: before it arrives, or once made."""

    def __init__(self, dsn: str) -> None:
        self._target = conninfo_to_dict(dsn)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.sever = ""
        self.severed = 0
        port = self._listening.getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
        threading.Thread(target=self._accept, daemon=True).start()

    def _upstream(self) -> socket.socket:
        host, port = str(self._target.get("host") or "127.0.0.1"), int(self._target.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        there = socket.socket(socket.AF_UNIX)
        there.connect(f"{host}/.s.PGSQL.{port}")
        return there

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                there = self._upstream()
                # Set by the side that reads the client, looked at by the side that reads the server.
                swallow = threading.Event()
                threading.Thread(target=self._requests, args=(here, there, swallow), daemon=True).start()
                threading.Thread(target=self._replies, args=(here, there, swallow), daemon=True).start()

    def _requests(self, here: socket.socket, there: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                if self.sever and b"COMMIT\0" in data:
                    how, self.sever = self.sever, ""
                    self.severed += 1
                    if how == "before":
                        break
                    swallow.set()
                there.sendall(data)
        self._end(here, there)

    def _replies(self, here: socket.socket, there: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := there.recv(65536):
                if swallow.is_set():
                    assert b"COMMIT\0" in data, "the server says that it has committed; nobody will hear it"
                    break
                here.sendall(data)
        self._end(here, there)

    @staticmethod
    def _end(*sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture(params=["sqlite", "postgres"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty catalogue on either database; the tools point at it."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    if request.param == "sqlite":
        url = f"sqlite:{tmp_path / 'books.sqlite'}"
        monkeypatch.setenv("CATALOGUE_URL", url)
        books.prepare(url)
        yield url
        return
    dsn = request.getfixturevalue("server")
    schema = f"catalogue_{os.getpid()}_{next(NUMBERS)}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        url = make_conninfo(dsn, options=f"-csearch_path={schema}")
        monkeypatch.setenv("CATALOGUE_URL", url)
        books.prepare(url)
        yield url
        admin.execute(f"DROP SCHEMA {schema} CASCADE")


@contextlib.contextmanager
def disturbed(url: str, how: str) -> Iterator[None]:
    """The next COMMIT is cut off: on PostgreSQL on the wire, on SQLite (which has no wire) around the call."""
    if not url.startswith("sqlite:"):
        proxy = Severing(url)
        os.environ["CATALOGUE_URL"] = proxy.dsn
        proxy.sever = how
        try:
            yield
            assert proxy.severed == 1
        finally:
            proxy.close()
            os.environ["CATALOGUE_URL"] = url
        return
    honest = books.commit

    def commit(db: Any) -> None:
        books.commit = honest
        if how == "after":
            honest(db)
        raise ConnectionResetError(f"cut off {how} the commit")

    books.commit = commit
    yield
    assert books.commit is honest


def opened(tmp_path: Path) -> hf.App:
    """An application that may do everything with the catalogue."""
    return hf.open(f"sqlite:{tmp_path / 'c.db'}", tools=tools.TOOLS, policy=POLICY, environment="prod")


def intent(purpose: str) -> hf.Intent:
    return hf.Intent(goal=purpose, purpose=purpose, principal="p")


def by_hand(price: int, sku: str = "a") -> None:
    """Another program changes a row."""
    with books.transaction(tools.address()) as session:
        session.run("UPDATE products SET price = :price, version = version + 1 WHERE sku = :sku", price=price, sku=sku)


async def stocked(app: hf.App) -> hf.RunHandle:
    """A run in an application, with the product ``a`` in the catalogue at 5.00."""
    first = await app.begin(intent("stock"))
    assert isinstance(await first.call(tools.insert_row(sku="a", title="A", price=500)), hf.Verified)
    return await app.begin(intent("work"))


def test_the_walk_runs_and_the_database_says_what_it_prints(catalogue: str, tmp_path: Path) -> None:
    """The example program ends well on either database, and every line's counts are the database's own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "examples.database.run", catalogue]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [line[58:].split(None, 1) for line in done.stdout.splitlines()]
    assert said == [
        ["Verified", "1 changes, 500 cents, version 1"],
        ["Verified", "1 changes, 500 cents, version 1"],
        ["Verified", "2 changes, 450 cents, version 2"],
        ["Failed", "2 changes, 777 cents, version 3"],
        ["Waiting", "2 changes, 777 cents, version 3"],
        ["Refused", "2 changes, 888 cents, version 4"],
        ["Verified", "3 changes, no row"],
        ["Verified", "4 changes, 888 cents, version 6"],
    ]
    assert len(books.changes(catalogue)) == 4
    assert run.SKU in {change["sku"] for change in books.changes(catalogue)}


async def test_a_reply_lost_after_the_commit_is_found_by_its_key_and_written_once(
    catalogue: str, tmp_path: Path
) -> None:
    """The connection dies once COMMIT is made: the probe finds the key, the row is read, there is one change."""
    async with opened(tmp_path) as app:
        work = await stocked(app)
        with disturbed(catalogue, "after"):
            out = await work.call(tools.update_row(sku="a", price=450))
    assert isinstance(out, hf.Verified), out
    assert [c["verb"] for c in books.changes(catalogue)] == ["insert", "update"]
    assert (books.product(catalogue, "a") or {})["price"] == 450


async def test_a_commit_that_never_arrived_is_proved_absent_and_the_next_generation_is_made_once(
    catalogue: str, tmp_path: Path
) -> None:
    """The connection dies before COMMIT arrives: the fence proves the absence, so a new key is sent, and lands once."""
    async with opened(tmp_path) as app:
        work = await stocked(app)
        with disturbed(catalogue, "before"):
            out = await work.call(tools.update_row(sku="a", price=450))
        assert isinstance(out, hf.Verified), out
        first, second = sorted(await app.store.run_effects(work.id), key=lambda e: e.generation)
    assert (first.state, second.state) == ("failed", "verified")
    assert [(c["verb"], c["key"]) for c in books.changes(catalogue)][1:] == [("update", second.key)]
    with pytest.raises(books.Fenced):
        books.update(catalogue, "a", 450, key=first.key, token=first.attempts[0].token, version=2)


async def test_a_write_over_a_version_that_moved_is_refused_by_the_database(
    catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program writes between our read and our write: failed, and its price stands."""
    honest = tools.version_in

    def late(expect: str) -> int | None:
        by_hand(777)
        return honest(expect)

    async with opened(tmp_path) as app:
        work = await stocked(app)
        monkeypatch.setattr(tools, "version_in", late)
        for call in (tools.update_row(sku="a", price=450), tools.delete_row(sku="a")):
            out = await work.call(call)
            assert isinstance(out, hf.Failed), out
    assert [c["verb"] for c in books.changes(catalogue)] == ["insert"]
    assert (books.product(catalogue, "a") or {})["price"] == 777


def test_a_request_delivered_many_times_at_once_is_one_change(catalogue: str) -> None:
    """Eight deliveries of one request from eight threads get the same answer, and the table has one row of it."""
    fx = hf.Fx(key="k1", token=7, expect=json.dumps({"version": None}))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: tools.insert_row.body(fx, sku="a", title="A", price=500), range(8)))
    assert answers == [answers[0]] * 8
    assert [(c["key"], c["after"]["price"]) for c in books.changes(catalogue)] == [("k1", 500)]


def test_a_key_is_never_used_for_another_request(catalogue: str) -> None:
    """The same key with other values changes nothing and is no proof that nothing was done under it."""
    books.insert(catalogue, "a", "A", 500, key="k1", token=1)
    with pytest.raises(books.KeyConflict) as raised:
        books.insert(catalogue, "a", "A", 900, key="k1", token=1)
    assert not isinstance(raised.value, books.Refused)
    assert (books.product(catalogue, "a") or {})["price"] == 500


def test_a_late_writer_is_refused_also_where_the_row_is_gone(catalogue: str) -> None:
    """A token that was seen outlives the row, so a paused worker cannot bring a deleted product back."""
    books.insert(catalogue, "a", "A", 500, key="k1", token=3)
    books.delete(catalogue, "a", key="k2", token=9, version=1)
    with pytest.raises(books.Fenced):
        books.insert(catalogue, "a", "A", 1, key="k3", token=8)
    assert books.product(catalogue, "a") is None


def test_a_row_inserted_anew_is_not_taken_for_the_old_one(catalogue: str) -> None:
    """Deleted and inserted anew, a product goes on counting: a write over the old version is refused."""
    books.insert(catalogue, "a", "A", 500, key="k1", token=1)
    books.delete(catalogue, "a", key="k2", token=2, version=1)
    again = books.insert(catalogue, "a", "Another", 900, key="k3", token=3)
    assert again["version"] == 3
    with pytest.raises(books.Changed):
        books.update(catalogue, "a", 1, key="k4", token=4, version=1)


async def test_every_change_is_listed_under_its_effects_key(
    catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing reads every page, and its keys are the keys of the recorded effects."""
    honest = books.changes
    monkeypatch.setattr(books, "changes", lambda url, after=0: honest(url, after=after, limit=2))
    async with opened(tmp_path) as app:
        work = await stocked(app)
        for number in range(4):
            out = await work.call(tools.insert_row(sku=f"s{number}", title="S", price=100))
            assert isinstance(out, hf.Verified)
        effects = await app.store.run_effects(work.id)
    listed = tools.listed()
    assert {c["key"] for c in listed} >= {e.key for e in effects}
    assert len(listed) == 5


KILLED = """
import asyncio, os, signal, sys
import holdfast as hf
from examples.database import books, tools

honest = books.commit
def commit(db):
    honest(db)
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "kill":
    books.commit = commit

async def main():
    async with hf.open(sys.argv[1], tools=tools.TOOLS, policy=sys.argv[3], environment="prod") as app:
        run = await app.begin(hf.Intent(goal="work", purpose="work", principal="p"))
        out = await run.call(tools.insert_row(sku="a", title="A", price=500))
        print(type(out).__name__)
asyncio.run(main())
"""


def test_a_worker_killed_after_the_commit_leaves_one_change_and_the_next_one_finds_it(
    catalogue: str, tmp_path: Path
) -> None:
    """SIGKILL between the commit and its reply: the next process finds the key and reads the row; one change."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}

    def worker(what: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, f"sqlite:{tmp_path / 'k.db'}", what, POLICY]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)

    assert worker("kill").returncode == -signal.SIGKILL
    assert len(books.changes(catalogue)) == 1
    second = worker("go on")
    assert second.stdout.split() == ["Verified"], second.stderr
    assert len(books.changes(catalogue)) == 1


async def test_undo_is_a_new_effect_that_offsets_the_old_one(catalogue: str, tmp_path: Path) -> None:
    """A price change and a deletion are offset by new changes with keys of their own; nothing is taken out."""
    async with opened(tmp_path) as app:
        work = await stocked(app)
        for call in (tools.update_row(sku="a", price=450), tools.delete_row(sku="a")):
            done = await work.call(call)
            assert isinstance(done, hf.Verified)
            undone = await work.undo(done.effect, reason="a mistake")
            assert isinstance(undone, hf.Verified), undone
            assert (books.product(catalogue, "a") or {})["price"] == 500
    made = books.changes(catalogue)
    assert [c["verb"] for c in made] == ["insert", "update", "update", "delete", "insert"]
    assert len({c["key"] for c in made}) == 5


async def test_a_database_that_is_not_there_is_a_failure_and_no_doubt(
    catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no connection comes about, no COMMIT was sent: it is never unknown, and nothing is dispatched blind."""
    nowhere = f"sqlite:{tmp_path}/no/folder" if "sqlite" in catalogue else "postgresql://nobody@127.0.0.1:1/none"
    with pytest.raises(books.NotReached):
        books.insert(nowhere, "a", "A", 1, key="k", token=1)
    monkeypatch.setenv("CATALOGUE_URL", nowhere)
    async with opened(tmp_path) as app:
        work = await app.begin(intent("work"))
        out = await work.call(tools.insert_row(sku="a", title="A", price=500))
    assert isinstance(out, hf.Refused), out
    assert "could not be read" in out.reason
    assert books.changes(catalogue) == []


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason="lying bodies are tried in tests/harness/test_prove_lies.py")
@pytest.mark.parametrize(
    ("catalogue", "tool"),
    [("sqlite", "insert_row"), ("sqlite", "update_row"), ("sqlite", "delete_row"), ("postgres", "update_row")],
    indirect=["catalogue"],
)
async def test_the_contracts_hold_in_their_sandbox(catalogue: str, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is proved but the token where a second change is refused anyway, and an undo after which the version is new.

    A version never comes back, so the state of a row that was put back is not the state before; tests above prove
    that the row is, and that a lower token is refused.
    """
    if not catalogue.startswith("sqlite:"):
        monkeypatch.setenv("CATALOGUE_SANDBOX", catalogue)
    proof = await prove(tool, Catalogue(tool), tools.TOOLS)
    left = {finding.check: finding for finding in proof.findings if finding.verdict is not Verdict.PROVED}
    if tool != "update_row":  # what is inserted or deleted once is not so a second time, whatever the token
        assert left.pop("fenced").verdict is Verdict.OPEN
    if tool != "insert_row":
        assert "is not as it was" in left.pop("undo").evidence
    assert left == {}
