"""Admit: the planner's call becomes a recorded proposal; the gate says allow, ask or refuse, and whether there is room.

Promises: the proposal is in the ledger before the gate is asked; one identity is one effect, on any machine; a changed
material argument supersedes before dispatch and is :class:`KeyReused` from dispatch on, with nothing sent.

Does not promise that what was admitted will be dispatched: dispatch checks everything again.
"""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.gate.admission import Admission, admission, asked, looked_at, work_of
from holdfast.gate.asking import ask_for, stop_reason
from holdfast.gate.grounds import to_read_anew, ungrounded
from holdfast.kernel import identity as names
from holdfast.kernel.authority import No
from holdfast.kernel.canon import short
from holdfast.kernel.commit import Change
from holdfast.kernel.errors import KeyReused, RunStopped
from holdfast.kernel.guard import KEPT, Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import AFTER_COMMIT, BEFORE_DISPATCH, Contract, Effect, EffectClass, Record, Run, State
from holdfast.kernel.ports import Blocked, Ports, Question, Ruling, Seen
from holdfast.tools.look import is_unreadable

RACES = 8
"""How often a proposal that lost a race to another process is looked up again before we call it our bug."""


NO_ROOM = frozenset({"budget", "grant", "queue", "quota"})
"""Parts of a guard without which an effect is refused: no room is left, and none is in sight."""


class Proposal(Record, frozen=True, kw_only=True):
    """A call with its complete, checked arguments, under a run. ``again`` never comes from a planner."""

    run: Run
    tool: str
    args: dict[str, Any]
    resource: str
    cost: dict[str, Any] | None = None
    cites: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()  # that it comes under, beside its run's
    again: str = ""
    parent: str = ""
    compensates: str = ""
    purpose: str = ""  # of what it offsets: whoever asks under whatever purpose, it is the same undo; else the run's
    note: str = ""
    by: str = ""
    risk: str = ""  # what a model thinks of it: may tighten the decision, never loosen it
    only: str = ""  # the effect that it may become; where that is recorded already, it is that one
    as_read: tuple[tuple[str, str, str], ...] = ()  # documents that must stand as they were read when it is recorded


def meets(latest: Effect | None, args_digest: str) -> str:
    """What a proposal is to the latest generation of its identity: new, same, next, supersede or reused. Pure."""
    if latest is None:
        return "new"
    if latest.state in (State.REFUSED, State.FAILED, State.SUPERSEDED):
        # What its settling will propose again is the same wish only if it is the same in every material argument.
        owed = latest.args_digest == args_digest and (latest.successor or latest.unsettled)
        return "same" if owed else "next"
    if latest.args_digest == args_digest:
        return "same"
    return "supersede" if latest.state in BEFORE_DISPATCH else "reused"


async def propose(ports: Ports, proposal: Proposal) -> str:
    """Record the call, or find the effect it already is. Returns the effect's id; raises KeyReused or RunStopped."""
    contract, run = ports.contracts[proposal.tool], proposal.run
    purpose = proposal.purpose or run.purpose
    same = names.identity(ports.secret, run.tenant, run.environment, purpose, contract, proposal.args, proposal.again)
    digest = names.args_digest(ports.secret, contract, proposal.args)
    for _ in range(RACES):
        latest = await ports.store.latest(same)
        relation = meets(latest, digest)
        if latest is not None and relation == "same":
            relation = await _moved_on(ports, latest, proposal)
            if relation == "same":
                return latest.id
        if latest is not None and relation == "reused":
            raise KeyReused(
                effect=latest.id,
                tool=contract.name,
                recorded_digest=short(latest.args_digest),
                offered_digest=short(digest),
                state=latest.state.value,
            )
        generation = latest.generation + 1 if latest is not None else 1
        body = first_record(ports.secret, contract, proposal, same, digest, generation)
        if proposal.only and proposal.only != names.effect_id(body["key"]):
            return proposal.only
        verdict = await ports.store.later(_recording(proposal, latest, relation, body))
        if not isinstance(verdict, Rejected):
            return names.effect_id(body["key"])
        if verdict.part == "run":
            raise RunStopped(run=run.id, reason=verdict.why)
        if verdict.part == "document":
            return proposal.only  # not recorded: what it rests on has moved, and whoever asked looks again
    raise AssertionError(f"a proposal of {contract.name} lost {RACES} races in a row")


