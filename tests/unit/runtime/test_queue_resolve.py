"""What a named person decides of a dead letter, and who is told that somebody else was quicker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.canon import decode
from holdfast.kernel.errors import JobNotMovable, ReasonMissing
from holdfast.report.jobs import job_data
from holdfast.runtime.queue_resolve import resolve
from tests.unit.runtime.worker.floor import Charges, Floor, Raises, job

ANN = {"who": "ann", "vouched_by": "operating-system user ann", "reason": "the list was mended"}


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    """One floor a test."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return Floor(tmp_path)


LIMITS = hf.Limits(runs=hf.Runs(tries=1, owner="billing"))


def opened(floor: Floor) -> hf.App:
    """An application whose jobs have one try."""
    return hf.open(floor.url, tools=[floor.tool()], policy=POLICY, environment="prod", limits=LIMITS)


POLICY = '@id("all") permit(principal, action, resource);'


async def dead_letter(app: Any, purpose: str = "o1") -> str:
    """A run whose planner raised at its only try."""
    answer = await app.submit(hf.Intent(goal="charge", purpose=purpose, principal="shop"))
    async with asyncio.timeout(10):
        await app.work(Raises, stays="empty")
    return answer.reference


@pytest.mark.req("1.6c", mutant="dead-without-owner")
async def test_a_dead_letter_has_an_owner_an_age_a_reason_and_the_acts_that_resolve_it(floor: Floor) -> None:
    """It says whose it is, since when it is dead, what its last try ran into, and the commands that end that."""
    async with opened(floor) as app:
        run = await dead_letter(app)
        letter, now_ms = job(app, run), app.store.now_ms()
        said = job_data(letter, now_ms, app.store.run(run))
    assert (letter.state, said["owner"]) == ("dead", "billing")
    assert 0 <= now_ms - letter.since_ms <= said["age_ms"]
    assert "no plan" in said["why"]
    assert [act.split()[4] for act in said["next"]] == ["--requeue", "--drop"]


@pytest.mark.req("1.6c", mutant="resolved-unread")
async def test_of_two_who_resolve_a_dead_letter_at_once_one_does(floor: Floor) -> None:
    """The second decision is refused though it read the letter when it was dead; the first one stands."""
    async with opened(floor) as app:
        run = await dead_letter(app)
        read = job(app, run)

        class Stale:
            """A store as it was read a moment ago, until the answer comes."""

            asked = 0

            def __getattr__(self, name: str) -> Any:
                return getattr(app.store, name)

            def document(self, kind: str, key: str) -> Any:
                self.asked += 1
                return read if self.asked == 1 else app.store.document(kind, key)

        resolve(app.store, run, "requeue", **ANN)
        with pytest.raises(JobNotMovable):
            resolve(Stale(), run, "drop", who="bob", vouched_by="x", reason="nobody needs it")
        assert job(app, run).state == "queued"
        assert app.store.run(run).state == "blocked"  # as the planner's failure left it


async def test_what_was_requeued_has_all_its_tries_and_the_record_says_by_whom_and_why(floor: Floor) -> None:
    """A requeued letter is driven to its end; its run's entries name the person, who vouched, and the reason."""
    async with opened(floor) as app:
        run = await dead_letter(app)
        assert resolve(app.store, run, "requeue", **ANN).tries == 0
        async with asyncio.timeout(10):
            await app.work(Charges, stays="empty")
        said = [decode(e.body) for e in app.store.entries(run) if e.kind == "queue" and e.by == "ann"]
        assert job(app, run).state == "done"
    assert floor.books.total() == 1
    assert [(body["resolved"], body["job"], body["reason"]) for body in said] == [
        ("requeue", "queued", "ann: the list was mended")
    ]
    assert "operating-system user ann" in said[0]["note"]


async def test_what_was_dropped_ends_with_its_run_and_is_never_driven(floor: Floor) -> None:
    """After a drop the run has ended, holds no place, and no worker takes it up, whoever brings its reference."""
    async with opened(floor) as app:
        run = await dead_letter(app)
        resolve(app.store, run, "drop", **ANN)
        async with asyncio.timeout(10):
            shift = await app.work(Charges, stays="empty")
        row = app.store.run(run)
        assert (job(app, run).state, row.state) == ("dropped", "stopped")
        assert "the list was mended" in row.reason
        assert app.store.document("meter", "runs:all").open == 0
        assert shift.drives == 0
    assert floor.books.total() == 0


async def test_a_letter_may_be_handed_on_and_nothing_is_decided_without_a_name_and_a_reason(floor: Floor) -> None:
    """Handed on it stays dead under its new owner; without a reason, or when it is not dead, nothing is changed."""
    async with opened(floor) as app:
        run = await dead_letter(app)
        with pytest.raises(ReasonMissing):
            resolve(app.store, run, "requeue", who="ann", vouched_by="x", reason=" ")
        handed = resolve(app.store, run, "hand", owner="dispatch", **ANN)
        assert (handed.state, handed.owner) == ("dead", "dispatch")
        resolve(app.store, run, "drop", **ANN)
        with pytest.raises(JobNotMovable):
            resolve(app.store, run, "requeue", **ANN)
