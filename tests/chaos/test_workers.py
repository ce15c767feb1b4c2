"""Several real `holdfast work` at once, killed, paused, drained and told apart: the payment service's books judge.

Each story is told over a file of SQLite and over PostgreSQL. What every test asks first is how often the outside
changed; only then what the ledger says of it.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.chaos.fleet import machines_allowed, until
from tests.chaos.yard import WITHIN_S, Yard

pytestmark = pytest.mark.slow
OWN_PROCESS = "real processes; the defect is planted in the workers' own tests and in one of the chaos tier's"
MOMENTS = {
    "before it proposes": "plan:before",
    "in admit": "admit/store.later#2:before",
    "in claim": "claim/store.later#1:before",
    "in dispatch, before the commit": "dispatch/store.commit#1:before",
    "in dispatch, after the commit": "dispatch/store.commit#1:after",
    "in the body, before it sends": "body/wire.send#1:before",
    "in the body, before it reads the reply": "body/wire.send#1:after",
    "in observe": "observe/store.later#1:before",
    "while it looks to verify": "look:before",
    "in verify": "verify/store.later#1:after",
}
"""Where a worker stops in the middle of a run: a moment in each verb, and each side of the wire."""

TOLD_ONCE = pytest.mark.xdist_group("told")
"""What is read off one story belongs to the process that tells it."""


async def test_sixty_orders_change_sixty_invoices_though_a_worker_is_killed_in_the_middle(yard: Yard) -> None:
    """Two workers, a kill -9 of one while it holds runs: each order changed once, and all are verified."""
    await yard.submit(*(f"o{number}" for number in range(60)))
    victim = yard.start("victim")
    assert until(lambda: sum(yard.changes().values()) >= 5, WITHIN_S, 0.01), yard.logs()
    yard.start("other")
    assert until(lambda: sum(yard.changes().values()) >= 15, WITHIN_S, 0.01), yard.logs()
    assert sum(yard.changes().values()) < 60
    assert victim.signal(signal.SIGKILL)
    yard.verified()


@pytest.mark.req("1.4a", mutant="claim-without-comparison")
async def test_eight_workers_race_for_each_job_and_one_drives_it(yard: Yard) -> None:
    """Eight that wait for work, and jobs that come one by one: each has one claim in its log and one change outside."""
    for number in range(8):
        yard.start(f"racer{number}")
    yard.ready(8)
    for number in range(10):
        await yard.submit(f"o{number}")
        yard.done(f"o{number}")
    yard.verified()
    assert [yard.entries(name, "drive", "drive_taken")[1:] for name in yard.orders] == [[]] * 10


class Told(msgspec.Struct, kw_only=True):
    """What was seen of workers that stopped: the books before and after they woke, and what was recorded."""

    before: dict[str, int]
    after: dict[str, int]
    held: dict[str, tuple[str, int]]
    """By moment: the worker that stopped, and the token it had."""
    taker: str
    late: dict[str, list[dict[str, Any]]]
    listed: dict[str, dict[str, Any]]
    states: dict[str, list[str]]
    jobs: dict[str, str]
    entries: int


def tell(yard: Yard) -> Told:
    """Workers stop, each in a run of its own at a moment of its own; one more takes all over; then they wake up."""
    sleepers = {}
    for number, (moment, at) in enumerate(MOMENTS.items()):
        sleepers[moment] = yard.start(f"w{number}", "--work", f"c{number}", "--at-once", "1", env={"STOP_AT": at})
    for moment, sleeper in sleepers.items():
        assert until(lambda one=sleeper: one.stopped, WITHIN_S), f"{moment}\n{yard.logs()}"
    held = {moment: (yard.job(moment).holder, yard.job(moment).token) for moment in MOMENTS}
    yard.start("taker")
    yard.done()
    [taker] = {body["worker"] for moment in MOMENTS for _, body in yard.entries(moment, "drive", "drive_taken")[-1:]}
    before = dict(yard.changes())
    for sleeper in sleepers.values():
        assert sleeper.signal(signal.SIGCONT)
    assert until(lambda: all(yard.entries(moment, "late") for moment in MOMENTS), WITHIN_S, 0.1), yard.logs()
    code, listed = yard.ask("worker", "list", "--all")
    assert code == 0, listed
    with yard.store() as store:
        states = {moment: [view.state.value for view in store.effects(run=yard.runs[moment])] for moment in MOMENTS}
        entries = store.verify().entries
    return Told(
        before=before,
        after=dict(yard.changes()),
        held=held,
        taker=taker,
        late={moment: [body for _, body in yard.entries(moment, "late")] for moment in MOMENTS},
        listed={one["id"]: one for one in listed},
        states=states,
        jobs={moment: yard.job(moment).state for moment in MOMENTS},
        entries=entries,
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, yard_of: Any) -> Iterator[Told]:
    """The story, told once over each kind of store."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-chaos-", ignore_cleanup_errors=True) as folder,
        yard_of(Path(folder), request.param) as yard,
    ):
        for number, moment in enumerate(MOMENTS):
            asyncio.run(yard.submit(moment, work_class=f"c{number}"))
        yield tell(yard)


