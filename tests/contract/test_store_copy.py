"""A store that is moved: every row arrives, one of the two goes on whatever is killed, and nothing is done twice.

The outside is a file of bookings that nothing keeps a second one out of; who may go on is found by asking each store to
really dispatch something.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives import serialization as how
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import holdfast as hf
from holdfast.cli.main import run as run_command
from holdfast.kernel.errors import ChainBroken, HoldfastError, NotCopied, StoreMoved
from holdfast.store import address, is_there, open_store
from holdfast.store.copy_sides import TABLES
from holdfast.store.copying import Copied
from tests.contract import moving_house
from tests.contract.moving_house import ALLOW, booked, move, tool, work
from tests.contract.postgres_house import House, house

PROGRAM = Path(moving_house.__file__)
BEFORE = ("begun", "held", "word", "entry", "life", "filled", "verified")


@pytest.fixture(scope="module")
def server() -> Iterator[House]:
    """One server for the module; each test has a database of its own."""
    with house() as one:
        yield one


class Ends:
    """Where a store comes from and goes to, and the books of the outside."""

    def __init__(self, folder: Path, source: str, target: str) -> None:
        self.books = folder / "books"
        self.source, self.target = source, target

    def fill(self, many: int = 5) -> None:
        """Refunds that were verified by nobody and are committed."""
        assert set(work(self.source, self.books, [f"old_{n}" for n in range(many)])) == {"Committed"}

    def able(self, url: str, invoice: str) -> bool:
        """Whether this store dispatches: judged by the books, and not by what it says."""
        at = address(url)
        if not is_there(at):
            return False
        before = booked(self.books).count(invoice)
        try:
            said = work(url, self.books, [invoice], purpose=f"asked {invoice}")
        except HoldfastError:
            said = []
        grew = booked(self.books).count(invoice) - before
        assert grew == (said == ["Committed"])
        return bool(grew)

    def killed(self, phase: str) -> None:
        """A copy that dies by SIGKILL once this phase is over."""
        env = {**os.environ, "FROM": self.source, "TO": self.target, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(
            [sys.executable, str(PROGRAM), "copy", "-", "-", phase],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr


DIRECTIONS = ("file-file", "file-postgres", "postgres-file", "postgres-postgres")


@pytest.fixture(params=DIRECTIONS)
def ends(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: House) -> Ends:
    """Both kinds, both ways."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    of, to = request.param.split("-")
    database = server.database(f"d{abs(hash(request.node.nodeid)) % 10**12}")
    place = {
        "file": lambda name: f"sqlite:{tmp_path / name}.db",
        "postgres": lambda name: server.url(database=database, schema=name),
    }
    return Ends(tmp_path, place[of]("old"), place[to]("new"))


REQ = pytest.mark.req("1.4e", mutant=None, reason="real processes are killed, and real stores asked to dispatch")


@pytest.mark.req("1.4e", mutant="a-moved-source-stays-open")
def test_a_moved_store_goes_on_at_its_new_place_with_everything(ends: Ends) -> None:
    """Entries, rows, words, secret and tree are the same; the copy goes on and the source can only be read."""
    ends.fill()
    before = everything(ends.source)
    done = move(ends.source, ends.target)
    after = everything(ends.target)
    assert after["entries"][: len(before["entries"])] == before["entries"]
    assert [kind for kind, *_ in after["entries"][len(before["entries"]) :]] == ["store_moved", "store_arrived"]
    assert after["secret"] == before["secret"]
    assert after["rows"] == before["rows"]
    assert done.size == len(before["entries"]) + 1
    assert after["roots"][done.size] == done.root
    assert (after["status"]["store"], after["status"]["mode"]) == (before["status"]["store"], "normal")
    assert after["status"]["incarnation"] == before["status"]["incarnation"] + 1
    assert not ends.able(ends.source, "x1")
    assert ends.able(ends.target, "x1")
    with pytest.raises(StoreMoved) as moved:
        open_store(ends.source)
    assert moved.value.to == address(ends.target).shown
    # What was done before is answered from the record, under the key that it had.
    assert work(ends.target, ends.books, ["old_0", "old_4"]) == ["Committed", "Committed"]
    assert sorted(booked(ends.books)) == sorted([*(f"old_{n}" for n in range(5)), "x1"])


