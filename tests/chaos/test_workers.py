"""Several real `holdfast work` at once, killed, paused, drained and told apart: the payment service's books judge.

Each story is told over a file of SQLite and over PostgreSQL. What every test asks first is how often the outside
changed; only then what the ledger says of it.
"""

from __future__ import annotations

import signal

import pytest

from tests.chaos.fleet import machines_allowed, until
from tests.chaos.yard import WITHIN_S, Yard

pytestmark = pytest.mark.slow


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
