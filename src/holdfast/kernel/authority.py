"""What grants, meters, approvers and items allow at one instant, read inside the transaction that relies on it.

Pure over the documents given. A grant narrows and never widens; a yes counts only while its key is good and its person
speaks for the group; an item carries an effect only while it is fresh and nothing outranks it.

Does not decide whether a tool is *covered* by a grant (:mod:`holdfast.kernel.grants`), nor verify a signature: the gate
does both, before the commit.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple, Protocol

from holdfast.kernel.amounts import room, unreserve
from holdfast.kernel.documents import AnyDocument, Approver, Grant, Item, Limit, Meter
from holdfast.kernel.limits import holds_place
from holdfast.kernel.model import Approval, Decision, Effect, Run

BREAK_GLASS = "break-glass"
"""The group whose members may say yes alone in an emergency; it is recorded, loud, and reviewed afterwards."""


class Papers(Protocol):
    """The documents of a store, as one transaction reads them."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document, by its kind and id."""
        ...


class Around(Papers, Protocol):
    """What stands around an effect besides documents."""

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def fact(self, scope: str) -> Any:
        """One store-wide fact (:class:`holdfast.kernel.guard.Fact`)."""
        ...


class No(NamedTuple):
    """What stands in the way: the part of a guard, the reason in words, and until when (0: not known)."""

    part: str
    why: str
    until_ms: int = 0


def not_to_rely_on(item: AnyDocument | None, key: str, now_ms: int) -> str:
    """Why an effect may not rest on this item now; empty if it may."""
    name = key.rpartition("/")[2]
    if not isinstance(item, Item):
        return f"{name} is not an item of this run"
    if item.outranked_by:
        return f"{name} ({item.source}) no longer counts: {item.outranked_by} does"
    if item.conflicts:
        return f"{name} ({item.source}) is contradicted by {', '.join(item.conflicts)}, and neither source comes first"
    if item.must_hold and item.digest != item.must_hold:
        return f"{name} ({item.source}) does not hold: {item.says}"
    if item.fresh_until_ms and now_ms > item.fresh_until_ms:
        return f"{name} ({item.source}) went stale {now_ms - item.fresh_until_ms} ms ago: read {item.source} again"
    return ""


def not_granted(view: Effect, rows: Around, now_ms: int, *, debits: bool = True) -> No | None:
    """Every grant of the chain is there, has not expired, has room, and the run that gave it on was not stopped.

    A resend, which ``debits`` none of them again, needs no room.
    """
    for name in view.grants:
        grant = rows.document("grant", name)
        if not isinstance(grant, Grant):
            return No("grant", f"the grant {name} is not recorded")
        if grant.expires_ms and now_ms > grant.expires_ms:
            why = f"the grant {name} of {grant.holder} expired {now_ms - grant.expires_ms} ms ago"
            return No("grant", why)
        if grant.run and grant.run != view.run and (why := _stopped(grant.run, rows)):
            return No("grant", f"the run {grant.run}, under which its own was begun, {why}")
        if not debits:
            continue
        spent = meter_of(rows, f"grant:{name}").spent
        full = room(grant.budget, unreserve(spent, view.cost) if view.reserved else spent, view.cost)
        if full is not None:
            return No("budget", f"no room left in the grant {name}: {full}")
    return None


def _stopped(run: str, rows: Around) -> str:
    """Why nothing is sent under what a run gave on; empty if it is neither stopped nor halted."""
    above, halt = rows.run(run), rows.fact(f"halt:run:{run}")
    if above is None or above.state == "stopped":
        return f"is {above.state}: {above.reason}" if above is not None else "is not recorded"
    return f"is halted by {halt.by}: {halt.reason}" if halt is not None and halt.raised else ""


def meter_of(rows: Papers, scope: str) -> Meter:
    """What is used up under a scope; nothing, where nothing was."""
    found = rows.document("meter", scope)
    return found if isinstance(found, Meter) else Meter(id=scope)


def no_room(limits: tuple[Limit, ...], view: Effect | None, rows: Papers, now_ms: int) -> No | None:
    """The first of these limits that has no room for one more such effect (None: for one more run), or None."""
    for limit in limits:
        meter = meter_of(rows, limit.scope)
        counts = view is not None and limit.scope in view.meters
        if counts and view is not None and holds_place(limit.scope, view.state):
            continue
        if limit.most_open is not None and meter.open >= limit.most_open:
            return No("queue", f"{limit.scope} holds {meter.open}, as many as it takes")
        over_ms = meter.since_ms + limit.window_ms
        used_up = now_ms < over_ms and limit.most_used is not None and meter.used >= limit.most_used
        if limit.most_used == 0 or used_up:
            why = f"{meter.used} effects entered {limit.scope} since {meter.since_ms}, as many as a window takes"
            return No("quota", why, over_ms if limit.most_used else 0)
        if limit.budget is not None and view is not None:
            spent = unreserve(meter.spent, view.cost) if counts and view.reserved else meter.spent
            if (full := room(limit.budget, spent, view.cost)) is not None:
                return No("quota", f"no room left in {limit.scope}: {full}", limit.until_ms)
    return None


def counted(approval: Approval, rows: Papers, now_ms: int) -> tuple[Decision, ...]:
    """The yeses that count now: of people whose key is good and who still speak for the group, each person once."""
    good: dict[str, Decision] = {}
    keys: set[str] = set()
    for decision in approval.decisions:
        person = rows.document("approver", spelled(decision.who)) if decision.yes else None
        if not isinstance(person, Approver) or person.key_id != decision.key_id or person.key_id in keys:
            continue
        group = BREAK_GLASS if decision.break_glass else approval.group
        if person.holds(group, now_ms) and person.id != spelled(approval.proposer):
            good.setdefault(person.id, decision)
            keys.add(person.key_id)
    return tuple(good.values())


def enough(approval: Approval, yes: tuple[Decision, ...]) -> bool:
    """Whether these yeses meet the quorum; one in an emergency does."""
    return any(d.break_glass for d in yes) or len(yes) >= max(1, approval.quorum)


def spelled(name: str) -> str:
    """A name without what two spellings of it may differ in: NFKC, case, blanks and what is not drawn at all."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(char for char in folded if char.isprintable() and not char.isspace())
