"""Moving a run's deadline: an explicit act of a named person, recorded with what it was before and why.

Promises that a deadline moves only so, later or earlier, and that every dispatch commit from then on is judged by the
new one. Does not reopen a run that was stopped for its time: driving it on does. Identity is what the caller vouches
for.
"""

from __future__ import annotations

from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import BadValue, ReasonMissing, RunStopped
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Run
from holdfast.runtime.cancel import Desk


def extend(desk: Desk, run: str, deadline: str | int, *, who: str, vouched_by: str, reason: str, now_ms: int) -> Run:
    """Set the deadline of an open or blocked run: a span from now ("15m"), or milliseconds UTC.

    An earlier one is set as readily as a later one. Raises BadValue for an instant that has passed, ReasonMissing
    without a name or a reason, RunStopped for a run that has ended.
    """
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=run, asked="extend")
    at_ms = now_ms + parse_duration(deadline, name="deadline") if isinstance(deadline, str) else deadline
    if at_ms <= now_ms:
        raise BadValue(path="deadline", why=f"{at_ms} has passed; it is {now_ms}", value_type="int")
    row = desk.run(run)
    if row is None or row.state not in ("open", "blocked"):
        raise RunStopped(run=run, reason=f"it has ended as {row.state}" if row is not None else "it is not recorded")
    was_ms = row.deadline_ms
    word = "shortened" if was_ms is None or at_ms < was_ms else "extended"
    body = {
        "amends": {"deadline_ms": at_ms},
        "was_ms": was_ms,
        "reason": reason,
        "note": f"vouched for by {vouched_by}",
    }
    change = Change(
        run=run,
        guard=Guard(run_open=run, run_state=row.state),
        notes=(Note(kind=word, by=who, body=body),),
        amends=(("deadline_ms", at_ms),),
    )
    if isinstance(verdict := desk.commit_now(change), Rejected):
        raise RunStopped(run=run, reason=verdict.why)
    after = desk.run(run)
    assert after is not None
    return after