async def _moved_on(ports: Ports, latest: Effect, proposal: Proposal) -> str:
    """What the same call is after all, where what carried the first one does not carry it any more.

    A read is made once more where what it yielded is no longer fresh, or is another run's to cite. A call that rests
    on other items than one that was not sent yet replaces it, if the items of that one have lapsed: nobody need be
    asked about what would be refused.
    """
    if latest.archived and latest.effect_class is EffectClass.READ:
        return "next"  # what it gave is in an archive, and reading once more changes nothing
    if latest.item and latest.state in AFTER_COMMIT:
        other = latest.run != proposal.run.id
        return "next" if other or to_read_anew(await ports.store.read(latest.id)) else "same"
    waits = latest.state in BEFORE_DISPATCH and latest.cites and proposal.cites
    if waits and set(proposal.cites) != set(latest.cites) and latest.run == proposal.run.id:
        return "supersede" if ungrounded(await ports.store.read(latest.id)) else "same"
    return "same"


def first_record(
    secret: bytes, contract: Contract, proposal: Proposal, identity: str, digest: str, generation: int
) -> dict[str, Any]:
    """The body of a ``proposed`` entry. Empty parts are left out of the bytes."""
    body = {
        "tool": contract.name,
        "contract": contract.version,
        "effect_class": contract.effect.value,
        "key": names.key(secret, identity, generation),
        "identity": identity,
        "generation": generation,
        "args": proposal.args,
        "args_digest": digest,
        "resource": proposal.resource,
        "cost": proposal.cost,
        "cites": list(proposal.cites),
        "grants": list(proposal.grants),
        "parent": proposal.parent,
        "compensates": proposal.compensates,
        "note": proposal.note,
        "risk": proposal.risk,
    }
    if contract.volatile:  # rules may read these too, and the digest above is without them
        body["inputs"] = names.inputs_digest(secret, proposal.args)
    return {name: value for name, value in body.items() if value or name == "args"}


def _recording(proposal: Proposal, latest: Effect | None, relation: str, body: dict[str, Any]) -> Change:
    effect = names.effect_id(body["key"])
    drafts = [Draft(effect=effect, kind="proposed", by=proposal.by, body=body)]
    guard = Guard(absent=(effect,), run_open=proposal.run.id, as_read=proposal.as_read)
    if latest is not None:
        body["previous"] = latest.id
        tries = latest.tries + (1 if latest.state is State.FAILED else 0)
        if tries:
            body["tries"] = tries
        if relation == "supersede":
            same = latest.args_digest == body["args_digest"]
            why = "what it rested on had lapsed" if same else "a material argument changed"
            reason = {"successor": effect, "reason": f"{why} before anything left"}
            drafts.insert(0, Draft(effect=latest.id, kind="superseded", by=proposal.by, body=reason))
        guard = replace(guard, effect=latest.id, version=latest.version)
    return Change(run=proposal.run.id, guard=guard, drafts=tuple(drafts))


async def admit(ports: Ports, effect: str) -> Blocked | None:
    """Decide a proposed or waiting effect: admitted, waiting for a human or for room, or refused with a reason."""
    seen = await ports.store.read(effect)
    view = seen.effect
    assert view is not None
    lost: Rejected | None = None
    for _ in range(RACES):
        change = await _decided(ports, seen, lost)
        if not isinstance(change, Change):
            return change  # None: another worker asked since this was found due, and nobody has answered yet.
        verdict = await ports.store.later(change)
        if not isinstance(verdict, Rejected):
            return None
        lost = verdict
        if lost.part == "policy":
            # Another process put another policy in force: it is taken up, and the call is judged anew under it.
            if why := await ports.gate.renew(view.environment):
                return Blocked(part=lost.part, why=f"{lost.why}; {why}")
            seen, lost = await ports.store.read(effect), None
            continue
        if lost.part not in ("queue", "quota"):
            break  # else another took the last place: what is known of the room is read again
    if lost is None:
        return Blocked(part="policy", why="the policy in force changed every time it was judged")
    if lost.part in NO_ROOM:
        verdict = await ports.store.later(_no(ports, view, f"builtin:{lost.part}", lost.why))
        if not isinstance(verdict, Rejected):
            return None
        lost = verdict
    return None if lost.part in ("state", "version") else Blocked(part=lost.part, why=lost.why)


