"""One play of one case: from an untouched world to rest, under the faults it names.

Decides who acts when nobody else does: people answer when they have taken their time, what is due is taken up, a
program that was killed is started again, and the planner is asked again where somebody moved. Promises that equal cases
under equal faults and seeds give equal plays, byte for byte, for a world in memory; and that a play ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast.harness.case.case import Case, Person
from holdfast.harness.faults.fault import Fault, Point
from holdfast.harness.faults.inject import Struck
from holdfast.harness.oracle.verdict import Verdict
from holdfast.harness.play.recording import Recording, Turn
from holdfast.harness.play.stage import Stage, Worker, key_of
from holdfast.harness.world.change import own
from holdfast.harness.world.face import Done, State
from holdfast.kernel.due import wake_ms
from holdfast.kernel.errors import HoldfastError, IntegrityError
from holdfast.kernel.laws import Verdict as Judged
from holdfast.kernel.model import Approval, Effect
from holdfast.kernel.model import State as Stands
from holdfast.runtime.planner import Planner
from holdfast.runtime.run import Report, RunHandle
from holdfast.store.evidence import Entry

STARTS = 8
"""How often a program is started before it is called lost; each fault may cost it one start more."""
LOOKS_AFTER_MS = 600_000
"""How long an operator takes to look at a clock that jumped."""
LEFT_MS = 3_600_000
"""How long what a living program has begun and does not wait for may go on when the run has come to rest."""
ROUNDS = 60
"""How often somebody moves before a play that does not come to rest is ended."""


class Played(msgspec.Struct, kw_only=True):
    """What one play left behind: everything a judge may want, as plain records.

    ``ended``: done, refused, unknown-reported, blocked, lost (it never came to rest, or its program could not be kept
    running) or broken (it raised what no program may raise; ``error`` says what).
    """

    case: Case
    seed: int
    faults: tuple[Fault, ...]
    ended: str
    says: str
    before: State
    after: State
    hidden: dict[str, Any]
    log: tuple[Done, ...]
    report: Report | None
    effects: tuple[Effect, ...]
    entries: tuple[Entry, ...]
    approvals: tuple[Approval, ...]
    points: tuple[Point, ...]
    struck: tuple[tuple[Fault, Point], ...]
    missed: tuple[Fault, ...]
    turns: tuple[Turn, ...]
    laws: tuple[Judged, ...]
    contracts: dict[str, Any]
    starts: int
    took_ms: int
    error: str = ""
    verdict: Verdict | None = None


def play(
    case: Case,
    faults: Iterable[Fault] | None = None,
    *,
    seed: int | None = None,
    planner: Any = None,
    judged: bool = True,
) -> Played:
    """Play a case once, in virtual time. ``faults`` replace those of the case; ``planner`` makes another one."""
    chosen = case.faults if faults is None else tuple(faults)
    stage = Stage(case, Struck(chosen), case.seed if seed is None else seed)
    try:
        played = stage.loop.play(Playing(stage, planner or case.planner).run())
        if judged:
            from holdfast.harness.oracle.judge import judge  # the judge knows plays, not the reverse

            played.verdict = judge(played)
        return played
    finally:
        stage.world.close()


class Playing:
    """One play under way."""

    def __init__(self, stage: Stage, planner: Any) -> None:
        self.stage, self.case, self._planner = stage, stage.case, planner
        self.report: Report | None = None
        self.error = ""
        self._turns: list[Turn] = []
        self._answered: set[tuple[str, str]] = set()
        self.prepared = False

    async def run(self) -> Played:
        stage = self.stage
        # A copy: what a world in memory hands out may be written into, and a change must not reach the past.
        before, began_ms = own(dict(stage.world.state())), stage.clock.ms
        self.others_act()
        stage.register(self.case.people)
        rested = False
        while not rested and stage.born < STARTS + len(stage.strikes.faults) and not self.error:
            rested = await self._one_life()
        if stage.flights:
            await asyncio.wait(set(stage.flights))
        await stage.loop.left_alone(LEFT_MS / 1000)
        return self._played(before, began_ms, rested)

    def others_act(self) -> None:
        """What other actors do by schedule happens at its instant, whoever waits for what."""
        world, clock = self.stage.world, self.stage.clock
        world.others(clock.ms)
        at_ms = world.next_ms()
        if at_ms is not None:
            self.stage.loop.call_at((at_ms - clock.start_ms) / 1000, self.others_act)

    async def _one_life(self) -> bool:
        """One program from its start to rest, or to its death. True: it came to rest."""
        stage = self.stage
        worker = stage.starts()
        error = await stage.until_death(worker, self.lives(worker))
        if worker.down:
            return False
        if error is None:
            return True
        stage.kill(worker)
        if not isinstance(error, IntegrityError):
            self.error = f"{type(error).__name__}: {error}"
        return False

    async def lives(self, worker: Worker) -> None:
        """What one program does in its life: it begins or takes up the run, and drives it until nobody moves."""
        await worker.__aenter__()
        run = await worker.begin(self.case.intent)
        if self.case.prepares is not None and not self.prepared:
            came = self.case.prepares(run)
            if asyncio.iscoroutine(came):
                await came
            self.prepared = True
        until_ms = self.stage.clock.ms + self.case.kept_for_ms
        for _ in range(ROUNDS):
            planner: Planner = Recording(self._planner(self.stage.world), self._turns)
            self.report = await run.drive(planner, max_steps=self.case.max_steps)
            if self.report.state == "done" or not await self._somebody_moves(worker, run, until_ms):
                break
        await worker.close()

    async def _somebody_moves(self, worker: Worker, run: RunHandle, until_ms: int) -> bool:
        """People answer, or time passes and something is due. False: nobody has anything to do any more."""
        if await self._people_answer(worker) or await self._clock_accepted(worker):
            return True
        before = self._versions(run)
        for _ in range(ROUNDS):
            wakes = [
                at
                for view in worker.store.open_effects()
                if view.run == run.id and (at := wake_ms(view, worker.name)) and at <= until_ms
            ]
            if not wakes:
                return False
            wait_ms = min(wakes) - self.stage.store.now_ms()
            await asyncio.sleep(max(wait_ms, 1) / 1000)
            await worker.recover()
            if self._versions(run) != before:
                return True
        return False

    def _versions(self, run: RunHandle) -> dict[str, Stands]:
        return {v.id: v.state for v in self.stage.store.current.effects.values() if v.run == run.id}

    async def _people_answer(self, worker: Worker) -> bool:
        """Everybody who has an answer to an open request gives it, in the time they take."""
        moved = False
        for request in worker.store.approvals("open"):
            for person in self.case.people:
                if (request.id, person.name) in self._answered:
                    continue
                moved = await self._answers(worker, person, request) or moved
        return moved

    async def _clock_accepted(self, worker: Worker) -> bool:
        """Where the clock of the machine jumped, somebody looks at it before anything is dispatched again."""
        if not worker.store.clock_jumped_ms():
            return False
        await asyncio.sleep(LOOKS_AFTER_MS / 1000)
        worker.store.accept_clock("operator", "the clock of the stage was looked at")
        return True

    async def _answers(self, worker: Worker, person: Person, request: Approval) -> bool:
        view = self.stage.store.current.effects[request.effect]
        answer = (
            {"yes": True, "no": False, "nothing": None}[person.says]
            if isinstance(person.says, str)
            else (person.says(request, view))
        )
        self._answered.add((request.id, person.name))
        if answer is None:
            return False
        await asyncio.sleep(person.after_ms / 1000)
        try:
            if answer:
                await worker.approve(request.id, key=key_of(person.name), reason="as the case says")
            else:
                await worker.refuse(request.id, key=key_of(person.name), reason="as the case says")
        except HoldfastError:  # too late, not theirs to answer, or not as it was shown: so it stays as it is
            return True
        return True

    def _played(self, before: State, began_ms: int, rested: bool) -> Played:  # noqa: FBT001
        stage, world = self.stage, self.stage.world
        worker = stage.worker
        assert worker is not None, "a play has at least one life"
        contracts = dict(worker.registry.contracts)
        books = stage.store.durable
        # A program that died when its run had just ended begins another: all of them are this case's.
        effects = tuple(books.effects.values())
        report = self.report
        return Played(
            case=self.case,
            seed=stage.seed,
            faults=stage.strikes.faults,
            ended="broken" if self.error else how_it_ended(report, effects) if rested and report else "lost",
            says=report.says if report is not None else "",
            before=before,
            after=world.state(),
            hidden=dict(world.hidden),
            log=world.log(),
            report=report,
            effects=effects,
            entries=books.entries,
            approvals=tuple(books.approvals.values()),
            points=tuple(stage.strikes.points),
            struck=tuple((struck.fault, struck.point) for struck in stage.strikes.struck),
            missed=stage.strikes.missed,
            turns=tuple(self._turns),
            laws=stage.watch.judged(contracts),
            contracts=contracts,
            starts=stage.born,
            took_ms=stage.clock.ms - began_ms,
            error=self.error,
        )


def how_it_ended(report: Report, effects: tuple[Effect, ...]) -> str:
    """How a run came to rest, in the words of a case."""
    if any(view.state in (Stands.UNKNOWN, Stands.PENDING, Stands.DISPATCHED) for view in effects):
        return "unknown-reported"
    if report.state == "done":
        return "done"
    changes = [view for view in effects if view.effect_class.value != "read"]
    if changes and all(view.state in (Stands.REFUSED, Stands.SUPERSEDED) for view in changes):
        return "refused"
    return "blocked"


__all__ = ["Played", "play"]
