"""Observe: what came back from one dispatch becomes an outcome: committed, failed, pending or unknown.

Promises: failed only if the outside proved that nothing happened or nothing left; every doubt is unknown; an owner
that is stale changes nothing, and what it brought is kept as a late entry.

Does not promise that an acknowledgement is true: verify reads the world.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import to_builtins

from holdfast.effect.claim import senders_dead
from holdfast.gate.grounds import note_of, with_new, yielded
from holdfast.kernel.answers import Accepted, Ack, Doubt, Items, NeverLeft, Refusal, Reply
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Item
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Blocked, Ports, Sent


class Reading(NamedTuple):
    """How a reply is read: the kind of entry, and the fields it sets."""

    kind: str
    body: dict[str, Any]


def read(reply: Reply, view: Effect, contract: Contract, now_ms: int) -> Reading:
    """Classify a reply. Pure. A no after a resend speaks of that attempt only and proves nothing about the effect."""
    match reply:
        case Ack(value):
            return Reading("committed", {"value": value, "basis": "acknowledged", **check_next(contract, now_ms)})
        case Items(items):
            return _batch(items, contract, now_ms)
        case Accepted(operation):
            todo = {"owner": "runtime", "next": "ask", "due_ms": now_ms + contract.retry_after_ms}
            return Reading("pending", {"operation": operation, **todo})
        case Refusal(why) | NeverLeft(why):
            if len(view.attempts) > 1:
                return Reading("unknown", doubt("rejected_after_resend", why, next_ms(view, contract, now_ms)))
            if now_ms > view.lease_until_ms:
                return Reading("unknown", doubt("lost_lease", f"a no that came late proves nothing: {why}", now_ms))
            never = isinstance(reply, NeverLeft)
            basis = "never left" if never else "the outside said no"
            return Reading("failed", {"cause": why, "basis": basis, "unsettled": "refund+again" if never else "refund"})
        case Doubt(cause, why):
            return Reading("unknown", doubt(cause, why, next_ms(view, contract, now_ms)))


def next_ms(view: Effect, contract: Contract, now_ms: int) -> int:
    """When to reconcile a new doubt: at once after the first attempt, with growing pauses after each resend."""
    return now_ms + (contract.retry_after_ms * 2 ** min(view.resends - 1, 6) if view.resends else 0)


def check_next(contract: Contract, now_ms: int) -> dict[str, Any]:
    """What follows a commit: a verification where the contract has one, else nothing."""
    return {"owner": "runtime", "next": "verify", "due_ms": now_ms} if contract.has_verify else {}


def doubt(cause: str, why: str, due_ms: int) -> dict[str, Any]:
    """The fields of an unknown: why it is in doubt, and that the runtime reconciles it next, when it is due."""
    text = f"{cause}: {why}" if why else cause
    return {"cause": text, "owner": "runtime", "next": "reconcile", "due_ms": due_ms}


def _batch(items: tuple[tuple[str, dict[str, Any]], ...], contract: Contract, now_ms: int) -> Reading:
    """Per-item outcomes. One item in doubt leaves the whole in doubt; only refusals of all prove it absent."""
    kinds = {answer.get("kind") for _, answer in items}
    value = [[name, answer] for name, answer in items]
    if not kinds <= {"ack", "refusal"}:
        return Reading("unknown", doubt("partial", "some items are in doubt", now_ms))
    if kinds == {"refusal"}:
        cause = "; ".join(f"{name}: {answer.get('why', '')}" for name, answer in items)
        return Reading("failed", {"cause": cause, "basis": "the outside said no to each", "unsettled": "refund"})
    return Reading("committed", {"value": value, "basis": "acknowledged per item", **check_next(contract, now_ms)})


async def observe(ports: Ports, effect: str, sent: Sent | None = None) -> Blocked | None:
    """Record what came back; with nothing to record, record that its owner is gone and nobody knows."""
    seen = await ports.store.read(effect)
    view = seen.effect
    assert view is not None
    if sent is None:
        return await _owner_gone(ports, view, seen.now_ms)
    contract = ports.contracts[view.tool]
    reading = read(sent.reply, view, contract, seen.now_ms)
    if isinstance(sent.reply, Items) and reading.kind != "committed":
        reading.body["reply"] = to_builtins(sent.reply)  # what was said of each item is in no field of the record
    items, notes = await yields(ports, view, contract, reading, seen.now_ms)
    change = Change(
        run=view.run,
        guard=Guard(effect=view.id, states=(State.DISPATCHED,), token=sent.token),
        drafts=(Draft(effect=view.id, kind=reading.kind, by=ports.me, body=reading.body),),
        notes=notes,
        documents=items,
        reply=to_builtins(sent.reply),
    )
    # Losing this record is safe only for tools that can be asked again; for the others it is on disk at once.
    if contract.reconcilable:
        verdict = await ports.store.later(change)
    else:
        verdict = await ports.store.commit(change)
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "token"):
        return Blocked(part=verdict.part, why=verdict.why)
    return None


async def yields(
    ports: Ports, view: Effect, contract: Contract, reading: Reading, now_ms: int
) -> tuple[tuple[Item, ...], tuple[Note, ...]]:
    """The item that a read's result is by its contract, recorded in the commit that records the result."""
    if contract.yields is None or reading.kind != "committed":
        return (), ()
    item = yielded(ports.secret, view, contract, reading.body.get("value"), ports.sources, now_ms)
    if item is None:
        return (), ()
    reading.body["item"] = item.id.rpartition("/")[2]
    items = with_new(item, await ports.store.run_items(view.run))
    item = next(one for one in items if one.id == item.id)
    return items, (note_of(item, ports.me, items),)


async def _owner_gone(ports: Ports, view: Effect, now_ms: int) -> Blocked | None:
    """Dispatched, and its holder is dead or let its lease run out: unknown, under a new token."""
    dead = await ports.peers.dead(view.holder)
    all_dead = dead and await senders_dead(ports, view)
    body = doubt("died" if dead else "lost_lease", f"{view.holder} sent it and did not record what came back", now_ms)
    # A new token, so that the former owner is stale; but no lease: reconcile takes effect and resource together.
    body |= {"holder": ports.me, "lease_until_ms": 0}
    if view.tool not in ports.contracts:
        body |= {"owner": "operator", "next": "attest or abandon"}  # unless somebody opens it with its tool
    if all_dead:  # an earlier sender that is only paused may still let its request land
        body["dead_since_ms"] = now_ms
    yields = view.holder if dead or view.holder == ports.me else ""
    change = Change(
        run=view.run,
        guard=Guard(effect=view.id, states=(State.DISPATCHED,), version=view.version, lease_over=True, yields=yields),
        drafts=(Draft(effect=view.id, kind="unknown", by=ports.me, body=body),),
    )
    verdict = await ports.store.later(change)
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "version"):
        return Blocked(part=verdict.part, why=verdict.why, until_ms=verdict.until_ms)
    return None
