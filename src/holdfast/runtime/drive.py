"""The driver: which verb next, until nobody here can move the effect any further.

It keeps nothing between verbs but the id: every round reads the ledger, asks :func:`holdfast.kernel.due.due`, runs
that verb, and looks again. The same code runs in production and in the harness.

Promises: a verb that was due and changed nothing is reported as our bug and not spun on; before anybody is told, what
they are told is on disk.
"""

from __future__ import annotations

from holdfast.effect.admit import admit
from holdfast.effect.claim import claim
from holdfast.effect.dispatch import STANDS, dispatch
from holdfast.effect.observe import observe
from holdfast.effect.reconcile import reconcile
from holdfast.effect.settle import settle
from holdfast.effect.verify import verify
from holdfast.kernel.due import due, wake_ms
from holdfast.kernel.errors import OurBug, TakenBack
from holdfast.kernel.model import Approval, Effect, Record, State
from holdfast.kernel.ports import Blocked, Ports, Seen, Sent

VERBS = {
    "admit": admit,
    "claim": claim,
    "dispatch": dispatch,
    "observe": observe,
    "reconcile": reconcile,
    "settle": settle,
    "verify": verify,
}

OWNED = frozenset({State.CLAIMED, State.DISPATCHED, State.PENDING, State.UNKNOWN, State.COMMITTED, State.UNCONFIRMED})

HELD = frozenset({State.CLAIMED, State.DISPATCHED})

STALLS = 16
"""Rounds without a new entry before the driver calls it our bug. Lost races account for a few."""

BLOCKED_MS = 25
"""How long to wait before looking again when something is in the way and nobody said for how long."""


class Rest(Record, frozen=True, kw_only=True):
    """Where a pursuit came to rest: the record on disk, and what stood in the way, if anything did."""

    effect: Effect
    now_ms: int
    approval: Approval | None = None
    blocked: Blocked | None = None


async def step(ports: Ports, effect: str) -> tuple[Seen, str, Blocked | None]:
    """One round: the record as it was before, the verb that ran (empty: none is due here now), what blocked it."""
    seen = await ports.store.read(effect)
    verb = await due_here(ports, seen)
    if verb is None:
        return seen, "", None
    came = await VERBS[verb](ports, effect)
    if isinstance(came, Sent):
        came = await observe(ports, effect, came)
    return seen, verb, came if isinstance(came, Blocked) else None


async def due_here(ports: Ports, seen: Seen) -> str | None:
    """Which verb is due for this worker, asking first whether a foreign holder is dead where that matters."""
    view = seen.effect
    assert view is not None
    dead = ""
    if view.holder not in ("", ports.me) and seen.now_ms <= view.lease_until_ms and view.state in OWNED:
        dead = view.holder if await ports.peers.dead(view.holder) else ""
    return due(view, ports.me, seen.now_ms, dead)


async def pursue(ports: Ports, effect: str, *, until_ms: int, follow: bool = True, ahead: bool = False) -> Rest:
    """Drive an effect as far as it goes before ``until_ms``, then tell. With ``follow``, a proved absence is followed
    to its next generation; the successor of a refusal is another question, and is not the answer to this one.

    Times are the store's. What is returned is on disk, but for ``ahead``: then nobody is told, and it may be shown to
    our own planner alone (DESIGN §1.5), whose caller makes it durable and tells.
    """
    stalls, rounds = 0, ("", -1)
    while True:
        try:
            seen, verb, blocked = await step(ports, effect)
        except TakenBack as taken:
            await _still_there(ports, effect, taken)
            continue
        if blocked is not None:
            seen = await ports.store.read(effect)  # the verb waited, and what is told is the present
            # What is in the way is told with its end, but it may be gone long before that.
            at_ms = seen.now_ms + BLOCKED_MS
            if blocked.part in STANDS or at_ms > until_ms:
                if (rest := await _told(ports, seen, blocked, ahead=ahead)) is not None:
                    return rest
                continue
            await ports.clock.until(at_ms)
            continue
        view = seen.effect
        assert view is not None
        if verb:
            # The same verb due again at the same version: it changed nothing.
            stalls = stalls + 1 if rounds == (verb, view.version) else 0
            rounds = (verb, view.version)
            if stalls > STALLS:
                raise OurBug(
                    where="runtime.drive", what=f"{verb} was due on {view.id} {stalls} times and changed nothing"
                )
            continue
        if follow and view.successor and view.state is State.FAILED:
            effect = view.successor
            continue
        # What another driver holds, here or elsewhere, may move at any moment; everything else says when.
        at_ms = seen.now_ms + BLOCKED_MS if held_elsewhere(seen, ports.me) else wake_ms(view, ports.me)
        if not at_ms or at_ms > until_ms or view.state is State.WAITING:
            if (rest := await _told(ports, seen, None, ahead=ahead)) is not None:
                return rest
            continue
        await ports.clock.until(max(at_ms, seen.now_ms + 1))


async def _still_there(ports: Ports, effect: str, taken: TakenBack) -> None:
    """What was recorded did not stand: the record is looked at anew. Raises where that leaves no record at all."""
    if (await ports.store.read(effect)).effect is None:
        raise taken


async def _told(ports: Ports, seen: Seen, blocked: Blocked | None, *, ahead: bool) -> Rest | None:
    """Where it came to rest, told unless we are ahead; None: it does not stand so, and has to be looked at again."""
    if ahead:
        return _rest(seen, blocked)
    assert seen.effect is not None
    try:
        return await publish(ports, seen, blocked)
    except TakenBack as taken:
        await _still_there(ports, seen.effect.id, taken)
        return None


def held_elsewhere(seen: Seen, me: str) -> bool:
    """Whether somebody else is at work on it: a body under way (also one of ours), or a lease that another holds."""
    view = seen.effect
    assert view is not None
    foreign = view.holder not in ("", me) and seen.now_ms <= view.lease_until_ms
    return view.state in HELD or (foreign and view.state in OWNED)


async def publish(ports: Ports, seen: Seen, blocked: Blocked | None) -> Rest:
    """On disk first, then told."""
    assert seen.effect is not None
    await ports.store.flush()
    await ports.tell.tell(seen.effect)
    return _rest(seen, blocked)


def _rest(seen: Seen, blocked: Blocked | None) -> Rest:
    assert seen.effect is not None
    return Rest(effect=seen.effect, now_ms=seen.now_ms, approval=seen.approval, blocked=blocked)
