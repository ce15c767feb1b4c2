"""``holdfast run``: list, show."""

from __future__ import annotations

from cyclopts import App

from holdfast.cli.shared import NO_OPTIONS, Limit, Shared, reading
from holdfast.report.page import Page

app = App(name="run", help="Runs: what was wanted, what became of it.", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """The newest runs first."""
    from holdfast.report.lists import run_list

    with reading(shared) as store:
        return run_list(store.runs(limit + 1), limit=limit)


@app.command
def show(run: str, /, *, limit: Limit = 200, shared: Shared = NO_OPTIONS) -> Page:
    """One run: its intent, what it used, its effects.

    Exit code 3: something in it is in doubt; 4: something waits for a human; 5: it was stopped.
    """
    from holdfast.kernel.errors import UnknownId
    from holdfast.report.run import run_page

    with reading(shared) as store:
        row = store.run(store.find(run, "run"))
        if row is None:
            raise UnknownId(given=run, kind="run")
        return run_page(row, store.effects(run=row.id, limit=1_000_000), store.now_ms(), limit=limit)
