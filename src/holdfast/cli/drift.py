"""``holdfast drift``: what differs outside from what was recorded; look, mend, accept.

``list`` and ``show`` read records only; ``accept`` records what a person decided; ``run`` and ``repair`` ask the
outside with the tools, and a repair is a call like any other: the policy decides about it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.app import App as Application

app = App(name="drift", help="Drifts: what differs outside from what was recorded.", help_format="plaintext")


@app.command(name="list")
def list_(
    *,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    what: str | None = None,
    limit: Limit = 50,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Drifts that have not come to an end, those that are due first before the others.

    Exit code 3: one is open; 4: a person is waited for; 0: there is none.

    Parameters
    ----------
    all_
        Those too that were repaired or accepted.
    what
        Only those of a class: orphan, missing, lingering or partial.
    """
    from holdfast.kernel.documents.drift import CLASSES
    from holdfast.report.drift import list_page
    from holdfast.runtime.drift.records import every

    if what is not None and what not in CLASSES:
        raise Misused(f"--what is one of {', '.join(CLASSES)}")
    with reading(shared) as store:
        found = every(store) if all_ else store.tally().live_drifts()
        return list_page([d for d in found if what in (None, d.what)], store.now_ms(), limit=limit)


@app.command
def show(drift: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One drift: what was to be, what is there, who owns it, what is done about it.

    Exit code 0: it came to an end; 3: it is open; 4: a person is waited for.
    """
    from holdfast.report.drift import show_page
    from holdfast.runtime.drift.records import find

    with reading(shared) as store:
        return show_page(find(store, drift), store.now_ms())


@app.command
def accept(drift: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Say that a difference may stay as it is. Where something else is found later, it is open again.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why it may stay.
    """
    from holdfast.report.drift import show_page
    from holdfast.runtime.drift.records import accept as accepted

    with deciding(shared) as store:
        said = f"{reason} ({vouched()})" if reason.strip() else ""
        return show_page(accepted(store, drift, who=as_, reason=said), store.now_ms())


@app.command
async def repair(drift: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Mend a drift by a new effect: the call again, or what takes it away. The policy decides about it as about any.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why it is to be mended, and why that is safe.
    """
    from holdfast.kernel.documents.drift import LIVE
    from holdfast.kernel.errors import NotAllowedNow, ReasonMissing
    from holdfast.report.drift import show_page
    from holdfast.runtime.drift.records import find
    from holdfast.runtime.drift.rounds import Reconciler

    async with _application(shared, serves=False) as app_:
        found = find(app_.store, drift)
        if not reason.strip() or not as_.strip():
            raise ReasonMissing(effect=found.id, asked="repair")
        if found.state not in LIVE:
            raise NotAllowedNow(effect=found.id, state=found.state, asked="repair", allowed=LIVE)
        reconciler = Reconciler(app_)
        try:
            came = await reconciler.repairer.wanted(found, who=as_, reason=f"{reason} ({vouched()})")
        finally:
            await reconciler.stop()
        page = show_page(came.drift, app_.store.now_ms())
        if came.why:
            page.fact("said", came.why)
        return page


@app.command
async def run(
    *,
    once: Annotated[bool, Parameter(name="--once", negative="")] = False,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    repairs: Annotated[bool, Parameter(name="--repairs", negative="--no-repairs")] = True,
    every: str = "1m",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Look at the outside: what is due by its age, round after round until it is ended, and bring drifts to their end.

    One process looks in a store at a time; another waits until it may. Exit code of ``--once``: 0 nothing differs;
    3 something does; 4 a person is waited for; 5 another process is at it.

    Parameters
    ----------
    once
        One round, then end.
    all_
        Everything, whenever it was looked at last.
    repairs
        Whether what the contract and the policy allow is mended without a person.
    every
        How long to wait between two rounds, such as 30s.
    """
    import asyncio

    from holdfast.kernel.amounts import parse_duration
    from holdfast.report.drift import ran_page
    from holdfast.runtime.drift.pacing import Pace
    from holdfast.runtime.drift.rounds import Reconciler

    every_s = parse_duration(every, name="every") / 1_000
    async with _application(shared, serves=not once) as app_:
        reconciler = Reconciler(app_, Pace(every_s=every_s, repairs=repairs))
        try:
            if not once:
                reconciler.start()
                await asyncio.Event().wait()  # until SIGTERM or SIGINT ends it
            ran = await reconciler.round(everything=all_)
        finally:
            await reconciler.stop()
        return ran_page(ran._asdict(), app_.store.tally().live_drifts(), app_.store.now_ms())


@asynccontextmanager
async def _application(shared: Shared, *, serves: bool) -> AsyncIterator[Application]:
    """The application with its tools; one that ``serves`` also takes up what others left, and heeds signals."""
    from holdfast.app import open_app
    from holdfast.cli.config import load_tools
    from holdfast.cli.shared import needed
    from holdfast.kernel.errors import BadConfig

    settings = shared.settings()
    needed(settings)
    if not settings.tools:
        why = "this command asks the outside, and no tools are named"
        raise BadConfig(file=settings.named, key="tools", nearest=None, why=why)
    app_ = open_app(
        settings.store,
        tools=load_tools(settings),
        policy=settings.policy,
        environment=settings.environment,
        tenant=settings.tenant,
        sources=settings.sources,
        limits=settings.limits,
        recover=serves,
        handle_signals=serves,
        announce=settings.announce if serves else None,
    )
    if not serves:
        from holdfast.cli.shared import same_rules

        with reading(shared) as store:
            same_rules(app_, store, settings)
    async with app_:
        yield app_
