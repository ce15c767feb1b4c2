"""Admission: is there room for it now? Accept, shape, schedule, degrade or refuse.

Decided by these rules, in this order:

    1. A call that carries more items than its class takes at once is *shaped*: the smaller calls are proposed.
    2. There is room in every scope it counts in, and nobody who waits comes first: *accept*.
    3. No room, but some later: *schedule*. It waits, with an instant at which it is looked at again, a bounded number
       of times, never past its run's deadline, and only while the queue itself has room.
    4. Where it cannot wait, or the promise of its class is broken already, and its contract names a cheaper call:
       *degrade*: that call is proposed, with what it leaves undone.
    5. Everything else is *refused*.

Who comes first: the higher priority of the run; then the principal that has been served less in the window; then the
older proposal. No principal holds more places than its share, retries together no more than theirs.

Promises: pure; every answer has a code for programs beside its reason in words; what it found is carried into the
commit as limits, so that two processes cannot both take the last place. Does not promise that what it accepts is
dispatched, nor that places which no share may use are lent to others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.kernel.amounts import Budget
from holdfast.kernel.authority import No, meter_of, no_room
from holdfast.kernel.documents import Limit
from holdfast.kernel.limits import Limits, Load, Queued, Quota, Work
from holdfast.kernel.model import Contract, Effect, EffectClass, Record, Run, State

ANSWERS = ("accept", "shape", "schedule", "degrade", "refuse")

LOST_MS = 5_000
"""Whoever waits and was not looked at for so long after its time has no worker, and holds nobody back."""

FOR_ROOM = frozenset({"class-full", "share-full", "tenant-share-full", "retries-full", "others-first"})
"""Codes of a wait for a place; the others wait for a window to end, and hold nobody back meanwhile."""


class Admission(Record, frozen=True, kw_only=True):
    """One answer. ``limits`` are carried in the guard of the commit, and ``scopes`` are what it counts in.

    ``not_before_ms`` is when a scheduled one is looked at again; ``position`` how many come first, and itself.
    """

    answer: str
    work: str
    code: str = "room"
    reason: str = ""
    not_before_ms: int = 0
    position: int = 0
    limits: tuple[Limit, ...] = ()
    proposes: dict[str, Any] = {}

    @property
    def scopes(self) -> tuple[str, ...]:
        """The names of what it counts in."""
        return tuple(limit.scope for limit in self.limits)

    def said(self) -> dict[str, Any]:
        """What of it an entry carries, and the record keeps."""
        body: dict[str, Any] = {"answer": self.answer, "code": self.code, "work": self.work, "position": self.position}
        return {name: value for name, value in (body | self.proposes).items() if value}


def work_of(contract: Contract) -> str:
    """The class of work whose queue a call joins."""
    return contract.work or contract.effect.value


def is_retry(view: Effect) -> bool:
    """Whether it was proposed after a failure, a refusal or a change of mind. What is read again is no retry."""
    return view.tries > 0 or (view.generation > 1 and view.effect_class is not EffectClass.READ)


# ------------------------------------------------------------------------------------------- what it counts in


def places(contract: Contract, view: Effect, limits: Limits, now_ms: int) -> tuple[Limit, ...]:
    """The scopes in which an effect counts while it is under way, each with its bound."""
    name = work_of(contract)
    work, scope = limits.of(name), f"work:{name}"
    window_ms = work.window_ms
    found = [
        Limit(scope=scope, most_open=work.most, most_used=work.most_per_window, window_ms=window_ms),
        Limit(scope=share_of(scope, view.principal), most_open=work.places(work.share), window_ms=window_ms),
    ]
    if work.tenant_share < 100:
        found.append(Limit(scope=f"{scope}/tenant:{view.tenant}", most_open=work.places(work.tenant_share)))
    for who, quota in ((f"principal:{view.principal}", limits.principal), (f"tenant:{view.tenant}", limits.tenant)):
        found += _quota(who, quota, now_ms)
    return (*found, *(_retries(view, limits, work, scope) if is_retry(view) else ()))


def share_of(scope: str, principal: str) -> str:
    """The scope of one principal's places under another scope."""
    return f"{scope}/principal:{principal}"


def _quota(who: str, quota: Quota, now_ms: int) -> list[Limit]:
    found = []
    if quota.effects is not None:
        found.append(Limit(scope=who, most_used=quota.effects, window_ms=quota.window_ms))
    if quota.cost is not None:
        # A window of money has a scope of its own: what is held or given back later is so in the window it was of.
        number = now_ms // quota.window_ms
        over_ms = (number + 1) * quota.window_ms
        found.append(Limit(scope=f"spend:{number}:{who}", budget=Budget(cost=quota.cost), until_ms=over_ms))
    return found


