"""Beginning an intent: a purpose names one intent, on any machine, and a known purpose gives the recorded one back.

Pure but for the store's own calls. Promises: two processes that begin one purpose at once meet in one run; the
recorded terms stand, whatever the second beginning says. A run begun under another has its purpose, tenant and
environment, comes under its grants, ends no later, and takes no more steps: what the other was refused it is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel import identity as names
from holdfast.kernel.amounts import Budget, parse_duration
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import OWN, AnyDocument, Job, Limit, digest_of
from holdfast.kernel.errors import BadPurpose, BadValue, IntentDiffers
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Principal, Run
from holdfast.kernel.ports import StorePort

PURPOSE_LIMIT = 200
PRINCIPAL_LIMIT = 200
RUNS_LIMIT = 10_000


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The durable reason for a run. ``purpose`` names it for ever: same purpose, same work, on any machine.

    ``deadline`` is a span from now ("15m") or milliseconds; ``scope`` and ``done`` are texts for people in this
    version; ``budget`` bounds effects, cost, steps and tokens; ``grant`` is the id of a grant that the principal holds:
    everything in the run comes under it. For a run begun under another ``purpose`` names the unit of its work.
    """

    goal: str
    purpose: str
    principal: Principal | str
    deadline: str | int | None = None
    budget: Budget = Budget()
    scope: tuple[str, ...] | list[str] = ()
    done: tuple[str, ...] | list[str] = ()
    grant: str = ""


class OwnIntent(Intent, frozen=True, kw_only=True):
    """An intent that holdfast begins by itself: a slot of a schedule, the repair of a drift.

    Its purpose begins with ``holdfast:``, and no other intent's does: whoever may begin intents of their own could
    otherwise begin one of these first, and so decide what a slot or a repair comes to.
    """


class Queued(NamedTuple):
    """How a new run waits for a worker. ``job`` makes its job, recorded in the same commit; ``marks`` are jobs of other
    runs that it supersedes, as they were read; ``first`` gives notes and documents that are recorded with it. It is the
    run of this ``number`` under its purpose: one that has ended by then gives itself back, and there is no next.
    ``moves`` are documents as they were read, and as they are from then on.
    """

    job: Callable[[str], Job]
    marks: tuple[Job, ...] = ()
    first: Callable[[str], tuple[tuple[Note, ...], tuple[AnyDocument, ...]]] = lambda _run: ((), ())
    number: int = 1
    again: str = ""
    moves: tuple[tuple[AnyDocument, AnyDocument], ...] = ()


class Place(NamedTuple):
    """Where a new run stands among others: its priority, what it counts in, the bounds its commit carries, its job."""

    priority: int = 0
    meters: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    queued: Queued | None = None


class NoRoom(Exception):  # noqa: N818  # it says what is the case
    """A new run was not recorded: no place is left for it."""

    def __init__(self, why: str) -> None:
        """In the words of the store."""
        super().__init__(why)
        self.why = why


class Moved(Exception):  # noqa: N818  # it says what is the case
    """A new run was not recorded: what it supersedes moved since it was read."""


def checked(intent: Intent) -> Intent:
    """The intent with its purpose in one normal form and its principal as a record; raises BadPurpose or BadValue."""
    purpose: object = intent.purpose  # whatever a caller put there
    if not isinstance(purpose, str) or not purpose.strip():
        raise BadPurpose(purpose=repr(purpose), why="it is empty")
    purpose = unicodedata.normalize("NFC", purpose.strip())
    if len(purpose) > PURPOSE_LIMIT:
        raise BadPurpose(purpose=purpose[:40], why=f"it is longer than {PURPOSE_LIMIT} characters")
    if not purpose.isprintable():
        raise BadPurpose(purpose=ascii(purpose), why="it holds characters that cannot be printed")
    if purpose.casefold().startswith(OWN) and not isinstance(intent, OwnIntent):
        raise BadPurpose(purpose=purpose, why=f'what begins with "{OWN}" names work that holdfast begins by itself')
    principal = intent.principal
    if isinstance(principal, str):
        principal = Principal(name=principal)
    if not principal.name.strip():
        raise BadValue(path="$.principal.name", why="a principal needs a name", value_type="str")
    if len(principal.name) > PRINCIPAL_LIMIT or not principal.name.isprintable():  # stores look up by it
        why = f"a principal has a printable name of at most {PRINCIPAL_LIMIT} characters"
        raise BadValue(path="$.principal.name", why=why, value_type="str")
    return msgspec.structs.replace(intent, purpose=purpose, principal=principal)


