"""What a person sees: every command over a store that the real engine wrote."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3

import pytest

from tests.snapshots.conftest import Desk
from tests.snapshots.shop import BOOKS

STATES = ("verified", "failed", "unknown", "refused", "superseded", "waiting", "unconfirmed", "escalated", "pending")
CODES = {"verified": 0, "failed": 1, "unknown": 3, "refused": 5, "superseded": 5, "waiting": 4, "unconfirmed": 1}
CODES |= {"escalated": 3, "pending": 4}
READ_ONLY = (
    "status",
    "run list",
    "run show {run}",
    "effect list",
    "effect list --open",
    "effect list --state unknown",
    "approval list",
    "approval show {waiting}",
    "approver list",
    "approver show ann",
    "evidence show {failed} --full",
    "evidence verify",
    "store show",
)


@pytest.mark.parametrize("line", READ_ONLY, ids=lambda line: re.sub(r"[^a-z]+", "-", line).strip("-"))
def test_screen_of_a_command_that_reads(desk: Desk, line: str) -> None:
    """Each command that only reads prints the screen that is kept for it."""
    desk.screen(re.sub(r"[^a-z]+", "-", line).strip("-"), line)


@pytest.mark.parametrize("state", STATES)
def test_page_of_an_effect_in_each_state(desk: Desk, state: str) -> None:
    """The page of an effect has its seven verbs, ends in what is known and safe, and answers with its exit code."""
    seen = desk.screen(f"effect-show-{state}", f"effect show {{{state}}}")
    verbs = re.findall(r"^  (admit|claim|dispatch|observe|reconcile|settle|verify) ", seen, re.MULTILINE)
    assert verbs == ["admit", "claim", "dispatch", "observe", "reconcile", "settle", "verify"]
    ends = re.findall(r"^(known|not known|safe now|not safe|next) ", seen, re.MULTILINE)
    assert ends == ["known", "not known", "safe now", "not safe", "next"]
    assert seen.endswith(f"=> {CODES[state]}\n")


@pytest.mark.parametrize("state", ["unknown", "escalated", "pending"])
def test_page_of_a_doubt_never_calls_it_failed(desk: Desk, state: str) -> None:
    """Nothing on the page of an effect in doubt says that it failed, or that it may be repeated."""
    seen = desk.type(f"effect show {{{state}}}")
    assert "failed" not in seen
    assert "try again" not in seen.lower()


@pytest.mark.req("2.6d", mutant=None, reason="the page is compared word by word with the kept screen")
def test_request_page_shows_what_an_approver_decides_on(desk: Desk) -> None:
    """An approver sees effect, target, difference to the present, reach, evidence, what follows, and framed text."""
    seen = desk.type("approval show {waiting}")
    for label in ("effect ", "class ", "target ", "would send", "reach ", "state then", "state now", "then ", "cites "):
        assert f"  {label}" in seen
    assert "it proves nothing and gives no orders" in seen
    assert "refund.verify reads the world afterwards" in seen


@pytest.mark.req("2.6d", mutant=None, reason="the page is compared word by word with the kept screen")
def test_request_page_shows_that_the_target_changed(own_desk: Desk) -> None:
    """Where the target is no longer as it was when the request was made, the page says in which member."""
    (own_desk.home / BOOKS.name).write_text(json.dumps({"refunds": {}, "paid": {"in_5": 4000}}))
    seen = own_desk.screen("approval-show-changed", "approval show {waiting}")
    assert "paid: was «5000», is «4000»" in seen


def test_hostile_text_stays_in_its_frame(desk: Desk) -> None:
    """Escape sequences, direction marks, line ends, frame ends and markup of a planner are shown by their codes."""
    lines = ("effect show {waiting}", "approval show {waiting}", "run show {run}", "evidence show {waiting} --full")
    for line in lines:
        seen = desk.type(line)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\u2800]", seen)
        assert not re.search(r"^✓ verified", seen, re.MULTILINE)
        assert seen.count("«") == seen.count("»")
        assert "[bold red]paid[/]" in seen


def test_hostile_text_stays_escaped_in_json(desk: Desk) -> None:
    """A JSON document is pure ASCII, and gives the planner's text back exactly to whoever parses it."""
    for line in ("effect show {waiting} --json", "--json run list", "evidence show {waiting} --json"):
        document = desk.type(line).split("\n")[1]
        assert document.isascii() and document.isprintable()
        assert set(json.loads(document)) == {"time", "counts", "truncated", "data"}


def test_probe_asks_and_records_nothing(own_desk: Desk) -> None:
    """A probe by hand prints what was learned, and the record is as before."""
    before = own_desk.type("evidence show {unknown} --json")
    own_desk.screen("effect-probe", "effect probe {unknown}", "effect probe {refused}")
    after = own_desk.type("evidence show {unknown} --json")
    assert json.loads(after.split("\n")[1])["data"] == json.loads(before.split("\n")[1])["data"]


def test_reconcile_finds_what_the_reply_did_not_say(own_desk: Desk) -> None:
    """Once the probe finds it, one round takes an unknown effect to verified."""
    key = json.loads(own_desk.type("effect show {unknown} --json").split("\n")[1])["data"]["effect"]["key"]
    (own_desk.home / BOOKS.name).write_text(json.dumps({"refunds": {key: 1200}, "paid": {}}))
    seen = own_desk.screen("effect-reconcile", "effect reconcile {unknown}", "effect reconcile {verified}")
    assert "✓ verified" in seen


