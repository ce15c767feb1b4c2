"""Workers as a page: who is there until when, what each holds under which token, what it lacks, what was refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.kernel.canon import short
from holdfast.kernel.documents import Job
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, framed, iso, seen_from, span
from holdfast.runtime.worker.listing import Standing
from holdfast.store.lates import Late

SHOWN = 20
SIGNS = {
    "working": ("▶", "good"),
    "draining": ("…", "still"),
    "gone": ("?", "doubt"),
    "left": ("—", "quiet"),
}


def worker_data(one: Standing) -> dict[str, Any]:
    """A worker for programs; instants as RFC 3339, spans in milliseconds."""
    row = one.row
    return {
        "id": row.id,
        "state": one.word,
        "process": row.process,
        "seen": iso(row.seen_ms),
        "until": iso(row.until_ms),
        "lease_ms": row.lease_ms,
        "works": list(row.works),
        "planners": list(row.planners),
        "versions": dict(row.versions),
        "policy": row.policy,
        "lacks": list(row.lacks),
        "holds": [_job(job) for job in one.held],
        "refused": [_late(late) for late in one.refused],
    }


def _job(job: Job) -> dict[str, Any]:
    return {"run": job.run, "token": job.token, "since": iso(job.claimed_ms), "tries": job.tries, "work": job.work}


def _late(late: Late) -> dict[str, Any]:
    said = late.said
    return {
        "run": late.run,
        "at": iso(late.at_ms),
        "offered": said.get("offered", late.token),
        "current": said.get("current", 0),
        "holder": said.get("holder", ""),
        "refused": list(said.get("refused", ())),
        "why": said.get("why", ""),
    }


def workers_page(found: Iterable[Standing], now_ms: int, *, limit: int) -> Page:
    """One block a worker. Exit code 1 where one that is gone still holds something."""
    every = list(found)
    shown = every[:limit]
    counts = {"workers": len(shown), "holding": sum(len(one.held) for one in shown)}
    stuck = any(one.held and one.word in ("gone", "left") for one in every)
    page = Page(
        data=[worker_data(one) for one in shown], counts=counts, truncated=len(every) > limit, exit_code=int(stuck)
    )
    for one in shown:
        worker_lines(page, one, now_ms)
    if not every:
        page.line(Span("— no worker has been here; start one: holdfast work", "quiet"))
    return page


def worker_page(one: Standing, now_ms: int) -> Page:
    """One worker with everything that it holds and that was refused it."""
    page = Page(data=worker_data(one), counts={"holding": len(one.held), "refused": len(one.refused)})
    worker_lines(page, one, now_ms, most=1_000)
    page.fact("process", escaped(one.row.process))
    page.fact("policy", escaped(short(one.row.policy)) if one.row.policy else "—")
    page.facts("has", [f"{escaped(tool)} {escaped(short(version))}" for tool, version in one.row.versions] or ["—"])
    return page


def worker_lines(page: Page, one: Standing, now_ms: int, *, most: int = SHOWN) -> None:
    """A worker's block."""
    row = one.row
    symbol, role = SIGNS[one.word]
    until = f"until {seen_from(row.until_ms, now_ms)}" if one.word in ("working", "draining") else ""
    page.line(Span(f"{symbol} {one.word} ", role), f" {row.id}  {until or f'seen {seen_from(row.seen_ms, now_ms)}'}")
    takes = escaped(", ".join(row.works)) if row.works else "every class of work"
    page.fact("takes", takes if row.planners else "nothing from the queue: a program that drives runs of its own")
    for job in one.held[:most]:
        tries = f", try {job.tries + 1} of {job.most_tries}" if job.tries else ""
        held = f"{job.run} under token {job.token} for {span(now_ms - job.claimed_ms)}{tries}"
        page.fact("holds", held)
    if len(one.held) > most:
        page.fact("", f"and {len(one.held) - most} more: holdfast worker show {row.id}")
    for lack in row.lacks:
        page.fact("lacks", Span(escaped(lack), "doubt"))
    for late in one.refused[:most]:
        said = late.said
        by = (
            f"{escaped(str(said.get('holder', '')))} under {said.get('current', 0)}" if said.get("holder") else "nobody"
        )
        kinds = escaped(", ".join(said.get("refused", ())))
        why = framed(said.get("why", ""))
        told = f"{late.run}, token {said.get('offered', late.token)}: {kinds}; {by} drove it; {why}"
        page.fact("refused", Span(f"{seen_from(late.at_ms, now_ms)}: {told}", "bad"))
