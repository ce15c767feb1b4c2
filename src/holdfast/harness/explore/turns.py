"""Whose turn it is: what runs next when no program does, and how time passes when nothing is due.

Promises: a fixed order, so that equal choices give equal schedules; time never passes while something is due. Decides
nothing about what an answer is, or what goes wrong.
"""

from __future__ import annotations

from typing import Any

from holdfast.harness.explore.moves import Moves
from holdfast.kernel.documents import Drift
from holdfast.kernel.due import due, is_open, wake_ms
from holdfast.kernel.laws.events import AtRest
from holdfast.kernel.model import Effect
from holdfast.kernel.ports import Seen
from holdfast.runtime import drive


class Ended(Exception):  # noqa: N818 - the end of a schedule is not an error
    """The schedule is over: everything rests, a law is broken, or it goes on as one that was seen before."""


class Turns(Moves):
    """What runs next, and what time does."""

    last: str
    """The effect that a worker turned to last: the next one has its turn."""

    def next_program(self) -> bool:
        """Start what is due, in a fixed order. False: nothing is due, time moves next."""
        worker = self.running[0]
        if self.queue:
            index, self.queue = self.queue[0], self.queue[1:]
            self.begin("propose", worker, index)
            return True
        shared, store = self.shared, self.store
        if shared is None or self.jobs:
            turn = self._turn(worker)
        else:
            current, durable = store.current, store.durable
            key = (
                id(current), id(durable), store.writer, self.clock_ms + self.offset_ms, self.last, self.running,
                self.dead, self.blocked, self.told,
            )  # fmt: skip
            known = shared.turns.get(key)
            if known is None:
                shared.spend()
                known = shared.turns[key] = (self._turn(worker), current, durable)
            turn = known[0]
        if turn is not None:
            self.begin(*turn)
        return turn is not None

    def _turn(self, worker: str) -> tuple[str, str, Any] | None:
        """The next program that is due: a verb, or somebody to be told."""
        now_ms = self.store.now_ms()
        found = self._due(now_ms)
        if found is not None:
            return ("step", *found)
        books = self.store.seen_by(worker)
        for view in books.effects.values():
            if (view.id, view.version) not in self.told and not view.successor:
                return "tell", worker, self._news(view, now_ms)
        return None

    def _news(self, view: Effect, now_ms: int) -> tuple[Seen, None]:
        """What is told: one object for all that are equal, where that is known."""
        news = (Seen(now_ms=now_ms, effect=view), None)
        if self.shared is None:
            return news
        known: tuple[tuple[Seen, None], Any] = self.shared.turns.setdefault(("news", id(view), now_ms), (news, view))
        return known[0]

    def _due(self, now_ms: int) -> tuple[str, str] | None:
        """The next (worker, effect) for whom a verb is due: effects in turn, their holder before others."""
        stuck = {effect for effect, at_ms in self.blocked if not at_ms or at_ms > now_ms}
        effects = [e for e in self.store.current.effects if e not in stuck]
        if self.last in effects:
            turn = effects.index(self.last) + 1
            effects = effects[turn:] + effects[:turn]
        for effect in effects:
            for worker in self.running:
                view = self.store.seen_by(worker).effects.get(effect)
                if view is None or self.busy(effect):
                    continue
                proved = self.scenario.provable and view.holder in self.dead and view.state in drive.OWNED
                dead = view.holder if proved else ""
                if due(view, worker, now_ms, dead) is not None:
                    return worker, effect
        return None

    def busy(self, effect: str) -> bool:
        """Whether a program of a running worker already stands in the middle of this effect."""
        return any(job.program == "step" and job.subject == effect for job in self.jobs)

    def pass_time(self) -> None:
        """Nothing is due: the buffer is flushed, people do their part, and time goes to the next act."""
        if self.store.current is not self.store.durable:
            self.store.flush()
            return
        if self.people_act():
            return
        span_ms = self._span_ms()
        spans = [span_ms] if span_ms is not None else []
        spans += [flight.by_ms - self.clock_ms for flight in self.outside.flights]
        if spans:
            self.clock_ms += max(0, min(spans))
            now_ms = self.store.now_ms()
            self.blocked = tuple(row for row in self.blocked if not row[1] or row[1] > now_ms)
            self.land_due()
        elif self.paused:
            self.resume(self.paused[0])
        else:
            self.rest()

    def _span_ms(self) -> int | None:
        """How long until anything is due by itself; None: nothing is."""
        shared, durable = self.shared, self.store.durable
        wall_ms = self.clock_ms + self.offset_ms
        key = ("span", id(durable), wall_ms, self.blocked, self.running)
        known = shared.turns.get(key) if shared is not None else None
        if known is not None:
            span: int | None = known[0]
            return span
        now_ms = self.store.now_ms()
        instants = [at_ms for _, at_ms in self.blocked if at_ms]
        open_now = [v for v in durable.effects.values() if is_open(v)]
        instants += [wake_ms(v, worker) for v in open_now for worker in self.running]
        span_ms = min((at_ms - wall_ms for at_ms in instants if at_ms > now_ms), default=None)
        if shared is not None:
            shared.spend()
            shared.turns[key] = (span_ms, durable)
        return span_ms

    def rest(self) -> None:
        """Faults have ceased and nothing is due."""
        books = self.store.durable
        key = (id(books), "at rest")
        if not self.saw(key):
            # A restored store as a whole waits for a named human; what it holds back has no date of its own.
            waiting = () if books.restored else tuple(v for v in books.effects.values() if is_open(v))
            drifts = tuple(found for found in books.documents.values() if isinstance(found, Drift))
            self.see(AtRest(waiting, drifts), key, books)
        raise Ended