async def _decided(ports: Ports, seen: Seen, lost: Rejected | None) -> Change | Blocked | None:
    """What becomes of it now. None: it waits on, for a person."""
    view = seen.effect
    assert view is not None
    contract = ports.contracts.get(view.tool)
    stop = stop_reason(seen, contract)
    if view.state is State.WAITING and view.approval:
        return await _answered(ports, seen, view, contract, stop, lost)
    if stop or contract is None:
        return _no(ports, view, "builtin:stop", stop)
    if view.tries >= contract.attempts:
        reason = f"it was proved absent {view.tries} times, as often as its contract allows"
        return _no(ports, view, "builtin:attempts", reason)
    if why := ungrounded(seen):
        return _no(ports, view, "builtin:item", why)
    ruling = await ports.gate.rule(seen)
    if ruling.answer == "blocked":
        return Blocked(part="policy", why=ruling.reason)
    if ruling.answer == "refuse":
        return _under(view, ruling, _moved(ports, view, "refused", decision(ruling)))
    if ruling.answer == "allow":
        return await _let_in(ports, seen, contract, decision(ruling), lost)
    if view.state is State.WAITING:
        # It waited for room, and the policy asks now: it is proposed anew, and asked about as it is then.
        return _no(ports, view, "builtin:approval", "the policy asks for an approval now", again=True)
    return _under(view, ruling, await _asking(ports, seen, contract, ruling, lost))


def _under(view: Effect, ruling: Ruling, change: Change) -> Change:
    """A refusal or a request that holds only under the policy that gave it; what is let in is checked at dispatch."""
    under = (judged_under(view, ruling),) if ruling.policy else ()
    return replace(change, guard=replace(change.guard, in_force=under))


def judged_under(view: Effect, ruling: Ruling) -> tuple[str, str]:
    """The scope and value that must be in force: the policy it was judged by, or that its run may still keep it."""
    if ruling.kept:
        return (f"{KEPT}{view.environment}:{ruling.policy}", "kept")
    return (f"policy:{view.environment}", ruling.policy)


async def _asking(ports: Ports, seen: Seen, contract: Contract, ruling: Ruling, lost: Rejected | None) -> Change:
    """A request to a human, if what they are to decide on can be read and not too many wait for them already."""
    view = seen.effect
    assert view is not None
    fingerprint = await ports.look.state(question(view, contract)) if contract.has_state else ""
    if is_unreadable(fingerprint):
        reason = f"nobody can approve what cannot be read: {fingerprint}"
        return _moved(ports, view, "refused", {**decision(ruling), "answer": "refuse", "reason": reason})
    change = ask_for(ports.secret, ports.me, view, contract, ruling, fingerprint, seen.now_ms)
    if ports.room is None:
        return change
    load = await ports.room.load(work_of(contract), looked_at(contract, view, ports.room.limits, seen.now_ms))
    said = asked(contract, view, load, ports.room.limits, seen.now_ms, _as_no(lost))
    if said.answer != "accept":
        return _turned_away(ports, view, said)
    return carrying(change, said)


async def _let_in(ports: Ports, seen: Seen, contract: Contract, body: dict[str, Any], lost: Rejected | None) -> Change:
    """Allowed: it is admitted if there is room for it, and put off, proposed otherwise or refused if there is none."""
    view, run = seen.effect, seen.run
    assert view is not None
    assert run is not None
    if ports.room is None:
        return _moved(ports, view, "admitted", body)
    limits, now_ms = ports.room.limits, await ports.store.time()
    load = await ports.room.load(work_of(contract), looked_at(contract, view, limits, now_ms))
    said = admission(contract, view, run, load, limits, now_ms, _as_no(lost))
    if said.answer == "accept":
        change = carrying(_moved(ports, view, "admitted", body), said)
        return replace(change, guard=replace(change.guard, budget=True))
    if said.answer == "schedule":
        return _put_off(ports, seen, body, said)
    return _turned_away(ports, view, said)


