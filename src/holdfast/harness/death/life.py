"""One life: one process that opens the files, plays on from what they hold, and is killed or comes to rest.

Decides which concrete parts an application has whose process can really die: the shipped ledger on its file, the
shipped proof of death by the process table, a world on file; only time is virtual, as in a play. Promises that a death
is SIGKILL to this very process, sent between two statements: nothing is flushed, rolled back or closed. Does not
survive: whoever started it looks at what is on disk.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import traceback
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from msgspec import structs

from holdfast.harness.death.told import Note, Told
from holdfast.harness.faults.fault import KINDS
from holdfast.harness.faults.grid import strikes_at
from holdfast.harness.faults.inject import Struck
from holdfast.harness.faults.points import Struck as Strike
from holdfast.harness.play.loop import VirtualLoop
from holdfast.harness.play.play import Playing
from holdfast.harness.play.stage import Stage, Worker
from holdfast.harness.play.watching import Watch, around
from holdfast.kernel.commit import Applied, Change, Verdict
from holdfast.kernel.errors import IntegrityError
from holdfast.kernel.laws.events import Recorded
from holdfast.runtime.peers import Peers, my_name

if TYPE_CHECKING:
    from holdfast.harness.death.ground import Ground
    from holdfast.harness.faults.fault import Fault
    from holdfast.kernel.model import Effect
    from holdfast.kernel.ports import Ports
    from holdfast.runtime.run import Report
    from holdfast.store import SqliteStore, Store


class Dies(NamedTuple):
    """When a life ends by itself, whatever it is doing: at its n-th wait at which this kind of death can strike."""

    nth: int
    kind: str = "crash after"


class Fates(Struck):
    """The faults of one play, taken up where the lives before left off."""

    def __init__(self, told: Told, dies: Dies | None) -> None:
        """``dies`` is how this life ends, beside the faults of the play."""
        super().__init__(told.faults)
        self.points, self.struck, self._fitted = told.points, told.struck, told.fitted
        self._counts, self.wavering = told.counts, told.wavering
        self._dies, self._waits = dies, 0
        self.chosen: list[Fault] = []

    def reach(self, call: str, tool: str, at: str) -> list[Fault]:
        """As ever; and the wait at which this life ends becomes a fault that can be named."""
        found = super().reach(call, tool, at)
        if self._dies is not None and at in KINDS[self._dies.kind].at:
            self._waits += 1
            if self._waits == self._dies.nth:
                point = self.points[-1]
                self.chosen.extend(strikes_at(point, (self._dies.kind,)))
                found.append(self.chosen[-1])
                self.struck.append(Strike(found[-1], point))
        return found


class Ledger:
    """The ledger as the stage of a play looks at it: what this process has recorded, and what is on disk."""

    def __init__(self, stage: FileStage) -> None:
        """Not open yet."""
        self._stage = stage
        self._open: SqliteStore | None = None
        self.events: list[Any] = []
        self.effects: dict[str, Effect] = {}
        self.current = self
        self.durable = SimpleNamespace(effects=SimpleNamespace(get=self._on_disk))

    def opened(self) -> Watched:
        """Open the file, as this process."""
        stage = self._stage
        self._open = store = stage.ground.opened(stage.clock.now_ms)
        for run in reversed(store.runs()):
            self.effects.update((view.id, view) for view in store.effects(run=run.id))
        return Watched(store, stage)

    def now_ms(self) -> int:
        """The store's time."""
        return self._open.now_ms() if self._open is not None else self._stage.clock.ms

    def _on_disk(self, effect: str) -> Effect | None:
        return self._open.reading.effect(effect) if self._open is not None else None


class Watched:
    """A ledger on its file that shows each transition to whoever watches."""

    def __init__(self, inner: SqliteStore, stage: FileStage) -> None:
        """Around an open ledger."""
        self._inner, self._stage = inner, stage
        self._rows: Any = SimpleNamespace(
            facts=SimpleNamespace(get=inner.fact), documents=SimpleNamespace(get=lambda key: inner.document(*key))
        )

    def __getattr__(self, name: str) -> Any:
        """As the ledger answers."""
        return getattr(self._inner, name)

    async def commit(self, change: Change) -> Verdict:
        """As the ledger does it; what its own thread has to do first is waited for."""
        with self._stage.loop.at_work():
            verdict = await self._inner.commit(change)
        return self._shown(change, verdict)

    async def later(self, change: Change) -> Verdict:
        """As the ledger does it."""
        with self._stage.loop.at_work():
            verdict = await self._inner.later(change)
        return self._shown(change, verdict)

    async def flush(self) -> None:
        """As the ledger does it."""
        with self._stage.loop.at_work():
            await self._inner.flush()

    async def close(self) -> None:
        """As the ledger does it."""
        with self._stage.loop.at_work():
            await self._inner.close()

    def commit_now(self, change: Change) -> Verdict:
        """As the ledger does it."""
        return self._shown(change, self._inner.commit_now(change))

    def _shown(self, change: Change, verdict: Verdict) -> Verdict:
        if not change.drafts or not isinstance(verdict, Applied):
            return verdict
        known, events = self._stage.store.effects, self._stage.watch.events
        before = {draft.effect: known.get(draft.effect) for draft in change.drafts}
        for effect in before:
            primary = verdict.effect is not None and verdict.effect.id == effect
            view = verdict.effect if primary else self._inner.read_now(effect).effect
            assert view is not None, "what was just recorded is there"
            known[effect] = view
        for draft in change.drafts:
            view = known[draft.effect]
            approval = self._inner.approval(view.approval) if view.approval else None
            more = around(self._rows, view, approval, change) if draft.kind == "dispatched" else ()
            was, run = before[draft.effect], self._inner.run(change.run)
            events.append(Recorded(draft.kind, verdict.at_ms, draft.by, was, view, run, approval, *more))
        return verdict


