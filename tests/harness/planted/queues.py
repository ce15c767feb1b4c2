"""Planted defects of queues: work queued beside its run, brought back, begun late, or driven though unwanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.commit import Change, Note
from holdfast.report import jobs as report_jobs
from holdfast.runtime import begin, jobs, queue_resolve, queue_terms, queue_wanted, submit
from tests.harness.planted import Put


def _job_apart(put: Put) -> None:
    """The run is recorded first, and its job in a commit of its own."""
    honest = begin._record

    async def apart(store: Any, run: Any, by: str, beside: Any, place: Any) -> None:
        await honest(store, run, by, beside, place._replace(queued=None))
        if place.queued is not None:
            note = Note(kind="queue", by=by, body={})
            await store.commit(Change(run=run.id, notes=(note,), documents=(place.queued.job(run.id),)))

    put(begin, "_record", apart)


def _submit_again(put: Put) -> None:
    """Only a run that is open answers for its purpose; one that has ended is begun anew."""

    def answers(known: Any, again: str) -> bool:
        return known.run is not None and known.run.state == "open"

    put(submit.Known, "answers", answers)


def _never_superseded(put: Put) -> None:
    """What a submission supersedes waits on."""

    async def nothing(*_given: Any) -> bool:
        return False

    put(submit, "_superseded", nothing)


def _superseded_goes_on(put: Put) -> None:
    """A reference is good while its run is open, whatever was submitted since."""
    honest = queue_wanted.standing

    def standing(job: Any, *given: Any) -> Any:
        return honest(replace(job, superseded_by=""), *given)

    put(queue_wanted, "standing", standing)


def _resolved_unread(put: Put) -> None:
    """What a person decides of a dead letter is written over whatever is there."""
    honest = queue_resolve.Guard

    def unread(**parts: Any) -> Any:
        return honest(**(parts | {"as_read": ()}))

    put(queue_resolve, "Guard", unread)


def _without_owner(honest: Callable[..., Any]) -> Callable[..., Any]:
    """Whose a run is if it comes to nothing is not kept with its job."""
    return lambda run, **terms: honest(run, **(terms | {"owner": ""}))


def _oldest_is_newest(put: Put) -> None:
    """The age of a queue is that of the run that came last."""
    put(report_jobs, "first_of", lambda due: max(due, key=report_jobs.since, default=None))


PLANT: dict[str, Callable[[Put], None]] = {
    "job-apart": _job_apart,
    "submit-again": _submit_again,
    "never-superseded": _never_superseded,
    "superseded-goes-on": _superseded_goes_on,
    "resolved-unread": _resolved_unread,
    "oldest-is-newest": _oldest_is_newest,
    "dead-without-owner": lambda put: put(jobs, "queued", _without_owner(jobs.queued)),
    "begins-late": lambda put: put(queue_terms, "_begins_late", lambda asked, limits: ""),
}