def carrying(change: Change, said: Admission) -> Change:
    """A change that also holds only while there is room, and that counts where it was found. Pure."""
    (draft,) = change.drafts
    body = draft.body | {"meters": list(said.scopes), "admission": said.said()}
    guard = replace(change.guard, limits=said.limits)
    return replace(change, guard=guard, drafts=(replace(draft, body=body),))


def _put_off(ports: Ports, seen: Seen, body: dict[str, Any], said: Admission) -> Change:
    """It waits for room: with an owner, what is next, and when. A request that was said yes to ends no later for it."""
    view, approval = seen.effect, seen.approval
    assert view is not None
    due_ms = said.not_before_ms if approval is None else min(said.not_before_ms, approval.expires_ms + 1)
    todo = {"owner": "runtime", "next": "admit", "due_ms": due_ms, "schedulings": view.schedulings + 1}
    if view.state is State.WAITING:
        return _moved(ports, view, "scheduled", {"admission": said.said(), **todo})
    reason = f"put off: {said.reason}"
    change = _moved(ports, view, "waiting", {**body, "answer": "schedule", "reason": reason, **todo})
    change = carrying(change, said)
    return replace(change, guard=replace(change.guard, budget=True))


def _turned_away(ports: Ports, view: Effect, said: Admission) -> Change:
    """Nothing waits for it: proposed smaller or cheaper, or refused."""
    return _no(ports, view, f"admission:{said.code}", said.reason, admission=said.said())


def _as_no(lost: Rejected | None) -> No | None:
    return No(lost.part, lost.why, lost.until_ms) if lost is not None else None


async def _answered(
    ports: Ports, seen: Seen, view: Effect, contract: Contract | None, stop: str, lost: Rejected | None
) -> Change | None:
    """A waiting effect whose human, or whose time, has spoken."""
    approval = seen.approval
    if stop or contract is None:
        return _no(ports, view, "builtin:stop", stop)
    if view.declined:
        return _no(ports, view, "builtin:declined", view.reason or "the approver said no")
    if approval is None or seen.now_ms > approval.expires_ms:
        if view.quorum_met:  # the yes was in time, and its use is not: the wish stands, so it is asked anew
            return _no(ports, view, "builtin:approval", "the approval expired before it was used", again=True)
        return _no(ports, view, "builtin:expired", "nobody approved it before the request expired")
    if why := ungrounded(seen):
        return _no(ports, view, "builtin:item", why)
    return await _let_in(ports, seen, contract, {}, lost) if view.quorum_met else None


def _no(ports: Ports, view: Effect, rule: str, reason: str, *, again: bool = False, **more: Any) -> Change:
    body: dict[str, Any] = {"answer": "refuse", "rules": [rule], "reason": reason, **more}
    return _moved(ports, view, "refused", body | ({"unsettled": "again"} if again else {}))


def _moved(ports: Ports, view: Effect, kind: str, body: dict[str, Any]) -> Change:
    guard = Guard(effect=view.id, states=(State.PROPOSED, State.WAITING), version=view.version)
    return Change(run=view.run, guard=guard, drafts=(Draft(effect=view.id, kind=kind, by=ports.me, body=body),))


def decision(ruling: Ruling) -> dict[str, Any]:
    """What of a ruling goes into an entry; the inputs digest lets anybody compute the decision again."""
    body = {
        "answer": ruling.answer,
        "rules": list(ruling.rules),
        "reason": ruling.reason,
        "policy": ruling.policy,
        "inputs": ruling.inputs,
    }
    return {name: value for name, value in body.items() if value}


def question(view: Effect, contract: Contract, value: Any = None) -> Question:
    """What a read-only companion is told: the recorded arguments, the key, the token, all attempts."""
    return Question(
        effect=view.id,
        tool=view.tool,
        args=view.args,
        key=view.key,
        token=view.token,
        attempts=view.attempts,
        operation=view.operation,
        value=to_builtins(value if value is not None else view.value),
        timeout_ms=contract.timeout_ms,
    )
