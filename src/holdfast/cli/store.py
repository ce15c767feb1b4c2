"""``holdfast store show|release|clock``."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

app = App(name="store", help="The store: show it, release it, accept its clock.", help_format="plaintext")

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


@app.command
def clock(*, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """End the doubt after the clock jumped: a named person has compared it with one that is right.

    What waits for time to pass counts from this moment on. Exit code 1 where there is no doubt to end.

    Parameters
    ----------
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        What the clock was compared with, and what was done.
    """
    from holdfast.report.text import span

    if not as_.strip() or not reason.strip():
        raise Misused("accepting a clock needs a name and a reason: what it was compared with")
    with deciding(shared) as store:
        jumped_ms = store.accept_clock(as_, f"{reason} ({vouched()})")
        page = Page(data={"jumped_ms": jumped_ms, "now_ms": store.now_ms()}, exit_code=0 if jumped_ms else 1)
    if jumped_ms:
        page.fact("clock", f"accepted; it had jumped by {span(jumped_ms)}")
        page.fact("next", "nothing: what rests on passed time counts from now on")
    else:
        page.fact("clock", "not in doubt; nothing was recorded")
    return page
