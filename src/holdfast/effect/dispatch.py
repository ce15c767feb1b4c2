"""Dispatch: re-check everything, make one durable commit whose guard carries it all, and only then send.

Promises: no byte leaves before the commit is on disk; the commit holds only if at that instant, by the store's clock,
the lease, the token, the approval, the budget, the deadline, the epochs, the policy and the contract all still hold.

Does not promise that the outside acts, or acts once: that is for the key, the token and what follows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.effect.admit import decision, judged_under, question
from holdfast.gate.asking import digest_of, stop_reason, unsound
from holdfast.gate.grounds import ungrounded
from holdfast.kernel import identity as names
from holdfast.kernel.commit import Applied, Change
from holdfast.kernel.deadlines import starts_by_ms
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Contract, Effect, Run, State
from holdfast.kernel.ports import Blocked, Ports, Request, Ruling, Seen, Sent
from holdfast.tools.look import is_unreadable

SOFT = frozenset({"state", "version", "token", "epoch", "lease", "rule"})
"""Parts whose change only means: look again. The next reading of the record says what is due."""

STANDS = frozenset({"restored", "clock", "policy", "contract"})
"""Parts that this process cannot get past by itself: the store, or another process, knows of a later present."""

NEVER_MS = 1 << 53

AGAIN = frozenset({"approval"})
"""Refusals after which a fresh proposal is raised, because the world moved and not the wish."""


class Refusing(NamedTuple):
    """Why a claimed effect is refused before anything leaves, and whether it is proposed anew."""

    reason: str
    rule: str
    again: bool = False
    ruling: Ruling | None = None


def refuses(seen: Seen, contract: Contract | None, ruling: Ruling, fingerprint: str, secret: bytes) -> Refusing | None:
    """The re-check before the commit, which only serves to give a good reason. Pure."""
    view, approval = seen.effect, seen.approval
    assert view is not None
    stop = stop_reason(seen, contract)
    if stop:
        return Refusing(stop, "builtin:stop")
    assert contract is not None
    if contract.version != view.contract:
        return Refusing("the contract of its tool changed since it was decided", "builtin:contract", again=True)
    if ruling.answer == "refuse":
        return Refusing(ruling.reason, "builtin:policy", ruling=ruling)
    if why := ungrounded(seen):
        return Refusing(why, "builtin:item")  # not again by itself: somebody has to look at the world first
    if is_unreadable(fingerprint):
        # Not again by itself: it may stay unreadable, and a proposal that is refused for ever follows on every refusal.
        return Refusing(f"the state of its target could not be read: {fingerprint}", "builtin:fingerprint")
    if ruling.answer == "allow" and not view.approval:
        return None
    if approval is None:
        return Refusing("the policy asks for an approval now", "builtin:approval", again=True)
    if approval.state == "revoked":
        return Refusing(f"{approval.revoked_by} took the approval back", "builtin:revoked")
    if approval.state != "granted" or approval.digest != digest_of(secret, view, approval):
        return Refusing(f"the approval is {approval.state} or for other bytes", "builtin:approval", again=True)
    if seen.now_ms > approval.expires_ms:
        return Refusing("the approval expired", "builtin:approval", again=True)
    if why := unsound(seen):
        return Refusing(why, "builtin:approval", again=True)
    if fingerprint != approval.fingerprint:
        return Refusing("the target changed after it was approved", "builtin:fingerprint", again=True)
    if approval.policy != ruling.policy:
        return Refusing("the policy changed after it was approved", "builtin:approval", again=True)
    if ruling.answer == "ask" and asked_of_others(ruling, approval):
        # Rules may read what moves, such as the time left: it was asked of fewer, or of others.
        return Refusing("the policy asks for another approval now", "builtin:approval", again=True)
    return None


def asked_of_others(ruling: Ruling, approval: Approval) -> bool:
    """Whether the rules ask more people, or others, than a request was put to; who broke the glass stands for all."""
    return not approval.broken_glass and (ruling.quorum > approval.quorum or ruling.group != approval.group)


async def dispatch(ports: Ports, effect: str) -> Sent | Blocked | None:
    """Send a claimed effect. Returns what came back, for observe; None if it was refused or moved meanwhile."""
    seen = await ports.store.read(effect)
    view, run = seen.effect, seen.run
    assert view is not None
    assert run is not None
    contract = ports.contracts.get(view.tool)
    ruling = await ports.gate.rule(seen)
    if ruling.answer == "blocked":
        return Blocked(part="policy", why=ruling.reason)
    fingerprint = ""
    if contract is not None and contract.has_state and (view.approval or contract.conditional):
        fingerprint = await ports.look.state(question(view, contract))
    refusing = refuses(seen, contract, ruling, fingerprint, ports.secret)
    if refusing is not None or contract is None:
        return await _refuse(ports, view, refusing)
    change = sending(ports, seen, contract, ruling, fingerprint)
    verdict = await ports.store.commit(change)
    if isinstance(verdict, Rejected):
        return await _rejected(ports, view, verdict, ruling)
    return await deliver(ports, verdict, contract)


def sending(ports: Ports, seen: Seen, contract: Contract, ruling: Ruling, fingerprint: str) -> Change:
    """The dispatch commit: its guard as data, and the attempt it records. Pure."""
    view, run, approval = seen.effect, seen.run, seen.approval
    assert view is not None
    assert run is not None
    send_by_ms = min(last_ms(seen.now_ms + contract.timeout_ms, view, run, approval), *ends_of(seen))
    guard = Guard(
        effect=view.id,
        states=(State.CLAIMED,),
        version=view.version,
        generation=view.generation,
        token=view.token,
        holder=ports.me,
        not_after=(*not_after(run, approval, contract), *rules_end(ruling)),
        approval=approval.id if approval is not None else "",
        digest=approval.digest if approval is not None else "",
        budget=True,
        terms=terms_of(run),
        items=seen.rests_on,
        epochs=seen.epochs,
        in_force=in_force(view, contract, ruling),
        released=True,
        run_open=view.run,
    )
    body: dict[str, Any] = {"attempt": attempt(ports, view, send_by_ms, run), "cause": "", "fingerprint": fingerprint}
    if fingerprint and approval is not None:
        body["age_ms"] = seen.now_ms - approval.fingerprint_ms
    return Change(run=view.run, guard=guard, drafts=(Draft(effect=view.id, kind="dispatched", by=ports.me, body=body),))


def last_ms(send_by_ms: int, view: Effect, run: Run, approval: Approval | None) -> int:
    """The last instant at which bytes may leave: never past lease, deadline or approval."""
    bounds = [send_by_ms, view.lease_until_ms]
    if run.deadline_ms is not None:
        bounds.append(run.deadline_ms)
    if approval is not None:
        bounds.append(approval.expires_ms)
    return min(bounds)


def not_after(run: Run, approval: Approval | None, contract: Contract) -> tuple[tuple[str, int], ...]:
    """The instants the commit may not pass, each with its name."""
    parts: list[tuple[str, int]] = []
    if run.deadline_ms is not None:
        parts.append(("deadline", run.deadline_ms))
        starts_ms = starts_by_ms(run.deadline_ms, contract)
        if starts_ms < run.deadline_ms:
            parts.append(("reserve", starts_ms))
    if approval is not None:
        parts.append(("approval", approval.expires_ms))
    return tuple(parts)


def terms_of(run: Run) -> tuple[tuple[str, Any], ...]:
    """The terms that a sending was checked against and that somebody may amend meanwhile; if so, look again."""
    return (("deadline_ms", run.deadline_ms), ("policy", run.policy), ("assumes", run.assumes))


def grants_end(seen: Seen) -> tuple[tuple[str, int], ...]:
    """When each grant ends that has an end: a resend, which debits none of them again, is held to it all the same."""
    return tuple(("grant", grant.expires_ms) for grant in seen.grants if grant.expires_ms)


def ends_of(seen: Seen) -> tuple[int, ...]:
    """The instants of :func:`grants_end`, after which no byte leaves; far off where there is none."""
    return tuple(at_ms for _, at_ms in grants_end(seen)) or (NEVER_MS,)


def rules_end(ruling: Ruling) -> tuple[tuple[str, int], ...]:
    """The last instant at which the rules are those that it was decided by."""
    return (("rule", ruling.until_ms - 1),) if ruling.until_ms else ()


def in_force(view: Effect, contract: Contract, ruling: Ruling) -> tuple[tuple[str, str], ...]:
    """The policy and the contract version this was decided under; the store refuses if either moved.

    Where the run keeps a policy, it is that this one may still be kept.
    """
    return (judged_under(view, ruling), (f"contract:{view.tool}", contract.version))


def attempt(ports: Ports, view: Effect, send_by_ms: int, run: Run, *, resend: bool = False) -> dict[str, Any]:
    """The record of one physical dispatch; its time and token are the store's."""
    number = len(view.attempts) + 1
    body: dict[str, Any] = {
        "id": names.attempt_id(view.id, number),
        "number": number,
        "holder": ports.me,
        "send_by_ms": send_by_ms,
    }
    if run.deadline_ms is not None:
        body["deadline_ms"] = run.deadline_ms
    return body | {"resend": True} if resend else body


