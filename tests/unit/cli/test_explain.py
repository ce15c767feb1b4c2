"""``holdfast run explain`` as it is typed: over a store, over a bundle, after a redaction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

import holdfast as hf
from holdfast.cli.config import load, load_tools
from holdfast.cli.main import run
from holdfast.runtime.redact import Wanted, take_out
from holdfast.store import open_store
from tests.explaining import sentences, text_of
from tests.snapshots.story import lay_out, tell

Typed = Callable[..., "Seen"]


class Seen(NamedTuple):
    """What a command printed, and its exit code."""

    out: str
    code: int

    @property
    def data(self) -> dict[str, Any]:
        """The data of a JSON answer."""
        found: dict[str, Any] = json.loads(self.out)["data"]
        return found


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A store in which one effect stands at each place of a life; what each is called."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    lay_out(tmp_path)
    return tell(tmp_path)


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command against that store."""

    def go(*words: str, store: bool = True) -> Seen:
        capsys.readouterr()
        more = ["--store", f"sqlite:{tmp_path / 'holdfast.db'}"] if store else []
        code = run([*words, *more])
        return Seen(capsys.readouterr().out, code)

    return go


def test_explaining_needs_no_tools_no_policy_file_and_changes_nothing(
    ids: dict[str, str], typed: Typed, tmp_path: Path
) -> None:
    """With tools, policy and outside gone the answer is the same to the letter, and nothing is written to the store."""
    first = typed("run", "explain", ids["run"][:10], "--json").data
    size = open_store(f"sqlite:{tmp_path / 'holdfast.db'}", read_only=True)
    before = [entry.hash for entry in size.entries(ids["run"])]
    size.close_now()
    for name in ("shop.py", "policy.cedar", "holdfast.toml", "books.json"):
        (tmp_path / name).unlink(missing_ok=True)
    assert typed("run", "explain", ids["run"], "--json").data == first
    after = open_store(f"sqlite:{tmp_path / 'holdfast.db'}", read_only=True)
    assert [entry.hash for entry in after.entries(ids["run"])] == before
    after.close_now()


@pytest.mark.req("W5", mutant=None, reason="the two accounts are compared with each other")
def test_a_bundle_is_explained_as_the_store_it_came_from(
    ids: dict[str, str], typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, without the store, a bundle gives the same six answers; one that was changed gives none."""
    here = typed("run", "explain", ids["run"], "--json").data
    file = tmp_path / "run.bundle"
    assert typed("run", "bundle", ids["run"], "-o", str(file)).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = typed("run", "explain", str(file), "--json", store=False)
    assert there.code == 0
    assert there.data == here
    page = typed("run", "explain", str(file), "--effect", ids["waiting"], store=False)
    assert "which holds together" in page.out
    assert "decision record of " in page.out
    data = bytearray(file.read_bytes())
    place = data.index(b'"in_1"')
    data[place : place + 6] = b'"in_9"'
    file.write_bytes(bytes(data))
    assert typed("run", "explain", str(file), store=False).code != 0


async def refunded(home: Path, customer: str) -> str:
    """A run that has ended, with a refund that is verified and one that the bank refused; its id."""
    refund, *_ = load_tools(load(str(home / "holdfast.toml")))
    url, policy = f"sqlite:{home / 'holdfast.db'}", home / "policy.cedar"
    async with hf.open(url, tools=[refund], policy=policy, environment="test", recover=False) as app:
        run = await app.begin(hf.Intent(goal=f"refund {customer}", purpose="one customer", principal="support-bot"))
        assert isinstance(await run.call(refund(invoice_id="in_8", amount=100, note=customer)), hf.Verified)
        assert isinstance(await run.call(refund(invoice_id="in_9", amount=100, note="declined")), hf.Failed)
        await run.stop("it is done")
        return run.id


@pytest.mark.req("W5", mutant="redaction-is-not-said")
def test_what_was_redacted_is_not_told_and_no_alarm_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed
) -> None:
    """After a redaction the value is in no sentence; the account stands with its decisions and says what is gone."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    lay_out(tmp_path)
    customer = "Ann Example, Elm Street 7"
    of = asyncio.run(refunded(tmp_path, customer))
    assert customer in typed("run", "explain", of).out
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}")
    take_out(store, Wanted(of, (), (customer,), "the customer asked"), who="ann", vouched_by="tests")
    store.close_now()
    seen = typed("run", "explain", of, "--json")
    assert seen.code == 0
    assert customer not in seen.out
    assert seen.data["alarms"] == []
    assert len(seen.data["decisions"]) == 2
    [gone] = [one for one in sentences(seen.data) if "have stand-ins where values were redacted" in one["text"]]
    assert any(name.startswith("ru_store/") for name in gone["rests_on"])
    assert "wanted «refund redacted:" in text_of(seen.data, "intended")
    assert " is verified" in text_of(seen.data, "verified")


def test_an_effect_of_another_run_is_not_known(ids: dict[str, str], typed: Typed) -> None:
    """Asked for an effect that this run does not have, the command says so and answers with exit code 2."""
    assert typed("run", "explain", ids["run"], "--effect", "ef_none").code == 2
    assert typed("run", "explain", "ru_none").code == 2


@pytest.mark.req("2.7a", mutant="alarm-is-silent")
def test_doctor_and_the_account_say_that_a_decision_was_taken_away(
    ids: dict[str, str], typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody took a decision out of the file itself, the account answers with an alarm and doctor names it."""
    monkeypatch.chdir(tmp_path)
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}", read_only=True)
    [pos] = [entry.pos for entry in store.entries(ids["verified"]) if entry.kind == "admitted"]
    store.close_now()
    db = apsw.Connection(str(tmp_path / "holdfast.db"))
    for trigger in ("entry_body_stays", "entry_body_is_kept"):
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute("DELETE FROM entry_body WHERE pos = ?", (pos,))
    db.close()
    seen = typed("run", "explain", ids["run"], "--json")
    assert seen.code == 1
    assert [(one["effect"], one["code"]) for one in seen.data["alarms"]] == [(ids["verified"], "decision-gone")]
    found = {one["id"]: one for one in typed("doctor", "--json").data["findings"]}
    assert found["undecided"]["facts"]["effects"] == [ids["verified"]]
