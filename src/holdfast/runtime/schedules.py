"""Schedules: an intent that is submitted for each slot of a calendar, once, whoever looks and however often.

The run of a slot is recorded in the commit that moves its schedule on, compared with the schedule as it was read: of
two workers at one slot one begins it, a schedule that was paused a moment ago begins nothing, and a worker that is
killed leaves the slot begun or not. The purpose of the run is the name and the slot, and nobody else's, so that a slot
has one run also where a schedule was restored, or moved back. Time is the store's; while its clock is not trusted
nothing is begun.

Promises: slots that nobody was there for are made up for as the schedule says, bounded, and the others are counted and
named in the record; a slot that finds no room waits for it. Does not promise the second: a slot begins when a worker
looks after it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from holdfast.kernel.amounts import Budget
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import OWN, AnyDocument, Schedule, digest_of
from holdfast.kernel.errors import BadValue, HoldfastError, IntegrityError, ReasonMissing
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Principal
from holdfast.runtime.begin import Intent, Moved, OwnIntent, checked
from holdfast.runtime.queue_slots import UNKNOWN, after, between
from holdfast.runtime.queue_slots import checked as checked_cron
from holdfast.runtime.submit import Desk as SubmitDesk
from holdfast.runtime.submit import How, placed, submit

log = logging.getLogger("holdfast.worker")

MISSES = ("last", "all", "none")
ON_TIME_MS = 60_000
"""A slot that is looked at within this time was not missed."""

AT_ONCE = 50
"""Schedules that one sweep looks at."""

MOST_MISSED = 1_000
RETRY_MS = 10_000
STATES = {"pause": "paused", "resume": "on", "end": "ended"}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a schedule submits: which missed slots are made up for (``misses``: last, all, none; all: at most ``most``),
    and with which priority, class of work, planner and owner.
    """

    misses: str = "last"
    most: int = 24
    priority: int = 0
    work_class: str = ""
    planner: str = ""
    owner: str = ""


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """The intent of a schedule without a purpose, as its document keeps it."""

    goal: str
    principal: Principal
    deadline: str | int | None = None
    budget: Budget = Budget()
    scope: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    grant: str = ""


