"""Group roles on a real server: each does what it is for, and is refused everything else by the database itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

import holdfast as hf
from holdfast.cli.main import run as typed
from holdfast.gate.signing import Key
from holdfast.kernel.errors import StoreReadOnly
from holdfast.store import address, open_store
from holdfast.store import postgres_roles as roles
from tests.contract.moving_house import work
from tests.contract.postgres_house import House, house

ASK = '@id("ask") @expires("1h") permit (principal, action, resource) when { context.approved };'
DENIED = (errors.InsufficientPrivilege,)


class Logins:
    """A store with its roles made, and a login for each."""

    def __init__(self, server: House, folder: Path) -> None:
        self.server = server
        self.books = folder / "books"
        self.owner = server.url(schema="ledger")
        assert work(self.owner, self.books, ["old_1", "old_2"]) == ["Committed", "Committed"]
        self.made = roles.create(address(self.owner))
        with server.admin() as db:
            for kind in roles.KINDS:
                db.execute(f"CREATE ROLE one_{kind} LOGIN PASSWORD 'x'")
                db.execute(f"GRANT ledger_{kind} TO one_{kind}")

    def url(self, kind: str) -> str:
        return self.server.url(f"one_{kind}", "x", schema="ledger")

    def raw(self, kind: str) -> psycopg.Connection[Any]:
        """A client that is not holdfast, logged in as somebody with this role."""
        return psycopg.connect(
            host="127.0.0.1", port=self.server.port, dbname="postgres", user=f"one_{kind}", password="x",
            autocommit=True, options="-c search_path=ledger",
        )  # fmt: skip

    def tables(self) -> dict[str, list[str]]:
        """Every table of the schema and its columns."""
        with self.server.admin() as db:
            found = db.execute(
                "SELECT c.table_name, array_agg(c.column_name::text) FROM information_schema.columns c"
                " JOIN information_schema.tables t USING (table_schema, table_name)"
                " WHERE table_schema = 'ledger' AND table_type = 'BASE TABLE' GROUP BY 1"
            ).fetchall()
        return dict(found)

    def bytes_of(self) -> dict[str, int]:
        """A digest of every row, by table: whether anything at all was changed."""
        with self.server.admin() as db:
            return {
                table: db.execute(
                    sql.SQL("SELECT coalesce(sum(hashtextextended(t::text, 0)), 0) FROM ledger.{} t").format(
                        sql.Identifier(table)
                    )
                ).fetchall()[0][0]
                for table in self.tables()
            }


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logins]:
    """One server, one store, and its roles."""
    folder = tmp_path_factory.mktemp("roles")
    with pytest.MonkeyPatch.context() as patch, house() as server:
        patch.setenv("HOLDFAST_STATE_DIR", str(folder / "state"))
        patch.setenv("HOLDFAST_KEYS", str(folder / "keys"))
        yield Logins(server, folder)


def refused(db: psycopg.Connection[Any], statement: str) -> None:
    """The server refuses it for want of a right, not for anything else."""
    with pytest.raises(DENIED):
        db.execute(statement.encode())


def test_every_table_is_one_that_the_roles_speak_of(logins: Logins) -> None:
    """A table that a later version adds gets its rights by somebody's decision, and not by being forgotten."""
    only_an_owner = {"life", "migration", "archive", "archived", "redaction"}
    assert logins.tables().keys() == {*roles.ADDED_TO, *roles.MOVED, *only_an_owner}
    for table, moved in roles.MOVED.items():
        assert set(moved.split(", ")) <= set(logins.tables()[table]), table


def test_a_reader_cannot_write_a_byte(logins: Logins) -> None:
    """Every kind of write to every table and sequence is refused, and afterwards every row is as it was."""
    before = logins.bytes_of()
    with logins.raw("reader") as db:
        for table, columns in logins.tables().items():
            for statement in (
                f"INSERT INTO {table} DEFAULT VALUES",
                f'UPDATE {table} SET "{columns[0]}" = "{columns[0]}"',
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
            ):
                refused(db, statement)
        for sequence in roles.SEQUENCES:
            refused(db, f"SELECT nextval('{sequence}')")
            refused(db, f"SELECT setval('{sequence}', 1)")
        refused(db, "SELECT identity_secret FROM meta")
        refused(db, "SELECT * FROM meta")
        refused(db, "CREATE TABLE mine (x int)")
    assert logins.bytes_of() == before


def test_a_store_opened_to_read_needs_no_more_than_a_reader_has(logins: Logins) -> None:
    """Everything that only reads works with that role, the audit of the whole store included; writing is refused."""
    store = open_store(logins.url("reader"), read_only=True)
    try:
        assert store.status()["mode"] == "normal"
        assert len(store.effects()) >= 2
        assert store.verify().entries == store.tree().size()
        assert store.tally().runs()
        with pytest.raises(StoreReadOnly):
            store.release("x", "y")
        with pytest.raises(StoreReadOnly):
            _ = store.secret
    finally:
        store.close_now()
    with pytest.raises(StoreReadOnly):
        open_store(logins.url("reader"))


