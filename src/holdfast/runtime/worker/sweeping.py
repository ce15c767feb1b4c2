"""What nobody drives any more, and what has stopped waiting: found by a sweep, whatever hints were lost.

Decides what is taken over: the jobs held by a worker that has left, whose lease is over by the store's clock, or that
is proved dead, and those that are this worker's own by the store and that it drives no more. Each is claimed here where
there is a place and this process has what it needs, and otherwise put back into the queue for others; with either that
was a try of the job, unless the store was away meanwhile: no lease could be renewed then, so nobody is taken for gone
before one lease has passed, and what a worker lost by it goes back as it is. Jobs that wait for a person, an operation
or an effect in doubt are looked at again, and put back into their lanes when that is over. Runs that ended while nobody
drove them take their jobs along. Workers that are gone long and hold nothing are marked as left.

Bounded: a sweep looks at so many jobs that wait, turning through them. Promises that a sweep by many workers at once
does each of these things once: every one is a comparing commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.documents import EVERY, Job, Worker, digest_of
from holdfast.kernel.guard import Guard, Rejected
from holdfast.runtime import jobs
from holdfast.runtime.worker import rests
from holdfast.runtime.worker.holding import Held, Holding, put
from holdfast.runtime.worker.outage import PASSING

AT_ONCE = 200
"""Waiting jobs that one sweep looks at."""

GONE_LONG_MS = 3_600_000
"""How long past its lease a worker that holds nothing is still shown."""


class Swept(NamedTuple):
    """What a sweep did: runs taken over here, those of them that others had, jobs that others had and that are queued
    again, jobs that wait no more.
    """

    taken: tuple[Held, ...] = ()
    from_others: int = 0
    returned: int = 0
    woken: int = 0


class Sweeper:
    """One worker's sweeps."""

    def __init__(self, store: Any, holding: Holding, may: Callable[[Job], bool], force: Callable[[Job], Any]) -> None:
        """Over a store (:class:`holdfast.store.Store`); ``may`` and ``force`` as for claims."""
        self._store, self._holding, self._may, self._force = store, holding, may, force
        self._turn = 0

    async def sweep(self, free: int) -> Swept:
        """One round; at most ``free`` runs are taken over to be driven here."""
        await self._strays()
        taken, others, returned = await self._orphans(free)
        try:
            return Swept(taken, others, returned, await self._waiting())
        except PASSING:
            if not taken:
                raise
        return Swept(taken, others, returned)  # what was taken over is driven; the next sweep runs into the same

    async def _gone(self) -> list[str]:
        """Workers that hold jobs and are not there, in the order of their ids."""
        holders = [lane.removeprefix("held:") for lane in self._store.lanes("job") if lane.startswith("held:")]
        found = []
        for holder in holders:
            if holder == self._holding.heart.id:
                continue
            row, now_ms = self._store.document("worker", holder), self._store.now_ms()
            left = not isinstance(row, Worker) or row.state == "left"
            # While the store was away nobody could renew a lease: for as long as one lasts, its end says nothing.
            over = left or (now_ms > row.until_ms and not self._holding.heart.just_back())
            if over or await self._holding.dead(holder):
                found.append(holder)
        return found

    async def _strays(self) -> int:
        """This worker's own, lost or not given back because the store was away: into the queue, and that was no try."""
        me, returned = self._holding.heart, 0
        for job in self._store.documents_due("job", f"held:{me.id}", self._store.now_ms() + EVERY, EVERY):
            if isinstance(job, Job) and job.claimed_ms <= me.back_ms and not self._holding.drives(job.run):
                why = "its worker could not keep it while the store was away"
                awake = jobs.let_go(job, why, self._store.now_ms())
                returned += await put(self._store, job, awake, me.row.process, "drive_ended", why)
        return returned

    async def _orphans(self, free: int) -> tuple[tuple[Held, ...], int, int]:
        taken: list[Held] = []
        others, returned = 0, 0
        me = self._holding.heart.id
        for holder in (*await self._gone(), me):
            why = f"{holder} is gone" if holder != me else "its drive ended and could not give it back"
            for job in self._store.documents_due("job", f"held:{holder}", self._store.now_ms() + EVERY, EVERY):
                if not isinstance(job, Job) or self._holding.drives(job.run):
                    continue
                if len(taken) < free and self._may(job):
                    held = await self._holding.claim(job, force=self._force(job), why=why)
                    taken += [held] if held is not None else []
                    others += held is not None and holder != me
                else:
                    returned += await self._return(job, holder, why) and holder != me
        return tuple(taken), others, returned

    async def _return(self, job: Job, holder: str, why: str) -> bool:
        """Back into the queue, where there is no place here for it or it needs what this process lacks."""
        moved = jobs.taken_over(job, why, self._store.now_ms())
        gone = () if holder == self._holding.heart.id or await self._holding.dead(holder) else (holder,)
        guard = Guard(as_read=(("job", job.id, digest_of(job)),), gone=gone)
        verdict = await self._store.commit(Change(run=job.run, guard=guard, documents=(moved,)))
        return not isinstance(verdict, Rejected)

    async def _waiting(self) -> int:
        """Jobs whose reason to wait is over go back into their lanes."""
        waiting = self._store.documents_due("job", "waits", self._store.now_ms() + EVERY, EVERY)
        if not waiting:
            return 0
        start = self._turn % len(waiting)
        self._turn += AT_ONCE
        woken = 0
        for job in (waiting[start:] + waiting[:start])[:AT_ONCE]:
            if not isinstance(job, Job) or not (why := rests.over(job, self._store)):
                continue
            run = self._store.run(job.run)
            over = rests.ended(job, run) if run is not None else None
            now_ms = self._store.now_ms()
            awake = replace(jobs.woken(job, now_ms), since_ms=0)
            me = self._holding.heart.row.process
            woken += await put(self._store, job, over or awake, me, "drive_due", why)
        return woken

    async def forget(self, older_ms: int = GONE_LONG_MS) -> int:
        """Mark workers as left that are gone so long and hold nothing; how many."""
        return await forget(self._store, older_ms)


async def forget(store: Any, older_ms: int, only: str = "") -> int:
    """Workers that are past their lease by ``older_ms`` and hold nothing are marked as left; how many were."""
    now_ms, held, count = store.now_ms(), store.lanes("job"), 0
    for row in store.documents_due("worker", "there", now_ms - older_ms, EVERY):
        if not isinstance(row, Worker) or f"held:{row.id}" in held or (only and row.id != only):
            continue
        guard = Guard(as_read=(("worker", row.id, digest_of(row)),), gone=(row.id,))
        change = Change(run=STORE_RUN_ID, guard=guard, documents=(replace(row, state="left"),))
        count += not isinstance(await store.commit(change), Rejected)
    return count