class Books(Protocol):
    """What is read of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]:
        """Documents of a lane that are due."""
        ...

    def clock_jumped_ms(self) -> int:
        """By how much its clock jumped; 0: it is trusted."""
        ...

    def now_ms(self) -> int:
        """Its time."""
        ...


class Swept(NamedTuple):
    """What a sweep did: runs of slots that were begun, and slots that were passed over."""

    begun: tuple[str, ...] = ()
    passed: int = 0


def key(tenant: str, environment: str, name: str) -> str:
    """The id of a schedule. Raises BadValue for a name that is none."""
    if not name.strip() or not name.isprintable() or "/" in name or len(name) > 100:
        raise BadValue(path="name", why='a schedule has a short name without "/"', value_type="str")
    return f"{tenant}/{environment}/{name}"


def declared(
    known: Schedule | None, name: str, intent: Intent, cron: str, zone: str, terms: Terms, now_ms: int, who: str
) -> Schedule:
    """The schedule as it is declared now; the very ``known`` one where nothing differs. ``name`` is its id.

    One that was paused or ended stays so. Raises BadValue, BadPurpose.
    """
    cron = checked_cron(cron, zone)
    if terms.misses not in MISSES:
        raise BadValue(path="misses", why=f"it is one of {', '.join(MISSES)}", value_type="str")
    if type(terms.most) is not int or not 1 <= terms.most <= MOST_MISSED:
        raise BadValue(path="most", why=f"it is a whole number from 1 to {MOST_MISSED}", value_type="int")
    placed({
        "priority": terms.priority, "work_class": terms.work_class, "planner": terms.planner, "owner": terms.owner,
    })  # fmt: skip
    intent = checked(intent)
    assert isinstance(intent.principal, Principal)
    template = msgspec.to_builtins(intent)
    del template["purpose"]  # each run's own: the name and the slot
    new = Schedule(
        id=name,
        cron=cron,
        zone=zone,
        template=template,
        misses=terms.misses,
        most=terms.most,
        priority=terms.priority,
        work=terms.work_class,
        planner=terms.planner,
        owner=terms.owner,
        by=who,
    )
    if known is None:
        return replace(new, next_ms=after(cron, zone, now_ms))
    same_slots = (known.cron, known.zone) == (cron, zone)
    next_ms = known.next_ms if same_slots else after(cron, zone, max(now_ms, known.last_ms))
    kept = {n: getattr(known, n) for n in ("state", "last_ms", "again_ms", "passed", "why", "by", "reason")}
    as_known = replace(new, next_ms=next_ms, **kept)
    return known if as_known == known else replace(as_known, by=who)


def replacing(known: Schedule | None, new: Schedule, who: str, act: str, reason: str = "", vouched: str = "") -> Change:
    """The change that puts a schedule in the place of the one that was read."""
    id_ = new.id
    said = {"schedule": id_, "act": act, "reason": reason, "note": vouched, "next_ms": new.next_ms, "state": new.state}
    guard = Guard(as_read=(("schedule", id_, digest_of(known) if known is not None else ""),))
    note = Note(kind="schedule", by=who, body={name: value for name, value in said.items() if value})
    return Change(run=STORE_RUN_ID, guard=guard, notes=(note,), documents=(new,))


def decided(known: Schedule, act: str, *, who: str, reason: str, now_ms: int) -> Schedule:
    """The schedule after a person's ``pause``, ``resume`` or ``end``. What was missed while it was paused is passed.

    Raises ReasonMissing, and BadValue for one that has ended.
    """
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=known.name, asked=act)
    if known.state == "ended":
        raise BadValue(path="schedule", why=f"{known.name} has ended: {known.reason}", value_type="str")
    next_ms = known.next_ms
    if act == "resume" and known.state == "paused":
        next_ms = after(known.cron, known.zone, max(now_ms, known.last_ms))
    return replace(known, state=STATES[act], next_ms=next_ms, again_ms=0, by=who, reason=reason)


def due_schedules(books: Books, lane: str, now_ms: int) -> list[Schedule]:
    """Schedules of ``TENANT/ENVIRONMENT`` of which a slot is due; none while the store's clock is not trusted."""
    if books.clock_jumped_ms():
        return []
    return [s for s in books.documents_due("schedule", f"on:{lane}", now_ms, AT_ONCE) if isinstance(s, Schedule)]


async def sweep(desk: SubmitDesk, books: Books) -> Swept:
    """Begin the runs of every slot that is due here and now; by any number of workers at once, each slot once."""
    begun: list[str] = []
    passed = 0
    for schedule in due_schedules(books, f"{desk.tenant}/{desk.environment}", books.now_ms()):
        try:
            runs, over = await _slots(desk, books, schedule)
        except UNKNOWN as error:  # another worker, with other time zone data, may know it
            log.warning("the slots of %s are not known here: %s: %s", schedule.name, type(error).__name__, error)
            continue
        begun += runs
        passed += over
    return Swept(tuple(begun), passed)


async def _slots(desk: SubmitDesk, books: Books, schedule: Schedule) -> tuple[list[str], int]:
    """Every slot of one schedule that is due, one commit each."""
    begun: list[str] = []
    passed = 0
    now_ms = books.now_ms()
    slots, complete = due_slots(schedule, now_ms)
    over_from_ms = schedule.next_ms if not complete or not slots else 0
    for number, slot_ms in enumerate(slots):
        following = slots[number + 1] if number + 1 < len(slots) else after(schedule.cron, schedule.zone, now_ms)
        moved = replace(schedule, next_ms=following, last_ms=slot_ms, again_ms=0, why="")
        run, why, again_ms = await _begin(desk, schedule, moved, slot_ms)
        if again_ms:  # no room: this slot, and those after it, wait
            waits = replace(schedule, next_ms=slot_ms, again_ms=again_ms, why=why)
            await _put(desk, schedule, waits, "waits", why)
            return begun, passed
        if why:
            passed += 1
            moved = replace(moved, passed=schedule.passed + 1, why=why)
            if not await _put(desk, schedule, moved, "passed", why):
                return begun, passed
        elif run:
            begun.append(run)
        now = books.document("schedule", schedule.id)
        if not isinstance(now, Schedule) or now.next_ms != following or now.state != "on":
            return begun, passed  # another's turn, or a person's
        schedule = now
    if over_from_ms:
        why = "nobody was there for it" if slots else "nobody was there for them, and they are not made up for"
        moved = replace(
            schedule, next_ms=after(schedule.cron, schedule.zone, now_ms), passed=schedule.passed + 1, why=why
        )
        passed += await _put(desk, schedule, moved, "passed", why)
    return begun, passed


