"""A password is in nothing that holdfast prints, raises, logs or shows, whatever goes wrong.

The password has every sign that an address could stumble over. Each failing path is run for real, as a command and in
a program, with tracebacks on; all that came out is searched for the one part of the password that no quoting changes.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast as hf
from holdfast.kernel.errors import BadConfig, HoldfastError
from holdfast.store import address, open_store
from holdfast.store.postgres import open_postgres
from tests.contract.moving_house import ALLOW, tool, work
from tests.contract.postgres_house import PASSWORD, SECRET, House, free_port, house

COMMANDS = (
    "status", "store show", "effect list", "run list", "evidence verify", "doctor", "store roles",
    "store roles --create", "store release --as x --reason y", "store clock --as x --reason y", "halt list",
    "store copy env:HOLDFAST_STORE copy.db --as x --reason y",
    "store copy empty.db env:HOLDFAST_STORE --as x --reason y",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[House]:
    with house() as one:
        yield one


def ways(server: House) -> dict[str, str]:
    """Addresses that lead nowhere, each for another reason."""
    right = server.url()
    return {
        "nobody listens": right.replace(str(server.port), str(free_port())),
        "no such host": right.replace("127.0.0.1", "nowhere.invalid"),
        "another password": server.url(password=f"{PASSWORD}x"),
        "no such user": server.url(user="nobody"),
        "no such database": server.url(database="nothing"),
        "no such certificate": server.url(sslmode="verify-full", sslrootcert="/nowhere.pem"),
        "TLS that is not there": server.url(sslmode="require"),
        "a password for a key that is not there": server.url(sslmode="require", sslkey="/no.key", sslpassword=SECRET),
        "a word that libpq does not know": server.url(secret=SECRET),
        "signs that were not written as numbers": f"postgresql://postgres:{PASSWORD}@127.0.0.1:{server.port}/postgres",
        "a password where the port should be": f"postgresql://postgres:{SECRET}",
        "words and no address": f"host=127.0.0.1 port={server.port} password={SECRET}",
        "another kind": f"mysql://root:{SECRET}@127.0.0.1/x",
    }


def said(command: str, store: str, folder: Path) -> str:
    """Everything that a command prints, for a person and for a machine, tracebacks included."""
    env = os.environ | {
        "HOLDFAST_STORE": store, "HOLDFAST_TRACEBACK": "1", "PYTHONPATH": os.pathsep.join(sys.path),
        "HOLDFAST_STATE_DIR": str(folder / "state"), "PGCONNECT_TIMEOUT": "5",
    }  # fmt: skip
    told = ""
    for more in ([], ["--json"]):
        argv = [sys.executable, "-m", "holdfast", *command.split(), *more]
        done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False)
        told += done.stdout + done.stderr
        assert "HF-I13" not in told, told  # what a user may do wrong is no bug of ours
    return told


@pytest.mark.slow
@pytest.mark.parametrize("way", range(13))
def test_no_command_tells_the_password_whatever_is_wrong_with_the_address(
    server: House, way: int, tmp_path: Path
) -> None:
    """A path that leads nowhere is said in words, and the password is not among them."""
    name, store = list(ways(server).items())[way]
    for command in ("status", "doctor", "store copy env:HOLDFAST_STORE copy.db --as x --reason y"):
        told = said(command, store, tmp_path)
        assert told, (name, command)
        assert SECRET not in told, (name, command, told)


@pytest.mark.slow
def test_no_command_tells_the_password_when_the_server_is_gone(tmp_path: Path) -> None:
    """The server is killed, and every command is typed."""
    with house() as server:
        work(server.url(), tmp_path / "books", ["a"])
        server.kill()
        for command in COMMANDS:
            told = said(command, server.url(), tmp_path)
            assert told
            assert SECRET not in told, (command, told)


def everything_of(error: BaseException) -> str:
    """All ways in which an error ends up in a log."""
    told = "".join(traceback.format_exception(error)) + repr(error) + str(error)
    if isinstance(error, HoldfastError):
        told += json.dumps(error.to_json()) + repr(error.values) + repr(pickle.loads(pickle.dumps(error)))
    return told


@pytest.mark.parametrize("way", range(13))
async def test_no_error_of_a_program_tells_the_password(
    server: House, way: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Text, fields, JSON, pickle, traceback and log records of what hf.open raises are free of it."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    caplog.set_level(logging.DEBUG)
    name, store = list(ways(server).items())[way]
    with pytest.raises(HoldfastError) as caught:
        async with hf.open(store, tools=[tool(tmp_path / "books")], policy=ALLOW):
            pass
    assert SECRET not in everything_of(caught.value), name
    assert SECRET not in caplog.text


def test_a_program_whose_server_is_killed_tells_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the middle of work, with a sealer and recovery beside it: nothing that is raised, logged or printed has it."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setitem(open_postgres.__kwdefaults__, "outage_ms", 300)
    caplog.set_level(logging.DEBUG)
    refund = tool(tmp_path / "books")
    errors: list[BaseException] = []
    with house() as server:
        try:
            with hf.open(server.url(), tools=[refund], policy=ALLOW) as app:
                assert SECRET not in repr(app) + repr(vars(app._app)) + repr(app._app.store)
                run = app.begin(hf.Intent(goal="refund", purpose="x", principal="support"))
                run.call(refund(invoice="a"))
                server.kill()
                for _ in range(2):
                    try:
                        run.call(refund(invoice="b"))
                    except HoldfastError as error:
                        errors.append(error)
        except HoldfastError as error:
            errors.append(error)
    assert errors
    printed = capfd.readouterr()
    for told in (*map(everything_of, errors), caplog.text, printed.out, printed.err):
        assert SECRET not in told


def test_an_open_store_and_its_status_tell_no_password(
    server: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, representation and everything that a page shows of a store that works."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    url = server.url(schema="fine")
    work(url, tmp_path / "books", ["a"])
    store = open_store(url, read_only=True)
    try:
        told = repr(store) + repr(store.status()) + store.path + repr(store.reading.access) + repr(store.reading)
    finally:
        store.close_now()
    for command in COMMANDS:
        told += said(command, url, tmp_path)
    assert SECRET not in told + repr(address(url)) + str(address(url))


def test_without_the_extra_it_says_how_to_install_it(server: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Psycopg is an extra: where it is missing, that is the answer, with the command."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BadConfig, match=r"pip install 'holdfast\[postgres\]'"):
        open_store(server.url())


def test_the_servers_own_list_of_sessions_has_no_password(server: House, tmp_path: Path) -> None:
    """What a session says of itself to whoever may list them is a name."""
    work(server.url(), tmp_path / "books", ["a"])
    store = open_store(server.url(), read_only=True)
    try:
        with server.admin() as db:
            listed = str(db.execute("SELECT application_name, query FROM pg_stat_activity").fetchall())
    finally:
        store.close_now()
    assert "holdfast" in listed
    assert SECRET not in listed
    assert SECRET not in (server.folder / "log").read_text(errors="replace")
