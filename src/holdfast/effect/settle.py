"""Settle: an outcome's accounts are trued up, and what must follow it is proposed.

A proved absence gives the budget back. Where the world moved and not the wish (an approval that outlived its world, a
request that never left), the next generation is proposed, linked, and decided afresh, while attempts and deadline
remain. An effect that offsets another marks it compensated.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel import identity as names
from holdfast.kernel.commit import Change
from holdfast.kernel.errors import UsageError
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.life import LEGAL, Draft
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Blocked, Ports, Seen
from holdfast.tools.contract import bind_resource, cost_of


async def settle(ports: Ports, effect: str) -> Blocked | None:
    """Do what is left over from an outcome, in one commit."""
    seen = await ports.store.read(effect)
    view = seen.effect
    assert view is not None
    if not view.unsettled:
        return None  # Another worker has settled it since this was found due.
    if view.unsettled == "compensates":
        return await _offsets(ports, view)
    contract = ports.contracts.get(view.tool)
    successor = _next_generation(ports, seen, view, contract)
    verdict = await ports.store.later(_settling(ports, view, successor))
    if isinstance(verdict, Rejected) and verdict.part == "exists":
        verdict = await ports.store.later(_settling(ports, view, None))
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "version"):
        return Blocked(part=verdict.part, why=verdict.why)
    return None


async def _offsets(ports: Ports, view: Effect) -> Blocked | None:
    """This effect is committed and offsets another: that one is compensated, in the same commit."""
    other = (await ports.store.read(view.compensates)).effect
    drafts = [Draft(effect=view.id, kind="settled", by=ports.me, body={"unsettled": ""})]
    if other is not None and (other.state, State.COMPENSATED) in LEGAL:
        drafts.append(Draft(effect=other.id, kind="compensated", by=ports.me, body={"compensated_by": view.id}))
    guard = Guard(effect=view.id, states=(view.state,), version=view.version)
    verdict = await ports.store.later(Change(run=view.run, guard=guard, drafts=tuple(drafts)))
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "version"):
        return Blocked(part=verdict.part, why=verdict.why)
    return None


def _settling(ports: Ports, view: Effect, successor: dict[str, Any] | None) -> Change:
    body: dict[str, Any] = {"unsettled": ""}
    drafts: list[Draft] = []
    absent: tuple[str, ...] = ()
    if successor is not None:
        body["successor"] = names.effect_id(successor["key"])
        absent = (body["successor"],)
        drafts.append(Draft(effect=body["successor"], kind="proposed", by=ports.me, body=successor))
    drafts.insert(0, Draft(effect=view.id, kind="settled", by=ports.me, body=body))
    guard = Guard(effect=view.id, states=(view.state,), version=view.version, absent=absent)
    return Change(run=view.run, guard=guard, drafts=tuple(drafts))


def _next_generation(ports: Ports, seen: Seen, view: Effect, contract: Contract | None) -> dict[str, Any] | None:
    """The body of the next proposal under the same identity, or None where none is owed or none remains. Pure."""
    run = seen.run
    if "again" not in view.unsettled or contract is None or run is None:
        return None
    late = run.deadline_ms is not None and seen.now_ms > run.deadline_ms
    if view.tries + 1 >= contract.attempts or run.state != "open" or late or seen.halted:
        return None
    resource, cost, digest = view.resource, view.cost, view.args_digest
    if contract.version != view.contract:
        # Grants, leases and budgets judge what the call is under the version it is made by.
        try:
            resource, cost = bind_resource(contract, view.args), cost_of(contract, view.args)
        except UsageError:
            return None  # it is no call of that version: whoever wants it proposes it anew
        digest = names.args_digest(ports.secret, contract, view.args)
    generation = view.generation + 1
    body: dict[str, Any] = {
        "tool": view.tool,
        "contract": contract.version,
        "effect_class": contract.effect.value,
        "key": names.key(ports.secret, view.identity, generation),
        "identity": view.identity,
        "generation": generation,
        "args": view.args,
        "args_digest": digest,
        "resource": resource,
        "previous": view.id,
        "tries": view.tries + 1,
    }
    if cost is not None:
        body["cost"] = {"minor": cost.minor, "currency": cost.currency}
    if view.cites:
        body["cites"] = list(view.cites)
    # What it comes under, and whose it is, does not end with a generation.
    if narrowed := view.grants[len(run.grants) :]:
        body["grants"] = list(narrowed)
    kept = {"parent": view.parent, "compensates": view.compensates, "risk": view.risk}
    return body | {name: value for name, value in kept.items() if value}
