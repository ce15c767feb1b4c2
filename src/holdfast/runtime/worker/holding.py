"""What one process drives, and under which tokens: jobs claimed, held, given back.

Decides who may drive a queued run, with one commit each: a claim compares the job with what was read, and takes over a
claimed one only where its holder left, is past its lease by the store's clock, or is proved dead (same host, same boot,
its process is gone). The commit draws the token. A claim also renews this process's own row, so that nobody holds a job
under a lease that was over before.

Promises that of any number of claims of one job one succeeds; that while a job is held every change of its run goes
through :class:`Driven`; and that closing gives everything back at once. Does not drive anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace as with_parts
from types import TracebackType
from typing import Any, Protocol, Self

from msgspec.structs import replace

from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import AnyDocument, Job, Worker, digest_of
from holdfast.kernel.errors import HoldfastError, RunHeld, RunLost, VersionMissing
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Run
from holdfast.kernel.ports import Ports, StorePort
from holdfast.runtime import jobs
from holdfast.runtime.ending import Report
from holdfast.runtime.worker import rests
from holdfast.runtime.worker.driven import Driven
from holdfast.runtime.worker.heart import Heart
from holdfast.runtime.worker.outage import PASSING

log = logging.getLogger("holdfast.worker")


class Ledger(Protocol):
    """What holding needs of a store beside its port."""

    async def run_row(self, run: str) -> Run | None: ...
    def document(self, kind: str, key: str) -> AnyDocument | None: ...
    def now_ms(self) -> int: ...


class Held:
    """A run that this process drives: its job as it was claimed, and the ports that carry the claim."""

    def __init__(self, job: Job, ports: Ports, store: Driven) -> None:
        """Made by :meth:`Holding.claim`."""
        self.job, self.ports, self.store = job, ports, store
        self.users = 1
        """How many drives of this process go on under this one claim."""

    @property
    def lost(self) -> str:
        """Why it is not this process's any more; empty while nothing said so."""
        return self.store.lost