@TOLD_ONCE
@pytest.mark.req("1.4a", "2.9a", mutant=None, reason=OWN_PROCESS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_whose_worker_stopped_is_ended_by_another_with_one_change(told: Told, moment: str) -> None:
    """Taken over in the middle of a verb: one change by the books, before and after the sleeper woke; verified."""
    name = f"{moment} refund"
    assert (told.before[name], told.after[name]) == (1, 1)
    assert told.jobs[moment] == "done"
    assert told.states[moment][-1] == "verified"
    assert set(told.states[moment][:-1]) <= {"failed", "refused"}
    assert told.entries > 0


@TOLD_ONCE
@pytest.mark.req("1.4c", mutant="drive-without-token")
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_the_sleeper_wanted_is_refused_and_recorded_with_both_tokens_and_holders(told: Told, moment: str) -> None:
    """The worker that wakes past its lease changes nothing more; its run's log and `worker list` say both sides."""
    holder, token = told.held[moment]
    [late] = told.late[moment]
    assert (late["offered_by"], late["offered"]) == (holder, token)
    assert holder != told.taker
    assert late["current"] > token
    assert late["holder"] in (told.taker, "")  # the run may be over by then, and its job nobody's
    shown = [one for one in told.listed[holder]["refused"] if one["offered"] == token]
    assert [(one["current"], one["holder"]) for one in shown] == [(late["current"], late["holder"])]


@pytest.mark.req("1.4a", mutant="drain-keeps-its-claims")
async def test_a_worker_asked_to_end_gives_back_at_once_what_it_holds(yard: Yard) -> None:
    """SIGTERM in the middle of a call: exit 0, the job is queued and untried, and another one ends it; one change."""
    yard.payments.switch("work_then_hang", 1_400, times=1)
    worker = yard.start("leaves", "--grace", "100ms", lease="30s")
    await yard.submit("o1")
    assert until(lambda: yard.changes()["o1 refund"] == 1, WITHIN_S, 0.01), yard.logs()
    assert worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, yard.logs()
    job = yard.job("o1")
    assert (job.state, job.holder, job.tries) == ("queued", "", 0)
    assert [one["state"] for one in yard.standing()] == ["left"]
    yard.start("comes")
    yard.verified()


@pytest.mark.req("1.4a", mutant="versions-ignored")
async def test_beside_a_worker_of_another_version_runs_go_to_whoever_has_the_one_in_force(yard: Yard) -> None:
    """The old one drives until a person accepts the changed contract, the new one from then on; each says its lack."""
    yard.start("old")
    yard.ready(1)
    await yard.submit("o1")
    yard.done("o1")
    [old] = [one["id"] for one in yard.standing()]
    yard.start("new", env={"WORDS": "Refund one invoice, as of today."})
    yard.ready(2)
    [new] = [one["id"] for one in yard.standing() if one["id"] != old]

    def lacks(worker: str) -> bool:
        return any(one["id"] == worker and one["lacks"] for one in yard.standing())

    assert until(lambda: lacks(new), WITHIN_S)
    assert not lacks(old)
    code, said = yard.ask("tool", "review", "refund", "--accept", "--as", "anna", "--reason", "the words are right")
    assert code == 0, said
    await yard.submit("o2")
    assert until(lambda: lacks(old) and not lacks(new), WITHIN_S)
    yard.verified()
    drove = {name: [body["worker"] for _, body in yard.entries(name, "drive", "drive_taken")] for name in yard.orders}
    assert drove == {"o1": [old], "o2": [new]}


async def test_a_worker_of_another_machine_is_not_taken_for_dead_before_its_lease_is_over(yard: Yard) -> None:
    """In process-id namespaces of their own nobody can prove a death: the run waits for the lease; one change."""
    apart = not machines_allowed()
    if not apart:
        print(f"not run on machines apart: {machines_allowed()}")
    yard.payments.switch("work_then_hang", 1_400, times=1)
    victim = yard.start("victim", apart=apart)
    await yard.submit("o1")
    assert until(lambda: yard.changes()["o1 refund"] == 1, WITHIN_S, 0.01), yard.logs()
    holder = yard.job("o1").holder
    assert victim.signal(signal.SIGKILL)
    yard.start("other", apart=apart)
    yard.verified()
    row = next(one for one in yard.standing() if one["id"] == holder)
    with yard.store() as store:
        [taken] = [entry for entry in store.entries(yard.runs["o1"]) if entry.kind == "drive_taken"]
        until_ms = store.document("worker", holder).until_ms
    assert (taken.at_ms > until_ms) is apart
    assert row["holds"] == []
