"""``holdfast policy try``: what another policy would have said to everything that was decided here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Shared, reading
from holdfast.report.page import Page

DAYS = "30d"


def try_(
    policy: Path,
    /,
    *,
    since: str = DAYS,
    run: str = "",
    keep: Annotated[int, Parameter(name="--examples")] = 3,
    jobs: Annotated[int, Parameter(name="--jobs")] = 0,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Judge what was decided again under another policy, and show what would change. Nothing is recorded or sent.

    Exit code: 0 every answer stays; 1 some would change.

    Parameters
    ----------
    policy
        A Cedar file or a directory of them.
    since
        How far back, as a span (30d, 12h), or a day such as 2026-11-01 (UTC).
    run
        Only this run; any unique beginning of its id.
    keep
        How many effects to name for each way in which answers change.
    jobs
        Processes [default: one a core].
    """
    from holdfast.cli.progress import progress
    from holdfast.gate.policy import read
    from holdfast.report.trial import trial_page
    from holdfast.runtime.retrial import Asked, over_all

    sources = read(policy)
    with reading(shared) as store:
        since_ms = _since(since, store.now_ms())
        of = store.find(run, "run") if run else ""
    asked = Asked(shared.settings().store, sources, since_ms, max(0, keep))
    with progress("judged", "runs") as told:
        tried = over_all(asked, run=of, jobs=jobs or os.cpu_count() or 1, progress=told)
    return trial_page(tried, str(policy), since_ms, of)


def _since(text: str, now_ms: int) -> int:
    """The first instant that counts. Raises Misused."""
    import datetime as dt

    from holdfast.cli.shared import Misused
    from holdfast.kernel.amounts import parse_duration
    from holdfast.kernel.errors import HoldfastError

    try:
        return int(dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC).timestamp() * 1000)
    except ValueError:
        pass
    try:
        return max(0, now_ms - parse_duration(text, name="--since"))
    except HoldfastError:
        raise Misused(f"--since is a span such as 30d or 12h, or a day such as 2026-11-01, not {text}") from None
