"""Submitting an intent: whether one more run may be open, on which terms, and its place in the queue.

Decided by these rules, in this order: a purpose that was submitted already is *accepted* as that run, also when it has
ended; an intent that would begin after its deadline is *refused*; one that asks for more than one may is *shaped* (the
same intent on smaller terms is proposed); a principal that has its share of open runs is *refused*, and so is one whose
deadline is over before there could be room; where the store, the tenant or the class has no room it is to come again at
a later time (*schedule*: nothing is recorded of it but the answer); where many are open it is answered with smaller
terms that say what is not done (*degrade*); everything else is *accepted*.

Promises: what is accepted is on disk with its job in one commit, has a priority, a deadline and a way to cancel it; the
bound holds in that commit, whoever else submits; who is not sure whether a submission arrived submits it again, and
there is one run. What a submission supersedes is not driven any more once it is accepted. Does not promise that what is
to come again finds room then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypedDict, TypeGuard, Unpack

import msgspec

from holdfast.gate.grounds import note_of, with_new
from holdfast.kernel import identity as names
from holdfast.kernel.amounts import MAX_DURATION_MS, parse_duration
from holdfast.kernel.authority import Papers
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import AnyDocument, Item, Job
from holdfast.kernel.errors import BadValue, IntentDiffers, IntentTurnedAway
from holdfast.kernel.limits import Runs
from holdfast.kernel.model import Principal, Run
from holdfast.kernel.ports import Ports
from holdfast.runtime import items, jobs
from holdfast.runtime.begin import Intent, Moved, NoRoom, Place, Queued, checked
from holdfast.runtime.queue_terms import Answer, Asked, answered, later, on_terms, scopes
from holdfast.runtime.queue_wanted import Standing, put_right
from holdfast.runtime.run import RunHandle

MOST_PRIORITY = 1_000
NAME_LIMIT = 100

RACES = 8
"""How often a submission looks again after what it supersedes moved meanwhile."""


class How(TypedDict, total=False):
    """How an intent is submitted; every part may be left out.

    ``priority``: the higher comes first (-1000 to 1000). ``work_class``: the class of its run, whose share it takes.
    ``not_before``: a span from now ("15m") or milliseconds UTC. ``planner``: the name under which a worker knows who
    plans it. ``supersedes``: purposes of the same principal that nobody wants any more once this is accepted.
    ``owner``: whose dead letter it is if it comes to nothing. ``saw``: items that are recorded with it, with their
    contents. ``again``: your reason for doing a purpose once more that has ended. ``queued=False``: no worker takes it
    up, you carry it out yourself.
    """

    priority: int
    work_class: str
    not_before: str | int
    planner: str
    supersedes: str | Sequence[str]
    owner: str
    saw: Sequence[items.Sight]
    again: str
    queued: bool


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an intent: accept, shape, schedule, degrade or refuse, with a code and a reason.

    ``run`` is there where it was accepted, now or before: code ``room``, ``known`` (it is open already) or ``over`` (it
    has ended). ``instead`` is the intent that would be, and ``not_done`` what it leaves undone; ``not_before_ms`` is
    when it may come again.
    """

    answer: str
    code: str
    reason: str = ""
    purpose: str = ""
    run: RunHandle | None = None
    instead: Intent | None = None
    not_done: str = ""
    not_before_ms: int = 0

    def unwrap(self) -> RunHandle:
        """The run that was accepted. Raises IntentTurnedAway with every other answer."""
        if self.run is None:
            raise IntentTurnedAway(purpose=self.purpose, answer=self.answer, answer_code=self.code, why=self.reason)
        return self.run

    @property
    def reference(self) -> str:
        """What may travel: the run's id. Everything else is read again from the store. Empty where there is none."""
        return self.run.id if self.run is not None else ""

    @property
    def cancel(self) -> str:
        """The command that cancels what was accepted; empty where nothing was."""
        return f"holdfast run cancel {self.run.id} --as NAME --reason TEXT" if self.run is not None else ""


class Desk(Protocol):
    """What submitting needs of an application."""

    @property
    def ports(self) -> Ports:
        """The wired ports."""
        ...

    @property
    def tenant(self) -> str:
        """Whose runs these are."""
        ...

    @property
    def environment(self) -> str:
        """Where they act."""
        ...

    @property
    def papers(self) -> Papers:
        """The store's documents."""
        ...

    async def begin(self, intent: Intent, *, place: Place | None = None) -> RunHandle:
        """The open run of an intent, recorded in this place if it is new."""
        ...