def due_slots(schedule: Schedule, now_ms: int) -> tuple[list[int], bool]:
    """The slots to begin now, and whether none is left out. Pure.

    A slot counts as missed when a later one is due as well, or it is past its time by more than a minute.
    """
    most = schedule.most if schedule.misses == "all" else 1
    found, complete = between(schedule.cron, schedule.zone, schedule.next_ms, now_ms, most)
    if schedule.misses == "none" and not schedule.again_ms:
        on_time = [slot_ms for slot_ms in found if now_ms - slot_ms <= ON_TIME_MS]
        return on_time, complete and on_time == found
    return found, complete


async def _begin(desk: SubmitDesk, schedule: Schedule, moved: Schedule, slot_ms: int) -> tuple[str, str, int]:
    """The run of a slot, recorded with the schedule as it goes on; or why there is none, and when to ask again."""
    how: How = {"priority": schedule.priority, "work_class": schedule.work, "planner": schedule.planner}
    how["owner"] = schedule.owner
    try:
        template = msgspec.convert(schedule.template, Template)
        intent = OwnIntent(purpose=purpose_of(schedule, slot_ms), **msgspec.structs.asdict(template))
        said = await submit(desk, intent, moves=((schedule, moved),), **how)
    except Moved:
        return "", "", 0  # another took this slot, or a person moved the schedule
    except IntegrityError:
        raise  # it is the store that could not be had: the slot stands
    except (HoldfastError, msgspec.ValidationError) as error:
        return "", f"{type(error).__name__}: {error}"[:300], 0
    if said.run is not None:
        if said.code != "room":  # it was begun before, by whomever: only the schedule has to go on
            await _put(desk, schedule, moved, "known", "its run was there")
            return "", "", 0
        return said.run.id, "", 0
    if said.answer == "schedule" or said.code == "principal-runs":
        return "", said.reason, said.not_before_ms or await desk.ports.store.time() + RETRY_MS
    return "", f"{said.answer} {said.code}: {said.reason}", 0


def purpose_of(schedule: Schedule, slot_ms: int) -> str:
    """What the run of a slot is for, for ever; no other intent may have it."""
    return f"{OWN}schedule/{schedule.name} @ {datetime.fromtimestamp(slot_ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"


async def declare(
    desk: SubmitDesk, books: Books, name: str, intent: Intent, cron: str, zone: str, terms: Terms, *, who: str = ""
) -> Schedule:
    """Record a schedule, or what differs in it; one that is there already stays. Raises BadValue, BadPurpose."""
    id_, who = key(desk.tenant, desk.environment, name), who or desk.ports.me
    for _ in range(AT_ONCE):
        known = books.document("schedule", id_)
        known = known if isinstance(known, Schedule) else None
        new = declared(known, id_, intent, cron, zone, terms, books.now_ms(), who)
        if new is known or await _put(desk, known, new, "declared", ""):
            return new
    raise BadValue(path="schedule", why=f"{name} moved each time it was read", value_type="str")


async def _put(desk: SubmitDesk, known: Schedule | None, new: Schedule, act: str, why: str) -> bool:
    verdict: Any = await desk.ports.store.commit(replacing(known, new, desk.ports.me, act, why))
    return not isinstance(verdict, Rejected)
