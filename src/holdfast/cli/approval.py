"""``holdfast approval list|show``, ``holdfast approve``, ``holdfast refuse``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Reason, Shared, deciding, reading, working
from holdfast.gate.signing import Key
from holdfast.kernel.errors import HoldfastError, NotAllowedNow, UnknownId
from holdfast.kernel.model import Approval, State
from holdfast.report.page import Page

app = App(name="approval", help="Requests: what waits for whom.", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """What waits for whom, the first to expire at the top. Exit code 4 while anything waits."""
    from holdfast.report.lists import approval_list

    with reading(shared) as store:
        pairs = [(a, store.read_now(a.effect).effect) for a in store.approvals("open")]
        waiting = [(a, v) for a, v in pairs if v is not None and v.state is State.WAITING and v.approval == a.id]
        return approval_list(waiting, store.now_ms(), limit=limit)


@app.command
async def show(
    request: str,
    /,
    *,
    look: Annotated[bool, Parameter(name="--look", negative="--no-look")] = True,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """What a yes would be bound to: the bytes, the target, its state then and now, what follows.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    look
        Read the target's present state with the tool's own read-only companion, which runs tool code.
    """
    from holdfast.report.approval import approval_page

    with reading(shared) as store:
        approval = request_of(store, request, "approval show")
        view, run, now_ms = store.read_now(approval.effect).effect, store.run(approval.run), store.now_ms()
    if view is None:
        raise UnknownId(given=request, kind="effect")
    present, unread, contract = None, "it was not asked for (--no-look)", None
    if look and approval.fingerprint:
        present, unread, contract = await _present(shared, view.id)
    return approval_page(approval, view, run, now_ms, present=present, unread=unread, contract=contract)


async def _present(shared: Shared, effect: str) -> tuple[str | None, str, Any]:
    """The target's state now, or why it was not read, and the contract if the tools are at hand."""
    if not shared.settings().tools:
        return None, "no tools are named in holdfast.toml", None
    try:
        async with working(shared, effect) as (app_, view):
            state = await app_.look(effect, "state")
            contract = app_.registry.tool(view.tool).contract
    except HoldfastError as error:
        return None, error.message, None
    # A state that cannot be read is told by its mark, which no JSON text begins with (tools.look).
    return (None, state, contract) if state.startswith("!") else (state, "", contract)


def request_of(store: Any, given: str, asked: str) -> Approval:
    """The request of an id that is a request's or an effect's."""
    full = store.find(given)
    if full.startswith("ef_"):
        view = store.read_now(full).effect
        if view is None or not view.approval:
            state = view.state.value if view is not None else "not recorded"
            raise NotAllowedNow(effect=full, state=state, asked=asked, allowed=("show",))
        full = view.approval
    approval: Approval | None = store.approval(full)
    if approval is None:
        raise UnknownId(given=given, kind="approval")
    return approval


def approve(request: str, /, *, as_: As, reason: Reason = "", shared: Shared = NO_OPTIONS) -> Page:
    """Say yes to exactly what ``holdfast approval show`` shows. Nobody approves what they proposed.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        Why, for whoever asks later.
    """
    return _decided(shared, request, "approve", as_, reason)


def refuse(request: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Say no to a request; nothing is sent.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        Why; the proposer is told.
    """
    return _decided(shared, request, "refuse", as_, reason)


def _decided(shared: Shared, request: str, word: str, who: str, reason: str) -> Page:
    from holdfast.report.learned import decided_page
    from holdfast.runtime import people

    with deciding(shared) as store:
        approval = request_of(store, request, word)
        record = people.approve if word == "approve" else people.refuse
        view = record(store, approval.id, signer=Key.load(who, shared.settings().keys / f"{who}.key"), reason=reason)
        after = store.approval(approval.id) or approval
        return decided_page(word, view, after, who, store.now_ms())