class Holding:
    """The jobs of one open application."""

    def __init__(self, ports: Callable[[], Ports], ledger: Ledger, heart: Heart, lacks: Callable[[str], str]) -> None:
        """``ports`` are those of the application; ``lacks`` says that it lacks a tool's version in force."""
        self._ports, self._ledger, self._lacks = ports, ledger, lacks
        self.heart = heart
        self.held: dict[str, Held] = {}
        self._moving: set[str] = set()

    def drives(self, run: str) -> bool:
        """Whether a run is held here, or is being claimed or given back at this moment."""
        return run in self.held or run in self._moving

    def ports_of(self, run: str) -> Ports | None:
        """The ports under which a run is driven here; None where it is not under a claim."""
        held = self.held.get(run)
        return held.ports if held is not None else None

    def others(self, run: str) -> str:
        """The id of another worker that drives a run now and is there; empty: there is none."""
        job = self._ledger.document("job", run)
        if not isinstance(job, Job) or job.state != "claimed" or job.holder == self.heart.id:
            return ""
        return "" if self._over(job.holder) else job.holder

    def _over(self, holder: str) -> bool:
        known = self._ledger.document("worker", holder)
        return not isinstance(known, Worker) or known.state == "left" or self._ledger.now_ms() > known.until_ms

    async def dead(self, holder: str) -> bool:
        """Whether a worker is proved dead, whatever its lease says."""
        known = self._ledger.document("worker", holder)
        return isinstance(known, Worker) and bool(known.process) and await self._ports().peers.dead(known.process)

    async def claim(
        self, job: Job, *, force: tuple[tuple[str, str], ...] = (), why: str = "", planner: str = ""
    ) -> Held | None:
        """Hold a queued job, or take over a claimed one; None where another was first or its holder is there.

        ``force`` has to be in force at that instant. A job whose last try was with the worker that is gone is not held
        but dead. A job that is this worker's by the store, and that no drive here has any more, is taken over from
        itself. ``planner`` drives it from here on, if that is another. Raises what the store raises.
        """
        if self.drives(job.run):
            return None
        self._moving.add(job.run)
        try:
            return await self._claim(job, force, why, planner)
        finally:
            self._moving.discard(job.run)

    async def _claim(self, job: Job, force: tuple[tuple[str, str], ...], why: str, planner: str) -> Held | None:
        await self.heart.start()
        now_ms, gone = self._ledger.now_ms(), tuple[str, ...]()
        if job.state == "claimed":
            gone = () if job.holder == self.heart.id or await self.dead(job.holder) else (job.holder,)
            moved = jobs.taken_over(job, why or f"{job.holder} is gone", now_ms, self.heart.id)
            moved = replace(moved, planner=planner or moved.planner)
        else:
            moved = jobs.claimed(job, self.heart.id, planner)
        guard = Guard(as_read=(("job", job.id, digest_of(job)),), gone=gone, in_force=force)
        note = "drive_taken" if job.state == "claimed" else "drive"
        body = {"worker": self.heart.id, "process": self.heart.row.process} | (
            {"from": job.holder} if job.holder else {}
        )
        return await self._recorded(moved, guard, Note(kind=note, by=self._ports().me, body=body))

    async def begin(self, job: Job, before: Job | None) -> Held | None:
        """Hold a run that nobody submitted, by a job that is claimed from its first commit on; None where there is one
        by now. ``before`` is the one of an earlier saga, done with.
        """
        if self.drives(job.run):
            return None
        self._moving.add(job.run)
        try:
            await self.heart.start()
            read = ("job", job.id, digest_of(before) if before is not None else "")
            body = {"worker": self.heart.id, "process": self.heart.row.process, "planner": job.planner}
            note = Note(kind="drive", by=self._ports().me, body=body)
            return await self._recorded(job, Guard(as_read=(read,)), note)
        finally:
            self._moving.discard(job.run)

    async def _recorded(self, moved: Job, guard: Guard, note: Note) -> Held | None:
        """The claim in one commit with this process's own row; None where it is another's by then, or dead."""
        change = Change(run=moved.run, guard=guard, notes=(note,), documents=(moved, self.heart.row))
        verdict = await self._ports().store.commit(change)
        now = self._ledger.document("job", moved.id)
        if (
            isinstance(verdict, Rejected)
            or not isinstance(now, Job)
            or now.state != "claimed"
            or now.holder != self.heart.id
        ):
            return None
        return self._hold(now)

    def _hold(self, job: Job) -> Held:
        base = self._ports()
        store = Driven(base.store, (job.run, job.token, self.heart.id), self._lacks)
        held = Held(job, with_parts(base, store=store), store)
        self.held[job.run] = held
        return held

    async def move(self, held: Held, moved: Job, kind: str, why: str) -> bool:
        """Write what became of a job that is held; it is not held afterwards. False: it was another's by then.

        Where the store cannot be had it is still held, and this may be asked again.
        """
        self.held.pop(held.job.run, None)
        was, held.store.lost = held.store.lost, held.store.lost or why or "it was given back"
        self._moving.add(held.job.run)
        try:
            return await put(self._ports().store, held.job, moved, self._ports().me, kind, why)
        except PASSING:
            self.held[held.job.run], held.store.lost = held, was
            raise
        finally:
            self._moving.discard(held.job.run)

    async def rested(self, held: Held, report: Report) -> None:
        """After a drive: the job is done with its run, or goes back, or waits."""
        run, now = await self._ledger.run_row(held.job.run), self._ledger.document("job", held.job.id)
        if held.lost or run is None or not isinstance(now, Job) or digest_of(now) != digest_of(held.job):
            self.held.pop(held.job.run, None)  # done in the commit that ended the run, or another's by now
            return
        moved = rests.after(held.job, report, run, self._ledger.now_ms())
        await self.move(held, moved, "drive_ended", report.reason)

    async def let_go(self, held: Held, why: str) -> None:
        """Give a job back at once; that was no try."""
        await self.move(held, jobs.let_go(held.job, why, self._ledger.now_ms()), "drive_ended", why)

    async def close(self, why: str = "the application was closed") -> None:
        """Give everything back, and say that this process has left. Never raises for the store: leases end too."""
        try:
            for held in list(self.held.values()):
                await self.let_go(held, why)
            await self.heart.leave()
        except (HoldfastError, OSError) as error:
            log.warning("what was held is taken over when the lease is over: %s", error)

    def driving(self, run: str) -> Claimed:
        """The claim of a run for one drive in a program; nothing where it has no job, or is held here already."""
        return Claimed(self, run)

    def carrying(self, run: Run, planner: str, *, owner: str = "", needs: tuple[tuple[str, str], ...] = ()) -> Claimed:
        """The claim of a run while a saga of it is carried: of its job, or of one that is made with it.

        ``planner`` says who may go on with it; the job of a run that was submitted keeps its own, unless the calls are
        made by a program.
        """
        first = jobs.begun(
            run.id, self.heart.id, principal=run.principal.name, planner=planner, owner=owner, needs=needs
        )
        return Claimed(self, run.id, first)


