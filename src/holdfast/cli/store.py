"""``holdfast store show|release``."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

app = App(name="store", help="The store: show it, release it after a restore.", help_format="plaintext")

STORE_RUN = "ru_store"


@app.command
def show(*, shared: Shared = NO_OPTIONS) -> Page:
    """Where it is, which incarnation, what is in force, who released it. Exit code 5 while it is restored."""
    from holdfast.report.status import store_page

    with reading(shared) as store:
        return store_page(store.status(), store.facts(), _releases(store), store.open_effects())


def _releases(store: Any) -> list[dict[str, Any]]:
    """Every release that was recorded: who, when, why."""
    from holdfast.kernel.canon import decode
    from holdfast.report.text import iso

    return [
        {"by": e.by, "at": iso(e.at_ms), **(decode(e.body) if e.body is not None else {})}
        for e in store.entries(STORE_RUN)
        if e.kind == "store_released"
    ]


@app.command
def release(*, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """End restored mode: a named person has looked at what was open and at what may be missing.

    Parameters
    ----------
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        What was reconciled, and how.
    """
    from holdfast.report.status import release_page

    if not as_.strip() or not reason.strip():
        raise Misused("a release needs a name and a reason: what was compared, and with what")
    from holdfast.cli.shared import contracts_of
    from holdfast.runtime.release import release as leave_restored

    with deciding(shared) as store:
        was = store.restored()
        if was:
            leave_restored(store, contracts_of(shared), who=as_, reason=f"{reason} ({vouched()})")
        return release_page(store.status(), store.open_effects(), as_, released=was)
