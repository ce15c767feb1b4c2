"""Which verb is due on a record, now, for this worker. Pure and exact.

Exact means: a verb named here changes something. A verb that is due and changes nothing is our bug, and the driver
says so. None means that somebody else, or some later time, moves next; the record says who and when.
"""

from __future__ import annotations

from holdfast.kernel.model import Effect, State

S = State

OPEN = frozenset({S.PROPOSED, S.WAITING, S.ADMITTED, S.CLAIMED, S.DISPATCHED, S.PENDING, S.UNKNOWN})
"""States that are never an end."""


def due(view: Effect, me: str, now_ms: int, dead: str = "") -> str | None:
    """The verb that is due, or None. ``dead`` is a holder that was proved dead (its lease counts as over)."""
    over = not view.holder or now_ms > view.lease_until_ms or view.holder == dead
    at_hand = over or view.holder == me
    timely = now_ms >= view.due_ms
    state = view.state
    if state is S.PROPOSED:
        return "admit"
    if state is S.WAITING:
        # What was put off for want of room is looked at again in its time, however many have said yes to it.
        answered = view.quorum_met and not view.schedulings
        return "admit" if answered or view.declined or timely else None
    if state is S.ADMITTED:
        return "claim"
    if state is S.CLAIMED:
        return "claim" if over else ("dispatch" if view.holder == me else None)
    if state is S.DISPATCHED:
        return "observe" if over else None
    if state is S.UNKNOWN or state is S.PENDING:
        if view.escalated and not view.late_seen:
            return None
        return "reconcile" if at_hand and timely else None
    if view.unsettled:
        return "settle"
    if view.next == "verify" and (state is S.COMMITTED or state is S.UNCONFIRMED):
        return "verify" if at_hand and timely else None
    return None


def wake_ms(view: Effect, me: str = "") -> int:
    """When this worker looks again if nothing is due for it now; 0 if only somebody else can move it.

    What another holds is not due here before that lease has run out, whenever the next act itself is due.
    """
    if view.state in (S.CLAIMED, S.DISPATCHED):
        return view.lease_until_ms + 1
    if view.escalated and not view.late_seen:
        return 0
    if view.state in (S.WAITING, S.UNKNOWN, S.PENDING) or view.next == "verify":
        held_ms = view.lease_until_ms + 1 if view.holder not in ("", me) else 0
        return max(view.due_ms, held_ms)
    return 0


def is_open(view: Effect) -> bool:
    """Whether anything is still to happen to an effect, by the runtime or by a human."""
    return bool(view.unsettled or view.next or view.state in OPEN)
