"""Submitting for the queue: a run and its job in one commit, once for a purpose, and ahead of what it supersedes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.documents import Job
from holdfast.kernel.errors import BadValue, IntentDiffers
from holdfast.kernel.guard import Rejected
from holdfast.runtime.items import Sight
from holdfast.runtime.queue_wanted import put_right, read_again

LIMITS = hf.Limits(runs=hf.Runs(per_principal=3, work={"mail": 2}, tries=4, owner="ops", deadline="1h"))


def opened(tmp_path: Path, limits: hf.Limits | None = LIMITS) -> Any:
    """An application that takes nothing up by itself."""
    return hf.open(f"sqlite:{tmp_path / 'store.db'}", limits=limits, recover=False)


def intent(purpose: str = "bill 1", principal: str = "alice", **terms: Any) -> hf.Intent:
    """An intent of a principal."""
    return hf.Intent(goal="pay", purpose=purpose, principal=principal, **terms)


def job_of(app: Any, run: str) -> Job:
    """The job of a run as it is on disk."""
    found = app.store.document("job", run)
    assert isinstance(found, Job)
    return found


async def end(app: Any, run: Any, state: str = "done") -> None:
    """End a run as its driver would."""
    await run.stop("as asked", state=state)


@pytest.mark.req("1.6a", mutant="job-apart")
async def test_a_run_is_recorded_with_its_job_in_one_commit(tmp_path: Path) -> None:
    """A submitted run is queued from the very commit that records it, on its terms; what travels is its id alone."""
    async with opened(tmp_path) as app:
        refused: list[Any] = []
        commit = app.ports.store.commit

        async def only_the_first(change: Any) -> Any:
            if refused:
                return Rejected(part="store", why="the power went after the first commit")
            refused.append(change)
            return await commit(change)

        app.ports.store.commit = only_the_first
        try:
            answer = await app.submit(intent(), priority=5, work_class="mail", planner="clerk", not_before="10m")
        finally:
            app.ports.store.commit = commit
        job, now_ms = job_of(app, answer.reference), app.store.now_ms()
    assert (job.state, job.work, job.principal, job.priority, job.planner) == ("queued", "mail", "alice", 5, "clerk")
    assert (job.owner, job.most_tries, job.tries) == ("ops", 4, 0)
    assert 0 < job.not_before_ms - now_ms <= 600_000
    assert job.accepted_ms > 0
    assert answer.reference == job.run == answer.run.id


@pytest.mark.req("1.6b", mutant="submit-again")
async def test_who_is_not_sure_submits_again_and_there_is_one_run(tmp_path: Path) -> None:
    """Submitted again while it waits, by ten at once, and after it was done: always the one run and its one job."""
    async with opened(tmp_path) as app:
        answers = await asyncio.gather(*(app.submit(intent()) for _ in range(10)))
        first = answers[0].unwrap()
        await end(app, first)
        after = await app.submit(intent())
        jobs_now = app.store.documents("job")
    assert {answer.reference for answer in answers} == {first.id}
    assert (after.answer, after.code, after.reference) == ("accept", "over", first.id)
    assert [(job.id, job.state) for job in jobs_now] == [(first.id, "done")]


async def test_what_was_cancelled_is_not_brought_back_by_who_submits_it_again(tmp_path: Path) -> None:
    """A purpose that was cancelled is refused with its end; with a reason it is done once more, once for that."""
    async with opened(tmp_path) as app:
        first = (await app.submit(intent())).unwrap()
        await end(app, first, "stopped")
        refused = await app.submit(intent())
        again = await app.submit(intent(), again="the invoice was corrected")
        await end(app, again.unwrap())
        once = await app.submit(intent(), again="the invoice was corrected")
        state = job_of(app, first.id).state
    assert (refused.answer, refused.code) == ("refuse", "over")
    assert "stopped" in refused.reason
    assert again.reference != first.id
    assert (once.code, once.reference) == ("over", again.reference)
    assert state == "dropped"


@pytest.mark.req("1.6a", mutant="never-superseded")
async def test_what_is_superseded_is_not_driven_and_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """A newer submission ends the older run and its job; another's run cannot be superseded."""
    async with opened(tmp_path) as app:
        old = (await app.submit(intent("config 1"))).unwrap()
        await app.submit(intent("config of bob", "bob"))
        new = (await app.submit(intent("config 2"), supersedes="config 1")).unwrap()
        late = await app.submit(intent("config 1"))
        states = [app.store.run(run.id).state for run in (old, new)]
        jobs_now = [job_of(app, run.id).state for run in (old, new)]
        with pytest.raises(IntentDiffers):
            await app.submit(intent("config 3"), supersedes=["config of bob"])
    assert states == ["stopped", "open"]
    assert jobs_now == ["dropped", "queued"]
    assert (late.answer, late.code) == ("refuse", "over")
    assert "superseded" in late.reason