def everything(url: str) -> dict[str, Any]:
    """All that a store has, as plain data that two kinds of store can be compared by."""
    store = open_store(url, read_only=True)
    try:
        found = store.verify(sizes=range(1, store.tree().size() + 1))
        entries = [
            (e.kind, e.run, e.seq, e.hash, e.salt, e.body, e.at_ms, e.pos)
            for run in ("ru_store", *(r.id for r in store.runs()))
            for e in store.entries(run)
        ]
        return {
            "entries": sorted(entries, key=lambda entry: entry[-1]),
            "roots": found.roots,
            "secret": store.secret,
            "status": store.status(),
            "rows": {
                "effects": sorted(map(str, store.effects())),
                "runs": sorted(str(r) for r in store.runs()),
                "approvals": sorted(map(str, store.approvals())),
                "facts": sorted(str(f) for f in store.facts() if f.scope != "moved"),
                "documents": {k: sorted(map(str, store.documents(k))) for k in ("kept", "item", "approver", "job")},
            },
        }
    finally:
        store.close_now()


def typed(capsys: pytest.CaptureFixture[str], store: str, command: str) -> dict[str, Any]:
    """What a command answers about a store."""
    capsys.readouterr()
    os.environ["HOLDFAST_STORE"] = store
    code = run_command([*command.split(), "--json"])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 0, said
    return dict(said["data"])


