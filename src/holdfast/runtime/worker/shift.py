"""One worker at work: claims, drives, sweeps, waits for hints, drains.

Decides how many runs are driven at a time and when the worker looks for more. Everything else is decided by the parts:
which job is next (picking), who may have it (holding), what is in force (skew), what becomes of it (rests).

Promises: at most ``at_once`` runs are held, so that what one worker asks of the store at a time is bounded; a claim is
tried only while the heart is sound; a hint that is lost costs at most ``look_ms``; a store that cannot be had stops the
work and not the worker: it waits, ever longer, and goes on with what it still holds. A drain takes nothing new, lets
each run end at its next step within a grace, and gives everything back at once, so that nobody waits for a lease.
Does not promise that a run is driven: one whose versions no worker has waits, and each worker's row says what it lacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from holdfast.kernel.documents import Job, Worker
from holdfast.kernel.errors import BadValue, IntegrityError, RunLost
from holdfast.kernel.model import Run
from holdfast.kernel.ports import Ports
from holdfast.runtime import schedules
from holdfast.runtime.ending import Over, Report
from holdfast.runtime.planner import Planner
from holdfast.runtime.queue_wanted import put_right, read_again
from holdfast.runtime.resume import revalidated
from holdfast.runtime.run import RunHandle
from holdfast.runtime.saga import Saga
from holdfast.runtime.saga.driving import CARRIED, PLANNER
from holdfast.runtime.submit import Desk as Submits
from holdfast.runtime.worker import rests
from holdfast.runtime.worker.heart import LEASE_MS, LONGEST_LEASE_MS, SHORTEST_LEASE_MS
from holdfast.runtime.worker.hints import Hints
from holdfast.runtime.worker.holding import Held, Holding, give_back
from holdfast.runtime.worker.outage import AWAY_S, PASSING, START_S, Waits, outlasted
from holdfast.runtime.worker.picking import Picker
from holdfast.runtime.worker.sagas import driven
from holdfast.runtime.worker.skew import Having, in_force, lacking, lacking_for
from holdfast.runtime.worker.sweeping import Sweeper

log = logging.getLogger("holdfast.worker")

LOOK_MS = 1_000
SWEEP_MS = 1_000
GRACE_S = 10.0
STAYS = ("", "drain", "empty")
"""When a worker ends by itself: never; when nothing is due now and it holds nothing; when nothing is queued or held."""

PlannerFactory = Planner | Saga | Callable[[RunHandle], Planner | Saga] | Callable[[], Planner | Saga]
"""A planner or a saga, or what makes one: of a run, or of nothing."""


class Desk(Submits, Over, Protocol):
    """What a worker needs of an application."""

    @property
    def ports(self) -> Ports: ...
    @property
    def store(self) -> Any: ...
    @property
    def holding(self) -> Holding | None: ...
    @property
    def environment(self) -> str: ...

    winding_down: str

    def versions(self) -> Mapping[str, str]:
        """Contract versions by tool."""
        ...

    def judges_by(self) -> str:
        """The digest of the policy that this process judges by."""
        ...

    def handle(self, run: Run) -> RunHandle:
        """A run as it is driven, without looking it over."""
        ...


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works: classes of work (none: all), runs at a time, and bounds."""

    works: tuple[str, ...] = ()
    at_once: int = 4
    max_steps: int = 100
    stays: str = ""
    look_ms: int = LOOK_MS
    sweep_ms: int = SWEEP_MS
    grace_s: float = GRACE_S
    lease_ms: int = LEASE_MS


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """What a shift came to, and why it ended.

    Each of ``drives`` ended in one of four ways: the run is ``done``, ``ended`` otherwise or with its program, its job
    was ``given_back`` (queued for later, or waiting for somebody), or it was ``lost`` to another worker. ``taken_over``
    from workers that were gone to be driven here, ``returned`` from such workers to the queue, for whoever has room.
    """

    worker: str
    drives: int = 0
    done: int = 0
    ended: int = 0
    given_back: int = 0
    lost: int = 0
    taken_over: int = 0
    returned: int = 0
    why: str = ""