def _retries(view: Effect, limits: Limits, work: Work, scope: str) -> list[Limit]:
    per, window_ms = limits.retries, limits.retries.window_ms
    found = [Limit(scope=f"{scope}/retries", most_open=work.places(work.retry_share))]
    if per.per_run is not None:
        found.append(Limit(scope=f"retries:run:{view.run}", most_used=per.per_run, window_ms=window_ms))
    if per.per_principal is not None:
        scope = f"retries:principal:{view.principal}"
        found.append(Limit(scope=scope, most_used=per.per_principal, window_ms=window_ms))
    return found


def queues(contract: Contract, view: Effect, limits: Limits, kind: str = "waiting") -> tuple[Limit, ...]:
    """The scopes in which an effect counts while it waits: for a place (``waiting``), or a person (``asked``)."""
    name = work_of(contract)
    work, scope = limits.of(name), f"{kind}:{name}"
    found = [
        Limit(scope=scope, most_open=work.most_waiting),
        Limit(scope=share_of(scope, view.principal), most_open=work.waiting(work.share)),
    ]
    if is_retry(view):
        found.append(Limit(scope=f"{scope}/retries", most_open=work.waiting(work.retry_share)))
    return tuple(found)


def looked_at(contract: Contract, view: Effect, limits: Limits, now_ms: int) -> tuple[str, ...]:
    """The meters that an answer reads, beside those of whoever waits."""
    every = (*places(contract, view, limits, now_ms), *queues(contract, view, limits))
    return tuple(limit.scope for limit in (*every, *queues(contract, view, limits, "asked")))


# ------------------------------------------------------------------------------------------------- the answers


def admission(
    contract: Contract, view: Effect, run: Run, load: Load, limits: Limits, now_ms: int, lost: No | None = None
) -> Admission:
    """The answer for one effect that the policy allows. Pure. ``lost``: a commit found no room where this did."""
    name = work_of(contract)
    shaped = _shaped(contract, view, limits.of(name))
    if shaped is not None:
        return shaped
    wanted = places(contract, view, limits, now_ms)
    first = ahead(view, run, load, limits.of(name), name)
    no = _first_no(wanted, view, load, now_ms)
    most = limits.of(name).most
    if no is None and most is not None and first >= most - meter_of(load, f"work:{name}").open:
        no = _Turned("others-first", No("queue", f"{first} that wait for {name} come first"))
    if no is None and lost is not None:
        no = _Turned("others-first", lost)
    if no is None:
        return Admission(answer="accept", work=name, limits=wanted)
    return _no_room(contract, view, run, load, limits, now_ms, no, first)


def asked(
    contract: Contract, view: Effect, load: Load, limits: Limits, now_ms: int, lost: No | None = None
) -> Admission:
    """Whether one more request may wait for a person: accept, degrade or refuse. Pure."""
    name = work_of(contract)
    wanted = queues(contract, view, limits, "asked")
    found = _first_no(wanted, view, load, now_ms)
    no = found.no if found is not None else lost
    if no is None:
        return Admission(answer="accept", work=name, limits=wanted)
    return _cheaper(contract, name, "asked-full", f"{no.why}, which wait for a person")


class _Turned(NamedTuple):
    """No room: the code, and what is in the way until when."""

    code: str
    no: No


CODES = (
    ("/principal:", "share-full"),
    ("/tenant:", "tenant-share-full"),
    ("/retries", "retries-full"),
    ("retries:run:", "run-retries-spent"),
    ("retries:principal:", "principal-retries-spent"),
    ("principal:", "principal-quota"),
    ("tenant:", "tenant-quota"),
)


def _first_no(wanted: tuple[Limit, ...], view: Effect, load: Load, now_ms: int) -> _Turned | None:
    """The first scope without room. One whose window ends last is waited for, so windows are asked first."""
    refused = [(limit, no) for limit in wanted if (no := no_room((limit,), view, load, now_ms)) is not None]
    if not refused:
        return None
    limit, no = max(refused, key=lambda pair: pair[1].until_ms)
    return _Turned(_code(limit, no), no)


def _code(limit: Limit, no: No) -> str:
    scope = limit.scope
    if scope.startswith("spend:"):
        return "principal-cost" if ":principal:" in scope else "tenant-cost"
    if scope.startswith("work:") and no.part == "quota":
        return "class-window"
    if scope.startswith(("work:", "waiting:", "asked:")):
        _, slash, rest = scope.partition("/")
        return next((code for mark, code in CODES if (slash + rest).startswith(mark)), "class-full")
    return next((code for mark, code in CODES if scope.startswith(mark)), "quota")


