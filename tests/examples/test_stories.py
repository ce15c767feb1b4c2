"""The two stories, answered from the trace alone: only what `holdfast run explain` prints is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from examples.mail.spawn import running as mail_server
from examples.mail.tools import messages
from examples.repository.spawn import running as git_server
from examples.stories import narrower, two_oclock
from holdfast.cli.main import run
from tests.explaining import explained, text_of


class Asked(NamedTuple):
    """What the command said of a run: its page, its data and its exit code."""

    page: str
    data: dict[str, Any]
    code: int

    def decision(self, tool: str, **args: Any) -> dict[str, Any]:
        """The decision record of a call."""
        [found] = [
            one
            for one in self.data["decisions"]
            if one["question"]["tool"] == tool and args.items() <= one["question"]["args"].items()
        ]
        return dict(found)


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], Asked]]:
    """Ask the command about a run, with no tool, policy file or planner at hand."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    for name in ("CALENDAR_FOLDER", "MAIL_SERVER", "MAIL_FOLDER", "REPOSITORY_URL"):
        monkeypatch.setenv(name, "")  # the stories set these themselves, and nobody else is to find them
    empty = tmp_path / "nobody"
    empty.mkdir()

    def asked(of: str, *more: str) -> Asked:
        monkeypatch.chdir(empty)
        store = f"sqlite:{tmp_path / 'story.db'}"
        capsys.readouterr()
        code = run(["run", "explain", of, *more, "--store", store])
        page = capsys.readouterr().out
        run(["run", "explain", of, *more, "--store", store, "--json"])
        return Asked(page, json.loads(capsys.readouterr().out)["data"], code)

    yield asked


@pytest.mark.req("2.7b", mutant="other-source-is-left-out")
@pytest.mark.parametrize(
    ("rests_on", "source", "kind"), [("note", "notes", "cached summary"), ("calendar", "calendar", "authoritative")]
)
def test_two_pm_or_four_pm_is_answered_from_the_record(
    tmp_path: Path, ask: Callable[..., Asked], rests_on: str, source: str, kind: str
) -> None:
    """Which item the letter rested on and how old that was, who said otherwise, who allowed it, what was sent."""
    with mail_server(tmp_path / "mail") as mail:
        of = asyncio.run(two_oclock.tell(tmp_path, mail, rests_on=rests_on))
        [letter] = [str(message.get_content()).strip() for message in messages(two_oclock.ANN)]
        assert letter == "The meeting is at 2 PM."  # what really arrived; the rest is read from the account
        assert not list(messages(two_oclock.BOB))
    asked = ask(of)
    assert asked.code == 0
    sent = asked.decision("send_mail", to=two_oclock.ANN)
    [cited] = sent["cited"]
    assert (cited["source"], cited["kind"]) == (source, kind)
    old_ms = cited["age_at_dispatch_ms"]
    assert old_ms >= two_oclock.DAY_MS if rests_on == "note" else old_ms < two_oclock.DAY_MS
    assert cited["said_otherwise_before"] == []
    assert len(cited["said_otherwise_since"]) == 1
    age = "left when it was 1 d" if rests_on == "note" else "left when it was "
    assert f"send_mail {sent['effect']} ({age}" in asked.page
    assert f"rested on {cited['item']}, which {source} gave as {kind} about «meeting:planning» «" in asked.page
    otherwise = f"calendar said otherwise ({cited['said_otherwise_since'][0]}) «4 PM» than {cited['item']}"
    assert otherwise in text_of(asked.data, "unknown")
    assert "that was recorded after it had left" in text_of(asked.data, "unknown")
    assert "allowed by the rule our-house («letters within the house need nobody;" in text_of(asked.data, "allowed")
    assert '"text": "The meeting is at 2 PM.", "to": "ann@example.org"' in text_of(asked.data, "done")
    assert f"send_mail {sent['effect']} is verified" in text_of(
        asked.data, "verified"
    )  # delivered, which is all it says
    wrong = asked.decision("send_mail", to=two_oclock.BOB)
    assert len(wrong["cited"][0]["said_otherwise_before"]) == 1
    assert "was refused by the rule builtin:item: «" in text_of(asked.data, "allowed")
    assert "no longer counts" in text_of(asked.data, "allowed")
    assert "nobody has checked it: «Everybody was told when the meeting is.»" in text_of(asked.data, "verified")
    assert len(list(explained(tmp_path / "story.db"))) == 1


@pytest.mark.req("2.7b", mutant="end-is-done")
def test_the_narrower_test_that_passed_is_answered_from_the_record(tmp_path: Path, ask: Callable[..., Asked]) -> None:
    """What was agreed, what the agent had checked, what the agreed check found, and that the run is not done."""
    with git_server(tmp_path) as (url, _process):
        of = asyncio.run(narrower.tell(tmp_path, url))
    asked = ask(of)
    told = text_of(asked.data, "verified")
    assert "It counts as done when «the whole suite passes on main»" in text_of(asked.data, "intended")
    release = asked.decision("release")
    assert release["verification"]["agreed"] == "release.verify"
    assert [look["kind"] for look in release["verification"]["looks"]] == ["unconfirmed"]
    checked = text_of(asked.data, "allowed")  # what it rested on: one test of one file
    assert 'gave as observed about «tests:work%2Fprices» «{"only": "test_total.py", "passed": true, "ran": 1' in checked
    assert (
        f"release {release['effect']} is not verified: the agreed check (release.verify) says «differs: the whole suite"
        in told
    )
    assert '"only": "test_*.py", "passed": false, "ran": 3' in told
    assert " is verified" not in told
    assert "the run is blocked, and not done" in told
    assert "ended as done" not in asked.page
    assert "nobody has checked it: «All tests pass; it is released.»" in told
    assert "the run is blocked (failed-verification)" in text_of(asked.data, "next")
    assert len(list(explained(tmp_path / "story.db"))) == 1


@pytest.mark.req("2.7a", mutant=None, reason="the page is read by a person; what it must name is compared word by word")
def test_the_page_of_one_effect_ends_in_its_decision_record(tmp_path: Path, ask: Callable[..., Asked]) -> None:
    """Question, options, what was chosen, cited, policy, approval and verification each have their line."""
    with git_server(tmp_path) as (url, _process):
        of = asyncio.run(narrower.tell(tmp_path, url))
    effect = ask(of).decision("release")["effect"]
    page = ask(of, "--effect", effect[:12]).page
    record = page.partition(f"decision record of {effect}")[2]
    for label in ("question", "options", "permits", "chosen", "cited", "policy", "approval", "verified", "entries"):
        assert f"\n  {label:<12}" in record
    assert "→ release «" in record
    assert "by planner, generation 1" in record
    assert "agreed: release.verify; now unconfirmed" in record
