"""A seeded sample of `make crash` over the other outsides: objects, files, rows, commits, mail, deployments."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from examples.database import books
from examples.deployment.client import DeploymentClient
from tests.crash import cases
from tests.crash.campaign import Tally, goals, where
from tests.crash.judge import Judged, judge_outside
from tests.crash.outside_stage import Outsides, outside_stage
from tests.crash.outsides import BUCKET, Files, Mail, Objects, Repository
from tests.crash.scene import Case, Ran

pytestmark = pytest.mark.slow
SEED = 5
SENT = {
    "put_object": "body/wire.send#1:after",
    "copy_object": "body/wire.reply#1:after",
    "commit_files": "body/git.reply#1:before",
    "create_branch": "body/git.reply#1:after",
    "write_file": "body/disk.rename#1:after",
    "move_file": "body/disk.rename#1:after",
    "delete_file": "body/disk.rename#1:before",
    "update_row": "body/db.commit#1:after",
    "send_mail": "body/wire.send#1:after",
    "send_outside": "body/wire.send#1:after",
    "deploy": "body/wire.send#1:after",
}
"""Where nobody knows any more: on its way, or there and not told."""
COMMITTED = "dispatch/store.commit#1:after"
ALWAYS = [Case(tool=tool, kills=(kill,)) for tool in SENT for kill in (COMMITTED, SENT[tool])]
PLANTED = [
    Case(tool="send_outside", kills=(SENT["send_outside"],), defect="retry-without-key"),
    Case(tool="update_row", kills=(SENT["update_row"],), defect="fresh-key"),
    Case(tool="commit_files", kills=("body/git.reply#1:after",), defect="death-as-failure"),
    Case(tool="put_object", kills=(SENT["put_object"],), defect="death-as-failure"),
    Case(tool="send_mail", kills=(SENT["send_mail"],), defect="death-as-failure"),
]
"""Without a defect, `make crash` plays each of these kills and finds one change or none."""


@pytest.fixture(scope="module")
def outsides() -> Iterator[Outsides]:
    """The outsides, each started when a case first needs it."""
    with outside_stage() as opened:
        yield opened


@pytest.fixture(scope="module")
def verdicts(outsides: Outsides) -> list[Judged]:
    """The sample, played once and judged by what is found outside."""
    base = outsides.play_all(cases.undisturbed(cases.OUTSIDES))
    single = outsides.play_all([*ALWAYS, *cases.shuffled(cases.every_point(base), SEED)[:14]])
    rest = outsides.play_all(
        [
            *cases.shuffled(cases.in_recovery(single), SEED)[:7],
            *cases.twice_in_a_row(single, SEED, 2),
            *cases.at_random(SEED, 4, cases.OUTSIDES),
            *cases.repeated(SEED, 3, cases.OUTSIDES),
        ]
    )
    return [judge_outside(ran, outsides.found(ran)) for ran in (*base, *single, *rest)]


def expect(verdicts: list[Judged], wrong: Callable[[Judged], object]) -> None:
    """No case is wrong in this way."""
    assert [judged.sentence for judged in verdicts if wrong(judged)] == []


@pytest.mark.req("1.1b", "1.1e", "1.2c", mutant="death-as-failure")
def test_no_kill_makes_a_second_version_row_commit_message_file_or_rollout(verdicts: list[Judged]) -> None:
    """However often and wherever a worker is killed, one purpose makes at most one change in any outside."""
    assert sum(judged.ran.kills for judged in verdicts) >= 40
    assert {judged.ran.case.tool for judged in verdicts if judged.ran.kills} == set(SENT)
    expect(verdicts, lambda judged: judged.changes > 1)


@pytest.mark.req("1.1b", "1.2c", mutant="death-as-failure")
def test_where_a_key_a_fence_or_a_probe_allows_exactly_one_change_comes_out(verdicts: list[Judged]) -> None:
    """Every outside that can be asked shows one change after every kill and restart, as the call wanted it."""
    exact = [judged for judged in verdicts if judged.ran.case.exact]
    expect(exact, lambda judged: (judged.changes != 1 and not judged.spent) or judged.broken)
    assert len([judged for judged in exact if judged.spent]) <= 1  # three kills, each right after a dispatch commit


@pytest.mark.req("1.1e", mutant="retry-without-key")
def test_mail_to_another_house_in_doubt_is_not_sent_again_and_has_a_named_owner(verdicts: list[Judged]) -> None:
    """Nobody can look into that mailbox: in doubt, the letter is the postmaster's, with a next act and a due time."""
    letters = [judged for judged in verdicts if not judged.ran.case.exact and judged.ran.kills]
    doubtful = [judged for judged in letters if judged.ran.case.kills in ((COMMITTED,), (SENT["send_outside"],))]
    assert [judged.changes for judged in doubtful] == [0, 1]
    expect(doubtful, lambda judged: judged.states != ["unknown"] or judged.owned != 1)
    expect(letters, lambda judged: judged.broken or judged.changes + judged.owned < 1)


