"""Planted defects of queues: work queued beside its run, brought back, begun late, or driven though unwanted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.kernel import identity
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Job
from holdfast.report import jobs as report_jobs
from holdfast.runtime import begin, jobs, queue_order, queue_resolve, queue_terms, queue_wanted, submit
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


def _reference_is_enough(put: Put) -> None:
    """What a reference amounts to is not read again: whatever is brought is wanted, and is claimed anew."""
    honest = queue_wanted.standing

    def standing(job: Any, run: Any, now_ms: int, *given: Any) -> Any:
        found = honest(job, run, now_ms, *given)
        return found._replace(what="go") if found.what in ("over", "held") else found

    put(queue_wanted, "standing", standing)


def _late_goes_on(put: Put) -> None:
    """A deadline is looked at by nobody who takes a run up."""
    honest = queue_wanted.standing

    def standing(job: Any, run: Any, *given: Any) -> Any:
        return honest(job, replace(run, deadline_ms=None), *given)

    put(queue_wanted, "standing", standing)


def _tries_uncounted(put: Put) -> None:
    """A try that came to nothing leaves no trace in the count of tries."""
    honest = jobs.given_back

    def given_back(job: Any, *given: Any, **terms: Any) -> Any:
        return replace(honest(replace(job, most_tries=1_000), *given, **terms), tries=0, most_tries=job.most_tries)

    put(jobs, "given_back", given_back)


def _each_drive_anew(put: Put) -> None:
    """What a consumer does is its own: proposed once more, by whoever drives on, it is another change."""
    honest, count = identity.identity, itertools.count()

    def named(secret: bytes, tenant: str, environment: str, purpose: str, *given: Any) -> str:
        return honest(secret, tenant, environment, f"{purpose} {next(count)}", *given)

    put(identity, "identity", named)


def _first_come(put: Put) -> None:
    """What came first is driven first, whatever its rank and whose it is."""

    def pick(self: Any, books: Any, now_ms: int, limit: int) -> list[Any]:
        lanes = [lane for lane in books.lanes("job") if lane.startswith("queued:")]
        found = [job for lane in lanes for job in books.documents_due("job", lane, now_ms, 10_000)]
        return sorted(found, key=lambda job: (job.accepted_ms, job.id))[:limit]

    put(queue_order.Order, "_pick", pick)


PLANT: dict[str, Callable[[Put], None]] = {
    "job-apart": _job_apart,
    "submit-again": _submit_again,
    "never-superseded": _never_superseded,
    "superseded-goes-on": _superseded_goes_on,
    "reference-is-enough": _reference_is_enough,
    "late-goes-on": _late_goes_on,
    "tries-uncounted": _tries_uncounted,
    "acknowledged-apart": lambda put: put(Job, "over", lambda self, state, why, driver: None),
    "each-drive-anew": _each_drive_anew,
    "first-come": _first_come,
    "resolved-unread": _resolved_unread,
    "oldest-is-newest": _oldest_is_newest,
    "dead-without-owner": lambda put: put(jobs, "queued", _without_owner(jobs.queued)),
    "begins-late": lambda put: put(queue_terms, "_begins_late", lambda asked, limits: ""),
}
