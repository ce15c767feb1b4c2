"""Claim: one worker takes the exclusive lease on an effect and its resource, with the next fencing token.

Promises: two workers never hold one effect, or one resource that is not declared shared, at the same store time; each
claim and each takeover mints a higher token. A claim whose lease ran out before anything left goes back to admitted.

Does not promise that the holder is still alive, or that it is not paused: that is what the token is for.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.commit import Applied, Change
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Blocked, Ports


async def claim(ports: Ports, effect: str) -> Blocked | None:
    """Take an admitted effect, or give back a claim whose owner is gone."""
    seen = await ports.store.read(effect)
    view = seen.effect
    assert view is not None
    if view.state is State.CLAIMED:
        change = await _give_back(ports, view)
    else:
        contract = ports.contracts[view.tool]
        change = Change(
            run=view.run,
            guard=Guard(
                effect=view.id,
                states=(State.ADMITTED,),
                version=view.version,
                resource="" if contract.shared else view.resource,
                # Who came with a version that nobody accepted takes nothing from those who may send it.
                in_force=((f"contract:{view.tool}", contract.version),),
            ),
            drafts=(Draft(effect=view.id, kind="claimed", by=ports.me, body=lease(ports, contract, seen.now_ms)),),
        )
    verdict = await ports.store.later(change)
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "version"):
        return Blocked(part=verdict.part, why=verdict.why, until_ms=verdict.until_ms)
    return None


async def _give_back(ports: Ports, view: Effect) -> Change:
    """The lease ran out, or its holder is dead, before anything left: admitted again, for whoever comes."""
    dead = view.holder if await ports.peers.dead(view.holder) else ""
    guard = Guard(effect=view.id, states=(State.CLAIMED,), version=view.version, lease_over=True, yields=dead)
    body = {"cause": "its holder died before anything left" if dead else "the lease ran out before anything left"}
    return Change(run=view.run, guard=guard, drafts=(Draft(effect=view.id, kind="released", by=ports.me, body=body),))


def lease(ports: Ports, contract: Contract, now_ms: int) -> dict[str, Any]:
    """The fields of a new lease, counted from the store's time as it was read."""
    return {"holder": ports.me, "lease_until_ms": now_ms + contract.lease_ms}


async def senders_dead(ports: Ports, view: Effect) -> bool:
    """Whether every process that ever sent this effect is proved dead: then nothing new leaves under its key."""
    for holder in sorted({a.holder for a in view.attempts}):
        if holder == ports.me or not await ports.peers.dead(holder):
            return False
    return True


async def take(ports: Ports, view: Effect, now_ms: int) -> Effect | Blocked:
    """Own an effect that was dispatched before, under a higher token: ours, or one whose owner is gone.

    Used by reconcile and verify. The former owner's writes are refused from here on, and kept as late entries.
    """
    contract = ports.contracts[view.tool]
    yields = view.holder
    if view.holder not in ("", ports.me):
        yields = view.holder if await ports.peers.dead(view.holder) else ""
    guard = Guard(
        effect=view.id,
        states=(view.state,),
        version=view.version,
        lease_over=True,
        yields=yields,
        # The resource too: a higher token shown to it would turn away whoever holds it now.
        resource="" if contract.shared else view.resource,
    )
    draft = Draft(effect=view.id, kind="taken", by=ports.me, body=lease(ports, contract, now_ms))
    # A token that a probe shows to the outside is on disk before: lost and minted again it would be a stale one there.
    change = Change(run=view.run, guard=guard, drafts=(draft,))
    if contract.fenced:
        verdict = await ports.store.commit(change)
    else:
        verdict = await ports.store.later(change)
    if isinstance(verdict, Applied) and verdict.effect is not None:
        return verdict.effect
    assert isinstance(verdict, Rejected)
    return Blocked(part=verdict.part, why=verdict.why, until_ms=verdict.until_ms)
