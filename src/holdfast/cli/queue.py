"""``holdfast queue``: list, show, dead, resolve. What waits for a worker, and what none could finish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.kernel.documents import EVERY, Job
from holdfast.kernel.errors import UnknownId
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.kernel.limits import Limits
    from holdfast.kernel.model import Run
    from holdfast.store import Store

app = App(
    name="queue", help="Queued runs: what waits for a worker, and what none could finish.", help_format="plaintext"
)


EVER_MS = 1 << 52
"""Later than any time."""


def standing_jobs(store: Store) -> list[Job]:
    """Every job that stands in a lane: dead letters, what waits, what is driven; in the order in which it comes next.

    Found by its lanes, so that what is over costs nothing.
    """
    found = (job for lane in store.lanes("job") for job in store.documents_due("job", lane, EVER_MS, EVERY))
    order = {"dead": 0, "claimed": 1, "queued": 2}
    jobs = [job for job in found if isinstance(job, Job)]
    return sorted(jobs, key=lambda j: (order[j.state], bool(j.waits), -j.priority, j.not_before_ms, j.id))


def limits_of(store: Store) -> Mapping[str, Limits]:
    """The limits in force, by environment: they hold the promises."""
    from holdfast.runtime.room import LIMITS, limits_in_force

    facts = [fact for fact in store.facts() if fact.scope.startswith(LIMITS)]
    return {f.scope.removeprefix(LIMITS): limits_in_force(store.document("kept", f.value)) for f in facts}


def _runs(store: Store, jobs: Iterable[Job]) -> dict[str, Run]:
    found = {job.run: store.run(job.run) for job in jobs}
    return {run: row for run, row in found.items() if row is not None}


@app.command(name="list")
def list_(
    *,
    state: str | None = None,
    work: Annotated[str | None, Parameter(name="--work")] = None,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    limit: Limit = 50,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """What stands in the queue: each class with its oldest against its promise, then each run with rank, age, holder.

    Exit code 4: there is a dead letter; 1: the promise of a class is broken; 0: neither.

    Parameters
    ----------
    state
        Only queued, claimed (or driven), dead, done or dropped ones; of the queued ones: due, later, waiting.
    work
        Only those of this class of work.
    all_
        Those too that came to an end.
    """
    from holdfast.report.jobs import MEANT, meant, queue_page

    if state is not None and state not in MEANT:
        raise Misused(f"--state is one of {', '.join(MEANT)}")
    with reading(shared) as store:
        live = standing_jobs(store)
        jobs = live
        if all_ or state in ("done", "dropped"):
            jobs = live + [
                j for j in store.documents("job", limit=EVERY) if isinstance(j, Job) and j.state in ("done", "dropped")
            ]
        now_ms = store.now_ms()
        shown = [j for j in jobs if (state is None or meant(state, j, now_ms)) and work in (None, j.work)]
        runs = _runs(store, shown[: limit + 1])
        return queue_page(live, shown, runs, limits_of(store), now_ms, limit=limit)


@app.command
def show(run: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One queued run: its place, who drives it, what its tries came to, whose it is, and what may be done.

    Exit code 4: it is a dead letter.
    """
    from holdfast.report.jobs import job_page

    with reading(shared) as store:
        job = _job(store, run)
        return job_page(job, store.run(job.run), store.now_ms())


@app.command
def dead(*, owner: str | None = None, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """Dead letters: whose each is, how old, why, and the commands that resolve it.

    Exit code 4: there is one.

    Parameters
    ----------
    owner
        Only those of this owner.
    """
    from holdfast.report.jobs import dead_page

    with reading(shared) as store:
        found = store.documents_due("job", "dead", EVER_MS, EVERY)
        letters = [j for j in found if isinstance(j, Job) and owner in (None, j.owner)]
        letters.sort(key=lambda job: (job.since_ms, job.id))
        return dead_page(letters, _runs(store, letters[:limit]), store.now_ms(), limit=limit)


@app.command
def resolve(
    run: str,
    /,
    *,
    as_: As,
    reason: Reason,
    requeue: Annotated[bool, Parameter(name="--requeue", negative="")] = False,
    drop: Annotated[bool, Parameter(name="--drop", negative="")] = False,
    hand_to: Annotated[str | None, Parameter(name="--hand-to")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Say what becomes of a dead letter. It is recorded with the run, by whom and why; of two who decide one does.

    Exit code 5: it is no dead letter any more, and nothing was changed.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why.
    requeue
        It is tried again, with all its tries.
    drop
        It ends, and its run with it; what had been sent is still reconciled.
    hand_to
        It stays a dead letter and belongs to this owner.
    """
    from holdfast.report.jobs import job_page
    from holdfast.runtime.queue_resolve import resolve as resolved

    chosen = [name for name, given in (("requeue", requeue), ("drop", drop), ("hand", hand_to)) if given]
    if len(chosen) != 1:
        raise Misused("say one of --requeue, --drop and --hand-to OWNER")
    with deciding(shared) as store:
        full = store.find(run, "run")
        job = resolved(store, full, chosen[0], who=as_, vouched_by=vouched(), reason=reason, owner=hand_to or "")
        page = job_page(job, store.run(full), store.now_ms())
        page.exit_code = 0  # it was decided, as was asked
        return page


def _job(store: Store, given: str) -> Job:
    full = store.find(given, "run")
    job = store.document("job", full)
    if not isinstance(job, Job):
        raise UnknownId(given=given, kind="queued run")
    return job
