"""``holdfast approval list|show|revoke|review|habits``, ``holdfast approve``, ``holdfast refuse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.approver import KeyFile, signer_of
from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, reading, working
from holdfast.kernel.errors import ApprovalInvalid, HoldfastError, NotAllowedNow, UnknownId
from holdfast.kernel.model import Approval, State
from holdfast.report.page import Page

app = App(name="approval", help="Requests: what waits for whom.", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """What waits for whom, the first to expire at the top. Exit code 4 while anything waits, or is owed a review."""
    from holdfast.report.approval import owed_lines
    from holdfast.report.lists import approval_list
    from holdfast.runtime.people import owed

    with reading(shared) as store:
        pairs = [(a, store.read_now(a.effect).effect) for a in store.approvals("open")]
        waiting = [(a, v) for a, v in pairs if v is not None and v.state is State.WAITING and v.approval == a.id]
        page = approval_list(waiting, store.now_ms(), limit=limit)
        owed_lines(page, owed(store.facts()))
        return page


@app.command
async def show(
    request: str,
    /,
    *,
    look: Annotated[bool, Parameter(name="--look", negative="--no-look")] = True,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """What a yes would be bound to: the bytes, the target, its state then and now, its like before, what follows.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    look
        Read the target's present state with the tool's own read-only companion, which runs tool code.
    """
    from holdfast.report.approval import Target, approval_page
    from holdfast.report.context import around

    with reading(shared) as store:
        approval = request_of(store, request, "approval show")
        view, run, now_ms = store.read_now(approval.effect).effect, store.run(approval.run), store.now_ms()
        if view is None:
            raise UnknownId(given=request, kind="effect")
        context = around(store, approval, view, run)
    target = Target(None, "it was not asked for (--no-look)")
    if look and approval.fingerprint:
        target = await _present(shared, view.id)
    return approval_page(approval, view, run, now_ms, target=target, context=context)


async def _present(shared: Shared, effect: str) -> Any:
    """The target's state now and as it would be, or why they were not read; the contract if the tools are at hand."""
    from holdfast.report.approval import Target

    if not shared.settings().tools:
        return Target(None, "no tools are named in holdfast.toml")
    try:
        async with working(shared, effect) as (app_, view):
            state = await app_.look(effect, "state")
            contract = app_.registry.tool(view.tool).contract
            can = contract.has_preview and hasattr(app_.ports.look, "preview")
            preview = await app_.look(effect, "preview") if can else ""
    except HoldfastError as error:
        return Target(None, error.message)
    # A state that cannot be read is told by its mark, which no JSON text begins with (tools.look).
    if state.startswith("!"):
        return Target(None, state, contract)
    return Target(state, "", contract, preview)


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


async def approve(
    request: str,
    /,
    *,
    as_: As,
    key: KeyFile = "",
    reason: Reason = "",
    break_glass: Annotated[bool, Parameter(name="--break-glass", negative="")] = False,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Say yes to exactly what ``holdfast approval show`` shows. Nobody approves what they proposed.

    Where tools are named, the target's state is read first: a yes to a state that is gone is not recorded.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    as_
        Your name, as it is registered.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    break_glass
        Say yes alone, in an emergency, as somebody in the group break-glass. Somebody else must review it afterwards.
    """
    from holdfast.runtime.people import not_as_shown

    signer, unread = signer_of(shared, as_, key), ""
    with reading(shared) as store:
        approval = request_of(store, request, "approve")
    if approval.state == "open" and approval.fingerprint:
        target = await _present(shared, approval.effect)
        unread = target.unread
        if target.state is not None and (why := not_as_shown(approval, target.state)):
            raise ApprovalInvalid(effect=approval.effect, approval=approval.id, why=why)
    return _decided(shared, approval.id, "approve", signer, reason, break_glass=break_glass, unread=unread)


def refuse(request: str, /, *, as_: As, key: KeyFile = "", reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Say no to a request; nothing is sent.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    as_
        Your name, as it is registered.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why; the proposer is told.
    """
    return _decided(shared, request, "refuse", signer_of(shared, as_, key), reason)


@app.command
def revoke(request: str, /, *, as_: As, key: KeyFile = "", reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Take an approval back before it is used: nothing is sent on it.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    as_
        Your name, as it is registered. Anybody who is may take an approval back.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    """
    return _decided(shared, request, "revoke", signer_of(shared, as_, key), reason)


@app.command
def review(request: str, /, *, as_: As, key: KeyFile = "", reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Look at a yes that was said alone in an emergency, as somebody else, and record what you found.

    Parameters
    ----------
    request
        The request or its effect; any unique beginning of the id.
    as_
        Your name, as it is registered.
    key
        Your key's file [default: your name in the keys folder].
    reason
        What you looked at, and what you found.
    """
    return _decided(shared, request, "review", signer_of(shared, as_, key), reason)


@app.command
def habits(
    *,
    least: Annotated[int, Parameter(name="--least")] = 5,
    days: Annotated[int, Parameter(name="--days")] = 30,
    write: Annotated[str, Parameter(name="--write")] = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """What is approved again and again, each as a rule that would say so itself: bounded, for a time, and revocable.

    Parameters
    ----------
    least
        How often the same kind of call must have been approved, and never refused.
    days
        How long such a rule would hold.
    write
        Write the rules to this file of the policy folder, which must not exist. Read them first: they are your word.
    """
    from holdfast.report.habits import habits_page
    from holdfast.runtime.habits import habits_of, rules

    if least < 2 or not 1 <= days <= 365:
        raise Misused("--least is 2 or more, and --days is between 1 and 365")
    with reading(shared) as store:
        found = habits_of(store, least=least)
        text = rules(found, store.now_ms(), days=days)
    if write and found:
        try:
            with Path(write).open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Misused(f"{write} was not written: {error.strerror}") from error
    return habits_page(found, text, written=write if found else "")


def _decided(
    shared: Shared, request: str, word: str, signer: Any, reason: str, *, break_glass: bool = False, unread: str = ""
) -> Page:
    from holdfast.report.learned import decided_page
    from holdfast.runtime import people

    with deciding(shared) as store:
        approval = request_of(store, request, word)
        if word == "approve":
            view = people.approve(store, approval.id, signer=signer, reason=reason, break_glass=break_glass)
        elif word == "review":
            people.review(store, approval.id, signer=signer, reason=reason)
            view = people.view_of(store, approval.effect)
        else:
            record = people.refuse if word == "refuse" else people.revoke
            view = record(store, approval.id, signer=signer, reason=reason)
        after = store.approval(approval.id) or approval
        return decided_page(word, view, after, signer, store.now_ms(), unread=unread, alone=break_glass)
