"""Changes that a worker plans on what it believes, in its own memory: one call judges, writes and commits them all.

Decides which changes may be planned so: those that move what nobody else can rightly move now (an effect that it
proposed a moment ago, or one under this worker's own lease), that write nothing which several workers share, and whose
guard holds now and until :data:`HOLDS_MS` from now. Everything else waits for a transaction that locks and reads first,
behind all that was planned before it.

Promises: no answer to a durable caller before its bytes are on the server's disk; what ``later`` recorded its worker
sees at once and others only once it is on disk; the server finds every row that a plan was made on as it was believed,
or nothing of the plan is written, and all of its changes are judged anew, in their order, on rows that are held. A
``later`` that was answered with yes and is no after all is told to the task that asked, as :class:`TakenBack`, before
it goes on with any record or tells anybody. What was lost with a connection is told so too.

Does not promise that such a yes stands: that is known with the flush. For the event loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from holdfast.kernel.commit import Applied, Change, Verdict
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.guard import judge
from holdfast.kernel.model import Effect, Run, State
from holdfast.kernel.ports import Seen
from holdfast.store.batch import Ledger
from holdfast.store.postgres_believed import FRESH_S, Beliefs, Planned
from holdfast.store.postgres_columns import Columns
from holdfast.store.postgres_plan import Own, Plan, Waiter, plain, shared_rows, turned
from holdfast.store.postgres_rows import NotHeld
from holdfast.store.seen import look

if TYPE_CHECKING:
    from holdfast.store.postgres_looks import Looks
    from holdfast.store.postgres_memory import Memory
    from holdfast.store.postgres_writer import PostgresWriter

HOLDS_MS = 500
"""For how long ahead of its commit a guard is judged."""
FLUSH_S = 0.003
ONCE_S = 0.25
"""For how long after a sending its sender's next look is served from what the commit left."""
MOST_CHANGES = 256
QUIET_TICKS = 4
MOST_TICKS = 64
"""A batch waits until nobody joined for so many ticks of the loop, and no longer: a body or a look takes a few."""