@pytest.mark.parametrize(
    "command",
    ["status", "store show", "effect list", "run list", "approval list", "grant list", "halt list", "evidence verify",
     "evidence show ru_store", "doctor", "store roles", "status --metrics"],
)  # fmt: skip
def test_commands_that_read_work_for_a_reader_as_for_an_owner(
    logins: Logins, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same answer, whoever asks."""
    monkeypatch.chdir(tmp_path)
    answers = []
    for kind in ("owner", "reader"):
        monkeypatch.setenv("HOLDFAST_STORE", logins.url(kind))
        code = typed([*command.split(), "--json"])
        said = json.loads(capsys.readouterr().out)
        assert "data" in said, said
        answers.append((code, sorted(said["data"]) if isinstance(said["data"], dict) else len(said["data"])))
    assert answers[0] == answers[1]


def test_a_worker_records_everything_that_work_needs(logins: Logins, tmp_path: Path) -> None:
    """Runs, effects, requests, answers of people, grants, halts and sealed checkpoints, all with that role alone."""

    @hf.tool(effect="irreversible", resource="x:{x}", identity=("x",), owner="ops", keyed="1h", no_probe="none")
    def act(fx: hf.Fx, *, x: str) -> str:
        """Act."""
        return x

    key = Key.make("dana")
    seal = hf.Evidence(key=_key_file(tmp_path), every="100ms", witnesses=(f"file:{tmp_path / 'witness'}",))
    with hf.open(logins.url("worker"), tools=[act], policy=ASK, evidence=seal) as app:
        app.approvers.add(key, reason="the first")
        run = app.begin(hf.Intent(goal="act", purpose="with a worker's rights", principal="support"))
        waiting = run.call(act(x="1"))
        assert isinstance(waiting, hf.Waiting)
        app.approve(waiting.request, key=key, reason="seen")
        assert isinstance(run.settled(waiting), hf.Committed)
        grant = app.grant("support", who="dana", reason="a grant", key=key, tools=("act",))
        app.revoke_grant(grant, who="dana", reason="no more", key=key)
        run.stop("done")
    store = open_store(logins.url("worker"))
    try:
        assert store.tree().latest() is not None  # the sealer's thread had that role too
        store.verify()
    finally:
        store.close_now()


def _key_file(folder: Path) -> Path:
    from cryptography.hazmat.primitives import serialization as how
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / "log.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.NoEncryption())
    )
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE entry DISABLE TRIGGER USER", "ALTER TABLE entry DISABLE TRIGGER entry_stays",
        "DROP TRIGGER entry_is_kept ON entry", "ALTER TABLE entry ADD COLUMN x int", "DROP TABLE entry_body",
        "SET session_replication_role = replica", "DELETE FROM entry", "DELETE FROM entry_body", "DELETE FROM run",
        "DELETE FROM effect", "DELETE FROM document", "DELETE FROM approval", "DELETE FROM fact", "DELETE FROM meta",
        "DELETE FROM checkpoint", "DELETE FROM node", "DELETE FROM word", "DELETE FROM migration",
        "UPDATE entry SET at_ms = 0", "UPDATE entry_body SET body = ''", "UPDATE effect SET id = 'x'",
        "UPDATE run SET id = 'x'", "UPDATE effect SET identity = ''",
        "UPDATE meta SET identity_secret = identity_secret",
        "UPDATE meta SET store = 'x'", "UPDATE checkpoint SET note = ''", "UPDATE node SET hash = hash",
        "UPDATE word SET text = 'x'", "UPDATE migration SET sha256 = ''",
        "INSERT INTO migration VALUES (9, '', '', 0, 0)",
        "INSERT INTO meta DEFAULT VALUES", "INSERT INTO life VALUES (1, 2)", "INSERT INTO redaction VALUES (1, 1, '')",
        "INSERT INTO archive VALUES (1, 1, '', '', 1, 1)", "INSERT INTO archived VALUES (1, '')", "TRUNCATE entry",
        "TRUNCATE landing", "CREATE TABLE mine (x int)",
        "CREATE FUNCTION refuse() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION wall_ms() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'", "DROP SCHEMA ledger",
        "ALTER ROLE ledger_worker LOGIN", "GRANT ledger_owner TO one_worker", "SET ROLE ledger_owner",
        "SELECT setval('run_n', 1)", "SELECT setval('effect_n', 1)", "SELECT setval('word_n', 1)",
        "ALTER SEQUENCE token RESTART", "ALTER SCHEMA ledger RENAME TO mine",
    ],
)  # fmt: skip
def test_a_worker_changes_no_table_no_trigger_and_no_entry(logins: Logins, statement: str) -> None:
    """What would unmake the record is refused for want of a right, before any trigger is asked."""
    with logins.raw("worker") as db:
        refused(db, statement)


def test_what_a_worker_adds_is_still_judged_by_the_triggers(logins: Logins) -> None:
    """A right to add entries is no right to add any: one that does not follow is refused."""
    with logins.raw("worker") as db, pytest.raises(errors.IntegrityConstraintViolation, match="not the next one"):
        db.execute(
            "INSERT INTO entry SELECT pos + 5000, run, seq + 5000, effect, kind, before, after, at_ms, by, token,"
            " tenant, commitment, hash FROM entry WHERE pos = 1"
        )


@pytest.mark.parametrize(
    ("words", "statement"),
    [
        ("the secret that keys are minted with", "SELECT identity_secret FROM meta"),
        ("the store's time", "UPDATE meta SET high_ms = high_ms + 3600000"),
        ("`setval`", "SELECT setval('token', (SELECT last_value FROM token))"),
        ("`meta.pos`", "UPDATE meta SET pos = pos + 1"),
        ("restored mode", "UPDATE meta SET mode = 'restored'"),
        ("delete a lease", "DELETE FROM lease"),
        ("`landing`", "UPDATE landing SET mark = 'x'"),
        ("an advisory lock", "SELECT pg_advisory_xact_lock(1)"),
    ],
)
def test_what_is_left_to_a_hostile_worker_is_in_the_guide(logins: Logins, words: str, statement: str) -> None:
    """What the server lets this role do past holdfast is said where roles are explained."""
    guide = (Path(__file__).parents[2] / "docs/guides/postgres.md").read_text(encoding="utf-8")
    left = guide[guide.index("### What a worker's login can still do") : guide.index("### Upgrades")]
    assert words in left
    with logins.raw("worker") as db, db.transaction(force_rollback=True):
        db.execute(statement.encode())


def test_making_the_roles_twice_changes_nothing_and_what_is_shown_is_what_is_run(
    logins: Logins, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The statements that --print shows, run by an administrator with another client, make the very same roles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STORE", logins.owner)
    assert roles.create(address(logins.owner)) == logins.made
    assert typed(["store", "roles", "--print", "--prefix", "other", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["data"]["statements"]
    assert not any("password" in statement.lower() for statement in shown)
    assert typed(["store", "roles", "--prefix", "other"]) == 1
    with logins.server.admin() as db:
        for statement in shown:
            db.execute(statement.encode())
    assert typed(["store", "roles", "--prefix", "other"]) == 0
    # The tables went to the other owner; they come back, or the next test has none.
    roles.create(address(logins.owner))


def test_one_who_may_not_make_roles_is_told_so(logins: Logins) -> None:
    """A worker that asks for roles gets a sentence and makes none."""
    with pytest.raises(hf.HoldfastError, match="may not make roles"):
        roles.create(address(logins.url("worker")), "mine")
    assert not any(role.there for role in roles.found(address(logins.owner), "mine").roles)


def test_somebody_who_is_no_superuser_makes_store_and_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right to make roles and a database of one's own is enough."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    with house() as server:
        with server.admin() as db:
            db.execute("CREATE ROLE dba LOGIN CREATEROLE PASSWORD 'x'")
            db.execute("CREATE DATABASE theirs OWNER dba")
        url = server.url("dba", "x", "theirs")
        work(url, tmp_path / "books", ["a"])
        roles.create(address(url))
        roles.create(address(url))
        assert all(role.there for role in roles.found(address(url)).roles)
        assert work(url, tmp_path / "books", ["b"]) == ["Committed"]


def test_a_worker_does_not_migrate_and_what_an_owner_migrates_belongs_to_the_owner(
    logins: Logins, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A newer version brings a step: a worker is told whose business that is, and the new table is the owner role's."""
    from holdfast.store import migrate, postgres_migrate

    known = postgres_migrate.migrations()
    step = migrate.Migration(len(known) + 1, "more", "CREATE TABLE more (x int)", "0" * 64, 0)
    monkeypatch.setattr(postgres_migrate, "migrations", lambda: (*known, step))
    with pytest.raises(hf.HoldfastError, match="this role may not add the others: open it once as its owner"):
        open_store(logins.url("worker"))
    open_store(logins.url("owner")).close_now()
    open_store(logins.url("worker")).close_now()
    with logins.server.admin() as db:
        assert db.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'more'").fetchall() == [("ledger_owner",)]
    with pytest.raises(hf.HoldfastError, match="there is no store yet, and this role may not make one"):
        open_store(logins.server.url("one_worker", "x", schema="another"))
