"""Admission of an intent: whether one more run may be open, on which terms.

Decided by these rules, in this order: a purpose whose run is open already is *accepted* as that run; an intent that
asks for more than one may is *shaped* (the same intent on smaller terms is proposed); a principal that has its share of
open runs is *refused*, and so is one whose deadline is over before there could be room; where the store, the tenant or
the class has no room it is to come again at a later time (*schedule*: nothing is recorded of it but the answer); where
many are open it is answered with smaller terms that say what is not done (*degrade*); everything else is *accepted*.

Promises: what is accepted has a priority, a deadline and a way to cancel it, and is a run in the store; the bound holds
in the commit that records it, whoever else submits. Does not promise that what is to come again finds room then.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

from holdfast.kernel import identity as names
from holdfast.kernel.amounts import Budget, Money, parse_duration, show_duration
from holdfast.kernel.authority import Papers, meter_of, no_room
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import Limit
from holdfast.kernel.errors import BadValue, IntentTurnedAway
from holdfast.kernel.limits import Runs
from holdfast.kernel.model import Principal, Run
from holdfast.kernel.ports import Ports
from holdfast.runtime.begin import Intent, NoRoom, Place, checked
from holdfast.runtime.run import RunHandle

MOST_PRIORITY = 1_000


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an intent: accept, shape, schedule, degrade or refuse, with a code and a reason.

    ``run`` is there where it was accepted; ``instead`` is the intent that would be, and ``not_done`` what it leaves
    undone; ``not_before_ms`` is when it may come again.
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


class Asked(NamedTuple):
    """An intent as it is judged: whose, in which class, and how long it may take."""

    intent: Intent
    principal: str
    tenant: str
    work: str


async def submit(desk: Desk, intent: Intent, *, priority: int = 0, work: str = "") -> Submitted:
    """Answer an intent, and begin it if it is accepted. Raises BadPurpose, BadValue or IntentDiffers.

    ``priority``: the higher comes first where places are freed (-1000 to 1000). ``work`` is the class of its run.
    """
    if type(priority) is not int or not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise BadValue(path="priority", why=f"it is a whole number up to {MOST_PRIORITY}", value_type="int")
    intent = checked(intent)
    assert isinstance(intent.principal, Principal)
    asked = Asked(intent, intent.principal.name, desk.tenant, work)
    ports = desk.ports
    limits = ports.room.limits.runs if ports.room is not None else Runs()
    if await _open_run(desk, intent) is not None:
        return Submitted(answer="accept", code="known", run=await desk.begin(intent))
    now_ms = await ports.store.time()
    said = answered(asked, limits, desk.papers, now_ms)
    if said.answer == "accept":
        place = Place(priority, tuple(limit.scope for limit in scopes(asked, limits)), scopes(asked, limits))
        try:
            return Submitted(answer="accept", code="room", run=await desk.begin(on_terms(intent, limits), place=place))
        except NoRoom as full:  # another took the last place between the look and the commit
            said = _later(asked, limits, full.why, now_ms)
    body = {"principal": asked.principal, "purpose": intent.purpose, "answer": said.answer, "code": said.code}
    note = Note(kind="admission", by=ports.me, body=body | {"reason": said.reason})
    await ports.store.later(Change(run=STORE_RUN_ID, notes=(note,)))
    return msgspec.structs.replace(said, purpose=intent.purpose)


async def _open_run(desk: Desk, intent: Intent) -> Run | None:
    """The run of this purpose that is open already."""
    secret, store = desk.ports.secret, desk.ports.store
    intent_id = names.intent_id(secret, desk.tenant, desk.environment, intent.purpose)
    number = 1
    while (found := await store.run_row(names.run_id(secret, intent_id, number))) is not None:
        if found.state in ("open", "blocked"):
            return found
        number += 1
    return None


def scopes(asked: Asked, limits: Runs) -> tuple[Limit, ...]:
    """Where a run counts while it is open, each with its bound. The principal's own comes first."""
    found = [
        Limit(scope=f"runs:principal:{asked.principal}", most_open=limits.per_principal),
        Limit(scope="runs:all", most_open=limits.most),
        Limit(scope=f"runs:tenant:{asked.tenant}", most_open=limits.per_tenant),
    ]
    if asked.work:
        found.append(Limit(scope=f"runs:work:{asked.work}", most_open=limits.work.get(asked.work)))
    return tuple(found)


