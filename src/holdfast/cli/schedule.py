"""``holdfast schedule``: list, next, add, pause, resume, end. What is begun by the calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, needed, reading, vouched
from holdfast.kernel.documents import EVERY, Schedule
from holdfast.kernel.errors import BadValue, NotAllowedNow, UnknownId
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.store import Store

app = App(name="schedule", help="Schedules: what is begun by the calendar.", help_format="plaintext")

MOST_SLOTS = 1_000
OPTIONS = {"name": "NAME", "cron": "--cron", "zone": "--zone", "misses": "--misses", "most": "--most"}
"""What of a declaration is said where on the command line."""


def _all(store: Store) -> list[Schedule]:
    return [one for one in store.documents("schedule", limit=EVERY) if isinstance(one, Schedule)]


def _known(shared: Shared, store: Store, name: str) -> Schedule:
    """The schedule of this name, in the environment of the file; else the only one of that name."""
    settings = shared.settings()
    own = store.document("schedule", f"{settings.tenant}/{settings.environment}/{name}")
    if isinstance(own, Schedule):
        return own
    found = [one for one in _all(store) if one.name == name]
    if len(found) != 1:
        raise UnknownId(given=name, kind="schedule")
    return found[0]


@app.command(name="list")
def list_(
    *,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    limit: Limit = 50,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Schedules, the next one to begin something first.

    Exit code 1: what is due found no room, or could not be begun.

    Parameters
    ----------
    all_
        Those too that have ended.
    """
    from holdfast.report.schedules import schedules_page

    with reading(shared) as store:
        found = [one for one in _all(store) if all_ or one.state != "ended"]
        found.sort(key=lambda one: (one.state != "on", one.next_ms, one.id))
        return schedules_page(found, store.now_ms(), limit=limit)


@app.command(name="next")
def next_(name: str, /, *, count: Annotated[int, Parameter(name="--count")] = 5, shared: Shared = NO_OPTIONS) -> Page:
    """One schedule, and the slots that come next.

    Parameters
    ----------
    count
        How many.
    """
    from holdfast.report.schedules import schedule_page
    from holdfast.runtime.queue_slots import after

    if not 1 <= count <= MOST_SLOTS:
        raise Misused(f"--count is a number from 1 to {MOST_SLOTS}")
    with reading(shared) as store:
        one = _known(shared, store, name)
        slots = [one.next_ms] if one.next_ms else []
        while slots and len(slots) < count and (slot_ms := after(one.cron, one.zone, slots[-1])):
            slots.append(slot_ms)
        return schedule_page(one, store.now_ms(), slots)


@app.command
def add(
    name: str,
    file: str,
    /,
    *,
    cron: Annotated[str, Parameter(name="--cron")],
    as_: As,
    zone: Annotated[str, Parameter(name="--zone")] = "UTC",
    misses: Annotated[str, Parameter(name="--misses")] = "last",
    most: Annotated[int, Parameter(name="--most")] = 24,
    priority: Annotated[int, Parameter(name="--priority")] = 0,
    work: Annotated[str, Parameter(name="--work")] = "",
    planner: Annotated[str, Parameter(name="--planner")] = "",
    owner: Annotated[str, Parameter(name="--owner")] = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Submit the intent of a run file for each slot of a calendar. Said again, it changes what differs.

    Each run's purpose is the name and the slot, whatever purpose the file says. A worker begins and drives it. The
    store has to be there. Exit code 1: a schedule of this name has ended, and nothing is begun.

    Parameters
    ----------
    name
        What people call it.
    file
        A run file with an [intent].
    cron
        Minute, hour, day of month, month, day of week.
    as_
        Your name.
    zone
        Whose clock the calendar is read by, such as Europe/Berlin.
    misses
        Which slots that no worker was there for are made up for: last, all or none.
    most
        With all: at most so many, the newest.
    priority
        The higher comes first, from -1000 to 1000.
    work
        The class of work, whose share it takes.
    planner
        The name under which a worker knows who plans it.
    owner
        Whose dead letter a run is if it comes to nothing; you, where nobody is named.
    """
    import msgspec

    from holdfast.cli.runfile import read
    from holdfast.kernel.model import Principal
    from holdfast.runtime.schedules import Terms, declared, key
    from holdfast.store import open_store

    found = read(file, shared.config, shared.store, purpose=name)
    if found.intent is None:
        raise Misused(f"{file} has no [intent]")
    if found.items:
        raise Misused(f"{file} has [[items]]: what a planner is shown is recorded with a run, and a schedule has none")
    intent, settings, principal = found.intent, found.settings, found.intent.principal
    if isinstance(principal, str):
        principal = Principal(name=principal, vouched_by=vouched())
    intent = msgspec.structs.replace(intent, principal=principal)
    terms = Terms(misses=misses, most=most, priority=priority, work_class=work, planner=planner, owner=owner or as_)
    needed(settings)
    store = open_store(settings.store)
    try:
        id_ = key(settings.tenant, settings.environment, name)
        known = store.document("schedule", id_)
        known = known if isinstance(known, Schedule) else None
        if known is not None and known.state == "ended":
            page = _page(store, known)
            page.fact("not added", "it has ended, and nothing brings it back: add it under another name")
            page.exit_code = 1
            return page
        new = declared(known, id_, intent, cron, zone, terms, store.now_ms(), as_)
        if new is not known:
            _put(store, known, new, as_, "declared", "")
        return _page(store, new)
    except BadValue as error:
        option = OPTIONS.get(error.path.removeprefix("$."))
        if option is None:
            raise
        raise Misused(f"{option}: {error.why}") from None
    finally:
        store.close_now()


@app.command
def pause(name: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Begin nothing more by this schedule until somebody resumes it. What is queued already goes on.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why.
    """
    return _decided(name, "pause", as_, reason, shared)


@app.command
def resume(name: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Go on with the next slot from now. What was missed while it was paused is passed over.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why.
    """
    return _decided(name, "resume", as_, reason, shared)


@app.command
def end(name: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """End a schedule for good; declaring it again does not bring it back.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why.
    """
    return _decided(name, "end", as_, reason, shared)


def _decided(name: str, act: str, who: str, reason: str, shared: Shared) -> Page:
    from holdfast.runtime.schedules import decided

    with deciding(shared) as store:
        known = _known(shared, store, name)
        new = decided(known, act, who=who, reason=reason, now_ms=store.now_ms())
        _put(store, known, new, who, act, reason)
        return _page(store, new)


def _put(store: Store, known: Schedule | None, new: Schedule, who: str, act: str, reason: str) -> None:
    """Write it, if it still is as it was read. Raises NotAllowedNow."""
    from holdfast.kernel.guard import Rejected
    from holdfast.runtime.schedules import replacing

    verdict = store.commit_now(replacing(known, new, who, act, reason, f"vouched for by {vouched()}"))
    if isinstance(verdict, Rejected):
        state = f"moved meanwhile ({verdict.why})"
        raise NotAllowedNow(effect=f"schedule {new.name}", state=state, asked=act, allowed=("look again",))


def _page(store: Store, schedule: Schedule) -> Page:
    from holdfast.report.schedules import schedule_page

    page = schedule_page(schedule, store.now_ms())
    page.exit_code = 0  # it was decided, as was asked
    return page
