"""Cancelling a run from outside of it: a named person, a reason, one durable commit.

Promises that no dispatch commit of the run follows: every worker's guard looks at the run's state in the same
transaction. What has left is still reconciled, by whoever recovers. Identity is what the caller vouches for.
"""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.errors import ReasonMissing, RunStopped
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Effect, Run
from holdfast.runtime.stopped import as_body, record_of
from holdfast.runtime.stops import Ground, Stop


class Desk(Protocol):
    """What cancelling needs of a store."""

    def run(self, run: str) -> Run | None:
        """The run."""
        ...

    def effects(self, *, run: str | None = None) -> list[Effect]:
        """Its effects."""
        ...

    def now_ms(self) -> int:
        """The store's time."""
        ...

    def commit_now(self, change: Change) -> Verdict:
        """One durable commit."""
        ...


def cancel(desk: Desk, run: str, *, who: str, vouched_by: str, reason: str) -> Run:
    """Stop an open or blocked run. Raises ReasonMissing without name or reason, RunStopped if it has ended."""
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=run, asked="cancel")
    said = f"{who}: {reason}"
    body: dict[str, Any] = {"reason": said, "note": f"vouched for by {vouched_by}"}
    before = desk.run(run)
    if before is not None:
        stop = Stop(code=Ground.HALT, reason=said)
        record = record_of(before, desk.effects(run=run), stop, desk.now_ms(), contracts={}, approvals={})
        body["stop"] = as_body(stop, record)
    state = "blocked" if before is not None and before.state == "blocked" else "open"
    change = Change(
        run=run,
        guard=Guard(run_open=run, run_state=state),
        notes=(Note(kind="stopped", by=who, body=body),),
        ends=("stopped", said),
    )
    verdict = desk.commit_now(change)
    row = desk.run(run)
    if isinstance(verdict, Rejected) or row is None:
        ended = f"it had ended before as {row.state}: {row.reason}" if row is not None else "it is not recorded"
        raise RunStopped(run=run, reason=ended)
    return row
