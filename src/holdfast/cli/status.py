"""``holdfast status``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Shared, reading
from holdfast.report.page import Page


def status(
    *, metrics: Annotated[bool, Parameter(name="--metrics", negative="")] = False, shared: Shared = NO_OPTIONS
) -> Page:
    """How the store stands and what needs somebody.

    Exit code 5: nothing is dispatched (restored, halted); 3: something is in doubt; 4: a human is waited for.

    Parameters
    ----------
    metrics
        Answer in Prometheus' text format, for a scrape or a textfile collector; exit code 0. Needs the extra telemetry.
    """
    if metrics:
        return _metrics(shared)
    from holdfast.cli.queue import standing_jobs
    from holdfast.report.drift import standing as standing_drifts
    from holdfast.report.jobs import standing as standing_queue
    from holdfast.report.saga import standing as standing_sagas
    from holdfast.report.sealing import standing
    from holdfast.report.status import status_page
    from holdfast.runtime.room import LIMITS, limits_in_force

    with reading(shared) as store:
        facts, asked = store.facts(), len(store.approvals("open"))
        limits = {
            fact.scope.removeprefix(LIMITS): limits_in_force(store.document("kept", fact.value))
            for fact in facts
            if fact.scope.startswith(LIMITS)
        }
        sealing = standing(store.tree(), store.pushes(), wanted=shared.settings().evidence is not None)
        page = status_page(store.status(), facts, store.open_effects(), asked, limits, sealing)
        standing_queue(page, standing_jobs(store), limits, store.now_ms())
        standing_drifts(page, store.tally().live_drifts(), store.now_ms())
        standing_sagas(page, store.documents_due("saga", "person", store.now_ms()))
        return page


def _metrics(shared: Shared) -> Page:
    """The store's metrics as they are scraped; with ``--json`` the same as a list of samples."""
    try:
        from holdfast.adapters.telemetry.metrics import exposition, samples
    except ImportError as error:
        from holdfast.kernel.errors import ExtraMissing

        raise ExtraMissing(what="status --metrics", extra="telemetry", module=f"{error.name}") from error
    with reading(shared) as store:
        text = exposition(store)
    data: list[dict[str, Any]] = samples(text)
    page = Page(data=data, counts={"samples": len(data)})
    for line in text.splitlines():
        page.line(line)
    return page