def answered(asked: Asked, limits: Runs, papers: Papers, now_ms: int) -> Submitted:
    """The answer, over the meters as they are. Pure."""
    smaller, why = shaped(asked.intent, limits)
    if why:
        return Submitted(answer="shape", code="asks-for-too-much", reason=why, instead=smaller)
    own, *others = scopes(asked, limits)
    full = no_room((own,), None, papers, now_ms)
    if full is not None:
        reason = f"{full.why}; one of its runs has to end, or be cancelled, first"
        return Submitted(answer="refuse", code="principal-runs", reason=reason)
    full = no_room(tuple(others), None, papers, now_ms)
    if full is not None:
        return _later(asked, limits, full.why, now_ms)
    open_now = meter_of(papers, "runs:all").open
    if limits.degrade_from is not None and open_now >= limits.degrade_from:
        wanted = asked.intent.budget
        less, less_why = _within(wanted, limits.degraded)
        if not less_why and _filled(wanted, limits.degraded) != wanted:
            less_why = "a budget that leaves no part open"
        less = _filled(less, limits.degraded)
        if less_why:
            why = f"{open_now} runs are open; from {limits.degrade_from} on an intent gets less: {less_why}"
            instead = msgspec.structs.replace(asked.intent, budget=less)
            return Submitted(answer="degrade", code="many-open", reason=why, instead=instead, not_done=limits.not_done)
    return Submitted(answer="accept", code="room")


def _later(asked: Asked, limits: Runs, why: str, now_ms: int) -> Submitted:
    """No room now: to come again, unless its deadline is before that."""
    wait_ms = parse_duration(limits.retry_after, name="retry_after")
    if asked.intent.deadline is not None and parse_duration(asked.intent.deadline, name="deadline") <= wait_ms:
        reason = f"{why}; there may be room in {show_duration(wait_ms)}, and its deadline is before that"
        return Submitted(answer="refuse", code="past-deadline", reason=reason)
    return Submitted(answer="schedule", code="runs-full", reason=why, not_before_ms=now_ms + wait_ms)


def shaped(intent: Intent, limits: Runs) -> tuple[Intent, str]:
    """The intent on the terms that one may ask for, and what of it asks for more, in words (empty: nothing does)."""
    budget, why = _within(intent.budget, limits.budget)
    smaller = msgspec.structs.replace(intent, budget=budget)
    longest = limits.longest_deadline
    if longest is not None and intent.deadline is not None:
        longest_ms = parse_duration(longest, name="longest_deadline")
        if parse_duration(intent.deadline, name="deadline") > longest_ms:
            smaller = msgspec.structs.replace(smaller, deadline=longest)
            why = "; ".join(filter(None, (why, f"a deadline of at most {show_duration(longest_ms)}")))
    return smaller, why


def on_terms(intent: Intent, limits: Runs) -> Intent:
    """What was accepted has a deadline, and no part of its budget is wider than one may ask for."""
    deadline = intent.deadline if intent.deadline is not None else limits.deadline
    if intent.deadline is None and limits.longest_deadline is not None:
        spans = (limits.deadline, limits.longest_deadline)
        deadline = min(spans, key=lambda span: parse_duration(span, name="deadline"))
    return msgspec.structs.replace(intent, deadline=deadline, budget=_filled(intent.budget, limits.budget))


PARTS = ("effects", "steps", "tokens")


def _within(asked: Budget, most: Budget) -> tuple[Budget, str]:
    """A budget cut to what there is, and which parts asked for more. What is left open asks for nothing."""
    parts: dict[str, Any] = {}
    more: list[str] = []
    for name in PARTS:
        wanted, bound = getattr(asked, name), getattr(most, name)
        if bound is not None and wanted is not None and wanted > bound:
            more.append(f"at most {bound} {name}")
            wanted = bound
        parts[name] = wanted
    cost, bound_cost = asked.cost, most.cost
    over = cost is not None and bound_cost is not None and not _covers(bound_cost, cost)
    if over:
        more.append(f"at most {bound_cost}")
        cost = bound_cost
    return Budget(cost=cost, **parts), ", ".join(more)


def _covers(most: Money, cost: Money) -> bool:
    return cost.currency == most.currency and cost.minor <= most.minor


def _filled(asked: Budget, most: Budget) -> Budget:
    """A budget whose open parts are those that one may ask for."""
    pairs = {name: (getattr(asked, name), getattr(most, name)) for name in (*PARTS, "cost")}
    return Budget(**{name: own if own is not None else bound for name, (own, bound) in pairs.items()})