def _no_room(
    contract: Contract, view: Effect, run: Run, load: Load, limits: Limits, now_ms: int, turned: _Turned, first: int
) -> Admission:
    """Schedule while that is honest, else the cheaper call, else no."""
    name = work_of(contract)
    work, no = limits.of(name), turned.no
    not_before_ms = no.until_ms + 1 if no.until_ms > now_ms else now_ms + work.pause_ms(view.schedulings, first + 1)
    waits = queues(contract, view, limits)
    full = _first_no(waits, view, load, now_ms) if view.state is not State.WAITING else None
    if full is not None:
        code = "queue-full" if full.code == "class-full" else f"queue-{full.code}"
        return _cheaper(contract, name, code, f"{no.why}; {full.no.why}, which wait for room")
    if no.part == "quota" and not no.until_ms:
        return _cheaper(contract, name, turned.code, no.why)
    if run.deadline_ms is not None and not_before_ms >= run.deadline_ms:
        late = f"there may be room only in {not_before_ms - now_ms} ms, and its deadline is before that"
        return _cheaper(contract, name, "past-deadline", f"{no.why}; {late}")
    if view.schedulings >= work.schedulings:
        often = f"it was put off {view.schedulings} times, as often as its class allows"
        return _cheaper(contract, name, "put-off-too-often", f"{no.why}; {often}")
    late_ms = now_ms - load.oldest_ms if load.oldest_ms else 0
    if contract.instead and work.within_ms and late_ms > work.within_ms and view.state is not State.WAITING:
        late = f"the oldest accepted work of its class is {late_ms} ms old, and {work.within_ms} ms are promised"
        return _cheaper(contract, name, "promise-broken", f"{no.why}; {late}")
    return Admission(
        answer="schedule",
        work=name,
        code=turned.code,
        reason=no.why,
        not_before_ms=not_before_ms,
        position=first + 1,
        limits=waits,
    )


def _cheaper(contract: Contract, work: str, code: str, reason: str) -> Admission:
    """It cannot wait: the cheaper call that the contract names, with what it leaves undone; else no."""
    if not contract.instead:
        return Admission(answer="refuse", work=work, code=code, reason=reason)
    proposes = {"instead": contract.instead, "not_done": contract.not_done}
    return Admission(answer="degrade", work=work, code=code, reason=reason, proposes=proposes)


def _shaped(contract: Contract, view: Effect, work: Work) -> Admission | None:
    """A call with more items than its class takes at once becomes a proposal of smaller ones."""
    items = view.args.get(contract.splits) if contract.splits else None
    if work.most_items is None or not isinstance(items, list) or len(items) <= work.most_items:
        return None
    reason = f"{contract.splits} holds {len(items)} items, and {work.most_items} are taken at once"
    proposes = {"splits": contract.splits, "most": work.most_items}
    name = work_of(contract)
    return Admission(answer="shape", work=name, code="too-many-items", reason=reason, proposes=proposes)


# --------------------------------------------------------------------------------------------- who comes first


def ahead(view: Effect, run: Run, load: Load, work: Work, name: str) -> int:
    """How many of those who wait for a place could take one now and come before this one."""
    mine = Queued(
        effect=view.id, principal=view.principal, proposed_ms=view.proposed_ms, priority=run.priority, code="class-full"
    )
    now_waiting = [q for q in load.queued if q.effect != view.id and q.code in FOR_ROOM]
    before = 0
    for one in _in_turn([*now_waiting, mine], load, work, name):
        if one.effect == view.id:
            break
        before += 1
    return before


def _in_turn(waiting: list[Queued], load: Load, work: Work, name: str) -> list[Queued]:
    """Those who may take a place, in their order: each principal's in turn, no further than its share goes."""
    turns: dict[str, int] = {}
    share = work.places(work.share)
    ranked: list[tuple[tuple[int, int, int, str], Queued]] = []
    for one in sorted(waiting, key=lambda q: (-q.priority, q.proposed_ms, q.effect)):
        meter = meter_of(load, share_of(f"work:{name}", one.principal))
        turn = turns.get(one.principal, 0)
        turns[one.principal] = turn + 1
        if share is None or meter.open + turn < share:
            ranked.append(((-one.priority, meter.used + turn, one.proposed_ms, one.effect), one))
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]