class FileWorker(Worker):
    """The application of one process: named, and proved dead, as in production."""

    def wakes(self, stage: FileStage) -> None:
        """What was made before the process was is its own from here on."""
        self.stage, self._me = stage, my_name()

    def _opened(self) -> Store:
        return cast("Store", cast("Any", self.stage.store).opened())

    def _around(self, ports: Ports) -> Ports:
        return replace(super()._around(ports), peers=Peers())


class FileStage(Stage):
    """World, ledger and clock of one process, as they are on file."""

    store: Any

    def __init__(self, ground: Ground, told: Told, fates: Fates, note: Note) -> None:
        """Stand where the last life left off."""
        self.ground, self.told, self.note = ground, told, note
        self.case, self.strikes, self.seed = ground.case, fates, ground.seed
        self.fates = fates
        self.world = cast("Any", ground.world)
        ground.world.join()
        self.clock = self.world.clock
        self.offset_ms = 0
        self.loop = VirtualLoop(self.clock, touched=False)
        self.store = Ledger(self)
        self.watch = Watch(self.store, self.world)
        self.watch.events, self.watch.seen = told.events, told.seen
        self.born, self.dead = told.born, set()
        self.worker = None
        self.flights: set[asyncio.Task[Any]] = set()
        self.before = self.world.snapshot() if fates.looks_back else None
        self.playing: Playing | None = None

    def starts(self) -> Worker:
        """This process. It starts once."""
        self.born += 1
        self.worker = self.ground.worker
        self.ground.worker.wakes(self)
        return self.worker

    def leave(self, **more: Any) -> None:
        """Write down what only the stage knows, for the stage of the next life."""
        told, playing = self.told, self.playing
        if playing is not None:
            told.prepared, told.report = playing.prepared, _plain(playing.report)
        told.seen, told.born, told.now_ms = self.watch.seen, self.born, self.clock.ms
        self.note.write(chosen=self.fates.chosen, **more)

    def kill(self, worker: Worker) -> None:
        """This process dies where it stands."""
        del worker
        self.leave()
        die()


class OneLife(Playing):
    """A play under way in a process that has one life of it."""

    def __init__(self, stage: FileStage, planner: Any) -> None:
        """Where the last life left off."""
        super().__init__(stage, planner)
        told = stage.told
        self._turns, self._answered = told.turns, told.answered
        self.prepared, self.report = told.prepared, told.report
        stage.playing = self

    async def live(self, stage: FileStage) -> None:
        """From the start of this process to rest, or to its death."""
        self.others_act()
        worker = stage.starts()
        error = await stage.until_death(worker, self.lives(worker))
        if error is None:
            stage.leave(rested=True)
        elif isinstance(error, IntegrityError):
            stage.kill(worker)
        else:
            stage.leave(error=f"{type(error).__name__}: {error}")


def die() -> NoReturn:
    """SIGKILL to this process: no handler, no cleaning up, nothing after it."""
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()  # it has been sent; nothing of this program goes on until it arrives


def live(ground: Ground, told: Told, fd: int, *, planner: Any = None, dies: Dies | None = None) -> NoReturn:
    """Have one life of a play and leave the process, one way or the other. Notes go to the pipe ``fd``."""
    gc.disable()
    note, code = Note(told, fd), 1
    try:
        stage = FileStage(ground, told, Fates(told, dies), note)
        stage.loop.play(OneLife(stage, planner or ground.case.planner).live(stage))
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, it is told and not handed up into the process that forked
        note.write(chosen=[], report=None, error=traceback.format_exc())
        code = 0
    finally:
        os._exit(code)


def _plain(report: Report | None) -> Report | None:
    """Outcomes can be waited for, in their process; what they say is in the ledger."""
    return structs.replace(report, outcomes=()) if report is not None else None
