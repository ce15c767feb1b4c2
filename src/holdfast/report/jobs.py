"""Queued runs as pages: what waits, since when and against which promise, who drives it, and what nobody could finish.

Counted from the jobs themselves when it is asked, by the store's clock, so that it stays true as delay grows. The
promise of a class is the ``within`` of its limits: how old accepted work may be before somebody drives it. Decides the
exit code: 4 where a dead letter waits for its owner, 1 where a promise is broken. Does not decide about any job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from holdfast.kernel.documents import Job
from holdfast.kernel.limits import Limits
from holdfast.kernel.model import Run
from holdfast.report.page import Page, Sign, Span
from holdfast.report.text import escaped, framed, iso, seen_from, span

SIGNS = {
    "queued": Sign("…", "queued", "still"),
    "claimed": Sign("▶", "claimed", "still"),
    "done": Sign("✓", "done", "good"),
    "dead": Sign("✗", "dead", "bad"),
    "dropped": Sign("⊘", "dropped", "quiet"),
}
LIVE = ("dead", "queued", "claimed")
"""States that are counted as standing in the queue, those that need somebody first."""

SAID = '--as NAME --reason "…"'

MEANT = (*SIGNS, "driven", "due", "later", "waiting")
"""What a job may be called: its state, or the word that the line of its class counts it under."""


def meant(word: str, job: Job, now_ms: int) -> bool:
    """Whether a job is called so."""
    if word == "driven":
        return job.state == "claimed"
    if word in ("due", "later", "waiting"):
        where = "waiting" if job.waits else "later" if job.not_before_ms > now_ms else "due"
        return job.state == "queued" and where == word
    return job.state == word


class Class(NamedTuple):
    """The queued runs of one class of work. ``oldest_ms`` is the age of the oldest that is due and not driven."""

    work: str
    queued: int
    later: int
    waits: int
    claimed: int
    dead: int
    oldest_ms: int
    oldest: str
    promise_ms: int

    @property
    def broken(self) -> bool:
        """Whether the promise of the class is broken now."""
        return bool(self.promise_ms) and self.oldest_ms > self.promise_ms


def classes_of(jobs: Iterable[Job], limits: Mapping[str, Limits], now_ms: int) -> list[Class]:
    """The classes that any of these jobs stands in, by name. The tightest promise of all environments counts."""
    by: dict[str, list[Job]] = {}
    for job in jobs:
        if job.state in LIVE:
            by.setdefault(job.work, []).append(job)
    return [_class(work, by[work], limits, now_ms) for work in sorted(by)]


def _class(work: str, jobs: list[Job], limits: Mapping[str, Limits], now_ms: int) -> Class:
    due = [job for job in jobs if job.state == "queued" and not job.waits and job.not_before_ms <= now_ms]
    oldest = first_of(due)
    promises = [known.of(work).within_ms for known in limits.values() if work]
    return Class(
        work=work,
        queued=len(due),
        later=sum(job.state == "queued" and not job.waits and job.not_before_ms > now_ms for job in jobs),
        waits=sum(job.state == "queued" and bool(job.waits) for job in jobs),
        claimed=sum(job.state == "claimed" for job in jobs),
        dead=sum(job.state == "dead" for job in jobs),
        oldest_ms=max(0, now_ms - since(oldest)) if oldest is not None else 0,
        oldest=oldest.id if oldest is not None else "",
        promise_ms=min((promise for promise in promises if promise), default=0),
    )


def first_of(due: Iterable[Job]) -> Job | None:
    """The one that has been waiting longest."""
    return min(due, key=lambda job: (since(job), job.id), default=None)


def since(job: Job) -> int:
    """Since when a job that is due has been waiting: since it was accepted, or the time that was asked for it.

    A try that came to nothing, and the pause after it, make no job any younger.
    """
    return max(job.accepted_ms, job.wanted_ms)


def job_data(job: Job, now_ms: int, run: Run | None = None) -> dict[str, Any]:
    """A job for programs; instants as RFC 3339, ages in milliseconds."""
    return {
        "id": job.id,
        "run": job.run,
        "state": job.state,
        "work": job.work,
        "principal": job.principal,
        "purpose": run.purpose if run is not None else "",
        "priority": job.priority,
        "accepted": iso(job.accepted_ms),
        "age_ms": now_ms - job.accepted_ms,
        "not_before": iso(job.not_before_ms),
        "deadline": iso(run.deadline_ms or 0) if run is not None else "",
        "holder": job.holder,
        "token": job.token,
        "tries": job.tries,
        "most_tries": job.most_tries,
        "waits": job.waits,
        "about": job.about,
        "why": job.why,
        "owner": job.owner,
        "planner": job.planner,
        "superseded_by": job.superseded_by,
        "next": list(next_of(job, run, now_ms)),
    }


def next_of(job: Job, run: Run | None, now_ms: int) -> tuple[str, ...]:
    """What may be done about a job now, as commands; a dead letter's owner is who does it."""
    if job.state != "dead":
        return ()
    requeue, drop = (f"holdfast queue resolve {job.run} --{action} {SAID}" for action in ("requeue", "drop"))
    if run is not None and run.deadline_ms is not None and now_ms > run.deadline_ms:
        return (f"holdfast run extend {job.run} 1h {SAID}", requeue, drop)
    return (requeue, drop)


