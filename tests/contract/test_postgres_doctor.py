"""``holdfast doctor`` on a server: each setting, role and way that it should find, really set so, and found."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as how
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.cli.examine import server as looked_at
from holdfast.cli.main import run
from holdfast.kernel.errors import HoldfastError
from holdfast.report.doctor import Mark
from tests.contract.moving_house import booked, work
from tests.contract.postgres_house import SECRET, House, house


@pytest.fixture(scope="module")
def server() -> Iterator[House]:
    with house() as one:
        yield one


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def found(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the doctor finds, by id; its exit code as ``exit``."""
    monkeypatch.setenv("HOLDFAST_STORE", url)
    code = run(["doctor", "--json"])
    printed = capsys.readouterr().out
    assert SECRET not in printed
    said = json.loads(printed)["data"]
    assert said["healthy"] == (code == 0)
    return {one["id"]: one for one in said["findings"]} | {"exit": code}


def test_a_sound_server_is_healthy(
    server: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Version, settings, primary, room, schema and both clocks are fine; what only a file has is not looked at."""
    work(server.url(), tmp_path / "books", ["a"])
    all_of = found(server.url(), monkeypatch, capsys)
    assert all_of.pop("exit") == 0
    for name in (
        "server-version", "server-settings", "server-primary", "server-connections", "schema", "clock-of-server",
        "way", "password", "store-mode", "evidence-newest", "head",
    ):  # fmt: skip
        assert all_of[name]["sign"] == Mark.FINE, all_of[name]
    assert all_of["role-is-superuser"]["sign"] == Mark.DOUBTFUL
    assert not {"disk-sync", "store-access", "log-size", "pages"} & all_of.keys()


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [("synchronous_commit = off", "server-synchronous-commit"),
     ("default_transaction_isolation = 'read uncommitted'", "server-default-transaction-isolation"),
     ("default_transaction_read_only = on", "server-default-transaction-read-only"),
     ("statement_timeout = '5s'", "server-statement-timeout")],
)  # fmt: skip
def test_a_setting_that_a_role_has_is_found(
    server: House, setting: str, wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not only the server's own: what this role would get counts."""
    with server.admin() as db:
        db.execute("DROP ROLE IF EXISTS careless")
        db.execute("CREATE ROLE careless LOGIN SUPERUSER PASSWORD 'x'")
        db.execute(f"ALTER ROLE careless SET {setting}".encode())
    all_of = found(server.url("careless", "x"), monkeypatch, capsys)
    assert all_of[wrong]["sign"] in (Mark.BROKEN, Mark.DOUBTFUL)
    assert all_of["exit"] == (1 if all_of[wrong]["sign"] == Mark.BROKEN else 0)


@pytest.mark.parametrize("setting", ["fsync=off", "full_page_writes=off"])
def test_a_server_that_does_not_sync_is_found(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would answer commits before they are on disk."""
    with house() as one:
        one.stop()
        one.start(setting)
        all_of = found(one.url(), monkeypatch, capsys)
    assert all_of["exit"] == 1
    assert all_of[f"server-{setting.partition('=')[0].replace('_', '-')}"]["sign"] == Mark.BROKEN


def test_a_role_with_little_room_and_a_role_that_owns_the_tables_are_found(
    server: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many more workers can connect counts the limits of role and database; an owner is no worker."""
    with server.admin() as db:
        db.execute("CREATE ROLE narrow LOGIN PASSWORD 'x' CONNECTION LIMIT 20")
    name = server.database("narrow")
    with server.admin(name) as db:
        db.execute("GRANT CREATE ON DATABASE narrow TO narrow")
    url = server.url("narrow", "x", name)
    work(url, tmp_path / "books", ["a"])
    all_of = found(url, monkeypatch, capsys)
    assert all_of["server-connections"]["sign"] == Mark.DOUBTFUL
    assert all_of["server-connections"]["facts"]["free"] < 20
    assert all_of["role-owns-store"]["sign"] == Mark.DOUBTFUL


def test_a_server_without_a_store_and_one_that_is_away_are_told_apart(
    server: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made by looking; a server that does not answer is broken, and the rest is looked at all the same."""
    all_of = found(server.url(schema="none_yet"), monkeypatch, capsys)
    assert all_of["schema"]["sign"] == Mark.SKIPPED
    with server.admin() as db:
        assert db.execute("SELECT to_regnamespace('none_yet')").fetchone() == (None,)
    all_of = found(server.url(password="another"), monkeypatch, capsys)  # it is the wrong one
    assert (all_of["exit"], all_of["server-not-reached"]["sign"]) == (1, Mark.BROKEN)
    assert "python" in all_of


def test_where_a_password_stands_is_said(server: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the file or on the command line it is doubtful, in the environment it is not."""
    for given, wanted in (("--store", "password-on-command-line"), ("file", "password-in-file")):
        command = ["doctor", "--json"]
        if given == "file":
            (tmp_path / "holdfast.toml").write_text(f'store = "{server.url()}"\n', encoding="utf-8")
        else:
            command += ["--store", server.url()]
        run(command)
        printed = capsys.readouterr().out
        assert SECRET not in printed
        assert wanted in {one["id"] for one in json.loads(printed)["data"]["findings"]}


def test_clocks_that_differ_and_a_way_in_the_open_are_said() -> None:
    """What the server says is judged: an hour apart, another machine without TLS, TLS that proves nothing, a pooler."""
    said = looked_at.Server(
        180000, "on", "on", "on", "", 1, "read committed", "off", "UTF8", False, "app", False, -1, -1, 97, 1, 1, 1,
        False, "", "10.0.0.7", "0", "prefer", True, (3_600_000, 0, 4),
    )  # fmt: skip
    signs = {
        one.id: one.mark
        for look in (looked_at.clock, looked_at.way, looked_at.replication, looked_at.role)
        for one in look(said)
    }
    assert signs == {
        "clocks-apart": Mark.DOUBTFUL, "way-in-the-open": Mark.BROKEN, "server-pooled": Mark.DOUBTFUL,
        "server-standby-not-waited-for": Mark.DOUBTFUL,
    }  # fmt: skip
    said.tls, said.tls_version, said.standby = True, "TLSv1.3", True
    signs = {one.id: one.mark for look in (looked_at.way, looked_at.replication) for one in look(said)}
    assert signs["server-not-proved"] == Mark.DOUBTFUL
    assert signs["server-is-standby"] == Mark.BROKEN
    said.ssl_mode, said.pooled = "verify-full", False
    assert [one.mark for one in looked_at.way(said)] == [Mark.FINE]


def certificate(folder: Path, name: str) -> tuple[bytes, bytes]:
    """A certificate that signs itself, for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(how.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(pem)
    return pem, key.private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.NoEncryption())


def test_tls_that_is_asked_for_is_had_or_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """verify-full works with the server's certificate; with another one, or a server without TLS, nothing is sent."""
    with house() as one:
        if not one.knows_tls:  # the wheel's build; $HOLDFAST_TEST_POSTGRES_BIN may name another
            with pytest.raises(HoldfastError, match="does not support SSL"):
                work(one.url(sslmode="require"), tmp_path / "books", ["a"])
            assert booked(tmp_path / "books") == []
            return
        one.stop()
        pem, key = certificate(tmp_path, "server")
        for name, content in (("server.crt", pem), ("server.key", key)):
            path = one.data / name
            path.write_bytes(content)
            path.chmod(0o600)
            shutil.chown(path, one.data.stat().st_uid, one.data.stat().st_gid)
        one.start("ssl=on")
        certificate(tmp_path, "other")
        proved = one.url(sslmode="verify-full", sslrootcert=str(tmp_path / "server.crt"))
        assert work(proved, tmp_path / "books", ["a"]) == ["Committed"]
        way = found(proved, monkeypatch, capsys)["way"]
        assert (way["sign"], way["facts"]) == (Mark.FINE, {"sslmode": "verify-full", "tls": True})
        false = one.url(sslmode="verify-full", sslrootcert=str(tmp_path / "other.crt"))
        with pytest.raises(HoldfastError, match="certificate verify failed"):
            work(false, tmp_path / "books", ["b"])
    assert booked(tmp_path / "books") == ["a"]


def test_an_older_schema_is_said_with_who_may_migrate_it(
    server: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step that was not applied yet is named, and nothing is migrated by looking."""
    url = server.url(schema="older")
    work(url, tmp_path / "books", ["a"])
    with server.admin() as db:
        db.execute("SET session_replication_role = replica")
        db.execute("DELETE FROM older.migration WHERE number = (SELECT max(number) FROM older.migration)")
    all_of = found(url, monkeypatch, capsys)
    assert all_of["schema-old"]["sign"] == Mark.DOUBTFUL
    assert "older_owner" in all_of["schema-old"]["to_do"]
