"""Whether a queued run is still wanted: read again from the run before anything is done, whoever brought its reference.

What travels is a run's id and nothing else, so that a reference may come twice, late, out of order, or after everything
it stood for has happened: each time the answer is read here from the store. Decided in this order: already over;
superseded; past its deadline; halted; not yet due; driven by somebody; a dead letter; else it goes on.

Promises: what is over is never driven again; what is past its deadline is never driven and becomes a dead letter whose
owner is told; each change is guarded by the job as it was read. Does not claim, and does not drive.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import AnyDocument, Job, digest_of
from holdfast.kernel.guard import Guard
from holdfast.kernel.model import Effect, Run
from holdfast.runtime import jobs
from holdfast.runtime.queue_order import Facts, halted
from holdfast.runtime.stopped import as_body, record_of
from holdfast.runtime.stops import Ground, Stop


class Books(Facts, Protocol):
    """What is read of a store."""

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...


class Standing(NamedTuple):
    """What a reference amounts to now. ``what``: go, over, superseded, late, halted, early, held, dead, unknown."""

    what: str
    why: str = ""
    not_before_ms: int = 0


def read_again(books: Books, run: str, now_ms: int, worker: str = "") -> tuple[Standing, Job | None, Run | None]:
    """The run and the job that a reference names, as they are now, and what that amounts to for this worker."""
    row, job = books.run(run), books.document("job", run)
    if row is None or not isinstance(job, Job):
        return Standing("unknown", f"no queued run {run} is recorded here"), None, row
    return standing(job, row, now_ms, halted(books, job.work, job.principal), worker), job, row


def standing(job: Job, run: Run, now_ms: int, halt: str = "", worker: str = "") -> Standing:
    """What a queued run amounts to now, for ``worker``. Pure. ``halt`` is the halt over it, in words."""
    if job.state in ("done", "dropped"):
        return Standing("over", f"its job is {job.state}: {job.why}")
    if run.state not in ("open", "blocked"):
        return Standing("over", f"the run is {run.state}: {run.reason}")
    if job.superseded_by:
        return Standing("superseded", f"superseded by {job.superseded_by}")
    if job.state == "dead":
        return Standing("dead", f"it is a dead letter of {job.owner}: {job.why}")
    if job.state == "claimed" and job.holder != worker:
        return Standing("held", f"{job.holder} drives it")
    if run.deadline_ms is not None and now_ms > run.deadline_ms:
        return Standing("late", f"its deadline passed {now_ms - run.deadline_ms} ms before it could be driven")
    if halt:
        return Standing("halted", halt)
    if job.state == "queued" and job.not_before_ms > now_ms:
        return Standing("early", f"it is not to be driven before {job.not_before_ms}", job.not_before_ms)
    return Standing("go")


def put_right(
    job: Job, run: Run, found: Standing, effects: list[Effect], now_ms: int, *, by: str, owner: str = ""
) -> Change | None:
    """The change that records what a reference amounts to; None where there is nothing to record.

    What is over leaves the queue, what is superseded ends with its run, and what is late is a dead letter of its owner,
    its run blocked until somebody has extended the deadline.
    """
    read = ((job.kind, job.id, digest_of(job)),)
    if found.what == "over" and job.state not in ("done", "dropped"):
        over = jobs.done(job, found.why) if run.state == "done" else jobs.dropped(job, found.why)
        note = Note(kind="queue", by=by, body={"job": over.state, "reason": found.why})
        return Change(run=run.id, guard=Guard(as_read=read), notes=(note,), documents=(over,))
    if found.what not in ("superseded", "late"):
        return None
    stop = Stop(code=Ground.HALT if found.what == "superseded" else Ground.TIME, reason=found.why)
    record = record_of(run, effects, stop, now_ms, contracts={}, approvals={})
    body: dict[str, Any] = {"reason": found.why, "stop": as_body(stop, record)}
    ended = "stopped" if found.what == "superseded" else "blocked"
    moved = jobs.dropped(job, found.why) if found.what == "superseded" else jobs.buried(job, found.why, owner)
    same = run.state == ended  # blocked before: only its job moves
    return Change(
        run=run.id,
        guard=Guard(run_open=run.id, run_state=run.state, as_read=read),
        notes=(Note(kind="queue" if same else ended, by=by, body=body | ({"job": moved.state} if same else {})),),
        ends=None if same else (ended, found.why),
        documents=(moved,),
    )