def queue_page(
    jobs: Sequence[Job], shown: Sequence[Job], runs: Mapping[str, Run], limits: Mapping[str, Limits], now_ms: int,
    *, limit: int,
) -> Page:  # fmt: skip
    """Classes first, then one line a job. ``jobs`` are all that stand in the queue, ``shown`` those asked for."""
    classes = classes_of(jobs, limits, now_ms)
    page = Page(
        data={"classes": class_data(classes), "jobs": [job_data(j, now_ms, runs.get(j.run)) for j in shown[:limit]]},
        counts=dict(Counter(job.state for job in jobs)),
        truncated=len(shown) > limit,
        exit_code=code_of(classes),
    )
    class_lines(page, classes)
    if classes and shown:
        page.gap()
    for job in shown[:limit]:
        job_line(page, job, runs.get(job.run), now_ms)
    if not shown:
        page.line(Span("— nothing is queued", "quiet"))
    return page


def code_of(classes: Sequence[Class]) -> int:
    """4: a dead letter waits for its owner; 1: a promise is broken; 0: neither."""
    return 4 if any(c.dead for c in classes) else int(any(c.broken for c in classes))


def class_lines(page: Page, classes: Sequence[Class]) -> None:
    """One line a class; a promise that is broken is said first."""
    for one in sorted(classes, key=lambda c: not c.broken):
        parts = [f"{one.queued} due", f"{one.claimed} driven"]
        parts += [f"{one.later} for later"] if one.later else []
        parts += [f"{one.waits} waiting for somebody"] if one.waits else []
        parts += [f"{one.dead} dead"] if one.dead else []
        if one.oldest:
            promise = f", {span(one.promise_ms)} promised" if one.promise_ms else ""
            parts.append(f"the oldest is {span(one.oldest_ms)} old{promise}: {one.oldest}")
        label = "✗ promise broken " if one.broken else "runs queued"
        page.fact(label, f"{escaped(one.work) or 'no class'}: {', '.join(parts)}")


def class_data(classes: Sequence[Class]) -> list[dict[str, Any]]:
    """The classes for programs; spans in milliseconds."""
    return [one._asdict() | {"promise_broken": one.broken} for one in classes]


