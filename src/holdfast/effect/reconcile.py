"""Reconcile: an unknown or pending effect becomes known by evidence, or gets a named owner. Never by time alone.

Order of means: a late yes that came in; a probe; a resend under the same key while the outside still honours it.
Promises: *not found yet* never becomes *did not happen* without one of the grounds of DESIGN §1.1; every loop is
bounded by the contract, and at the bound a named human owns it.

Does not promise an answer: some outsides cannot be asked, and then it says so.
"""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.effect.admit import question
from holdfast.effect.claim import lease, senders_dead, take
from holdfast.effect.dispatch import (
    asked_of_others,
    attempt,
    deliver,
    ends_of,
    grants_end,
    in_force,
    last_ms,
    not_after,
    rules_end,
    terms_of,
)
from holdfast.effect.observe import check_next
from holdfast.gate.asking import stop_reason, unsound
from holdfast.kernel.answers import Absent, CannotTell, Found, Happened
from holdfast.kernel.commit import Change
from holdfast.kernel.finality import final_absence, final_at_ms, no_resend
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Blocked, Ports, Ruling, Seen, Sent


async def reconcile(ports: Ports, effect: str) -> Sent | Blocked | None:
    """One round: take it, ask, and record what the answer is good for. A resend returns what came back."""
    seen = await ports.store.read(effect)
    view = seen.effect
    assert view is not None
    if view.state not in (State.UNKNOWN, State.PENDING):
        return None  # Another worker has learned what it did since this was found due.
    contract = ports.contracts[view.tool]
    if view.late_seen:
        body = {"value": view.late_value, "basis": "late reply", **check_next(contract, seen.now_ms)}
        return await _record(ports, view, "committed", body)
    if view.holder != ports.me or seen.now_ms > view.lease_until_ms or view.token == view.attempts[-1].token:
        held = await take(ports, view, seen.now_ms)
        if isinstance(held, Blocked):
            return None if held.part in ("state", "version") else held
        view = held
    answer: Found = CannotTell("it has no probe")
    if contract.has_probe:
        answer = await ports.look.probe(question(view, contract))
    return await _conclude(ports, replace(seen, effect=view), contract, answer)


async def _conclude(ports: Ports, seen: Seen, contract: Contract, answer: Found) -> Sent | Blocked | None:
    """``seen.now_ms`` is from before the probe was sent: an absence counts from there."""
    view = seen.effect
    assert view is not None
    if isinstance(answer, Happened):
        body = {"value": answer.value, "basis": "probe", **check_next(contract, seen.now_ms)}
        return await _record(ports, view, "committed", body)
    dead = await senders_dead(ports, view)
    if isinstance(answer, Absent):
        # What was sent under another version is not judged by what this one promises of the outside.
        same = contract.version == view.contract
        ground = final_absence(contract, view, answer, seen.now_ms, seen.steady_ms) if same else ""
        if ground:
            said = f" ({answer.why})" if answer.why else ""
            body = {"cause": f"proved absent{said}: {ground}", "basis": ground, "unsettled": "refund+again"}
            body |= _answered(answer)
            return await _record(ports, view, "failed", body)
    may_resend = view.state is State.UNKNOWN and not no_resend(contract, view, seen.now_ms)
    if may_resend:
        sent = await _resend(ports, view, contract)
        if sent is not None:
            return sent
    # A resend that is held up (a halt, a restored store) is tried again within the same bound as probes are.
    if not (contract.has_probe or may_resend) or view.probes + 1 >= contract.probes:
        if view.escalated:
            return await _record(ports, view, "probed", _still_owned(view, answer) | _answered(answer))
        return await _record(ports, view, "escalated", owned(contract, seen.now_ms) | _answered(answer))
    body = _not_yet(view, answer, seen.now_ms, dead=dead) | _answered(answer)
    after = replace(view, dead_since_ms=body.get("dead_since_ms", view.dead_since_ms), probes=view.probes + 1)
    body["due_ms"] = final_at_ms(contract, after, seen.now_ms)
    return await _record(ports, view, "probed", body)


def _answered(answer: Found) -> dict[str, Any]:
    """What the probe said, for whoever judges by it again."""
    return {"reply": to_builtins(answer)}