class Known(NamedTuple):
    """The last run of a purpose, its job if it has one, and its number; 0: the purpose was never begun."""

    number: int
    run: Run | None = None
    job: Job | None = None

    def answers(self, again: str) -> bool:
        """Whether a submission of the purpose is answered with this run."""
        if self.run is None or self.run.state in ("open", "blocked"):
            return self.run is not None
        return not again or (self.job is not None and self.job.again == again)


async def submit(
    desk: Desk, intent: Intent, *, moves: tuple[tuple[AnyDocument, AnyDocument], ...] = (), **how: Unpack[How]
) -> Submitted:
    """Answer an intent, and record its run with its job if it is accepted. See :class:`How` for the rest.

    ``moves`` are documents, as read and as they are to be, that go on in the commit that records the run; where one of
    them moved meanwhile, Moved is raised. Raises BadPurpose, BadValue or IntentDiffers.
    """
    intent = checked(intent)
    assert isinstance(intent.principal, Principal)
    priority, work, begins_ms = _read(how, now_ms := await desk.ports.store.time())
    asked = Asked(intent, intent.principal.name, desk.tenant, work, max(0, begins_ms - now_ms))
    ports = desk.ports
    limits = ports.room.limits.runs if ports.room is not None else Runs()
    queued, again = how.get("queued", True), how.get("again", "")
    known = await _known(desk, intent.purpose)
    if known.run is not None and known.answers(again) and (queued or known.run.state in ("open", "blocked")):
        return await _taken(desk, intent, how, Place(queued=Queued(_no_job, number=known.number)), "known")
    said = answered(asked, limits, desk.papers, now_ms)
    full = said.answer == "schedule" or said.code == "principal-runs"
    if full and await _superseded(desk, intent, how, f"the submission of {intent.purpose}"):
        said = answered(asked, limits, desk.papers, now_ms)  # what it takes the place of made room
    if said.answer == "accept":
        meters = tuple(limit.scope for limit in scopes(asked, limits))
        for _ in range(RACES):
            waits = await _waits(desk, asked, how, limits, known, begins_ms) if queued else None
            waits = waits._replace(moves=moves) if waits is not None else None
            place = Place(priority, meters, scopes(asked, limits), waits)
            try:
                return await _taken(desk, on_terms(intent, limits), how, place, "room")
            except Moved as moved:  # what it supersedes moved between the look and the commit
                if moves:
                    raise
                said = later(asked, limits, str(moved), now_ms)
            except NoRoom as none:  # another took the last place between the look and the commit
                said = later(asked, limits, none.why, now_ms)
                break
    body = {"principal": asked.principal, "purpose": intent.purpose, "answer": said.answer, "code": said.code}
    note = Note(kind="admission", by=ports.me, body=body | {"reason": said.reason})
    await ports.store.later(Change(run=STORE_RUN_ID, notes=(note,)))
    return _answer(said, intent.purpose)


def _answer(said: Answer, purpose: str) -> Submitted:
    return Submitted(
        answer=said.answer,
        code=said.code,
        reason=said.reason,
        purpose=purpose,
        instead=said.instead,
        not_done=said.not_done,
        not_before_ms=said.not_before_ms,
    )


def _read(how: How, now_ms: int) -> tuple[int, str, int]:
    """Priority, class of work and the earliest begin (ms), checked. Raises BadValue."""
    priority, work = placed(how)
    begins: object = how.get("not_before", 0)
    if isinstance(begins, str):
        return priority, work, now_ms + parse_duration(begins, name="not_before")
    if type(begins) is not int or not 0 <= begins <= now_ms + MAX_DURATION_MS:
        why = "it is a span from now, or milliseconds UTC within the next 100 years"
        raise BadValue(path="not_before", why=why, value_type=type(begins).__name__)
    return priority, work, max(begins, now_ms)  # an instant of long ago would stand before all that waits


def placed(how: How) -> tuple[int, str]:
    """Priority and class of work, checked with the other names in it. Raises BadValue."""
    priority: object = how.get("priority", 0)
    if type(priority) is not int or not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise BadValue(path="priority", why=f"it is a whole number up to {MOST_PRIORITY}", value_type="int")
    work: object = how.get("work_class", "")
    if not _is_name(work) or set(work) & set("/:"):
        raise BadValue(path="work_class", why='a class of work has a short name without "/" and ":"', value_type="str")
    for path, name in (("planner", how.get("planner", "")), ("owner", how.get("owner", ""))):
        if not _is_name(name):
            why = f"it is a printable name of at most {NAME_LIMIT} characters"
            raise BadValue(path=path, why=why, value_type=type(name).__name__)
    return priority, work


