"""What a named person decides of a dead letter: try it again, drop it, or hand it to somebody else.

Promises: each is one commit that compares the job with what was read, and an entry of the run says who decided, who
vouched for that, and why; of two who decide at once one does, and the other is told. Dropping ends the run too, so that
it holds no place and nothing of it goes on; what it had sent is still reconciled. Does not judge whether another try
helps: a run whose deadline has passed is a dead letter again until somebody extends it.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import AnyDocument, Job, digest_of
from holdfast.kernel.errors import JobNotMovable, UnknownId
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Effect, Run
from holdfast.runtime import jobs
from holdfast.runtime.stopped import as_body, record_of
from holdfast.runtime.stops import Ground, Stop

GOES_ON = ("open", "blocked")


class Books(Protocol):
    """What is needed of a store."""

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def effects(self, *, run: str | None = None) -> list[Effect]:
        """The effects of a run."""
        ...

    def now_ms(self) -> int:
        """Its clock."""
        ...

    def commit_now(self, change: Change) -> Any:
        """One change, at once."""
        ...


def resolve(books: Books, run: str, action: str, *, who: str, vouched_by: str, reason: str, owner: str = "") -> Job:
    """The job as it is after ``action`` (:data:`holdfast.runtime.jobs.RESOLVES`).

    Raises UnknownId where the run has no job, ReasonMissing without a name or a reason, JobNotMovable where it is no
    dead letter any more.
    """
    job, row = books.document("job", run), books.run(run)
    if not isinstance(job, Job) or row is None:
        raise UnknownId(given=run, kind="queued run")
    moved = jobs.resolved(job, action, by=who, reason=reason, now_ms=books.now_ms(), owner=owner)
    body: dict[str, Any] = {"resolved": action, "job": moved.state, "was": job.why, "owner": moved.owner}
    body |= {"reason": f"{who}: {reason}", "note": f"vouched for by {vouched_by}"}
    guard, ends, kind = Guard(as_read=((job.kind, job.id, digest_of(job)),)), None, "queue"
    if moved.state == "dropped" and row.state in GOES_ON:
        stop = Stop(code=Ground.HALT, reason=moved.why)
        record = record_of(row, books.effects(run=run), stop, books.now_ms(), contracts={}, approvals={})
        body["stop"] = as_body(stop, record)
        guard = replace(guard, run_open=run, run_state=row.state)
        ends, kind = ("stopped", moved.why), "stopped"
    note = Note(kind=kind, by=who, body=body)
    verdict = books.commit_now(Change(run=run, guard=guard, notes=(note,), ends=ends, documents=(moved,)))
    now = books.document("job", run)
    assert isinstance(now, Job)
    if isinstance(verdict, Rejected):
        raise JobNotMovable(run=run, state=now.state, asked=action)
    return now