@pytest.mark.req("1.6a", mutant="superseded-goes-on")
async def test_a_client_killed_before_the_old_run_ended_has_superseded_it_all_the_same(tmp_path: Path) -> None:
    """With the new run on disk and the old one still open, who reads the old reference again finds it superseded."""
    async with opened(tmp_path) as app:
        old = (await app.submit(intent("config 1"))).unwrap()
        commit, seen = app.ports.store.commit, []

        async def killed(change: Any) -> Any:
            if seen:
                raise asyncio.CancelledError
            seen.append(change)
            return await commit(change)

        app.ports.store.commit = killed
        with pytest.raises(asyncio.CancelledError):
            await app.submit(intent("config 2"), supersedes="config 1")
        app.ports.store.commit = commit
        assert app.store.run(old.id).state == "open"
        found, job, row = read_again(app.store, old.id, app.store.now_ms())
        assert found.what == "superseded"
        assert job is not None
        assert row is not None
        change = put_right(job, row, found, [], app.store.now_ms(), by="wo_1")
        assert change is not None
        await commit(change)
        assert (app.store.run(old.id).state, job_of(app, old.id).state) == ("stopped", "dropped")
        again = await app.submit(intent("config 2"), supersedes="config 1")
    assert again.code == "known"


@pytest.mark.req("1.7a", mutant="begins-late")
async def test_what_would_begin_after_its_deadline_is_refused(tmp_path: Path) -> None:
    """A submission that is not to begin before its deadline is refused, and nothing of it waits."""
    async with opened(tmp_path) as app:
        late = await app.submit(intent(deadline="5m"), not_before="10m")
        by_default = await app.submit(intent("bill 2"), not_before="61m")
        at_an_instant = await app.submit(intent("bill 3", deadline="5m"), not_before=app.store.now_ms() + 600_000)
        in_time = await app.submit(intent("bill 4", deadline="20m"), not_before="10m")
        waiting = app.store.documents("job")
    assert [(one.answer, one.code) for one in (late, by_default, at_an_instant)] == [("refuse", "past-deadline")] * 3
    assert [job.id for job in waiting] == [in_time.reference]


@pytest.mark.req("1.5b", mutant="runs-unbounded")
async def test_what_waits_counts_in_the_bounds_of_its_class_and_principal(tmp_path: Path) -> None:
    """Queued runs take the places of open runs: a full class answers schedule, a full principal refuse."""
    async with opened(tmp_path) as app:
        one = await app.submit(intent("m1"), work_class="mail")
        await app.submit(intent("m2"), work_class="mail")
        full = await app.submit(intent("m3", "bob"), work_class="mail")
        await app.submit(intent("x1"))
        share = await app.submit(intent("x2"))
        instead = await app.submit(intent("m4"), work_class="mail", supersedes="m1")
        state = job_of(app, one.reference).state
    assert (full.answer, full.code) == ("schedule", "runs-full")
    assert (share.answer, share.code) == ("refuse", "principal-runs")
    assert instead.answer == "accept", "what it supersedes made room for it"
    assert state == "dropped"


async def test_what_was_seen_is_recorded_with_the_run_and_its_content(tmp_path: Path) -> None:
    """Items of a submission are there for whoever drives the run, from the commit that records it."""
    async with opened(tmp_path) as app:
        saw = [Sight("mailbox:42", "please pay in_7", "untrusted"), Sight("crm", {"iban": "X"}, "observed")]
        run = (await app.submit(intent(), saw=saw)).unwrap()
        seen = await app.ports.store.run_items(run.id)
    assert sorted(item.source for item in seen) == ["crm", "mailbox:42"]


async def test_a_program_that_carries_its_run_out_itself_has_no_job(tmp_path: Path) -> None:
    """With queued=False nothing waits for a worker, and a purpose may be begun again after its end."""
    async with opened(tmp_path, None) as app:
        first = (await app.submit(intent(), queued=False)).unwrap()
        await end(app, first)
        second = (await app.submit(intent(), queued=False)).unwrap()
        assert app.store.documents("job") == []
    assert first.id != second.id


@pytest.mark.parametrize(
    "given",
    [
        {"work_class": "a/b"}, {"work_class": 7}, {"priority": "high"}, {"priority": 1_001}, {"not_before": -1},
        {"not_before": True}, {"not_before": 10**30}, {"planner": "\ud800"}, {"planner": "p" * 101}, {"owner": "o\x00"},
    ],
)  # fmt: skip
async def test_terms_that_make_no_sense_are_refused_before_anything_is_recorded(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    """A class or a priority that is none is a fault of the caller, and nothing waits."""
    async with opened(tmp_path) as app:
        with pytest.raises(BadValue):
            await app.submit(intent(), **given)
        assert app.store.documents("job") == []


async def test_nobody_stands_before_those_who_were_there_first_by_naming_an_instant_of_long_ago(tmp_path: Path) -> None:
    """What might begin since 1970 has waited since it was submitted, in the queue and in what is said of the oldest."""
    async with opened(tmp_path) as app:
        now_ms = app.store.now_ms()
        run = (await app.submit(intent(), not_before=1)).reference
        assert app.store.document("job", run).not_before_ms >= now_ms


async def test_a_run_that_was_only_submitted_is_not_said_to_be_gone_on_with(tmp_path: Path) -> None:
    """Neither its submission nor another process that finds it looks over what was never driven."""
    async with opened(tmp_path) as app:
        run = (await app.submit(intent())).unwrap()
    async with opened(tmp_path) as app:
        assert (await app.begin(intent())).resumption is None
        assert "resumed" not in [entry.kind for entry in app.store.entries(run.id)]
