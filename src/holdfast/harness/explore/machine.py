"""The machine: one scenario being driven, with every port call and every boundary between verbs a place to choose.

Everything that can be branched on is a frozen value, so a snapshot is a tuple of references. What runs is the shipped
code: :func:`holdfast.runtime.drive.step`, :func:`holdfast.effect.admit.propose` and what tells a record.

Decides what may happen at a wait and what it does; whoever drives decides which of it happens. Promises that equal
choices give equal schedules. Does not explore how a store writes: the in-memory store's semantics are assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from holdfast.effect import admit
from holdfast.effect.dispatch import STANDS
from holdfast.harness.explore import outside as world
from holdfast.harness.explore.outside import Outside
from holdfast.harness.explore.scenario import SECRET, START_MS, Scenario
from holdfast.harness.explore.shared import Shared
from holdfast.harness.explore.turns import Ended, Turns
from holdfast.harness.explore.virtual import Course, Job, Suspended, Wait, course, ports
from holdfast.kernel.errors import HoldfastError, KeyReused, RunStopped
from holdfast.kernel.laws import Broken, Fold, States
from holdfast.kernel.laws.events import Asked, Evidence, Idle
from holdfast.kernel.model import Effect, State
from holdfast.kernel.ports import Ports
from holdfast.runtime import drive
from holdfast.store.evidence import check_chain
from holdfast.store.memory import Books, MemoryStore

GO = "go"
_GO_ONLY = (GO,)
JOBS_LIMIT = 400
"""Programs one schedule may start before it is called a driver that never rests."""

Chooser = Callable[["Machine", tuple[str, ...]], str]

Script = tuple[tuple[str, str], ...]
"""A schedule as (address, option) pairs: everything else goes on."""


class Snapshot(NamedTuple):
    """Everything that may differ between two schedules, by reference."""

    durable: Books
    current: Books
    writer: str
    clock_ms: int
    offset_ms: int
    outside: Outside
    running: tuple[str, ...]
    dead: frozenset[str]
    born: int
    jobs: tuple[tuple[Course, bool, bool], ...]
    paused: tuple[Suspended, ...]
    queue: tuple[int, ...]
    told: tuple[tuple[str, int], ...]
    blocked: tuple[tuple[str, int], ...]
    last: str
    started: int
    crashes: int
    faults: int
    fresh: bool
    states: States
    counts: dict[str, int]
    trail: tuple[tuple[str, str], ...]


class Machine(Turns):
    """One schedule of one scenario at a time; ``broken`` says which law ended it, if one did."""

    step_ms = 1
    naming = True
    """Whether addresses are counted and a trail is kept; a search that keeps its own way does without."""

    def __init__(self, scenario: Scenario, *, shared: Shared | None = None) -> None:
        """Open the run and stand before the first choice. ``shared``: what need not be worked out twice."""
        self.scenario = scenario
        self.shared = shared
        self.contracts = scenario.contracts
        self.fold = Fold(self.contracts, SECRET)
        self._ports: dict[str, Ports] = {}
        self.faces = {}
        self.clock_ms = START_MS
        self.offset_ms = 0
        self.store = MemoryStore(lambda: self.clock_ms + self.offset_ms, secret=SECRET)
        self.outside = Outside()
        self.running: tuple[str, ...] = ("w1",)
        self.dead: frozenset[str] = frozenset()
        self.born = 1
        self.jobs: list[Job] = []
        self.paused: tuple[Suspended, ...] = ()
        self.queue: tuple[int, ...] = tuple(range(len(scenario.calls)))
        self.told: tuple[tuple[str, int], ...] = ()
        self.blocked: tuple[tuple[str, int], ...] = ()
        self.last = ""
        self.started = 0
        self.crashes = scenario.bounds.crashes
        self.faults = scenario.bounds.faults
        self.fresh = True
        self.counts: dict[str, int] = {}
        self.trail: tuple[tuple[str, str], ...] = ()
        self.states: States = self.fold.start()
        self.broken: Broken | None = None
        self.meet: Callable[[], bool] | None = None
        """Asked between programs whether this state was met before; then the schedule ends there."""
        self.entering = self.merged = False
        self.run_id = self.open_run()
        self.start = self.save()

    # -- snapshots --

    def save(self) -> Snapshot:
        """This instant, by reference."""
        jobs = self.jobs
        return Snapshot(
            self.store.durable,
            self.store.current,
            self.store.writer,
            self.clock_ms,
            self.offset_ms,
            self.outside,
            self.running,
            self.dead,
            self.born,
            tuple([(job.course, job.disturbed, job.sending) for job in jobs]),
            self.paused,
            self.queue,
            self.told,
            self.blocked,
            self.last,
            self.started,
            self.crashes,
            self.faults,
            self.fresh,
            self.states,
            dict(self.counts),
            self.trail,
        )

    def load(self, at: Snapshot) -> None:
        """Go back to an instant; a program under way is only fed the answers it had if it has to run again."""
        store = self.store
        (
            store.durable, store.current, store.writer, self.clock_ms, self.offset_ms, self.outside, self.running,
            self.dead, self.born, jobs, self.paused, self.queue, self.told, self.blocked, self.last,
            self.started, self.crashes, self.faults, self.fresh, self.states, counts, self.trail,
        ) = at  # fmt: skip
        self.counts = dict(counts)
        for running in self.jobs:
            running.close()
        self.broken = None
        self.entering, self.merged = True, False
        self.jobs = []
        for course_at, disturbed, sending in jobs:
            job = Job(course_at)
            job.disturbed, job.sending = disturbed, sending
            self.jobs.append(job)

    # -- programs --

    def of(self, worker: str) -> Ports:
        """The ports of one worker."""
        found = self._ports.get(worker)
        if found is None:
            found = self._ports[worker] = ports(worker, self.contracts, SECRET)
        return found

    def program(self, name: str, worker: str, subject: Any) -> Callable[[], Any]:
        """What makes a fresh coroutine of shipped code."""
        if name == "step":
            return partial(drive.step, self.of(worker), subject)
        if name == "tell":
            return partial(drive.publish, self.of(worker), *subject)
        run = self.store.seen_by(worker).runs[self.run_id]
        return partial(admit.propose, self.of(worker), self.proposal(subject, run))

    def begin(self, name: str, worker: str, subject: Any) -> None:
        """Start a program on top of whatever runs."""
        self.started += 1
        if self.started > JOBS_LIMIT:
            self.see(Idle(str(subject), "the driver"))
        shared = self.shared
        if shared is None:
            self.jobs.append(Job(*course(name, worker, subject, self.program(name, worker, subject), shared=False)))
            return
        about: Any = subject
        kept: Any = None
        if name == "tell":
            about = id(subject)
        elif name == "propose":
            kept = self.store.seen_by(worker).runs[self.run_id]
        key = (name, worker, about, id(kept))
        known = shared.courses.get(key)
        if known is not None:
            self.jobs.append(Job(known))
            return
        shared.spend()
        begun, coroutine = course(name, worker, subject, self.program(name, worker, subject), shared=True)
        shared.courses[key] = begun
        self.jobs.append(Job(begun, coroutine))

    # -- one schedule --

    def run(self, choose: Chooser) -> Broken | None:
        """Drive until everything rests or a law is broken. ``choose`` picks among more than one option."""
        try:
            while True:
                options = self.options()
                option = options[0]
                if len(options) > 1:
                    option = choose(self, options)
                self.take(option)
        except Ended:
            pass
        for job in self.jobs:
            job.close()
        self.jobs = []
        return self.broken

    def address(self) -> str:
        """Where we stand, by what is done and not by position: effect, verb, port call, how many before."""
        if not self.jobs:
            return f"- idle #{self.counts.get('- idle', 0)}"
        label = self.label(self.jobs[-1])
        return f"{label} #{self.counts.get(label, 0)}"

    def label(self, job: Job) -> str:
        """Effect, verb and port call of a job's wait."""
        if job.program == "propose":
            name = job.subject if isinstance(job.subject, str) else self.call(job.subject).order
        else:
            name = self.names(job.subject if job.program == "step" else job.subject[0].effect.id)
        return f"{name} {job.course.at}"

    def names(self, effect: str) -> str:
        """An effect as the planner's order and its generation: A1, A2, B1."""
        view = self.store.current.effects.get(effect)
        return f"{view.args['order']}{view.generation}" if view is not None else "?"

    def options(self) -> tuple[str, ...]:
        """What may happen here; the first is what happens if nothing goes wrong. Where nobody keeps addresses, what has
        no alternative has happened already.
        """
        jobs = self.jobs
        while True:
            while not jobs:
                if self.meet is not None and not self.entering and self.meet():
                    self.merged = True
                    raise Ended
                self.entering = False
                if not self.next_program():
                    return (GO, *self.events(None))
            self.entering = False
            job = jobs[-1]
            found: tuple[str, ...] = _GO_ONLY
            if self.crashes or self.faults or self.paused or self.outside.flights:
                found = (GO, *self.variants(job), *self.events(job))
            if self.naming or len(found) > 1:
                return found
            self.answer(job, GO)

    def take(self, option: str) -> None:
        """Let one option happen."""
        job = self.jobs[-1] if self.jobs else None
        if not self.naming:
            self._happen(option, job)
            return
        label = self.label(job) if job is not None else "- idle"
        count = self.counts.get(label, 0)
        if option != GO:
            self.trail = (*self.trail, (f"{label} #{count}", option))
        if self._happen(option, job):
            self.counts[label] = count + 1

    def _happen(self, option: str, job: Job | None) -> bool:
        """Let it happen. Whether that was the call that waited, or the time that passes, and not an event before it."""
        if option != GO:
            if job is not None:
                job.disturbed = True
            if self.event(option, job):
                return False
        if job is None:
            self.pass_time()
        else:
            self.answer(job, option)
        return True

    def answer(self, job: Job, option: str) -> None:
        """Hand a program the answer of its wait; conclude it if that was its last."""
        try:
            if not job.feed(self.reply(job, job.wait, option)):
                self.jobs.remove(job)
                self.concluded(job, job.came)
        except KeyReused as reused:
            self.jobs.remove(job)
            self.asked(job, None, reused.effect)
        except RunStopped:
            self.jobs.remove(job)
        except (AssertionError, HoldfastError) as error:
            # Whatever else a verb raises is its own defect, and as such a finding.
            self.broken = Broken("verb", f"{type(error).__name__}: {error}")
            raise Ended from error

    def concluded(self, job: Job, came: Any) -> None:
        """What a program's result means for what runs next."""
        if job.program == "propose":
            self.asked(job, came, "")
            return
        if job.program == "tell":
            view: Effect = job.subject[0].effect
            self.told = (*(row for row in self.told if row[0] != view.id), (view.id, view.version))
            return
        effect: str = job.subject
        self.last = effect
        seen, verb, blocked = came
        if blocked is not None:
            at_ms = blocked.until_ms + 1 if blocked.until_ms else self.store.now_ms() + drive.BLOCKED_MS
            # A worker takes up a policy that came into force; what else stands in its way stays.
            at_ms = 0 if blocked.part in STANDS - {"policy"} else at_ms
            self.blocked = (*(row for row in self.blocked if row[0] != effect), (effect, at_ms))
        elif verb and not job.disturbed:
            was, now = seen.effect, self.store.seen_by(job.worker).effects.get(effect)
            if was is None or now is None or was.version != now.version:
                return
            # A lease that ran out between reading and committing is a race with the clock, and the next round sees it.
            if not seen.now_ms <= was.lease_until_ms < self.store.now_ms():
                self.see(Idle(effect, verb))

    def asked(self, job: Job, effect: str | None, reused: str) -> None:
        """The planner has its answer."""
        effects = self.store.seen_by(job.worker).effects
        call = self.call(job.subject)
        purpose = self.store.current.runs[self.run_id].purpose
        met, other = effects.get(effect or ""), effects.get(reused)
        self.see(Asked(purpose, call.tool, call.args, met, other), (call, id(met), id(other)))

    def read_evidence(self) -> None:
        """Read every chain from its first entry to its head."""
        books = self.store.durable
        for run in books.runs.values():
            try:
                check_chain(run.id, [e for e in books.entries if e.run == run.id], run.head)
                why = ""
            except Exception as error:  # noqa: BLE001 - whatever a reader meets is the finding
                why = str(error)
            self.see(Evidence(run.id, why))

    def saw(self, key: tuple[Any, ...]) -> bool:
        """Whether the laws folded the event of this key in this very state before; then it is folded."""
        known = self.shared.folds.get((id(self.states), key)) if self.shared is not None else None
        if known is not None:
            self.states = known[1]
        return known is not None

    def see(self, event: Any, key: tuple[Any, ...] | None = None, kept: Any = None) -> None:
        """Fold one event; a broken law ends the schedule. ``key`` tells events apart; what it names by identity is in
        the event or in ``kept``.
        """
        if key is not None and self.saw(key):
            return
        shared, before = self.shared, self.states
        after = self.fold.step(before, event)
        if isinstance(after, Broken):
            self.broken = after
            raise Ended
        if shared is not None:
            after = before if after is before else shared.states(after)
            if key is not None:
                shared.spend()
                shared.folds[id(before), key] = ((before, event, kept), after)
        self.states = after


__all__ = ["GO", "Ended", "Machine", "Snapshot", "State", "Wait", "world"]
