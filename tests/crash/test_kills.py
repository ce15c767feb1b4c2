"""A seeded sample of `make crash`: real workers are killed at every kind of wait; the outside's books judge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash import cases
from tests.crash.campaign import Tally, goals, where
from tests.crash.judge import Judged, judge
from tests.crash.scene import BARE, EXACT, Case, Stage

pytestmark = pytest.mark.slow
SEED = 2
ALWAYS = [
    Case(tool=tool, kills=(address,))
    for tool in ("refund", "refund_keyed", "refund_fenced", "refund_probed", "refund_bare")
    for address in ("dispatch/store.commit#1:after", "body/wire.send#1:after")
] + [Case(tool="refund_bare", kills=("dispatch/store.commit#1:before",))]
"""Cases that no seed may leave out: nothing had left, something had left, nothing was committed."""


@pytest.fixture(scope="module")
def verdicts(scene: Stage) -> list[Judged]:
    """The sample, played once and judged when all of it has ended."""
    base = scene.play_all(cases.undisturbed())
    single = scene.play_all([*ALWAYS, *cases.shuffled(cases.every_point(base), SEED)[:84]])
    again = scene.play_all(cases.shuffled(cases.in_recovery(single), SEED)[:24])
    rest = scene.play_all(
        [
            *cases.twice_in_a_row(single, SEED, 6),
            *cases.at_random(SEED, 14),
            *cases.with_faults(SEED, 21),
            *cases.repeated(SEED, 7),
        ]
    )
    books = scene.books()
    return [judge(ran, books) for ran in (*base, *single, *again, *rest)]


def expect(verdicts: list[Judged], wrong: Callable[[Judged], object]) -> None:
    """No case is wrong in this way."""
    assert [judged.sentence for judged in verdicts if wrong(judged)] == []


@pytest.mark.req("1.1b", "1.1e", "1.2c", mutant="unknown-as-failed")
def test_no_kill_makes_a_silent_repeat(verdicts: list[Judged]) -> None:
    """However often and wherever a worker is killed, one purpose makes at most one change outside."""
    assert sum(judged.ran.kills for judged in verdicts) >= 120
    expect(verdicts, lambda judged: judged.changes > 1)


@pytest.mark.req("1.1b", "1.2c", mutant="not-found-is-final")
def test_an_outside_that_can_be_asked_or_keeps_a_key_ends_with_exactly_one_change(verdicts: list[Judged]) -> None:
    """Fenced, keyed and probed tools show one change after every kill and restart, not none and not two."""
    asked = [judged for judged in verdicts if judged.ran.case.tool in EXACT]
    assert {judged.ran.case.kind for judged in asked} >= {*EXACT, "refund, asked"}
    expect(asked, lambda judged: judged.changes != 1)


@pytest.mark.req("1.1e", mutant="retry-without-key")
def test_a_bare_tool_in_doubt_is_never_sent_twice_and_has_a_named_owner(verdicts: list[Judged]) -> None:
    """Killed after its dispatch commit, a bare tool stays unknown, is a named person's, and is not sent once more."""
    doubtful = [
        judged
        for judged in verdicts
        if judged.ran.case.tool in BARE and judged.ran.case.kills[:1] and judged.ran.case.kills[0] in cases.IN_DOUBT
    ]
    assert {judged.changes for judged in doubtful} == {0, 1}
    expect(doubtful, lambda judged: judged.broken or judged.states != ["unknown"] or judged.owned != 1)


@pytest.mark.req("1.2a", mutant="unknown-as-failed")
def test_the_ledger_says_what_the_books_say(verdicts: list[Judged]) -> None:
    """No effect is committed or verified without its change, none failed or refused with one, no change unowned."""
    expect(verdicts, lambda judged: judged.broken)


def test_what_was_told_before_a_kill_is_in_the_ledger_at_once(verdicts: list[Judged]) -> None:
    """An outcome that the caller had was on disk before the kill, not found out again by the restart."""
    told = [judged for judged in verdicts if judged.ran.kills and judged.ran.told()]
    assert told
    expect(told, lambda judged: judged.lost)


@pytest.mark.req("1.1c", mutant="silent-unknown")
def test_every_open_record_has_owner_next_act_and_due_time(verdicts: list[Judged]) -> None:
    """Whatever is still open when nothing is due says who moves next, how, and until when."""
    assert any(judged.owned for judged in verdicts)
    expect(verdicts, lambda judged: judged.unowned)


@pytest.mark.req("1.8b", mutant=None, reason="the player's defects are planted beside its own tests, in one process")
def test_every_killed_run_plays_back_to_the_same_entries(verdicts: list[Judged]) -> None:
    """Driven again from its record, through every kill and restart, no run diverges and nothing is put aside."""
    assert sum(judged.replayed for judged in verdicts) > 1_000
    expect(verdicts, lambda judged: judged.diverged)
    assert [(judged.sentence, judged.diverged) for judged in verdicts if judged.diverged or judged.aside] == []


def test_the_sample_reaches_every_stage_of_a_life(verdicts: list[Judged]) -> None:
    """The table of the campaign has a line for each stage, and its goals but the number of kills are met."""
    tally = Tally()
    for judged in verdicts:
        tally.add(judged)
    assert {where(judged.ran.case) for judged in verdicts} >= {
        "before dispatch",
        "dispatch commit",
        "on the wire",
        "reply to record",
        "record to told",
        "in recovery",
        "three in a row",
        "at random",
        "with a fault",
        "repeated calls",
    }
    assert [goal for goal in goals(tally) if not goal["met"] and goal["id"] != "kills"] == []
    assert tally.table().count("\n") > 20
