"""The machine of a closed exploration: the same verbs and the same waits, and everything that may happen, at will.

Nothing is counted: a worker may crash or stand still at any wait, the planner may call again, people may act and time
may pass as often as anybody likes. Time stands still while a worker works and passes by whole ticks.

Promises: whatever happens between two waits of one worker happens while it is paused there, so it is offered where
nobody is in the middle of a verb and nowhere else. Bounds, said in every report: a call of the planner is recorded
whole or lost with its worker, a new call comes only where a place is free and the last outcome was told,
a clock is never set back, and for each worker that dies another begins.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from holdfast.harness.explore.machine import GO, Machine, Snapshot
from holdfast.harness.explore.scenario import TICK_MS, AtWill, Call, Scenario
from holdfast.harness.explore.turns import Ended
from holdfast.harness.explore.virtual import Job, Suspended
from holdfast.kernel.due import is_open, wake_ms
from holdfast.kernel.errors import ApprovalInvalid, HoldfastError, NotAllowedNow
from holdfast.kernel.model import Effect, State
from holdfast.runtime import people

WRITES = frozenset({"commit", "later", "flush"})
FAIR = frozenset({GO, "tick", "land", "land:1", "resume", "resume:1"})
"""What goes on once faults have ceased: workers work, requests land, time passes."""

AMOUNTS = (5, 6)
"""The two values of the material argument: an amended call takes the other one."""


class Held(NamedTuple):
    """An instant of a closed exploration, by reference."""

    at: Snapshot
    orders: tuple[str, ...]
    serial: int


class AtWillMachine(Machine):
    """A machine on which everything of its scenario's alphabet may happen, as often as it likes."""

    step_ms = 0

    def __init__(self, scenario: Scenario) -> None:
        """Open the run with nothing proposed and every worker free."""
        assert scenario.at_will is not None
        self.at_will: AtWill = scenario.at_will
        self.orders: tuple[str, ...] = ()
        self.serial = 0
        super().__init__(scenario)
        self.queue = ()
        self.running = tuple(f"w{n + 1}" for n in range(self.at_will.workers))
        self.born = len(self.running)
        self.crashes = self.faults = 1

    def hold(self) -> Held:
        """This instant."""
        return Held(self.save(), self.orders, self.serial)

    def back(self, held: Held) -> None:
        """Go back to an instant."""
        self.load(held.at)
        self.orders, self.serial = held.orders, held.serial

    # -- what may happen --

    def options(self) -> tuple[str, ...]:
        """What may happen here; the first is what happens if nothing goes wrong."""
        if not self.jobs:
            return self.between()
        job = self.jobs[-1]
        if not job.answers:
            return (GO,)  # nothing was learnt yet, so it is as good as not begun
        wait = job.wait
        found = [GO, *self.variants(job)]
        if wait.port in ("gate", "tell", "peers"):
            # What they say depends on nothing that the worker has read, so whatever happens here may as well happen
            # before that reading, or after this.
            return tuple(found)
        looking = wait.port in ("body", "look")
        if looking or wait.method in WRITES:
            found += self._crashes(job)
        if looking:
            found += ["land", "land:1"][: len(self.outside.flights)]
        if job.program != "propose":
            found.append("pause")
        if wait.port == "body" and self.timely(job):
            found.append("pause past the check")
        return tuple(found)

    def between(self) -> tuple[str, ...]:
        """What may happen while nobody is in the middle of a verb, but for those who stand still."""
        found = [GO]
        if self.waits_for_time():
            found.append("tick")
        found += ["land", "land:1"][: len(self.outside.flights)]
        found += ["resume", "resume:1"][: len(self.paused)]
        found += [f"crash:{place}" for place in self.at_stake()]
        if self.running and not self.untold():
            found += self.calls_at_will()
        return (*found, *self.acts())

    def waits_for_time(self) -> bool:
        """Whether anything becomes due, over or too late as time passes."""
        if self.outside.flights or self.paused:
            return True
        return any(is_open(view) or view.holder for view in self.present())

    def workers(self) -> tuple[str, ...]:
        """Those who are free, then those who stand still."""
        return (*self.running, *(paused.worker for paused in self.paused))

    def at_stake(self) -> list[int]:
        """The places of workers whose death would be noticed: they hold something, or wrote what is not on disk yet."""
        held = {view.holder for view in self.store.current.effects.values() if view.holder}
        if self.store.current is not self.store.durable:
            held.add(self.store.writer)
        free = len(self.running)
        return [place for place, worker in enumerate(self.workers()) if worker in held or place >= free]

    def untold(self) -> bool:
        """Whether an outcome is still to be told: the planner calls again when it has heard how the last call ended."""
        told = dict(self.told)
        effects = self.store.current.effects.values()
        return any(not is_open(view) and told.get(view.id) != view.version and not view.successor for view in effects)

    def calls_at_will(self) -> list[str]:
        """What the planner may call: each tool where a place is free, and anew what is in flight."""
        found: list[str] = []
        if len([order for order in self.orders if not self.over(order)]) < self.at_will.effects:
            found += [f"call:{call.tool}" for call in self.scenario.calls]
        for place, _ in enumerate(self.orders):
            found += [f"{what}:{place}" for what in self.at_will.classes]
        return found

    def acts(self) -> list[str]:
        """What people may do."""
        found: list[str] = []
        allowed = self.at_will.people
        books = self.store.durable
        if "decide" in allowed and any(approval.state == "open" for approval in books.approvals.values()):
            found += ["approve", "decline"]
        raised = (fact := books.facts.get("halt:store")) is not None and fact.raised
        if "halt" in allowed and not raised and any(is_open(view) for view in self.present()):
            found.append("halt")
        if "lift" in allowed and raised:
            found.append("lift")
        if "attest" in allowed and not self.outside.flights and self.for_people() is not None:
            found.append("attest")
        return found

    def for_people(self) -> Effect | None:
        """The first effect on disk that only a person can bring further."""
        sending = {held.subject for held in self.paused if held.at.endswith("body.send")}
        for view in self.store.durable.effects.values():
            # A person says what they saw when nothing could land any more; who errs is not explored.
            if view.escalated and view.state in (State.UNKNOWN, State.PENDING) and view.id not in sending:
                return view
        return None

    # -- what is in flight --

    def present(self) -> list[Effect]:
        """The effects of what is in flight, in the order of their proposal; those that ended and were left are not."""
        orders = self.orders
        return [view for view in self.store.current.effects.values() if view.args["order"] in orders]

    def over(self, order: str) -> bool:
        """Whether nothing can come of a call any more: it ended, nothing of it is under way, and nobody is at it."""
        effects = [view for view in self.store.current.effects.values() if view.args["order"] == order]
        ids = {view.id for view in effects}
        if any(is_open(view) or view.holder for view in effects):
            return False
        if any(flight.request.effect in ids for flight in self.outside.flights):
            return False
        for held in self.programs():
            at = held.subject if held.program == "step" else getattr(held.subject, "order", "")
            if at == order or at in ids or held.program == "tell":
                return False
        return self.store.current is self.store.durable

    def programs(self) -> list[Job | Suspended]:
        """Whatever stands in the middle of something."""
        return [*self.paused, *self.jobs]

    def latest(self, order: str) -> Effect | None:
        """The latest generation of a call."""
        found = [view for view in self.present() if view.args["order"] == order]
        return found[-1] if found else None

    # -- what happens --

    def event(self, option: str, job: Job | None) -> bool:
        """Let an event happen. False: the option is a variant of the call itself."""
        self.crashes = self.faults = 1
        what, _, which = option.partition(":")
        if what == "land":
            self.land(self.outside.flights[int(which or 0)])
        elif what == "resume":
            self.resume(self.paused[int(which or 0)])
        elif what == "crash" and which:
            self.dies(self.workers()[int(which)])
        elif option.startswith("crash"):
            self._crash(option, job)
        elif what == "tick":
            self.tick()
        elif option.startswith("pause"):
            assert job is not None
            self._pause(job, sending=option == "pause past the check")
        elif what == "call":
            self._call(which)
        elif what in ("repeat", "amend"):
            self._call_again(what, self.orders[int(which)])
        elif option in ("approve", "decline"):
            self.decide("refuse" if option == "decline" else "approve")
        elif option in ("halt", "lift"):
            act = people.halt if option == "halt" else people.lift
            with contextlib.suppress(HoldfastError):
                act(self.desk(), "store", who="ada", reason="explored")
        elif option == "attest":
            self._attest()
        else:
            return False
        return True

    def tick(self) -> None:
        """Time passes, and what had to land by now has landed. Who is free flushes what it wrote long before."""
        if self.store.writer in self.running:
            self.store.flush()
        self.clock_ms += TICK_MS
        self.land_due()
        now_ms = self.store.now_ms()
        self.blocked = tuple(row for row in self.blocked if not row[1] or row[1] > now_ms)

    def _call(self, tool: str) -> None:
        """A new call in a place that is free. What ended is left: nobody comes back to it."""
        self.orders = tuple(order for order in self.orders if not self.over(order))
        self.serial += 1
        order = f"{chr(64 + self.serial)}" if self.serial < 27 else f"N{self.serial}"
        self.orders = (*self.orders, order)
        self.begin("propose", self.running[0], Call(tool, order))

    def _call_again(self, what: str, order: str) -> None:
        """The planner calls again what is in flight, or was just now; its last words about it count."""
        view = self.latest(order)
        if view is None:
            return
        call = Call(view.tool, order, view.args["account"], view.args["amount"], noted=7)
        if what == "amend":
            call = call._replace(amount=sum(AMOUNTS) - call.amount)
        self.begin("propose", self.running[0], call)

    def _attest(self) -> None:
        """A person has looked at the world and says what they saw."""
        view = self.for_people()
        assert view is not None
        happened = any(row.key == view.key for row in self.outside.log)
        with contextlib.suppress(ApprovalInvalid, NotAllowedNow):
            people.attest(self.desk(), view.id, who="ada", happened=happened, reason="looked")

    # -- workers --

    def begin(self, name: str, worker: str, subject: Any) -> None:
        """Start a program; how many were started does not count here."""
        self.started = 0
        super().begin(name, worker, subject)

    def dies(self, worker: str) -> None:
        """A worker dies between verbs, or while it stands still."""
        self.paused = tuple(held for held in self.paused if held.worker != worker)
        self._gone(worker)

    def _crash(self, option: str, job: Job | None) -> None:
        super()._crash(option, job)
        self.fresh = True

    def _pause(self, job: Job, *, sending: bool) -> None:
        super()._pause(job, sending=sending)
        # By what they stand at and not by who stands there: two workers are told apart by nothing else.
        self.paused = tuple(sorted(self.paused, key=_at))

    def _gone(self, worker: str) -> None:
        self.store.crash(worker)
        self.told = tuple(row for row in self.told if row[0] in self.store.durable.effects)
        self.dead |= {worker}
        self.running = tuple(name for name in self.running if name != worker)
        self._again([])
        self._replace_worker()

    def _again(self, programs: list[tuple[str, Any]]) -> None:  # noqa: ARG002 - the planner is at will
        """A call that was lost with its worker is as good as never made: the planner may make it again at will."""
        there = {view.args["order"] for view in self.store.current.effects.values()}
        asked = {held.subject.order for held in self.paused if held.program == "propose"}
        self.orders = tuple(order for order in self.orders if order in there or order in asked)

    def _replace_worker(self) -> None:
        while len(self.running) + len(self.paused) < self.at_will.workers:
            self.born += 1
            self.running = (*self.running, f"w{self.born}")

    # -- time --

    def next_program(self) -> bool:
        """Start what is due. Nothing is, where every worker stands still."""
        return bool(self.running) and super().next_program()

    def pass_time(self) -> None:
        """What goes on by itself: what is due, else the buffer is flushed, else time passes, else somebody goes on."""
        if self.next_program():
            return
        if self.store.current is not self.store.durable:
            self.store.flush()
        elif self.waits():
            self.tick()
        elif self.paused:
            self.resume(self.paused[0])
        else:
            self.rest()

    def waits(self) -> bool:
        """Whether an instant is still to come at which something is due by itself."""
        now_ms = self.store.now_ms()
        if self.outside.flights or any(at_ms > now_ms for _, at_ms in self.blocked):
            return True
        open_now = [view for view in self.store.durable.effects.values() if is_open(view)]
        return any(wake_ms(view, worker) > now_ms for view in open_now for worker in self.running)


def _at(held: Suspended) -> tuple[str, int, bool, str]:
    return held.program, len(held.answers), held.sending, str(held.subject)


__all__ = ["FAIR", "AtWillMachine", "Ended", "Held"]
