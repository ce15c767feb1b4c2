"""Jobs move only as their table says, whatever is asked of them in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.kernel.documents import MINT, Job
from holdfast.kernel.errors import JobNotMovable, ReasonMissing
from holdfast.runtime import jobs

NOW_MS = 1_000_000

ASKED: dict[str, Any] = {
    "claim": lambda job: jobs.claimed(job, "wo_1"),
    "take over": lambda job: jobs.taken_over(job, "it is gone", NOW_MS, "wo_2"),
    "take back": lambda job: jobs.taken_over(job, "it is gone", NOW_MS),
    "give back": lambda job: jobs.given_back(job, "it raised", NOW_MS),
    "let go": lambda job: jobs.let_go(job, "it drains", NOW_MS),
    "wait": lambda job: jobs.waits_for_a_person(job, "ap_1", NOW_MS),
    "wake": lambda job: jobs.woken(job, NOW_MS),
    "finish": jobs.done,
    "drop": lambda job: jobs.dropped(job, "it was cancelled"),
    "bury": lambda job: jobs.buried(job, "its deadline passed"),
    "requeue": lambda job: jobs.resolved(job, "requeue", by="ann", reason="mended", now_ms=NOW_MS),
    "resolve drop": lambda job: jobs.resolved(job, "drop", by="ann", reason="nobody wants it", now_ms=NOW_MS),
    "hand": lambda job: jobs.resolved(job, "hand", by="ann", reason="his", now_ms=NOW_MS, owner="bob"),
}


def fresh(**more: Any) -> Job:
    """A job as its submission records it."""
    return replace(jobs.queued("ru_1", principal="alice", work="mail"), accepted_ms=1, since_ms=1, **more)


@pytest.mark.req("1.6a", mutant=None, reason="the table of moves is searched for a path that should not be there")
@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(ASKED)), max_size=40))
def test_no_order_of_asking_leaves_the_table(asked: list[str]) -> None:
    """Whatever is asked, a job moves as its table says or not at all; ends stay ends, and a dead one has an owner."""
    job, tokens = fresh(), 0
    for name in asked:
        before = job
        try:
            job = ASKED[name](job)
        except JobNotMovable:
            continue
        assert jobs.legal(before, job), f"{before.state} to {job.state} by {name}"
        assert before.state not in ("done", "dropped") or job == before
        assert job.state in jobs.STATES
        assert (job.state == "claimed") == bool(job.holder)
        assert job.state != "dead" or (job.owner and job.why and 0 <= job.tries <= job.most_tries)
        if job.mints:
            tokens += 1
            job = job.stamped(NOW_MS, lambda tokens=tokens: tokens)
        assert job.token == tokens, "only a claim draws a token, and nothing takes it back"


@settings(deadline=None)
@given(st.integers(1, 9))
def test_a_poison_job_is_dead_after_its_tries_and_each_pause_is_no_shorter(most: int) -> None:
    """Claimed and given back again and again, a job is dead after as many tries as it has, with pauses that grow."""
    job, pauses = replace(fresh(), most_tries=most), []
    for _ in range(most):
        job = jobs.given_back(jobs.claimed(job, "wo_1"), "it raised", NOW_MS)
        if job.state == "queued":
            pauses.append(job.not_before_ms - NOW_MS)
    assert (job.state, job.tries) == ("dead", most)
    assert pauses == sorted(pauses)
    assert len(pauses) == most - 1
    assert all(0 < pause <= jobs.LONGEST_BACK_OFF_MS for pause in pauses)


def test_waiting_and_draining_are_no_tries() -> None:
    """A job that waits for a person or whose worker drains keeps all its tries, however often."""
    job = fresh()
    for _ in range(50):
        job = jobs.waits_for_a_person(jobs.claimed(job, "wo_1"), "ap_1 waits for payments", NOW_MS)
        assert job.place is not None
        assert job.place.lane == "waits"
        job = jobs.let_go(jobs.claimed(jobs.woken(job, NOW_MS), "wo_1"), "it drains", NOW_MS)
    assert (job.state, job.tries, job.not_before_ms) == ("queued", 0, NOW_MS)


def test_a_dead_letter_goes_nowhere_without_a_name_and_a_reason() -> None:
    """A decision about a dead letter needs who and why; with both it has all its tries again."""
    dead = jobs.buried(jobs.claimed(replace(fresh(), tries=4), "wo_1"), "a person must decide")
    with pytest.raises(ReasonMissing):
        jobs.resolved(dead, "requeue", by="ann", reason=" ", now_ms=NOW_MS)
    with pytest.raises(JobNotMovable):
        jobs.resolved(fresh(), "drop", by="ann", reason="nobody wants it", now_ms=NOW_MS)
    again = jobs.resolved(dead, "requeue", by="ann", reason="the planner is mended", now_ms=NOW_MS)
    assert (again.state, again.tries) == ("queued", 0)


def test_a_token_is_drawn_by_each_claim_and_by_nothing_else() -> None:
    """A claim and a takeover ask the commit for a token; what goes back to the queue keeps the last one."""
    held = jobs.claimed(fresh(), "wo_1")
    assert held.token == MINT
    held = held.stamped(NOW_MS, lambda: 7)
    assert (held.token, held.claimed_ms, held.since_ms) == (7, NOW_MS, NOW_MS)
    assert jobs.taken_over(held, "it is gone", NOW_MS, "wo_2").token == MINT
    assert jobs.given_back(held, "it raised", NOW_MS).token == 7
