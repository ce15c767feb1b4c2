"""What a fault does: wrappers around the ports of one worker, at which the faults of a play strike.

Decides what each kind of fault means. Promises that code between ports is the shipped code, that nothing but the named
fault differs from a play without it, and that a worker which was killed waits for ever. A body that is entered writes
its changes into the world as it would in production; what a fault takes away is the reply, the time or the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace as with_parts
from typing import TYPE_CHECKING, Any, cast

from holdfast.harness.faults.points import Strikes, call_of
from holdfast.harness.play.loop import process
from holdfast.harness.world.services import Refused
from holdfast.harness.world.simulated import ACTING, SENT, Acting
from holdfast.kernel.answers import CannotTell, Doubt, NeverLeft, Refusal, Reply
from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.errors import StoreFull
from holdfast.kernel.laws.events import Heard, Left, ToldTo
from holdfast.kernel.model import Effect
from holdfast.kernel.ports import Ports, Question, Request
from holdfast.tools.look import UNREADABLE

if TYPE_CHECKING:
    from holdfast.harness.faults.fault import Fault
    from holdfast.harness.play.stage import Stage, Worker

READS = 3
"""How many reads of one thing an inconsistent outside answers as it likes: old, new, old."""

ANOTHER = "another"
"""In whose name the world writes down what another actor does where *moved* strikes."""

HOUR_MS = 3_600_000
APPROVAL_MS = 2_000_000
"""Longer than any request or approval lives unless its policy says otherwise."""

sent_ms: contextvars.ContextVar[int] = contextvars.ContextVar("sent_ms")
"""When a request left that arrives later: its sender looked at the clock then."""


async def forever() -> Any:
    """A wait that is never answered: whoever waits here was killed."""
    await asyncio.get_running_loop().create_future()


class Struck(Strikes):
    """The faults of one play with what they do."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """None of them has struck."""
        super().__init__(faults)
        self.wavering: dict[tuple[str, str], int] = {}

    def old(self, effect: str, method: str, kinds: set[str]) -> bool:
        """Whether this read is answered from an earlier state. What wavers outside does so for every process."""
        of = effect, method
        if "inconsistent" in kinds:
            self.wavering[of] = READS
        left = self.wavering.get(of, 0)
        if left:
            self.wavering[of] = left - 1
        return "stale" in kinds or left % 2 == 1

    def around(self, ports: Ports, stage: Stage, worker: Worker) -> Ports:
        """The ports of one worker with everything that can go wrong at them."""
        at = Spot(self, stage, worker)
        return with_parts(
            ports,
            store=_Store(ports.store, at),
            body=_Body(worker.door, at),
            look=_Look(ports.look, at),
            tell=_Tell(ports.tell, at),
        )


class Spot:
    """One worker of one play, as its ports see it."""

    def __init__(self, strikes: Struck, stage: Stage, worker: Worker) -> None:
        """Nothing has happened."""
        self.strikes, self.stage, self.worker = strikes, stage, worker

    async def reach(self, effect: str, at: str, *, new: str = "") -> list[Fault]:
        """A wait is reached; what strikes before the call has struck when this returns."""
        if self.worker.down:
            await forever()
        call, tool = call_of(self.stage.store.current, effect) if effect else ("", "")
        faults = self.strikes.reach(call or new, tool or new, at)
        for fault in faults:
            await self._before(fault)
        return faults

    async def _before(self, fault: Fault) -> None:
        stage = self.stage
        if fault.kind == "crash before":
            await self.die()
        elif fault.kind == "clock forward":
            stage.offset_ms += fault.by_ms or HOUR_MS
        elif fault.kind == "clock back":
            stage.offset_ms -= fault.by_ms or HOUR_MS
        elif fault.kind == "approval expires":
            stage.clock.ms += fault.by_ms or APPROVAL_MS
        elif fault.kind == "moved" and stage.case.moved is not None:
            acting = ACTING.set(Acting(stage.world, ANOTHER, stage.clock.ms))
            try:
                with contextlib.suppress(Refused):  # what is refused to another actor is left undone, as to anybody
                    stage.case.moved(stage.world)
            finally:
                ACTING.reset(acting)
        elif fault.kind == "lease stolen":
            await stage.stolen(self.worker)

    async def after(self, faults: list[Fault]) -> None:
        """What strikes when the call is done and nobody has heard of it."""
        if any(fault.kind == "crash after" for fault in faults):
            await self.die()
        if self.worker.down:
            await forever()

    async def die(self) -> None:
        """The process is killed here."""
        self.stage.kill(self.worker)
        await forever()

    @contextlib.contextmanager
    def real(self) -> Any:
        """While the block lasts the world is at work, in real time if it is real."""
        if not self.stage.world.real:
            yield
            return
        with self.stage.loop.at_work():
            yield


class _Store:
    """The ledger, with what can go wrong at its writes."""

    def __init__(self, inner: Any, at: Spot) -> None:
        self._inner, self._at = inner, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, change: Change) -> Verdict:
        return await self._write(change, "store.commit", self._inner.commit)

    async def later(self, change: Change) -> Verdict:
        return await self._write(change, "store.later", self._inner.later)

    async def _write(self, change: Change, at: str, write: Callable[[Change], Coroutine[Any, Any, Verdict]]) -> Verdict:
        effect = change.guard.effect or (change.drafts[0].effect if change.drafts else "")
        new = str(change.drafts[0].body.get("tool", "")) if change.drafts else ""
        faults = await self._at.reach(effect, at, new=new)
        self._at.worker.full = self._at.worker.full or any(fault.kind == "disk full" for fault in faults)
        if self._at.worker.full:
            raise StoreFull(store="memory")
        verdict = await write(change)
        await self._at.after(faults)
        return verdict


class _Body:
    """The door out, with what can happen to a request and to its reply."""

    def __init__(self, inner: Any, at: Spot) -> None:
        self._inner, self._at = inner, at

    async def send(self, request: Request) -> Reply:
        at, stage = self._at, self._at.stage
        faults = await at.reach(request.effect, "body.send")
        held = stage.store.durable.effects.get(request.effect)
        kinds = {fault.kind for fault in faults}
        if "refused connection" in kinds:
            return self._heard(request, NeverLeft("the connection was refused"))
        stage.watch.events.append(
            Left(request.effect, request.key, request.token, request.attempt, stage.clock.ms, held)
        )
        sent = SENT.set(True)
        try:
            reply = await self._sent(request, kinds)
        finally:
            SENT.reset(sent)
        stage.watch.look_outside()
        await at.after(faults)
        return self._heard(request, reply)

    def _heard(self, request: Request, reply: Reply) -> Reply:
        kind = str(type(reply).__struct_config__.tag)
        self._at.stage.watch.events.append(Heard(request.effect, "reply", request.token, kind))
        return reply

    async def _sent(self, request: Request, kinds: set[str]) -> Reply:
        if "denied" in kinds:
            return Refusal("the outside said no: permission denied")
        if kinds & {"lost request", "late"}:
            if "late" in kinds:
                self._arrives_later(request)
            await asyncio.sleep(request.timeout_ms / 1000)
            return Doubt("timeout", "nothing came back within the time limit")
        if "partial" in kinds:
            return await self._partly(request)
        if "stale" in kinds:
            with self._at.stage.as_it_was(), self._at.real():
                reply = await self._inner.send(request)
            return cast("Reply", reply)
        if "duplicated" in kinds:
            await self._enter(request)
        reply = await self._enter(request)
        if "lost reply" in kinds:
            return Doubt("lost_reply", "the connection ended before the reply")
        if "timeout after work" in kinds:
            await asyncio.sleep(request.timeout_ms / 1000)
            return Doubt("timeout", "nothing came back within the time limit")
        return Doubt("unintelligible", "the reply cannot be read") if "malformed reply" in kinds else reply

    async def _enter(self, request: Request) -> Reply:
        self._at.stage.leaves()
        with self._at.real():
            reply: Reply = await self._inner.send(request)
        return reply

    async def _partly(self, request: Request) -> Reply:
        """The first place that is written lands, and the connection ends."""
        world: Any = self._at.stage.world
        if "halfway" not in getattr(world, "can", ()):
            await self._enter(request)
            return Doubt("lost_reply", "the connection ended in the middle")
        with world.halfway(1):
            reply = await self._enter(request)
        return reply if isinstance(reply, Doubt) else Doubt("lost_reply", "the connection ended in the middle")

    def _arrives_later(self, request: Request) -> None:
        """It left in time and is under way until its sender has given up."""
        stage = self._at.stage
        after_ms = request.timeout_ms + 1

        async def arrive() -> None:
            await asyncio.sleep(after_ms / 1000)
            with contextlib.suppress(Exception):  # nobody waits for what it comes to
                await self._inner.send(request)
            stage.watch.look_outside()

        context = contextvars.copy_context()
        context.run(sent_ms.set, stage.store.now_ms())
        context.run(process.set, None)  # it is under way: what becomes of its sender changes nothing
        task = asyncio.get_running_loop().create_task(arrive(), context=context)
        stage.flights.add(task)
        task.add_done_callback(stage.flights.discard)


class _Look:
    """The read-only companions, with answers that are old, wrong or missing."""

    def __init__(self, inner: Any, at: Spot) -> None:
        self._inner, self._at = inner, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def probe(self, question: Question) -> Any:
        return await self._ask("probe", question)

    async def verify(self, question: Question) -> Any:
        return await self._ask("verify", question)

    async def state(self, question: Question) -> str:
        came = await self._ask("state", question)
        return came if isinstance(came, str) else f"{UNREADABLE}{came.why}"

    async def _ask(self, method: str, question: Question) -> Any:
        at = self._at
        faults = await at.reach(question.effect, f"look.{method}")
        kinds = {fault.kind for fault in faults}
        if "cannot tell" in kinds:
            answer: Any = CannotTell("the read gave no answer")
        else:
            old = at.strikes.old(question.effect, method, kinds)
            with at.stage.as_it_was() if old else contextlib.nullcontext(), at.real():
                answer = await getattr(self._inner, method)(question)
        await at.after(faults)
        if method != "state" and not isinstance(answer, str):
            kind = str(type(answer).__struct_config__.tag)
            final = getattr(answer, "final", False)
            at.stage.watch.events.append(Heard(question.effect, method, question.token, kind, final))
        return answer


class _Tell:
    """Whoever is told, after the flush."""

    def __init__(self, inner: Any, at: Spot) -> None:
        self._inner, self._at = inner, at

    async def tell(self, view: Effect) -> None:
        if self._at.worker.down:
            await forever()
        stage = self._at.stage
        stage.watch.events.append(ToldTo(view, stage.store.durable.effects.get(view.id)))
        await self._inner.tell(view)
