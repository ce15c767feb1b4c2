"""What becomes of a run's job when a drive came to rest: driven on later, or out of the lanes until somebody decided.

Pure over the report, the run and its effects. A drive that could not be made (no answer of the planner, its turns used
up, the store not there) is a try: the job comes back after a pause, and after so many tries it is a dead letter with an
owner. A run that waits for a person, for a long operation or for the end of an effect in doubt is no poison: its job
waits outside of the lanes, and no try is counted. Whether what it waits for is there is asked with :func:`over`.

Promises that every rest has an answer here. The end of a run is none of its business: the commit that ends a run takes
its job along (:mod:`holdfast.kernel.commit`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

from holdfast.kernel import sagas
from holdfast.kernel.documents import EVERY, AnyDocument, Job, Saga
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.kernel.outcomes import Deferred, Waiting
from holdfast.runtime import jobs
from holdfast.runtime.ending import Report
from holdfast.runtime.owed import owed
from holdfast.runtime.saga.driving import CARRIED, PLANNER
from holdfast.runtime.saga.people import present_of
from holdfast.runtime.stops import Ground, in_the_way
from holdfast.store.evidence import Entry

GOES_ON = frozenset({"open", "blocked"})
"""States of a run that has not ended."""

TRIES = frozenset({Ground.NO_ANSWER, Ground.TURNS, Ground.LEASE, Ground.STORE})
"""Grounds on which a drive was a try that came to nothing; every other one is for a person, or for the world."""

ON_EFFECT = frozenset({Ground.AMBIGUOUS, Ground.VERIFICATION, Ground.APPROVAL})
"""Grounds that are over when their effect is no longer as it was."""

WORDS = frozenset({"unblocked", "extended", "shortened", "reopened"})
"""Kinds of entry by which a person, or a program in somebody's name, says that a run may go on."""

EFFECT = "effect"
"""What a job waits for that waits for the end of an effect."""

STANDING = frozenset({State.WAITING, State.PENDING, State.UNKNOWN, State.UNCONFIRMED, State.DISPATCHED})


class Ledger(Protocol):
    """What is read of a store to see whether something is over."""

    def run(self, run: str) -> Run | None: ...
    def read_now(self, effect: str) -> object: ...
    def effects(self, run: str | None = None) -> list[Effect]: ...
    def approval(self, approval: str) -> Approval | None: ...
    def entries(self, of: str, limit: int = -1, after: int = 0) -> list[Entry]: ...
    def fact(self, scope: str) -> Fact | None: ...
    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]: ...
    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]: ...
    def now_ms(self) -> int: ...


def ended(job: Job, run: Run) -> Job | None:
    """The job of a run that has ended, for a job that does not say so yet; None: the run goes on."""
    if run.state in GOES_ON or job.state in ("done", "dropped"):
        return None
    return jobs.done(job) if run.state == "done" else jobs.dropped(job, f"the run is {run.state}: {run.reason}"[:300])


def after(job: Job, report: Report, run: Run, now_ms: int) -> Job:
    """The job of a run that goes on, after a drive of it came to rest here."""
    if over_now := ended(job, run):
        return over_now
    if report.state == CARRIED:  # its program goes on with the run, or whoever it was submitted for
        mine = job.planner.partition(":")[0] == PLANNER
        return jobs.done(job, report.reason) if mine else jobs.let_go(job, report.reason, now_ms)
    if report.state == "waiting":
        return _waiting(job, report, run, now_ms)
    code = report.stop.code if report.stop is not None else Ground.STORE.value
    if code in TRIES:
        return jobs.given_back(job, report.reason, now_ms)
    about = report.stop.effect if report.stop is not None else ""
    return jobs.waits_for_a_person(job, report.reason, now_ms, waits=code, about=about, seen=run.seq)


def _waiting(job: Job, report: Report, run: Run, now_ms: int) -> Job:
    last = report.outcomes[-1] if report.outcomes else None
    if isinstance(last, Deferred):  # it has a time of its own, and nobody has to decide anything
        return jobs.waits_for_a_person(job, report.reason, now_ms, look_again_ms=last.not_before or now_ms + 1_000)
    about = last.effect if isinstance(last, Waiting) else ""
    return jobs.waits_for_a_person(job, report.reason, now_ms, waits=EFFECT, about=about, seen=run.seq)


def broke(job: Job, error: BaseException, now_ms: int) -> Job:
    """The job after a drive that raised."""
    return jobs.given_back(job, f"{type(error).__name__}: {error}"[:300], now_ms)


def over(job: Job, ledger: Ledger) -> str:
    """Why what a job waits for is over, in words; empty: it still waits."""
    run = ledger.run(job.run)
    if run is None:
        return ""
    if run.state not in GOES_ON:
        return f"the run is {run.state}"
    if run.seq > job.seen and (word := _word(ledger.entries(job.run, after=job.seen))):
        return word
    if job.waits == EFFECT or job.waits in ON_EFFECT:
        return _effect_over(job, ledger)
    if job.waits == PLANNER:
        return _saga_over(job, ledger)
    if job.waits == Ground.OWED:
        if owed(ledger, job.run) is None:
            return "no drift of it is open, and no saga of it unfinished"
        return _saga_over(job, ledger) if job.about == "" else ""
    if job.waits == Ground.HALT:
        return "" if in_the_way(ledger, run).halted else "the halt was lifted"
    if job.waits == Ground.TIME:
        gone = run.deadline_ms is not None and ledger.now_ms() >= run.deadline_ms
        return "" if gone else "its deadline is another"
    return ""


def _word(entries: Iterable[Entry]) -> str:
    said = [entry for entry in entries if entry.kind in WORDS and not entry.effect]
    return f"{said[-1].by} {said[-1].kind} it" if said else ""


def _effect_over(job: Job, ledger: Ledger) -> str:
    views = [view for view in ledger.effects(run=job.run) if not job.about or view.id == job.about]
    if not views:
        return "its effect is not recorded any more"
    for view in views:
        if view.state is State.WAITING and view.approval and not view.schedulings:
            approval = ledger.approval(view.approval)
            if approval is not None and approval.state == "open":
                return ""
        elif view.state in STANDING and not view.unsettled:
            return ""
    return f"{views[-1].id} is {views[-1].state.value}"


def _saga_over(job: Job, ledger: Ledger) -> str:
    """Why a saga that rested may go on: a person spoke, or what it was held for is known."""
    found = [one for one in ledger.documents("saga", job.run, EVERY) if isinstance(one, Saga)]
    if found and all(one.place is None for one in found):
        return "no saga of it is unfinished"
    return next((f"the saga {one.name} goes on" for one in found if _goes_on(one, job, ledger)), "")


def _goes_on(saga: Saga, job: Job, ledger: Ledger) -> bool:
    present = present_of(cast("Any", ledger), saga)
    act = sagas.next_act(saga, present)
    if act is None or act.what == sagas.HOLD:
        return False
    if saga.held and job.about in ("", saga.id):  # for its program, or for a person's word
        return False
    step = saga.steps[act.step]
    effect = {sagas.CARRY: step.effect, sagas.CARRY_OFFSET: step.offset_effect}.get(act.what, "")
    return sagas.standing(present.get(effect)) not in ("in doubt", "waiting")
