"""``holdfast effect``.

``list`` and ``show`` read records only; ``probe`` and ``reconcile`` ask the outside with the tools;
``attest`` and ``abandon`` record what a named person decided.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, reading, working
from holdfast.kernel.errors import NotAllowedNow, UnknownId
from holdfast.kernel.model import Effect, State
from holdfast.report.page import Page

app = App(name="effect", help="Effects: how each stands, and what a person may decide.", help_format="plaintext")


@app.command(name="list")
def list_(
    *,
    run: str | None = None,
    state: State | None = None,
    open: Annotated[bool, Parameter(name="--open", negative="")] = False,  # noqa: A002  # the option is called so.
    limit: Limit = 50,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Effects, newest first; of one run in order of proposal.

    Parameters
    ----------
    run
        Only those of this run.
    state
        Only those in this state.
    open
        Only those that somebody still has to move, the longest due first.
    """
    from holdfast.report.lists import effect_list

    with reading(shared) as store:
        of = store.find(run, "run") if run is not None else None
        views = store.effects(run=of, open_only=open, state=state, limit=limit + 1)
        return effect_list(views, store.now_ms(), limit=limit)


@app.command
def show(effect: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One effect: its seven verbs, then known, not known, safe now, not safe, next.

    The exit code is the effect's: 0 done as agreed, 1 failed or differing, 3 in doubt, 4 waiting, 5 refused.
    """
    with reading(shared) as store:
        return page_of(store, find(store, effect))


def find(store: Any, effect: str) -> Effect:
    """The effect of an id or its beginning. Raises UnknownId or AmbiguousId."""
    view: Effect | None = store.read_now(store.find(effect, "effect")).effect
    if view is None:
        raise UnknownId(given=effect, kind="effect")
    return view


def page_of(store: Any, view: Effect, contract: Any = None) -> Page:
    """The page of an effect as the store has it."""
    from holdfast.kernel.canon import decode
    from holdfast.report.drift import unfinished
    from holdfast.report.effect import Fact, effect_page
    from holdfast.runtime.drift.records import live_of

    facts = [
        Fact(
            e.seq,
            e.kind,
            e.before,
            e.after,
            e.at_ms,
            e.by,
            e.token,
            decode(e.body) if e.body is not None else None,
        )
        for e in store.entries(view.id)
    ]
    seen = store.read_now(view.id)
    halted = "the store is restored and not released" if store.restored() else seen.halted
    page = effect_page(view, facts, seen.now_ms, run=seen.run, approval=seen.approval, contract=contract, halted=halted)
    return unfinished(page, live_of(store, (view.id,)), seen.now_ms)


# ----------------------------------------------------------------------------------------- with the tools


@app.command
async def probe(effect: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """Ask the tool's probe whether the effect happened; record nothing.

    Exit code 0: it was found; 3: it was not found, or the probe cannot tell.
    """
    from holdfast.report.learned import probe_page

    async with working(shared, effect) as (app_, view):
        if not view.attempts:
            raise NotAllowedNow(
                effect=view.id,
                state=view.state.value,
                asked="probe",
                allowed=("show",),
            )
        answer = await app_.look(view.id, "probe")
        return probe_page(view, answer, app_.store.now_ms(), app_.registry.tool(view.tool).contract)


@app.command
async def reconcile(effect: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One round now: ask, and where the contract makes it safe send again under the same key. Then show it.

    The exit code is the effect's, as it stands afterwards.
    """
    async with working(shared, effect) as (app_, view):
        after = await one_round(app_, view)
        return page_of(app_.store, after, app_.registry.tool(view.tool).contract)


async def one_round(app_: Any, view: Effect) -> Effect:
    """Reconcile out of turn, because a person asked, then what follows from it. Raises NotAllowedNow."""
    from holdfast.effect.observe import observe
    from holdfast.effect.reconcile import reconcile as ask
    from holdfast.kernel.ports import Sent
    from holdfast.runtime.drive import pursue

    ports = app_.ports
    now_ms = await ports.store.time()
    left = view.state is State.DISPATCHED
    if left:
        view = (await pursue(ports, view.id, until_ms=now_ms, follow=False)).effect
    if view.state not in (State.UNKNOWN, State.PENDING):
        if view.state in (State.COMMITTED, State.UNCONFIRMED) and view.next:
            return (await pursue(ports, view.id, until_ms=now_ms, follow=False)).effect
        if left and view.state is not State.DISPATCHED:
            return view  # its sender was dead, and finding that out was the round that was asked for
        allowed = (State.UNKNOWN.value, State.PENDING.value)
        raise NotAllowedNow(effect=view.id, state=view.state.value, asked="reconcile", allowed=allowed)
    came = await ask(ports, view.id)
    if isinstance(came, Sent):
        await observe(ports, view.id, came)
    rest = await pursue(ports, view.id, until_ms=await ports.store.time(), follow=False)
    return rest.effect


# ------------------------------------------------------------------------------------------ by a person


@app.command
def attest(
    effect: str,
    /,
    *,
    happened: Annotated[bool | None, Parameter(name="--happened", negative="--did-not-happen")] = None,
    value: Annotated[str | None, Parameter(name="--value")] = None,
    as_: As,
    reason: Reason,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """State what an unknown effect did. It is recorded as attested by you, never as verified.

    Parameters
    ----------
    happened
        Whether the outside was changed by it.
    value
        What the outside would have answered, as JSON; with --happened only.
    as_
        Your name.
    reason
        What you saw, and where.
    """
    from holdfast.cli.shared import vouched
    from holdfast.runtime import people

    if happened is None:
        raise Misused("attest states one of two things: --happened or --did-not-happen")
    known = _json(value) if value is not None else None
    if value is not None and not happened:
        raise Misused("--value goes with --happened: what did not happen has no value")
    with deciding(shared) as store:
        view = find(store, effect)
        people.attest(
            store,
            view.id,
            who=as_,
            happened=happened,
            reason=f"{reason} ({vouched()})" if reason.strip() else "",
            value=known,
        )
        return page_of(store, find(store, view.id))


def _json(text: str) -> Any:
    from holdfast.kernel.canon import decode

    try:
        return decode(text.encode())
    except json.JSONDecodeError:
        raise Misused("--value is not JSON") from None


@app.command
def abandon(effect: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Give up on an unknown effect. It still counts as spent, and its key is never used again.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why nobody looks for it any more.
    """
    from holdfast.cli.shared import vouched
    from holdfast.runtime import people

    with deciding(shared) as store:
        view = find(store, effect)
        people.abandon(store, view.id, who=as_, reason=f"{reason} ({vouched()})" if reason.strip() else "")
        return page_of(store, find(store, view.id))