def test_what_was_sealed_redacted_and_archived_moves_with_its_proofs(
    ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints with their signatures, stand-ins and tombstones are there as they were, and still verify."""
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("HOLDFAST_STORE", ends.source)
    monkeypatch.chdir(tmp_path)
    ends.fill(3)
    store = open_store(ends.source)
    effect = store.effects()[0].id
    run = store.runs()[0].id
    store.close_now()
    typed(capsys, ends.source, "approver add maria")
    private = Ed25519PrivateKey.generate().private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.NoEncryption())
    Path("log.pem").write_bytes(private)
    Path("log.pem").chmod(0o600)
    with hf.open(ends.source, tools=[tool(ends.books)], policy=ALLOW) as app:
        app.resume(run).stop("done", state="done")
        other = app.begin(hf.Intent(goal="refund", purpose="stays", principal="support"))
        other.call(tool(ends.books)(invoice="stays"))
    typed(capsys, ends.source, f"evidence redact {effect} --argument note --as maria --reason asked")
    typed(capsys, ends.source, "evidence seal --key log.pem")
    gone = "evidence archive --before 2100-01-01 -o archive --as maria --reason old"
    assert typed(capsys, ends.source, gone)["runs"] == 1
    typed(capsys, ends.source, "evidence seal --key log.pem")
    before = typed(capsys, ends.source, "evidence verify")
    move(ends.source, ends.target)
    after = typed(capsys, ends.target, "evidence verify")
    assert (before["archived"], before["sealed"] > 0) == (1, True)
    for part in ("archived", "elsewhere", "redacted", "sealed", "checkpoints", "keys"):
        assert after[part] == before[part], part
    typed(capsys, ends.target, "evidence seal --key log.pem")  # the line of checkpoints goes on
    assert typed(capsys, ends.target, f"effect show {effect}")
    # The key of an archived effect still keeps a second one out.
    assert work(ends.target, ends.books, ["stays"], purpose="stays") == ["Committed"]
    assert booked(ends.books).count("stays") == 1


@REQ
@pytest.mark.parametrize("phase", BEFORE)
def test_killed_before_the_source_is_closed_it_goes_on_as_if_nothing_had_been(ends: Ends, phase: str) -> None:
    """Nothing is at the new place, the source dispatches, and the same command moves it afterwards."""
    ends.fill(2)
    ends.killed(phase)
    assert ends.able(ends.source, "x1")
    assert not ends.able(ends.target, "x2")
    done = move(ends.source, ends.target)
    assert not done.resumed
    assert (ends.able(ends.source, "x3"), ends.able(ends.target, "x3")) == (False, True)


@REQ
def test_killed_between_the_two_commits_neither_goes_on_until_the_same_command_is_given_again(ends: Ends) -> None:
    """The source is closed, the copy not there: nothing is dispatched, and the source says where it goes."""
    ends.fill(2)
    ends.killed("closed")
    assert (ends.able(ends.source, "x1"), ends.able(ends.target, "x1")) == (False, False)
    with pytest.raises(StoreMoved, match="copy it once more to the same place"):
        open_store(ends.source)
    done = move(ends.source, ends.target)
    assert (done.resumed, done.already) == (True, False)
    assert (ends.able(ends.source, "x1"), ends.able(ends.target, "x1")) == (False, True)


@REQ
def test_killed_after_the_copy_is_there_it_goes_on_and_the_command_says_so(ends: Ends) -> None:
    """Both commits took place; the command, given again, changes nothing."""
    ends.fill(2)
    ends.killed("arrived")
    done = move(ends.source, ends.target)
    assert (done.resumed, done.already) == (True, True)
    assert (ends.able(ends.source, "x1"), ends.able(ends.target, "x1")) == (False, True)


@REQ
def test_a_worker_that_has_the_source_open_learns_that_it_moved(ends: Ends) -> None:
    """Its next commit is refused; what it had sent is found outside by the copy, and is not sent again."""
    refund = tool(ends.books)
    ends.fill(1)
    # A file's writer says it once more when the application ends: what it still held did not reach the disk.
    with suppress(StoreMoved), hf.open(ends.source, tools=[refund], policy=ALLOW, recover=False) as app:
        run = app.begin(hf.Intent(goal="refund", purpose="open", principal="support"))
        assert type(run.call(refund(invoice="a"))).__name__ == "Committed"
        move(ends.source, ends.target)
        with pytest.raises(StoreMoved):
            run.call(refund(invoice="b"))
        ended = True
    assert ended
    assert work(ends.target, ends.books, ["a", "b"], purpose="open") == ["Committed", "Committed"]
    assert sorted(booked(ends.books)) == ["a", "b", "old_0"]


@REQ
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed before"])
def test_two_who_move_a_store_at_once_make_one_store(ends: Ends, *, closed: bool) -> None:
    """Whoever comes second finds it done, or is refused; what is there is whole, and it alone goes on."""
    ends.fill(3)
    if closed:
        ends.killed("closed")
    env = {**os.environ, "FROM": ends.source, "TO": ends.target, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, str(PROGRAM), "copy", "-", "-", "never"]
    both = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate()[0].strip() for one in both]
    refusals = {"HF-U30-not-copied", "HF-I14-store-moved"}
    assert len([word for word in said if word not in refusals]) >= 1, said
    assert all(one.returncode in (0, 9) for one in both), said
    everything(ends.target)
    assert (ends.able(ends.source, "x"), ends.able(ends.target, "x")) == (False, True)
    if address(ends.target).path is not None:
        assert [path.name for path in ends.books.parent.iterdir() if "draft" in path.name] == []


@REQ
def test_a_process_that_works_all_the_while_is_stopped_by_the_move_and_nothing_is_done_twice(ends: Ends) -> None:
    """It records until the source is closed; everything that it did is in the copy, and the rest is done there."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, str(PROGRAM), "work", ends.source, str(ends.books), "500"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        try:
            for number in range(3):
                assert worker.stdout.readline() == f"{number}\n"
            move(ends.source, ends.target)
            said = worker.stdout.read().split()
        finally:
            worker.kill()
    assert said[-1] == "HF-I14-store-moved"
    done = len([word for word in said if word.isdigit()]) + 3
    invoices = [f"in_{number}" for number in range(done + 3)]
    for invoice in invoices:
        assert work(ends.target, ends.books, [invoice]) == ["Committed"]
    assert sorted(booked(ends.books)) == sorted(invoices)


@REQ
def test_what_had_left_and_was_not_recorded_is_asked_for_by_the_copy(ends: Ends, tmp_path: Path) -> None:
    """A body is killed after it booked; the copy finds the booking and books nothing a second time."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, str(PROGRAM), "hang", ends.source, str(ends.books)]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as hung:
        assert hung.stdout is not None
        assert hung.stdout.readline() == "hanging\n"
        hung.kill()
    done = move(ends.source, ends.target)
    assert done.under_way == 1
    assert work(ends.target, ends.books, ["hung"]) == ["Committed"]
    assert booked(ends.books) == ["hung"]


@REQ
def test_a_clone_is_restored_and_its_source_goes_on(ends: Ends) -> None:
    """The copy dispatches nothing until a named person releases it; the source does not notice."""
    ends.fill(2)
    done = move(ends.source, ends.target, clone=True)
    assert (done.cloned, done.incarnation) == (True, 2)
    assert ends.able(ends.source, "x1")
    assert not ends.able(ends.target, "x2")
    clone = open_store(ends.target)
    try:
        assert clone.restored()
        assert clone.entries("ru_store")[-1].kind == "restored"
        clone.verify()
    finally:
        clone.close_now()


def test_a_place_that_has_a_store_is_not_written_to(ends: Ends) -> None:
    """Whatever is there already stays as it is, and the source as well."""
    ends.fill(1)
    work(ends.target, ends.books, ["theirs"])
    there = everything(ends.target)
    with pytest.raises(NotCopied, match="already"):
        move(ends.source, ends.target)
    now = everything(ends.target)
    assert {part: now[part] for part in there if part != "status"} == {p: there[p] for p in there if p != "status"}
    assert ends.able(ends.source, "x1")


@pytest.mark.req("1.10b", mutant="a-copy-is-not-checked")
def test_a_store_that_does_not_verify_is_not_moved(ends: Ends) -> None:
    """The copy is checked entry by entry before the source is closed: a changed body stops it."""
    ends.fill(2)
    spoil(ends.source)
    with pytest.raises(ChainBroken):
        move(ends.source, ends.target)
    assert not ends.able(ends.target, "x1")
    assert ends.able(ends.source, "x2")


def spoil(url: str) -> None:
    """Change one byte of one body, past every check of the database."""
    at = address(url)
    if at.path is not None:
        db = apsw.Connection(str(at.path))
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        db.execute("UPDATE entry_body SET body = CAST(CAST(body AS TEXT) || ' ' AS BLOB) WHERE pos = 5")
        assert db.changes() == 1
        db.close()
        return
    import psycopg

    with psycopg.connect(at.dsn, autocommit=True) as db:
        db.execute("SET session_replication_role = replica")
        db.execute(f"UPDATE {at.schema}.entry_body SET body = body || '\\x20'::bytea WHERE pos = 5")


def test_a_moved_store_goes_to_no_third_place_unless_a_person_says_that_the_second_never_was(
    ends: Ends, tmp_path: Path
) -> None:
    """Killed between the commits, it goes only where it said; for another place a named person answers."""
    ends.fill(1)
    ends.killed("closed")
    third = f"sqlite:{tmp_path / 'third.db'}"
    with pytest.raises(NotCopied, match="it was moved to"):
        move(ends.source, third)
    done = move(ends.source, third, lost=True)
    assert done.resumed
    assert ends.able(third, "x1")
    last = open_store(third, read_only=True)
    try:
        body = json.loads(next(e.body for e in last.entries("ru_store") if e.kind == "store_arrived") or b"{}")
    finally:
        last.close_now()
    assert (body["lost"], body["reason"]) == (True, "a larger house")


def test_every_table_of_both_kinds_is_copied(tmp_path: Path, server: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that a later version adds is copied, or is known to be of one place alone."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    open_store(tmp_path / "a.db").close_now()
    db = apsw.Connection(str(tmp_path / "a.db"))
    in_a_file = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    db.close()
    name = server.database("tables")
    open_store(server.url(database=name)).close_now()
    with server.admin(name) as admin:
        on_a_server = {
            table for (table,) in admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'holdfast'")
        }
    made_anew = {"meta", "migration"}
    assert in_a_file == {*TABLES, *made_anew}
    # What a server keeps of tokens that were let go is of that server: a copy is restored, and draws above all of them.
    assert on_a_server == {*TABLES, *made_anew, "landing", "boot", "fence"}


def test_a_store_goes_there_and_back(tmp_path: Path, server: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """To postgres and back to a file: the same history, two incarnations later, and the keys as they were."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    there = server.url(database=server.database("there_and_back"))
    ends = Ends(tmp_path, f"sqlite:{tmp_path / 'a.db'}", there)
    ends.fill(3)
    first: Copied = move(ends.source, there)
    back = f"sqlite:{tmp_path / 'b.db'}"
    second = move(there, back)
    assert (first.incarnation, second.incarnation) == (2, 3)
    kinds = [kind for kind, run, *_ in everything(back)["entries"] if run == "ru_store"]
    assert [k for k in kinds if k.startswith("store_")] == ["store_moved", "store_arrived"] * 2
    assert work(back, ends.books, ["old_0"]) == ["Committed"]
    assert booked(ends.books).count("old_0") == 1
    shutil.rmtree(tmp_path / "state")