async def begin(
    store: StorePort,
    secret: bytes,
    intent: Intent,
    *,
    tenant: str,
    environment: str,
    by: str,
    grants: tuple[str, ...] = (),
    under: Run | None = None,
    check: Callable[[], None] | None = None,
    place: Place | None = None,
    code: Mapping[str, str] | None = None,
) -> Run:
    """The open run of this purpose, recorded now if it is new. Raises IntentDiffers for another principal or grant.

    ``grants`` is the chain that it comes under, root first; ``under`` the run whose unit of work it is; ``check`` is
    asked before a new run is recorded, and raises where it may not be. ``place``: raises NoRoom where none is left.
    ``code`` says which code begins it, for its first entry.
    """
    intent = checked(intent)
    assert isinstance(intent.principal, Principal)
    if under is not None:  # as it is now: its deadline may have been brought forward since it was handed out
        under = await store.run_row(under.id) or under
    # No purpose holds a line break, so no unit of another intent's work is taken for an intent of its own.
    name = intent.purpose if under is None else f"{under.intent}\n{intent.purpose}"
    intent_id = names.intent_id(secret, tenant, environment, name)
    for number in range(1, RUNS_LIMIT):
        run_id = names.run_id(secret, intent_id, number)
        found = await store.run_row(run_id)
        if found is None:
            if check is not None:
                check()
            new = _new(run_id, intent_id, intent, tenant, environment, await store.time())
            new = _bounded(new, grants, under)
            if place is not None:
                new = msgspec.structs.replace(new, priority=place.priority, meters=place.meters)
            beside = {"under": under.id} if under is not None else {}
            await _record(store, new, by, beside | ({"code": dict(code)} if code else {}), place or Place())
            found = await store.run_row(run_id)
            assert found is not None
        if found.principal.name != intent.principal.name:
            raise IntentDiffers(purpose=intent.purpose, field_names=("principal",))
        if (intent.grant or under is not None) and found.grants != grants:
            raise IntentDiffers(purpose=intent.purpose, field_names=("grant",))
        if found.state in ("open", "blocked"):  # what was blocked goes on when it is driven; it is no new run
            return found
        if place is not None and place.queued is not None and number >= place.queued.number:
            return found  # another that asked for the same was quicker, and so was whoever drove it
    raise BadPurpose(purpose=intent.purpose, why=f"it was begun {RUNS_LIMIT} times")


def _new(run_id: str, intent_id: str, intent: Intent, tenant: str, environment: str, now_ms: int) -> Run:
    assert isinstance(intent.principal, Principal)
    span_ms = parse_duration(intent.deadline, name="deadline") if intent.deadline is not None else None
    return Run(
        id=run_id,
        tenant=tenant,
        environment=environment,
        intent=intent_id,
        purpose=intent.purpose,
        goal=intent.goal,
        principal=intent.principal,
        deadline_ms=now_ms + span_ms if span_ms is not None else None,
        scope=tuple(intent.scope),
        done=tuple(intent.done),
        budget=intent.budget,
    )


def _bounded(run: Run, grants: tuple[str, ...], under: Run | None) -> Run:
    """The run under its grants, and no wider in anything than the run whose unit of work it is."""
    run = msgspec.structs.replace(run, grants=grants)
    if under is None:
        return run
    if under.budget.effects is not None or under.budget.cost is not None:
        why = "the run above bounds effects or cost by itself and cannot share that; put it into a grant, or narrow it"
        raise BadValue(path="under.budget", why=why, value_type="Budget")
    steps, tokens = _least(run.budget.steps, under.budget.steps), _least(run.budget.tokens, under.budget.tokens)
    return msgspec.structs.replace(
        run,
        purpose=under.purpose,
        policy=under.policy,
        priority=under.priority,
        deadline_ms=_least(run.deadline_ms, under.deadline_ms),
        budget=msgspec.structs.replace(run.budget, steps=steps, tokens=tokens),
    )


def _least(own: int | None, above: int | None) -> int | None:
    bounds = [bound for bound in (own, above) if bound is not None]
    return min(bounds) if bounds else None


async def _record(store: StorePort, run: Run, by: str, beside: dict[str, Any], place: Place) -> None:
    """On disk at once: a second process that begins the same purpose must find it. Its job is in the same commit."""
    body: dict[str, Any] = msgspec.to_builtins(run)
    body = {k: v for k, v in body.items() if k not in ("id", "seq", "head", "state")}
    notes: tuple[Note, ...] = ()
    documents: tuple[AnyDocument, ...] = ()
    read: tuple[tuple[str, str, str], ...] = ()
    if place.queued is not None:
        notes, documents = place.queued.first(run.id)
        marks = tuple(msgspec.structs.replace(mark, superseded_by=run.id) for mark in place.queued.marks)
        documents = (place.queued.job(run.id), *marks, *(new for _, new in place.queued.moves), *documents)
        before = (*place.queued.marks, *(old for old, _ in place.queued.moves))
        read = tuple((one.kind, one.id, digest_of(one)) for one in before)
        beside = beside | ({"again": place.queued.again} if place.queued.again else {})
    note = Note(kind="intent", by=by, body=body | beside)
    guard = Guard(limits=place.limits, as_read=read)
    verdict = await store.commit(Change(run=run.id, guard=guard, opens=run, notes=(note, *notes), documents=documents))
    if isinstance(verdict, Rejected) and verdict.part == "document" and place.queued and place.queued.moves:
        raise Moved(verdict.why)  # also where the run is there: it was another who began it
    if isinstance(verdict, Rejected) and await store.run_row(run.id) is None:
        if verdict.part == "document":
            raise Moved(verdict.why)
        if verdict.part in ("queue", "quota"):
            raise NoRoom(verdict.why)
    assert not isinstance(verdict, Rejected) or verdict.part in ("exists", "queue", "quota", "document")
