"""Fewer schedules with the same verdicts: what commutes is tried once, and faults fall where they can meet.

Two reductions, both only on request, both said in the report:

*Commuting events* (a partial order). What gate, peers, clock and teller answer depends on nothing that an event of the
alphabet changes, so an event before such a call is the event before the next call, and is offered there alone.

*Lineage*. Calls on different resources, with no budget, deadline or grant between them, do not meet: what goes wrong
with one is no part of how the other came out. A second fault is therefore only offered on the lineage of the first;
what it does elsewhere, it does alone as well. Crashes, pauses, halts and
jumps strike whole workers and are never left out.

Promises nothing about how many schedules there would have been. That verdicts are equal is tested on small cases, with
defects planted and without.
"""

from __future__ import annotations

from holdfast.harness.explore.machine import GO, Machine, Snapshot
from holdfast.harness.explore.scenario import Scenario
from holdfast.harness.explore.shared import Shared
from holdfast.harness.explore.virtual import Job

QUIET = frozenset({"peers", "tell", "clock"})


class Reduced(Machine):
    """A machine that offers less where less says the same."""

    def __init__(self, scenario: Scenario, *, shared: Shared | None = None) -> None:
        """Find out which calls can meet."""
        self.struck = ""
        alone = scenario.budget == type(scenario.budget)() and scenario.deadline_ms is None
        self._apart = alone and not scenario.granted_until_ms
        self._struck_at: dict[tuple[tuple[str, str], ...], str] = {}
        super().__init__(scenario, shared=shared)

    def load(self, at: Snapshot) -> None:
        """Go back to an instant; which lineage was struck follows from its trail."""
        super().load(at)
        self.struck = self._struck_at.get(self.trail, "")

    def options(self) -> tuple[str, ...]:
        """What may happen here that does not say the same as something elsewhere."""
        found = super().options()
        if len(found) == 1 or not self.jobs:
            return found
        job = self.jobs[-1]
        if job.wait.port in QUIET:
            return (GO,)
        if self.struck and self._apart and self.lineage(job) not in ("", self.struck):
            variants = set(self.variants(job))
            return tuple(option for option in found if option == GO or option not in variants)
        return found

    def take(self, option: str) -> None:
        """Let one option happen, and remember whose lineage a fault struck."""
        job = self.jobs[-1] if self.jobs else None
        if option != GO and job is not None and not self.struck and option in self.variants(job):
            struck = self.lineage(job)
            before = self.trail
            super_trail = (*before, (self.address(), option))
            self._struck_at[super_trail] = self.struck = struck
        elif self.struck and option != GO:
            self._struck_at[(*self.trail, (self.address(), option))] = self.struck
        super().take(option)

    def lineage(self, job: Job) -> str:
        """The resource that a wait is about; empty: it is nobody's in particular."""
        if job.program == "propose":
            return self.call(job.subject).account
        effect = job.subject if job.program == "step" else job.subject[0].effect.id
        view = self.store.current.effects.get(effect)
        return str(view.args["account"]) if view is not None else ""


__all__ = ["Reduced"]