class Shift:
    """One worker's time at work over one open application."""

    def __init__(self, desk: Desk, planners: Mapping[str, PlannerFactory], terms: Terms) -> None:
        """Nothing is claimed yet. The planner named "" is the one for jobs that name none."""
        self._desk, self._planners, self._terms = desk, dict(planners), terms
        assert desk.holding is not None, "an open application holds what it claims"
        self._store, self._holding = desk.store, desk.holding
        self._holding.heart.row = replace(self._holding.heart.row, lease_ms=terms.lease_ms)
        self._picker = Picker(self._store, terms.works, self._may)
        self._sweeper = Sweeper(self._store, self._holding, self._may, self._force)
        self._hints = Hints(self._store)
        self._drives: dict[str, asyncio.Task[None]] = {}
        self._counts = dict.fromkeys(("drives", "done", "ended", "given_back", "lost", "taken_over", "returned"), 0)
        self._drained = ""
        self._swept_ms = 0
        self._idle = False
        self._have = Having({}, "", desk.environment)

    @property
    def id(self) -> str:
        """The worker's id."""
        return self._holding.heart.id

    @property
    def draining(self) -> bool:
        """Whether it was asked to end."""
        return bool(self._drained)

    def worked(self) -> Worked:
        """What it came to so far."""
        return Worked(worker=self.id, why=self._drained or "nothing is left to do", **self._counts)

    def drain(self, why: str) -> None:
        """Take nothing new, and end when what is under way has come to its next step, or after the grace."""
        self._drained = self._drained or why
        self._desk.winding_down = self._desk.winding_down or why
        self._hints.poke()

    async def work(self) -> Worked:
        """Until drained, or until there is nothing left to do where the terms say so."""
        await outlasted(self._start, "the worker", START_S, stop=lambda: self.draining)
        self._hints.start()
        try:
            while not self._drained:
                await outlasted(self._round, "the worker", stop=lambda: self.draining)
                if self._over():
                    break
                await self._hints.wait(self._terms.look_ms)
        finally:
            await self._leave()
        return self.worked()

    # -- looking --

    async def _start(self) -> None:
        await self._renewed()
        await self._holding.heart.start(self._row)

    async def _round(self) -> None:
        """Sweep if it is time, then claim as many as there are places."""
        self._idle = False
        if not self._holding.heart.sound():
            return
        now_ms = self._store.now_ms()
        if now_ms - self._swept_ms >= self._terms.sweep_ms or now_ms < self._swept_ms:
            self._swept_ms = now_ms
            await self._renewed()
            swept = await self._sweeper.sweep(self._free())
            self._counts["taken_over"] += swept.from_others
            self._counts["returned"] += swept.returned
            for held in swept.taken:
                self._begin(held)
            await self._sweeper.forget()
            await schedules.sweep(self._desk, self._store)
        while picked := self._picker.pick(self._free()):
            claims = await asyncio.gather(*(self._claimed(job) for job in picked), return_exceptions=True)
            won = [held for held in claims if isinstance(held, Held)]
            self._picker.lost = len(picked) - len(won)
            for held in won:
                self._begin(held)  # whatever another claim ran into: what is held is driven
            for failed in claims:
                if isinstance(failed, BaseException):
                    raise failed
            if not won:
                break
        self._idle = not picked

    def _free(self) -> int:
        return self._terms.at_once - len(self._drives)

    async def _claimed(self, job: Job) -> Held | None:
        """The job, held; None where another was first, or where its run had ended and the job went with it."""
        store, now_ms = self._store, self._store.now_ms()
        found, now, run = read_again(store, job.id, now_ms, self._holding.heart.id)
        if found.what == "go" and now is not None:
            held = await self._holding.claim(now, force=self._force(now))
            if held is not None:
                self._picker.served(now)
            return held
        if now is not None and run is not None:
            views = store.effects(run=run.id) if found.what in ("superseded", "late") else []
            change = put_right(now, run, found, views, now_ms, by=self._desk.ports.me)
            if change is not None:
                await store.commit(change)
        return None

    def _may(self, job: Job) -> bool:
        mine = not self._terms.works or job.work in self._terms.works
        if not mine or job.run in self._drives or lacking_for(self._store, self._have, job):
            return False
        run = self._store.run(job.run)
        return run is not None and run.environment == self._desk.environment

    def _force(self, job: Job) -> tuple[tuple[str, str], ...]:
        return in_force(self._have, job)

    async def _renewed(self) -> None:
        """Take up the policy in force, and look at what this process lacks."""
        desk = self._desk
        unfit = await desk.ports.gate.renew(desk.environment)
        names = tuple(sorted({*self._planners, PLANNER}))
        self._have = Having(desk.versions(), desk.judges_by(), desk.environment, names, unfit)
        if lacking(self._store, self._have) != self._holding.heart.row.lacks and self._holding.heart.beating:
            self._holding.heart.now()

    async def _row(self, row: Worker) -> Worker:
        """The worker's row as it is now, for a heartbeat."""
        return replace(
            row,
            state="draining" if self._drained else "working",
            works=self._terms.works,
            planners=tuple(sorted(self._planners)),
            versions=tuple(sorted(self._have.versions.items())),
            policy=self._have.policy,
            lacks=lacking(self._store, self._have),
        )

    def _over(self) -> bool:
        if self._drives or not self._terms.stays:
            return False
        if self._terms.stays == "drain":  # of what is due it has looked at everything, and nothing is for it
            return self._idle
        return not any(self._picker.mine(lane) or lane.startswith("held:") for lane in self._store.lanes("job"))

    # -- driving --

    def _begin(self, held: Held) -> None:
        run = held.job.run
        task = asyncio.get_running_loop().create_task(self._drive(held), name=f"holdfast-drive-{run}")
        self._drives[run] = task
        task.add_done_callback(lambda _: self._rested(run))

    def _rested(self, run: str) -> None:
        self._drives.pop(run, None)
        self._hints.poke()

    async def _drive(self, held: Held) -> None:
        """One drive to its rest; whatever it raises, the job is somewhere afterwards."""
        self._counts["drives"] += 1
        waits, report = Waits(), None
        while True:
            try:
                report = report or await self._carried(held)
                lost = bool(held.lost)  # what rests here is nobody's claim afterwards, and that is no loss
                await self._holding.rested(held, report)
                self._counts[await self._came_to(report, lost=lost)] += 1
                return
            except RunLost as lost:
                log.warning("%s", lost)
                self._counts["lost"] += 1
                self._holding.held.pop(held.job.run, None)
                return
            except PASSING as error:  # no try: the run is looked over again, and goes on here while it is still ours
                await waits.pause(error, f"run {held.job.run}")
            except (Exception, asyncio.CancelledError) as error:
                log.warning("the drive of %s was given up: %s: %s", held.job.run, type(error).__name__, error)
                self._counts["given_back"] += 1
                await self._give_back(held, error)
                if isinstance(error, asyncio.CancelledError):
                    raise
                return

    async def _came_to(self, report: Report, *, lost: bool) -> str:
        """How a drive ended, in the words of :class:`Worked`."""
        if report.state == "done":
            return "done"
        run = await self._desk.ports.store.run_row(report.run)
        over = report.state == CARRIED or run is None or run.state not in rests.GOES_ON
        return "lost" if lost else "ended" if over else "given_back"

    async def _give_back(self, held: Held, error: BaseException) -> None:
        """The job of a drive that raised; what cannot be given back is found by the next sweep, which sees no drive."""
        within_s = 0.0 if isinstance(error, asyncio.CancelledError) else AWAY_S
        with contextlib.suppress(IntegrityError):
            what = f"the job of run {held.job.run}"
            await outlasted(lambda: give_back(self._holding, held, error), what, within_s, stop=lambda: self.draining)
        self._holding.held.pop(held.job.run, None)

    async def _carried(self, held: Held) -> Report:
        """The run as it is now, looked over where it was driven before, under its planner."""
        row = await held.ports.store.run_row(held.job.run)
        if row is None:
            raise RunLost(run=held.job.run, why="it is not recorded")
        handle = self._desk.handle(row)
        if row.state in rests.GOES_ON and (row.steps or row.spent.effects or held.job.tries):
            handle.resumption = await revalidated(handle, held.ports, self._store)
        known = self._planners.get(held.job.planner)  # none: it is a run that has a saga and nothing else
        return await driven(self._desk, handle, made(known, handle) if known else None, self._terms.max_steps)

    # -- the end --

    async def _leave(self) -> None:
        """Let what is under way come to its next step within the grace, then give everything back."""
        await self._hints.stop()
        under_way = list(self._drives.values())
        if under_way:
            self._desk.winding_down = self._desk.winding_down or "the worker ends"
            _, late = await asyncio.wait(under_way, timeout=self._terms.grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._holding.close(self._drained or "the worker has nothing left to do")


def made(planner: Any, run: RunHandle) -> Planner | Saga:
    """The planner of a run: itself where it is one, else what the factory makes, of the run or of nothing."""
    if isinstance(planner, Saga) or (hasattr(planner, "propose") and not isinstance(planner, type)):
        return planner
    wants = [
        p
        for p in inspect.signature(planner).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return planner(run) if wants else planner()  # type: ignore[no-any-return]


def factories(given: Mapping[str, PlannerFactory] | PlannerFactory | None) -> dict[str, PlannerFactory]:
    """Planners by name, from a mapping or from the one that all jobs have which name none."""
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"": given}


def checked(terms: Terms, planners: Sequence[str]) -> Terms:
    """The terms, if they make sense. Raises BadValue."""
    if terms.at_once < 1:
        raise BadValue(path="at_once", why="a worker drives one run at least", value_type="int")
    lease_ms: object = terms.lease_ms
    if type(lease_ms) is not int or not SHORTEST_LEASE_MS <= lease_ms <= LONGEST_LEASE_MS:
        why = f"a lease lasts {SHORTEST_LEASE_MS} ms to {LONGEST_LEASE_MS} ms: as long the runs of a lost worker wait"
        raise BadValue(path="lease", why=why, value_type=type(lease_ms).__name__)
    if terms.stays not in STAYS:
        raise BadValue(path="stays", why="it is one of drain, empty, or nothing", value_type="str")
    if not planners:
        raise BadValue(path="planners", why="a worker needs a planner for the runs that it drives", value_type="dict")
    return terms