async def deliver(ports: Ports, verdict: Applied, contract: Contract) -> Sent:
    """Cross the boundary with what the ledger recorded, and with nothing else."""
    view = verdict.effect
    assert view is not None
    last = view.attempts[-1]
    request = Request(
        effect=view.id,
        run=view.run,
        tool=view.tool,
        args=view.args,
        key=view.key,
        token=last.token,
        attempt=last.number,
        send_by_ms=last.send_by_ms,
        timeout_ms=contract.timeout_ms,
        expect=view.fingerprint,
        principal=view.principal,
        environment=view.environment,
        deadline_ms=last.deadline_ms,
    )
    reply = await ports.body.send(request)
    return Sent(token=last.token, attempt=last.number, reply=reply)


async def _rejected(ports: Ports, view: Effect, no: Rejected, ruling: Ruling) -> Blocked | None:
    if no.part in SOFT:
        return None
    if no.part == "policy" and not ruling.kept:
        return await _renewed(ports, view, no)
    if no.part in STANDS:
        return Blocked(part=no.part, why=no.why)
    return await _refuse(ports, view, Refusing(no.why, f"builtin:{no.part}", again=no.part in AGAIN))


async def _renewed(ports: Ports, view: Effect, no: Rejected) -> Blocked | None:
    """Another process put another policy in force: it is taken up, and the record is looked at again under it."""
    why = await ports.gate.renew(view.environment)
    return Blocked(part=no.part, why=f"{no.why}; {why}") if why else None


async def _refuse(ports: Ports, view: Effect, refusing: Refusing | None) -> Blocked | None:
    assert refusing is not None
    body: dict[str, Any] = {"answer": "refuse", "rules": [refusing.rule], "reason": refusing.reason}
    if refusing.ruling is not None:
        body |= decision(refusing.ruling)
    if refusing.again:
        body["unsettled"] = "again"
    ruling = refusing.ruling
    under = (judged_under(view, ruling),) if ruling is not None and ruling.policy else ()
    guard = Guard(effect=view.id, states=(State.CLAIMED,), version=view.version, token=view.token, in_force=under)
    draft = Draft(effect=view.id, kind="refused", by=ports.me, body=body)
    verdict = await ports.store.later(Change(run=view.run, guard=guard, drafts=(draft,)))
    if isinstance(verdict, Rejected) and verdict.part == "policy":
        return await _renewed(ports, view, verdict)
    if isinstance(verdict, Rejected) and verdict.part not in SOFT:
        return Blocked(part=verdict.part, why=verdict.why)
    return None
