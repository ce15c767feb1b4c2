"""Moving a run's deadline, and letting a stopped run go on: explicit acts of a named person, each recorded with why.

Promises that a deadline moves only so, later or earlier, that every dispatch commit from then on is judged by the new
one, and that the entry says what it was before. Neither act drives a run: whoever drives it on reopens it. Identity is
what the caller vouches for.
"""

from __future__ import annotations

from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import BadValue, ReasonMissing, RunStopped
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Run
from holdfast.runtime.cancel import Desk

GOES_ON = frozenset({"open", "blocked"})
"""States of a run that has not ended."""


def extending(
    row: Run | None, run: str, deadline: str | int, who: str, vouched_by: str, reason: str, now_ms: int
) -> Change:
    """The change that sets a deadline: a span from now ("15m"), or milliseconds UTC. Earlier as readily as later.

    Raises BadValue for an instant that has passed, ReasonMissing without a name or a reason, RunStopped for a run that
    has ended.
    """
    row = _goes_on(row, run, "extend", who, reason)
    at_ms = now_ms + parse_duration(deadline, name="deadline") if isinstance(deadline, str) else deadline
    if at_ms <= now_ms:
        raise BadValue(path="deadline", why=f"{at_ms} has passed; it is {now_ms}", value_type="int")
    was_ms = row.deadline_ms
    word = "shortened" if was_ms is None or at_ms < was_ms else "extended"
    vouched = f"vouched for by {vouched_by}"
    body = {"amends": {"deadline_ms": at_ms}, "was_ms": was_ms, "reason": reason, "note": vouched}
    return Change(
        run=run,
        guard=Guard(run_open=run, run_state=row.state),
        notes=(Note(kind=word, by=who, body=body),),
        amends=(("deadline_ms", at_ms),),
    )


def unblocking(row: Run | None, run: str, who: str, vouched_by: str, reason: str, effect: str = "") -> Change:
    """The change that lets a stopped run go on: what was counted against it is counted anew from here.

    ``effect``: one whose expired approval or failed verification the run may go on past; it is never done with it.
    Raises ReasonMissing, RunStopped.
    """
    row = _goes_on(row, run, "unblock", who, reason)
    body = {"reason": reason, "note": f"vouched for by {vouched_by}"} | ({"effect": effect} if effect else {})
    guard = Guard(run_open=run, run_state=row.state)
    return Change(run=run, guard=guard, notes=(Note(kind="unblocked", by=who, body=body),))


def record(desk: Desk, change: Change) -> Run:
    """Commit one of these; the run as it is then. Raises RunStopped if it ended meanwhile."""
    verdict = desk.commit_now(change)
    row = desk.run(change.run)
    if isinstance(verdict, Rejected) or row is None:
        raise RunStopped(run=change.run, reason=verdict.why if isinstance(verdict, Rejected) else "it is not recorded")
    return row


def _goes_on(row: Run | None, run: str, asked: str, who: str, reason: str) -> Run:
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=run, asked=asked)
    if row is None or row.state not in GOES_ON:
        raise RunStopped(run=run, reason=f"it has ended as {row.state}" if row is not None else "it is not recorded")
    return row
