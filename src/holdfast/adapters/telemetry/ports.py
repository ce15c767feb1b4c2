"""The ports with somebody looking on: each call goes to the port it was meant for, unchanged, and is told afterwards.

Decides nothing and answers nothing. Promises that what comes back, also an exception, is what the port gave, and that
bodies, companions and planners run inside the context of their span, so that an instrumented client sends it along.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, TypeVar

from msgspec.structs import replace

from holdfast.adapters.telemetry.spans import at
from holdfast.adapters.telemetry.watcher import Watcher
from holdfast.kernel.answers import Checked, Doubt, Found, Reply
from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.documents import Item
from holdfast.kernel.model import Effect, Run
from holdfast.kernel.ports import BodyPort, LookPort, Question, Request, Seen, StorePort
from holdfast.runtime.planner import Answer, NoAnswer, Planner, View

T = TypeVar("T")


class WatchedStore:
    """The store port; changes are told when they have their verdict."""

    def __init__(self, store: StorePort, watcher: Watcher, took: Callable[[float], None]) -> None:
        """``took`` is told the seconds that each durable commit took."""
        self._store, self._watcher, self._took = store, watcher, took

    async def read(self, effect: str) -> Seen:
        """As the store answers."""
        seen = await self._store.read(effect)
        self._watcher.saw(seen.effect)
        return seen

    async def latest(self, identity: str) -> Effect | None:
        """As the store answers."""
        return await self._store.latest(identity)

    async def run_row(self, run: str) -> Run | None:
        """As the store answers."""
        return await self._store.run_row(run)

    async def run_effects(self, run: str) -> list[Effect]:
        """As the store answers."""
        return await self._store.run_effects(run)

    async def run_items(self, run: str) -> list[Item]:
        """As the store answers."""
        return await self._store.run_items(run)

    async def time(self) -> int:
        """As the store answers."""
        return await self._store.time()

    async def commit(self, change: Change) -> Verdict:
        """As the store answers."""
        change = self._watcher.carrying(change) or change
        began = time.perf_counter()
        verdict = await self._store.commit(change)
        self._took(time.perf_counter() - began)
        self._watcher.wrote(change, verdict)
        return verdict

    async def later(self, change: Change) -> Verdict:
        """As the store answers."""
        verdict = await self._store.later(change)
        self._watcher.wrote(change, verdict)
        return verdict

    async def flush(self) -> None:
        """As the store answers."""
        await self._store.flush()


class WatchedBody:
    """The door out; each send is an attempt."""

    def __init__(self, body: BodyPort, watcher: Watcher) -> None:
        """Over the real door."""
        self._body, self._watcher = body, watcher

    async def send(self, request: Request) -> Reply:
        """As the body answers."""
        place = self._watcher.attempt(request.effect, request.attempt)
        if place is None:
            return await self._body.send(request)
        start_ns = time.time_ns()
        reply: Reply = Doubt("cancelled")
        try:
            with at(place):
                reply = await self._body.send(replace(request, trace=place.traceparent))
        finally:
            self._watcher.sent(request.effect, place, reply, start_ns)
        return reply


class WatchedLook:
    """The door for read-only companions."""

    def __init__(self, look: LookPort, watcher: Watcher) -> None:
        """Over the real door."""
        self._look, self._watcher = look, watcher

    async def state(self, question: Question) -> str:
        """As the companion answers."""
        return await self._asked("state", question, self._look.state)

    async def preview(self, question: Question) -> str:
        """As the companion answers."""
        return await self._asked("preview", question, self._look.preview)

    async def probe(self, question: Question) -> Found:
        """As the companion answers."""
        return await self._asked("probe", question, self._look.probe)

    async def verify(self, question: Question) -> Checked:
        """As the companion answers."""
        return await self._asked("verify", question, self._look.verify)

    async def _asked(self, kind: str, question: Question, ask: Callable[[Question], Awaitable[T]]) -> T:
        start_ns = time.time_ns()
        place = self._watcher.look(question.effect, kind, start_ns)
        with at(place) if place is not None else nullcontext():
            answer = await ask(question)
        if place is not None:
            self._watcher.looked(kind, question.effect, place, answer, start_ns)
        return answer


class WatchedPlanner:
    """A planner of one run; each time it is asked is a turn."""

    def __init__(self, run: str, planner: Planner, watcher: Watcher) -> None:
        """Over the real planner."""
        self._run, self._planner, self._watcher = run, planner, watcher

    async def propose(self, view: View) -> Answer:
        """As the planner answers."""
        start_ns = time.time_ns()
        place = self._watcher.turn(self._run, view.step, start_ns)
        came: Any = None
        try:
            with at(place) if place is not None else nullcontext():
                came = await self._planner.propose(view)
        except NoAnswer as no:
            came = no
            raise
        finally:
            if place is not None:
                self._watcher.turned(self._run, view.step, place, came, start_ns)
        answer: Answer = came
        return answer