@pytest.mark.req("1.2a", mutant="death-as-failure")
def test_the_ledger_says_what_the_outsides_books_say(verdicts: list[Judged]) -> None:
    """Nothing is verified that is not so, no change is unowned, nothing lies beside it, and the chains verify."""
    expect(verdicts, lambda judged: judged.broken)


def test_the_sample_has_kills_at_every_stage_of_a_life(verdicts: list[Judged]) -> None:
    """From before the dispatch to after the record, inside the bodies, in a recovery, and by chance."""
    wanted = {"before dispatch", "dispatch commit", "on the wire", "reply to record", "record to told", "in recovery"}
    assert {where(judged.ran.case) for judged in verdicts} >= wanted | {"at random", "repeated calls", "three in a row"}
    tally = Tally(verdicts)
    assert [goal for goal in goals(tally, tally) if not goal["met"] and not goal["id"].startswith("kills")] == []


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: f"{case.defect}-{case.tool}")
def test_a_planted_defect_is_found_in_the_outsides_books(outsides: Outsides, case: Case) -> None:
    """The same kill with an engine that resends blindly, mints a new key, or takes death for failure: two changes."""
    ran = outsides.play(case)
    found = judge_outside(ran, outsides.found(ran))
    assert (found.changes, found.silent_repeats) == (2, 1), found.sentence
    assert any(sentence.startswith("silent repeat") for sentence in found.broken)


def spoil(outsides: Outsides, ran: Ran) -> None:
    """Do by hand, past holdfast, what a case must not leave behind: another change, or something beside it."""
    assert ran.ready is not None
    outside, env = outsides.of(ran.case.tool), ran.ready.env
    if isinstance(outside, Files):
        (outsides.folder / "files" / ran.invoice / "drafts" / ".plan.txt.swp").write_text("x", encoding="ascii")
    elif isinstance(outside, Objects):
        outside.client.put_object(Bucket=BUCKET, Key=f"{ran.invoice}/report", Body=b"something else")
    elif isinstance(outside, Repository):
        branch = ["branch", "hotfix", "work/page"]
        subprocess.run(["git", "-C", outsides.folder / "repository" / f"{ran.invoice}.git", *branch], check=True)
    elif isinstance(outside, Mail):
        box = outsides.folder / "mail" / "mailboxes" / ran.ready.args["to"] / "new"
        (box / "again").write_bytes(next(box.iterdir()).read_bytes())
    elif ran.case.tool == "update_row":
        with books.transaction(env["CATALOGUE_URL"]) as session:
            session.run("UPDATE products SET price = 1, version = 9 WHERE sku = 'lamp'")
    else:
        DeploymentClient(env["DEPLOYMENT_URL"]).deploy(ran.invoice, "v3", key="by hand")


@pytest.mark.parametrize("tool", ["put_object", "commit_files", "write_file", "update_row", "send_mail", "deploy"])
def test_what_was_done_by_hand_is_found(outsides: Outsides, tool: str) -> None:
    """A hidden file, a branch, a version, a row, a copy of a letter, a rollout that no effect made: it is seen."""
    ran = outsides.play(Case(tool=tool))
    assert judge_outside(ran, outsides.found(ran)).broken == []
    spoil(outsides, ran)
    assert judge_outside(ran, outsides.found(ran)).broken != []