def _still_owned(view: Effect, answer: Found) -> dict[str, Any]:
    """Asked again by hand while a human owns it: the answer is kept, and the time by which to answer does not move."""
    why = getattr(answer, "why", "") or "not found yet"
    return {"probes": view.probes + 1, "note": why, "owner": view.owner, "next": view.next, "due_ms": view.due_ms}


def owned(contract: Contract, now_ms: int) -> dict[str, Any]:
    """At its bound an unknown is a named human's, with a time by which it should be answered."""
    return {
        "escalated": True,
        "owner": contract.owner or "operator",
        "next": "attest or abandon",
        "due_ms": now_ms + contract.answer_within_ms,
    }


def _not_yet(view: Effect, answer: Found, asked_ms: int, *, dead: bool) -> dict[str, Any]:
    """What a probe that settles nothing leaves behind: the count, and the start of whatever ground may come."""
    why = getattr(answer, "why", "") or "not found yet"
    body: dict[str, Any] = {"probes": view.probes + 1, "note": why, "owner": "runtime", "next": "reconcile"}
    if dead and not view.dead_since_ms:
        body["dead_since_ms"] = asked_ms
    if isinstance(answer, Absent) and not view.absent_ms:
        body["absent_ms"] = asked_ms
    return body


async def _resend(ports: Ports, view: Effect, contract: Contract) -> Sent | None:
    """The same key again, everything re-checked but the fingerprint. None: not now, it stays unknown."""
    seen = await ports.store.read(view.id)
    run = seen.run
    if run is None or seen.effect is None or stop_reason(seen, contract) or contract.version != view.contract:
        return None
    if len(seen.grants) < len(view.grants):
        return None
    ruling = await ports.gate.rule(seen)
    if ruling.answer in ("refuse", "blocked") or (ruling.answer == "ask" and _answered_otherwise(seen, ruling)):
        return None
    verdict = await ports.store.commit(resending(ports, replace(seen, effect=view), contract, ruling))
    if isinstance(verdict, Rejected):
        if verdict.part == "policy":
            await ports.gate.renew(view.environment)  # for the next round
        return None
    return await deliver(ports, verdict, contract)


def _answered_otherwise(seen: Seen, ruling: Ruling) -> bool:
    """Whether what is asked now is not what somebody, whose word still counts, said yes to."""
    return seen.approval is None or asked_of_others(ruling, seen.approval) or bool(unsound(seen))


def resending(ports: Ports, seen: Seen, contract: Contract, ruling: Ruling) -> Change:
    """The commit of a resend: a new token, the same key, and the window's last instant in the guard. Pure."""
    view, run = seen.effect, seen.run
    assert view is not None
    assert run is not None
    assert contract.keyed_ms is not None
    window_ms = view.first_dispatch_ms + contract.keyed_ms - contract.lands_within_ms - contract.skew_ms
    owner = lease(ports, contract, seen.now_ms)
    again = replace(view, lease_until_ms=owner["lease_until_ms"])
    send_by_ms = min(last_ms(seen.now_ms + contract.timeout_ms, again, run, seen.approval), window_ms, *ends_of(seen))
    guard = Guard(
        effect=view.id,
        states=(State.UNKNOWN,),
        version=view.version,
        token=view.token,
        holder=ports.me,
        not_after=(
            *not_after(run, seen.approval, contract),
            *grants_end(seen),
            *rules_end(ruling),
            ("key window", window_ms),
        ),
        resource="" if contract.shared else view.resource,
        granted=True,
        terms=terms_of(run),
        items=seen.rests_on,
        epochs=seen.epochs,
        in_force=in_force(view, contract, ruling),
        released=True,
        run_open=view.run,
    )
    body = {"attempt": attempt(ports, view, send_by_ms, run, resend=True), "cause": "", **owner}
    return Change(run=view.run, guard=guard, drafts=(Draft(effect=view.id, kind="dispatched", by=ports.me, body=body),))


async def _record(ports: Ports, view: Effect, kind: str, body: dict[str, Any]) -> Blocked | None:
    guard = Guard(effect=view.id, states=(view.state,), version=view.version, token=view.token)
    change = Change(run=view.run, guard=guard, drafts=(Draft(effect=view.id, kind=kind, by=ports.me, body=body),))
    verdict = await ports.store.later(change)
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "version", "token"):
        return Blocked(part=verdict.part, why=verdict.why)
    return None
