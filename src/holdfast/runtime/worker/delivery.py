"""A reference that something brought: read again, put right, and driven here if it is wanted and nobody else does.

For whoever carries run ids by other means than a worker's own look: a broker, a queue of a cloud, a person. Decides
what such a delivery amounts to now. Promises that a reference may be brought twice, late, out of order, or after
everything it stood for has happened: one drive at a time, and none of what is over, superseded, past its deadline,
halted, not due yet, or dead. Whoever brought it may forget it after any answer, since a worker finds without it what is
still due. Does not bound how many are driven at a time: deliver no more than you would drive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from holdfast.kernel.errors import RunHeld, RunLost
from holdfast.kernel.ports import Ports
from holdfast.runtime.ending import Over, Report
from holdfast.runtime.queue_wanted import put_right, read_again
from holdfast.runtime.run import RunHandle
from holdfast.runtime.worker.holding import Holding
from holdfast.runtime.worker.sagas import driven
from holdfast.runtime.worker.shift import PlannerFactory, factories, made

RUN_ID = re.compile(r"ru_[0-9a-z_]{1,64}")


class Desk(Over, Protocol):
    """What is needed of an application."""

    @property
    def ports(self) -> Ports:
        """The wired ports."""
        ...

    @property
    def store(self) -> Any:
        """The open store."""
        ...

    @property
    def holding(self) -> Holding | None:
        """What this process holds."""
        ...

    @property
    def environment(self) -> str:
        """Where it acts."""
        ...

    async def resume(self, run: str) -> RunHandle:
        """A recorded run, looked over."""
        ...


class Delivered(NamedTuple):
    """What a delivery came to: ``driven`` with its report, or why not, in a word and in words.

    The words are those of :class:`holdfast.runtime.queue_wanted.Standing`, and ``elsewhere``: another environment's, or
    for a planner that is not here.
    """

    what: str
    why: str = ""
    report: Report | None = None


async def deliver(
    app: Desk, reference: str, planners: Mapping[str, PlannerFactory] | PlannerFactory, *, max_steps: int = 100
) -> Delivered:
    """Take a reference, and drive its run to its rest if it is wanted. Raises what its planner raises."""
    if RUN_ID.fullmatch(str(reference)) is None:  # whatever a broker brings
        return Delivered("unknown", "what was brought is no run id")
    store, named = app.store, factories(planners)
    assert app.holding is not None, "an open application holds what it claims"
    found, job, row = read_again(store, reference, store.now_ms(), app.holding.heart.id)
    if found.what != "go" or job is None or row is None:
        if job is not None and row is not None:
            views = store.effects(run=row.id) if found.what in ("superseded", "late") else []
            change = put_right(job, row, found, views, store.now_ms(), by=app.ports.me)
            if change is not None:
                await store.commit(change)
        return Delivered(found.what, found.why)
    if row.environment != app.environment or job.planner not in named:
        return Delivered("elsewhere", f"it is for planner {job.planner!r} in {row.environment}")
    if job.waits:
        return Delivered("early", f"it waits for {job.waits}")
    if app.holding.drives(row.id):
        return Delivered("held", "it is driven here")
    try:
        run = await app.resume(row.id)
        async with app.holding.driving(row.id) as claimed:
            claimed.report = await driven(app, run, made(named[job.planner], run), max_steps)
        return Delivered("driven", "", claimed.report)
    except (RunHeld, RunLost) as held:
        return Delivered("held", str(held))