def job_line(page: Page, job: Job, run: Run | None, now_ms: int) -> None:
    """One line: state, run, class and rank, age, who holds it or what it waits for, tries and why."""
    sign = SIGNS[job.state]
    parts = [f"{escaped(job.work) or '—'} rank {job.priority}", f"{span(now_ms - job.accepted_ms)} old"]
    if job.holder:
        parts.append(f"{job.holder} under token {job.token}")
    if job.state == "queued" and job.waits:
        parts.append(f"waits for {escaped(job.waits)} {escaped(job.about)}".rstrip())
    elif job.state == "queued" and job.not_before_ms > now_ms:
        parts.append(f"due {seen_from(job.not_before_ms, now_ms)}")
    if job.tries:
        parts.append(f"{job.tries} of {job.most_tries} tries")
    if job.state == "dead":
        parts.append(f"owner {escaped(job.owner)}, dead for {span(now_ms - job.since_ms)}")
    if job.why:
        parts.append(framed(job.why, 100))
    whose = framed(run.purpose, 60) if run is not None else ""
    page.line(Span(f"{sign!s:<10}", sign.role), f" {job.run}  {whose}  {', '.join(parts)}")


def job_page(job: Job, run: Run | None, now_ms: int) -> Page:
    """One queued run: its place, who drives it, what its tries came to, and what may be done. Exit code 4: dead."""
    sign = SIGNS[job.state]
    page = Page(data=job_data(job, now_ms, run), exit_code=4 if job.state == "dead" else 0)
    page.head(f"queued run {job.run}  ", sign.span)
    if run is not None:
        page.fact("purpose", framed(run.purpose))
        if run.deadline_ms is not None:
            page.fact("deadline", f"{iso(run.deadline_ms)}, {seen_from(run.deadline_ms, now_ms)}")
    page.fact("class", f"{escaped(job.work) or '—'}, rank {job.priority}, of {escaped(job.principal)}")
    page.fact("accepted", f"{iso(job.accepted_ms)}, {span(now_ms - job.accepted_ms)} ago")
    if job.state == "queued" and job.not_before_ms > now_ms:
        page.fact("due", seen_from(job.not_before_ms, now_ms))
    if job.holder:
        page.fact("driven by", f"{job.holder} under token {job.token}: holdfast worker show {job.holder}")
    if job.waits:
        page.fact("waits for", f"{escaped(job.waits)} {escaped(job.about)}".rstrip())
    if job.superseded_by:
        page.fact("superseded", f"by {job.superseded_by}")
    page.fact("tries", f"{job.tries} of {job.most_tries} came to nothing")
    if job.why:
        page.fact("why", framed(job.why))
    page.fact("owner", escaped(job.owner))
    page.facts("next", next_of(job, run, now_ms))
    return page


def dead_page(jobs: Sequence[Job], runs: Mapping[str, Run], now_ms: int, *, limit: int) -> Page:
    """Dead letters, the oldest first: each with its owner, its age, why, and what may be done. Exit code 4: any."""
    shown = jobs[:limit]
    page = Page(
        data=[job_data(job, now_ms, runs.get(job.run)) | {"dead_ms": now_ms - job.since_ms} for job in shown],
        counts={"dead": len(jobs)},
        truncated=len(jobs) > limit,
        exit_code=4 if jobs else 0,
    )
    for job in shown:
        job_line(page, job, runs.get(job.run), now_ms)
        page.facts("next", next_of(job, runs.get(job.run), now_ms))
    if not jobs:
        page.line(Span("— no dead letter", "quiet"))
    return page


def standing(page: Page, jobs: Sequence[Job], limits: Mapping[str, Limits], now_ms: int) -> None:
    """What ``holdfast status`` says of queued runs: depth, the oldest age against its promise, dead letters."""
    classes = classes_of(jobs, limits, now_ms)
    dead = sorted((job for job in jobs if job.state == "dead"), key=lambda job: (job.since_ms, job.id))
    page.data["runs_queued"] = class_data(classes)
    page.data["dead_letters"] = [job_data(job, now_ms) for job in dead]
    if not classes:
        return
    page.exit_code = page.exit_code or code_of(classes)
    page.gap()
    class_lines(page, classes)
    if dead:
        owners = ", ".join(escaped(owner) for owner in sorted({job.owner for job in dead}))
        page.fact(
            "✗ dead",
            f"{len(dead)} of {owners}, the oldest for {span(now_ms - dead[0].since_ms)}: holdfast queue dead",
        )