class Ahead:
    """What a process has planned and not yet on disk."""

    def __init__(self, writer: PostgresWriter, memory: Memory) -> None:
        """Over the writer, which carries it out."""
        self._writer, self._memory = writer, memory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._plan: Plan | None = None
        self._flying: list[Plan] = []  # the oldest first
        self._timer: asyncio.Handle | None = None
        self._closing = False
        self._owed: weakref.WeakKeyDictionary[asyncio.Task[Any], list[Plan]] = weakref.WeakKeyDictionary()
        self._asked: dict[str, tuple[float, int]] = {}  # identity: when it was asked for, its highest generation
        self._new: dict[str, float] = {}  # effects that this worker proposed, and when: it is about to drive them
        self._left: dict[str, float] = {}  # effects that a commit just left as dispatched, and when

    # -- asking --

    async def commit(self, change: Change) -> Verdict:
        """The verdict, once the change is on the server's disk."""
        loop = self._entered()
        verdict = self._planned(change)
        if verdict is None:
            return await self._held(change)
        waiter: Waiter = loop.create_future()
        assert self._plan is not None, "it was planned a moment ago"
        self._plan.waiters.append((waiter, verdict))
        self._close_soon(loop)
        answer: Verdict = await waiter
        return answer

    async def later(self, change: Change) -> Verdict:
        """The verdict at once where it can be planned; durable with what commits next, or after some milliseconds."""
        loop = self._entered()
        verdict = self._planned(change)
        if verdict is None:
            return await self._held(change)
        assert self._plan is not None, "it was planned a moment ago"
        task = asyncio.current_task()
        if task is not None:
            owed = self._owed.setdefault(task, [])
            if not owed or owed[-1] is not self._plan:
                owed.append(self._plan)
        if self._timer is None and not self._closing:
            self._timer = loop.call_later(FLUSH_S, self._close_soon, loop)
        return verdict

    async def flush(self) -> None:
        """Everything that was asked for before is on disk; raises what became of this task's own where it is not."""
        loop = self._entered()
        if self._plan is not None:
            waiter: Waiter = loop.create_future()
            self._plan.waiters.append((waiter, None))
            self._close_soon(loop)
            await waiter
        elif self._flying:
            waiter = loop.create_future()
            self._flying[-1].waiters.append((waiter, None))
            await waiter
        self._own_up()
        await self._writer.flush()

    async def _held(self, change: Change) -> Verdict:
        """By a transaction that locks first, behind everything that was planned."""
        self.push()
        return await self._writer.commit(change)

    def _entered(self) -> asyncio.AbstractEventLoop:
        """The loop that asks. What an earlier loop left behind goes to the server as it is."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self.push()
            self._loop, self._thread = loop, threading.get_ident()
            self._closing, self._timer, self._flying = False, None, []
        self._own_up()
        return loop

    def _own_up(self) -> None:
        """Tell this task what became of that which it recorded and believes."""
        task = asyncio.current_task()
        owed = self._owed.get(task) if task is not None else None
        if not owed or task is None:
            return
        wrong = next((plan.failed for plan in owed if plan.failed is not None), None)
        owed[:] = [plan for plan in owed if plan.failed is None and (plan is self._plan or plan in self._flying)]
        if wrong is not None:
            raise type(wrong)(**wrong.values) if isinstance(wrong, HoldfastError) else wrong

    # -- planning --

    def _planned(self, change: Change) -> Verdict | None:
        """The verdict as far as is believed; None where it has to be judged on rows that are held."""
        now_ms = self._memory.server_clock.told()
        if now_ms is None or not plain(change):
            return None
        plan = self._plan
        if plan is not None and (len(plan.done) >= MOST_CHANGES or now_ms - plan.from_ms > HOLDS_MS // 2):
            self.push()
            plan = None
        if plan is None:
            unit = Planned(Beliefs(self._memory, self._under_way), self._writer.stock)
            plan = Plan(unit, now_ms, self._writer.links)
        try:
            if not self._ours(change, plan, now_ms):
                return None
            shared = shared_rows(plan.unit)
            if judge(change.guard, plan.unit, now_ms + HOLDS_MS) is not None:
                return None  # a no rests on rows that are held, as does what is about to run out
        except NotHeld:
            return None
        try:
            verdict = plan.unit.do(change, now_ms)
        except Exception:  # noqa: BLE001  Whatever it is, it is raised to whoever asked where rows are held.
            self._rebuild(plan)
            return None
        unit = plan.unit
        if not isinstance(verdict, Applied) or shared_rows(unit) > shared:
            self._rebuild(plan)
            return None
        plan.done.append((change, now_ms, verdict))
        plan.minted = unit.minted[:] if len(unit.minted) > len(plan.minted) else plan.minted
        if len(self._new) > MOST_CHANGES * 16:
            self._new.clear()
        self._new |= {draft.effect: time.monotonic() for draft in change.drafts if draft.kind == "proposed"}
        self._plan = plan
        return verdict

    def _rebuild(self, plan: Plan) -> None:
        """What does not stay may have left half of itself: all before it are planned again, with their tokens."""
        again = Planned(Beliefs(self._memory, self._under_way), self._writer.stock)
        again.beliefs.absent = plan.unit.beliefs.absent
        again.beliefs.as_loaded(plan.unit.beliefs)
        again.given = plan.minted[:]
        plan.unit = again
        for change, now_ms, _ in plan.done:
            again.do(change, now_ms)

    def _ours(self, change: Change, plan: Plan, now_ms: int) -> bool:
        """Whether nobody else can rightly move what it moves."""
        guard, fresh_s = change.guard, time.monotonic() - FRESH_S
        if guard.resource and (lease := plan.unit.lease(guard.resource)) is not None and lease.effect != guard.effect:
            return False
        for draft in change.drafts:
            if draft.kind == "proposed":
                identity, generation = draft.body["identity"], draft.body["generation"]
                at_s, there = self._asked.get(identity) or (0.0, 0)
                if generation != there + 1 or time.monotonic() - at_s > FRESH_S or draft.effect not in guard.absent:
                    return False
                if plan.unit.run(change.run) is None or (guard.effect and self._new.get(guard.effect, 0.0) < fresh_s):
                    return False
                plan.unit.beliefs.absent.add(draft.effect)
                continue
            view = plan.unit.effect(draft.effect)
            if view is None or view.approval or view.meters or view.grants:
                return False
            if self._new.get(draft.effect, 0.0) >= fresh_s:
                continue
            held = view.holder == draft.by and now_ms + HOLDS_MS <= view.lease_until_ms
            named = guard.effect == draft.effect and (guard.version is not None or guard.token is not None)
            if not (held and named):
                return False
        return True

    # -- carrying it out --

    def push(self) -> None:
        """Hand what is planned to the writer now."""
        plan, self._plan = self._plan, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if plan is None:
            return
        loop = self._loop
        assert loop is not None, "it was planned in a loop"
        try:
            plan.columns = Columns(plan.unit, self._memory, plan.unit.now_ms - 1, plan.from_ms + HOLDS_MS)
        except NotHeld:  # a word is new: whoever holds rows adds it
            plan.columns = None
        self._flying.append(plan)
        carried = self._writer.do(plan)
        if not loop.is_closed():
            carried.add_done_callback(
                lambda done: loop.is_closed() or loop.call_soon_threadsafe(self._landed, plan, done)
            )

    def push_from_here(self) -> None:
        """Hand over what is planned, where it is planned: what is asked of the writer next comes behind it."""
        if threading.get_ident() == self._thread:
            self.push()

    def push_now(self) -> None:
        """What this process planned is on disk, for whoever asks without a loop; from another thread: what is, is."""
        if threading.get_ident() != self._thread or (self._plan is None and not self._flying):
            return
        self.push()
        self._writer.do(None).result()

    async def landed(self) -> None:
        """What was planned is on disk, or is known not to be."""
        loop = self._entered()
        self.push()
        if self._flying:
            waiter: Waiter = loop.create_future()
            self._flying[-1].waiters.append((waiter, None))
            with suppress(Exception):  # whose it is learns of it
                await waiter

    def _close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """At the end of this tick or of some more: everybody who is ready to run may still join."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closing:
            self._closing = True
            loop.call_soon(self._close, loop, 0, 0, -1)

    def _close(self, loop: asyncio.AbstractEventLoop, ticks: int, quiet: int, there: int) -> None:
        plan = self._plan
        quiet = quiet + 1 if plan is not None and len(plan.done) == there else 0
        if plan is not None and ticks < MOST_TICKS and quiet < QUIET_TICKS:
            loop.call_soon(self._close, loop, ticks + 1, quiet, len(plan.done))
            return
        if plan is not None and self._flying:
            loop.call_soon(self._wait_for_room)
            return
        self._closing = False
        self.push()

    def _wait_for_room(self) -> None:
        """One batch is with the server: this one goes when it has landed, and takes along who comes meanwhile."""
        if not self._flying and self._loop is not None:
            self._closing = False
            self.push()

    def _landed(self, plan: Plan, done: Any) -> None:
        """In the loop's thread, once it is on disk or is not."""
        if plan in self._flying:
            self._flying.remove(plan)
        error = done.exception()
        if error is not None:
            plan.failed = error
        answers: Sequence[Any] | None = None if error is not None else done.result()
        if answers is not None:
            plan.failed = turned(plan, answers)
            self._remember(plan)
        by_change = {id(verdict): answers[at] for at, (_, _, verdict) in enumerate(plan.done)} if answers else {}
        for waiter, verdict in plan.waiters:
            if waiter.done():
                continue
            answer = error if error is not None else by_change.get(id(verdict)) if verdict is not None else None
            if isinstance(answer, HoldfastError):
                waiter.set_exception(type(answer)(**answer.values))
            elif isinstance(answer, Exception):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)
        if error is not None and self._plan is not None:  # it rests on what was lost
            lost, self._plan = self._plan, None
            self._flying.append(lost)
            failed: asyncio.Future[Any] = asyncio.Future()
            failed.set_exception(error)
            self._landed(lost, failed)
        if self._closing and self._loop is not None:
            self._closing = False
            if self._plan is not None and self._plan.waiters:
                self._close_soon(self._loop)
            elif self._plan is not None and self._timer is None:
                self._timer = self._loop.call_later(FLUSH_S, self._close_soon, self._loop)

    def _remember(self, plan: Plan) -> None:
        """What went out is looked at once more when its answer is there, by the one who sent it."""
        now_s = time.monotonic()
        if len(self._left) > MOST_CHANGES:
            self._left = {effect: at_s for effect, at_s in self._left.items() if now_s - at_s <= ONCE_S}
        for effect, view in plan.unit.moved_effects().items():
            if view.state is State.DISPATCHED:
                self._left[effect] = now_s

    # -- what this process sees of its own --

    def seen(self, effect: str) -> Seen | None:
        """A look at what a plan moved, or at what was just sent from here; None: ask the server.

        The second one serves once, a moment long: what follows it is guarded by the effect's token and version.
        """
        self._entered()
        now_ms = self._memory.server_clock.told()
        if now_ms is None:
            return None
        units = self.units()
        if not any(effect in unit.dirty_effects for unit in units):
            at_s = self._left.pop(effect, 0.0)
            if time.monotonic() - at_s > ONCE_S:
                return None
        known = self._memory.known
        if time.monotonic() - known.all_facts_s > FRESH_S or len(known.standings) > MOST_CHANGES:
            known.standings.clear()
        try:
            seen = look(effect, Own(Beliefs(self._memory, self.units)), now_ms, known.standings)
        except NotHeld:
            return None
        steady_ms = self._memory.clock.counts_from_ms(now_ms)
        return replace(seen, steady_ms=steady_ms) if steady_ms else seen

    def units(self) -> list[Ledger]:
        """Plans that are not on disk, the newest first."""
        flying = self._under_way()
        return [self._plan.unit, *flying] if self._plan is not None else flying

    def _under_way(self) -> list[Ledger]:
        return [plan.unit for plan in reversed(self._flying)]

    async def read(self, effect: str, looks: Looks) -> Seen:
        """One consistent look, with what was planned; on disk, where it stands on what is not believed."""
        if (own := self.seen(effect)) is not None:
            return own
        if any(effect in unit.dirty_effects for unit in self.units()):
            await self.landed()
        seen = await looks.look(effect)
        moved = self.run_moved(seen.run.id) if seen.run is not None else None
        return seen if moved is None else replace(seen, run=moved)

    async def latest(self, identity: str, looks: Looks) -> Effect | None:
        """The highest generation of an identity, planned or on disk; for a moment the next may be proposed on it."""
        there = await looks.generation(identity)
        held = next((view for unit in self.units() if (view := unit.by_identity.get(identity)) is not None), None)
        if len(self._asked) > MOST_CHANGES * 16:
            self._asked.clear()
        self._asked[identity] = (time.monotonic(), max(there, held.generation if held is not None else 0))
        if not there or (held is not None and held.generation >= there):
            return held
        return await looks.ask(lambda reading: reading.source.load_latest(identity))

    def run_moved(self, run: str) -> Run | None:
        """The run, where a plan moved it."""
        for unit in self.units():
            if run in unit.dirty_runs:
                return unit.held_run(run)
        return None