def test_a_yes_and_a_no(own_desk: Desk) -> None:
    """Nobody approves what they proposed; a second yes, a yes after the end and a no without a reason are refused."""
    own_desk.screen(
        "approve-refuse",
        "approve {waiting} --as nobody",
        "approve {waiting} --as support-bot",
        "approve {waiting} --as eve",
        "approve {waiting} --as ann --reason seen",
        "approve {waiting} --as ann",
        "approval list",
        "approve {refused} --as ann",
        "refuse {waiting} --as bob --reason ",
        "refuse {waiting} --as bob --reason no",
        "approve {superseded} --as ann",
    )


def test_attest_and_abandon(own_desk: Desk) -> None:
    """A named person states or gives up, with a reason; attested is never shown as verified."""
    own_desk.screen(
        "attest-abandon",
        "effect attest {escalated} --happened --as ann --reason ",
        "effect attest {escalated} --as ann --reason seen",
        "effect attest {escalated} --did-not-happen --value 1 --as ann --reason seen",
        "effect attest {escalated} --happened --value {{ --as ann --reason seen",
        "effect attest {escalated} --happened --value 7 --as ann --reason seen",
        "effect abandon {pending} --as ann --reason x",
        "effect abandon {unknown} --as ann --reason gone",
        "effect attest {verified} --did-not-happen --as ann --reason x",
    )


def test_changed_entry_is_found_and_named(own_desk: Desk) -> None:
    """One changed number in one body: verification says run, entry and field, and exits with 1."""
    shutil.copy(own_desk.home / "holdfast.db", own_desk.home / "changed.db")
    with sqlite3.connect(own_desk.home / "changed.db") as db:
        db.execute("DROP TRIGGER entry_body_stays")
        at = db.execute("SELECT pos FROM entries WHERE effect = ? AND kind = 'proposed'", (own_desk.ids["failed"],))
        body = "CAST(replace(CAST(body AS TEXT), '\"amount\":1200', '\"amount\":9200') AS BLOB)"
        changed = db.execute(f"UPDATE entry_body SET body = {body} WHERE pos = ?", at.fetchone())
        assert changed.rowcount == 1
    db.close()
    seen = own_desk.screen("evidence-changed", "evidence verify --store changed.db", "evidence verify")
    assert "=> 1" in seen and seen.endswith("=> 0\n")


def test_cut_off_tail_is_found_by_a_head_that_was_written_down(own_desk: Desk) -> None:
    """A store that ends earlier than a remembered head is told apart from a whole one."""
    newest = json.loads(own_desk.type("evidence verify --json").split("\n")[1])["data"]["newest"]
    assert own_desk.type(f"evidence verify --head {newest}").endswith("=> 0\n")
    own_desk.screen("evidence-head", f"evidence verify --head {'0' * 64}", "evidence verify --head 12ab")


def test_copied_store_dispatches_nothing_until_it_is_released(own_desk: Desk) -> None:
    """A copy opens restored, says what may be missing, and a named person releases it with a reason."""
    shutil.copy(own_desk.home / "holdfast.db", own_desk.home / "copy.db")
    own_desk.screen(
        "store-release",
        "store release --as ann --reason seen",
        "--store copy.db status",
        "--store copy.db store show",
        "--store copy.db effect show {waiting}",
        "--store copy.db store release --as ann --reason ",
        "--store copy.db store release --as ann --reason compared",
        "--store copy.db status",
    )


def test_what_cannot_be_understood(own_desk: Desk) -> None:
    """Ids, options, files and keys that mean nothing: each has its wording and exit code 2, as JSON too."""
    home = own_desk.home
    (home / "typo.toml").write_text('store = "holdfast.db"\npolcy = "policy.cedar"\n')
    (home / "type.toml").write_text("tools = 7\n")
    (home / "broken.toml").write_text("store = \n")
    (home / "tools.toml").write_text('store = "holdfast.db"\nenvironment = "test"\ntools = ["shop.py:NOTHING"]\n')
    (home / "other.cedar").write_text('@id("no") forbid (principal, action, resource);')
    (home / "other.toml").write_text((home / "holdfast.toml").read_text().replace("policy.cedar", "other.cedar"))
    (home / "env.toml").write_text((home / "holdfast.toml").read_text().replace("test", "prod"))
    seen = own_desk.screen(
        "misunderstood",
        "effect show ef_zz",
        "effect show",
        "efect show",
        "status --store nowhere.db",
        "status --config nowhere.toml",
        "status -C typo.toml",
        "status -C type.toml",
        "status -C broken.toml",
        "effect probe {unknown} -C tools.toml",
        "effect probe {unknown} -C other.toml",
        "effect probe {unknown} -C env.toml",
        "effect probe {unknown} --store holdfast.db -C typo.toml --json",
        "effect list --state lost --json",
    )
    assert set(re.findall(r"=> \d+", seen)) == {"=> 2"}


def test_a_beginning_that_fits_several_ids_names_them(desk: Desk) -> None:
    """Any unique beginning of an id is accepted; one that is not unique is answered with what it fits."""
    assert desk.type("effect show ef_").endswith("=> 2\n")
    assert "HF-U09-ambiguous-id" in desk.type("effect show ef_")
    whole = desk.ids["verified"]
    least = next(whole[:n] for n in range(4, 23) if sum(i.startswith(whole[:n]) for i in desk.ids.values()) == 1)
    assert desk.type(f"effect show {least}").endswith("=> 0\n")


def test_our_own_fault_is_said_to_be_ours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that no command expects ends with 70 and the wording of our bug, without a traceback."""
    from holdfast.report import lists

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a \x1b[31mplanted defect")

    monkeypatch.setattr(lists, "run_list", broken)
    seen = re.sub(
        r"test_screens\.py:\d+", "<place>", "".join(desk.type(line) for line in ("run list", "run list --json"))
    )
    assert seen.count("=> 70") == 2
    assert seen.count("HF-I13-our-bug") >= 2
    assert "Traceback" not in seen
    assert "\x1b" not in seen
