"""What every store promises of queued work: places by time, documents as they were read, and who drives a run."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.canon import decode
from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.documents import MINT, Job, Worker, digest_of
from holdfast.kernel.guard import Guard, Rejected
from tests.contract.acts import Acts

LEASE_MS = 10_000
EMPTY = Guard()


def applied(verdict: Any) -> None:
    """It was a yes; no effect is part of it."""
    assert isinstance(verdict, Applied), verdict


def rejected(verdict: Any, part: str) -> None:
    """It was a no, for this part of the guard."""
    assert isinstance(verdict, Rejected), verdict
    assert verdict.part == part


def note(kind: str = "queued") -> Note:
    """A note of somebody."""
    return Note(kind=kind, by="w1", body={})


def put(acts: Acts, *documents: Any, guard: Guard = EMPTY) -> Change:
    """Replace documents of the run."""
    return Change(run=acts.run.id, guard=guard, notes=(note(),), documents=documents)


def job(acts: Acts, name: str = "", **more: Any) -> Job:
    """A queued run."""
    return Job(id=name or acts.run.id, run=acts.run.id, **more)


async def claimed(store: Any, acts: Acts, worker: str = "wo_1") -> Job:
    """The run, claimed by a worker that is there."""
    there = Worker(id=worker, lease_ms=LEASE_MS)
    applied(await store.commit(put(acts, there, job(acts, state="claimed", holder=worker, token=MINT))))
    return store.document("job", acts.run.id)


async def test_what_is_due_comes_by_rank_and_then_by_time(place, acts) -> None:
    """Of one lane those that are due come: the highest rank first, of one rank the earliest due; others stay out."""
    store = place.open()
    applied(await store.commit(acts.begin()))
    given = [("ru_a", 0, 5), ("ru_b", 2, 9), ("ru_c", 0, 3), ("ru_d", 9, 11)]
    jobs = [job(acts, name, priority=rank, not_before_ms=due, work="mail") for name, rank, due in given]
    applied(await store.commit(put(acts, *jobs, job(acts, "ru_x", work="other"), job(acts, "ru_y", state="done"))))

    assert [found.id for found in store.documents_due("job", "queued:mail", 10)] == ["ru_b", "ru_c", "ru_a"]
    assert [found.id for found in store.documents_due("job", "queued:mail", 10, 1)] == ["ru_b"]
    assert store.lanes("job") == {"queued:mail": (4, 3), "queued:other": (1, 0)}


async def test_a_document_that_moved_since_it_was_read_is_not_replaced(place, acts) -> None:
    """Of two that replace the document they both read, the second is rejected; what must be new may not be there."""
    store = place.open()
    applied(await store.commit(acts.begin()))
    new = Guard(as_read=(("job", acts.run.id, ""),))
    applied(await store.commit(put(acts, job(acts), guard=new)))
    rejected(await store.commit(put(acts, job(acts, why="again"), guard=new)), "document")

    seen = Guard(as_read=(("job", acts.run.id, digest_of(store.document("job", acts.run.id))),))
    applied(await store.commit(put(acts, job(acts, why="first"), guard=seen)))
    rejected(await store.commit(put(acts, job(acts, why="second"), guard=seen)), "document")
    assert store.document("job", acts.run.id).why == "first"


async def test_eight_claims_of_one_job_have_one_winner(place, acts) -> None:
    """Of eight workers that claim one job at once, exactly one has it; tokens rise over the whole store."""
    first = place.open()
    applied(await first.commit(acts.begin()))
    applied(await first.commit(put(acts, job(acts))))
    read = first.document("job", acts.run.id)
    stores = [place.open(f"w{n}") for n in range(8)]
    guard = Guard(as_read=(("job", acts.run.id, digest_of(read)),))
    claims = [replace(read, state="claimed", holder=f"wo_{n}", token=MINT) for n in range(8)]
    verdicts = await asyncio.gather(*(s.commit(put(acts, c, guard=guard)) for s, c in zip(stores, claims, strict=True)))

    won = [c.holder for v, c in zip(verdicts, claims, strict=True) if type(v).__name__ == "Applied"]
    held = first.document("job", acts.run.id)
    assert won == [held.holder]
    assert held.token > 0
    assert held.claimed_ms > 0


async def test_who_does_not_drive_a_run_any_more_changes_nothing_and_is_recorded(place, acts) -> None:
    """A commit under a lower token than the job's is refused, and a late entry has both tokens and holders."""
    store = place.open()
    applied(await store.commit(acts.begin()))
    before = await claimed(store, acts)
    step = Change(run=acts.run.id, guard=Guard(driver=(acts.run.id, before.token, "wo_1")), notes=(note("step"),))
    applied(await store.commit(step))
    after = await claimed(store, acts, "wo_2")
    assert after.token > before.token

    entries = len(store.entries(acts.run.id))
    rejected(await store.commit(step), "driver")
    late = store.entries(acts.run.id)[entries:]
    assert [entry.kind for entry in late] == ["late"]
    said = decode(late[0].body)
    assert (said["offered"], said["current"], said["offered_by"], said["holder"]) == (
        before.token,
        after.token,
        "wo_1",
        "wo_2",
    )


async def test_a_worker_whose_lease_ran_out_drives_nothing_until_it_is_seen_again(place, acts) -> None:
    """Past its lease, by the store's clock, a worker's commits are refused; who has to be gone is, and not before."""
    store = place.open()
    applied(await store.commit(acts.begin()))
    mine = await claimed(store, acts)
    drives = Change(run=acts.run.id, guard=Guard(driver=(acts.run.id, mine.token, "wo_1")), notes=(note("step"),))
    over = put(acts, replace(mine, why="taken over"), guard=Guard(gone=("wo_1",)))
    rejected(await store.commit(over), "held")
    place.clock.advance(LEASE_MS + 1)
    rejected(await store.commit(drives), "driver")
    applied(await store.commit(put(acts, Worker(id="wo_1", lease_ms=LEASE_MS))))
    applied(await store.commit(drives))
    place.clock.advance(LEASE_MS + 1)
    applied(await store.commit(over))
