"""``holdfast grant``: given, narrowed, shown and taken back by a named person, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import run
from holdfast.store import open_store
from tests.approving import key_of, register


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store, and keys in a folder of this test's."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    url = f"sqlite:{tmp_path / 'h.db'}"
    open_store(url).close_now()
    return url


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    """The exit code and the data of one command line."""
    capsys.readouterr()
    code = run([*argv, "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out)


ADD = ("--as", "alice", "--reason", "ticket 7")
FACETS = ("--tool", "credit", "--resource", "account:a*", "--environment", "dev", "--class", "*", "--effects", "3")


def test_a_grant_is_given_narrowed_shown_and_taken_back(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is over ends with its exit code; what came of it is over as well; a unique beginning of an id is enough."""
    code, made = said(capsys, "grant", "add", "bot", *ADD, *FACETS, "--cost", "500EUR", "--store", store)
    assert code == 0
    root = made["data"]["grant"]
    assert (root["tools"], root["budget"]["effects"], root["by"]) == (["credit"], 3, "alice")
    code, less = said(capsys, "grant", "narrow", root["id"], *ADD, "--resource", "account:a1", "--store", store)
    assert code == 0
    assert less["data"]["chain"][0]["id"] == root["id"]
    code, wider = said(capsys, "grant", "narrow", root["id"], *ADD, "--resource", "account:b", "--store", store)
    assert code == 2
    assert "account:a*" in json.dumps(wider["error"])
    assert said(capsys, "grant", "show", root["id"][:9], "--store", store)[0] == 0
    assert said(capsys, "grant", "revoke", root["id"], *ADD, "--store", store)[0] == 0
    code, shown = said(capsys, "grant", "show", less["data"]["grant"]["id"], "--store", store)
    assert code == 5
    assert "revoked by alice" in shown["data"]["grant"]["over"]
    code, listed = said(capsys, "grant", "list", "--store", store)
    assert (code, len(listed["data"])) == (0, 2)
    assert not any(grant["good"] for grant in listed["data"])


def test_facets_that_are_not_named_allow_nothing(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A grant of a tool alone is on no resource, in no environment, of no class."""
    _, made = said(capsys, "grant", "add", "bot", *ADD, "--tool", "credit", "--store", store)
    grant = made["data"]["grant"]
    assert [grant[facet] for facet in ("resources", "environments", "classes")] == [[], [], []]


def test_where_approvers_are_registered_their_key_is_needed(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name alone gives nothing; the key of somebody registered does, and the signature is in the entry."""
    opened = open_store(store)
    register(opened, "alice")
    opened.close_now()
    code, _ = said(capsys, "grant", "add", "bot", *ADD, *FACETS, "--store", store)
    assert code != 0
    file = tmp_path / "keys" / "alice.key"
    key_of("alice").save(file)
    code, made = said(capsys, "grant", "add", "bot", *ADD, *FACETS, "--store", store)
    assert code == 0
    code, _ = said(capsys, "grant", "revoke", made["data"]["grant"]["id"], *ADD, "--key", str(file), "--store", store)
    assert code == 0


@pytest.mark.parametrize("cost", ["500", "x EUR", "-5EUR", "5.00EUR"])
def test_a_cost_that_is_none_is_refused(store: str, cost: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Minor units and a currency; anything else gives no grant."""
    assert said(capsys, "grant", "add", "bot", *ADD, *FACETS, f"--cost={cost}", "--store", store)[0] == 2
    assert said(capsys, "grant", "list", "--store", store)[1]["data"] == []


def test_a_grant_that_is_not_there_is_said(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither shown nor taken back."""
    assert said(capsys, "grant", "show", "gr_x", "--store", store)[0] == 2
    assert said(capsys, "grant", "revoke", "gr_x", *ADD, "--store", store)[0] == 2
