"""``holdfast worker``: list, show, forget."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, Limit, Shared, deciding, reading
from holdfast.kernel.errors import AmbiguousId, UnknownId
from holdfast.report.page import Page, Span

app = App(name="worker", help="Workers: who holds what, until when, and what each lacks.", help_format="plaintext")


@app.command(name="list")
def list_(
    *,
    every: Annotated[bool, Parameter(name="--all", negative="")] = False,
    limit: Limit = 50,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Who is there: what each holds, until when, under which token, what it lacks, and which writes were refused it.

    Exit code 1: one that is gone still holds something, and nobody has taken it over yet.

    Parameters
    ----------
    every
        Those too that have left.
    """
    from holdfast.report.worker import workers_page
    from holdfast.runtime.worker.listing import workers

    with reading(shared) as store:
        return workers_page(workers(store, gone=every, most=limit + 1), store.now_ms(), limit=limit)


@app.command
def show(worker: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One worker: everything that it holds, the versions that it has, and every write that was refused it."""
    from holdfast.report.worker import worker_page
    from holdfast.runtime.worker.listing import workers

    with reading(shared) as store:
        found = [one for one in workers(store) if one.row.id.startswith(worker)]
        if not found:
            raise UnknownId(given=worker, kind="worker")
        if len(found) > 1 and found[0].row.id != worker:
            raise AmbiguousId(given=worker, matches=tuple(one.row.id for one in found[:10]))
        return worker_page(found[0], store.now_ms())


@app.command
async def forget(*, older: Annotated[str, Parameter(name="--older")] = "1h", shared: Shared = NO_OPTIONS) -> Page:
    """Mark workers as left that are past their lease for so long and hold nothing. Workers do so by themselves too.

    Parameters
    ----------
    older
        How long past its lease.
    """
    from holdfast.kernel.amounts import parse_duration
    from holdfast.runtime.worker.sweeping import forget as forgotten

    with deciding(shared) as store:
        count = await forgotten(store, parse_duration(older, name="--older"))
    page = Page(data={"forgotten": count}, counts={"forgotten": count})
    page.line(Span("✓ " if count else "— ", "good" if count else "quiet"), f"{count} forgotten")
    return page