class Claimed:
    """``async with holding.driving(run) as claimed: claimed.report = …``. Raises RunHeld.

    Of several drives of one run in this process the last to rest gives the job back.
    """

    def __init__(self, holding: Holding, run: str, first: Job | None = None) -> None:
        """Nothing is claimed yet. ``first`` is the job that is made where there is none."""
        self._holding, self._run, self._first = holding, run, first
        self._held: Held | None = None
        self.report: Report | None = None

    async def __aenter__(self) -> Self:
        holding, first = self._holding, self._first
        if (known := holding.held.get(self._run)) is not None:
            known.users += 1
            self._held = known
            return self
        job = holding._ledger.document("job", self._run)  # noqa: SLF001  # one thing in two classes
        job = job if isinstance(job, Job) else None
        if job is None or job.state in ("done", "dropped"):
            if first is None:
                return self
            self._held = await holding.begin(first, job)
        elif job.state == "dead":
            raise RunHeld(run=self._run, why=f"its job is a dead letter that {job.owner} has to resolve: {job.why}")
        else:
            self._held = await holding.claim(job, planner=first.planner if first and ":" in first.planner else "")
        if self._held is None:
            by = holding.others(self._run)
            raise RunHeld(run=self._run, why=f"{by} drives it" if by else "its job moved while it was being claimed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, holding = self._held, self._holding
        if held is None:
            return
        held.users -= 1
        if held.users:
            return
        if self.report is not None:
            await holding.rested(held, self.report)
        elif error is not None:
            await give_back(holding, held, error)


async def give_back(holding: Holding, held: Held, error: BaseException) -> None:
    """The job of a drive that raised: let go if it was lost, cancelled, or is for another version."""
    if held.lost or isinstance(error, RunLost):
        holding.held.pop(held.job.run, None)
    elif isinstance(error, VersionMissing) or not isinstance(error, Exception):
        await holding.let_go(held, str(error) or type(error).__name__)
    else:
        why = f"{type(error).__name__}: {error}"
        await holding.move(held, rests.broke(held.job, error, holding._ledger.now_ms()), "drive_ended", why)  # noqa: SLF001


async def put(store: StorePort, read: Job, moved: Job, by: str, kind: str, why: str) -> bool:
    """Replace a job as it was read, with an entry of its run that says why; whether it was still so."""
    run = read.run or STORE_RUN_ID
    note = Note(kind=kind, by=by, body={"why": why[:500], "state": moved.state} if why else {"state": moved.state})
    guard = Guard(as_read=(("job", read.id, digest_of(read)),))
    verdict: Any = await store.commit(Change(run=run, guard=guard, notes=(note,), documents=(moved,)))
    return not isinstance(verdict, Rejected)