def _is_name(given: object) -> TypeGuard[str]:
    return isinstance(given, str) and len(given) <= NAME_LIMIT and given.isprintable()


async def _taken(desk: Desk, intent: Intent, how: How, place: Place, code: str) -> Submitted:
    """The run that is the answer, and an end of what it supersedes."""
    run = await desk.begin(intent, place=place)
    await _superseded(desk, intent, how, run.id)
    row = run.record
    if row.state in ("open", "blocked"):
        return Submitted(answer="accept", code=code, purpose=intent.purpose, run=run)
    if row.state == "done":
        return Submitted(answer="accept", code="over", reason="it is done", purpose=intent.purpose, run=run)
    reason = f"its run {run.id} has ended as {row.state}: {row.reason}; with again=REASON it is done once more"
    return Submitted(answer="refuse", code="over", reason=reason, purpose=intent.purpose)


async def _waits(desk: Desk, asked: Asked, how: How, limits: Runs, known: Known, begins_ms: int) -> Queued:
    """How the new run waits: its job, what is recorded with it, and the jobs of what it supersedes."""
    old = [await _known(desk, purpose) for purpose in _purposes(how, asked.intent.purpose)]
    marks = tuple(one.job for one in old if one.job is not None and one.job.state not in ("done", "dropped"))
    sights, ports, again = tuple(how.get("saw", ())), desk.ports, how.get("again", "")
    now_ms = await ports.store.time() if sights else 0

    def job(run: str) -> Job:
        return jobs.queued(
            run,
            principal=asked.principal,
            work=asked.work,
            priority=how.get("priority", 0),
            not_before_ms=begins_ms,
            owner=how.get("owner", "") or limits.owner,
            planner=how.get("planner", ""),
            most_tries=limits.tries,
            again=again,
        )

    def first(run: str) -> tuple[tuple[Note, ...], tuple[AnyDocument, ...]]:
        kept: dict[str, Item] = {}
        notes = []
        for sight in sights:
            item = items.item_of(ports.secret, run, sight, ports.sources, now_ms)
            changed = with_new(item, tuple(kept.values()))
            kept |= {one.id: one for one in changed}
            notes.append(note_of(kept[item.id], asked.principal, changed, sight.content))
        return tuple(notes), tuple(kept.values())

    return Queued(job, marks, first, known.number + 1, again)


def _no_job(run: str) -> Job:
    raise AssertionError(f"run {run} was there, and is not")


def _purposes(how: How, own: str) -> tuple[str, ...]:
    """The purposes that it supersedes; never its own."""
    given = how.get("supersedes", ())
    return tuple(name for name in ((given,) if isinstance(given, str) else given) if name and name != own)


async def _superseded(desk: Desk, intent: Intent, how: How, by: str) -> bool:
    """End the open runs of what is superseded; whether there were any. Raises IntentDiffers for another principal's."""
    store, some = desk.ports.store, False
    assert isinstance(intent.principal, Principal)
    for purpose in _purposes(how, intent.purpose):
        for _ in range(RACES):
            known = await _known(desk, purpose)
            row, job = known.run, known.job
            if row is None or row.state not in ("open", "blocked"):
                break
            if row.principal.name != intent.principal.name:
                raise IntentDiffers(purpose=purpose, field_names=("principal",))
            some = True
            found = Standing("superseded", f"superseded by {by}")
            effects, now_ms = await store.run_effects(row.id), await store.time()
            change = put_right(job or jobs.queued(row.id, principal=row.principal.name), row, found, effects, now_ms,
                               by=intent.principal.name)  # fmt: skip
            assert change is not None
            if job is None:  # it was begun by a program, and waits for no worker
                guard = msgspec.structs.replace(change.guard, as_read=())
                change = msgspec.structs.replace(change, documents=(), guard=guard)
            await store.commit(change)
    return some


async def _known(desk: Desk, purpose: str) -> Known:
    """The last run of a purpose."""
    secret, store = desk.ports.secret, desk.ports.store
    intent_id = names.intent_id(secret, desk.tenant, desk.environment, purpose)
    number, last = 0, None
    while (found := await store.run_row(names.run_id(secret, intent_id, number + 1))) is not None:
        number, last = number + 1, found
    job = desk.papers.document("job", last.id) if last is not None else None
    return Known(number, last, job if isinstance(job, Job) else None)
