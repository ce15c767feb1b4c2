"""``holdfast halt``: stop a run, tool, principal, tenant, queue or everything from any terminal; list, lift."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

app = App(name="halt", help="Halts: nothing leaves until somebody lifts it.", help_format="plaintext")

EVERYTHING = "everything"


def scope_of(store: object, given: str) -> str:
    """A scope as it is recorded: ``everything`` is the store, and a run may be given by the beginning of its id."""
    if given in (EVERYTHING, "store"):
        return "store"
    kind, colon, name = given.partition(":")
    find = getattr(store, "find", None)
    if kind == "run" and colon and name and find is not None:
        return f"run:{find(name, 'run')}"
    return given


@app.default
def halt(scope: str, /, *, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Halt: every process that works on this store refuses to send, from its next dispatch commit on.

    What has left already is still reconciled; an unknown stays unknown. Only a named person lifts a halt. Of a class of
    queued work none is claimed, and what is driven goes on.

    Parameters
    ----------
    scope
        run:ID, tool:NAME, principal:NAME, tenant:NAME, queue:CLASS, or everything.
    as_
        Your name.
    reason
        Why; everybody who is stopped by it is told.
    """
    from holdfast.report.halt import halted_page
    from holdfast.runtime import people

    with deciding(shared) as store:
        place = scope_of(store, scope)
        people.halt(store, place, who=as_, reason=_said(reason))
        return halted_page("halted", place, store.facts(), store.open_effects(), store.now_ms())


@app.command(name="list")
def list_(*, shared: Shared = NO_OPTIONS) -> Page:
    """Every halt that is raised, by whom and why. Exit code 5 while there is one."""
    from holdfast.report.halt import halts_page

    with reading(shared) as store:
        return halts_page(store.facts())


@app.command
def lift(
    scope: str,
    /,
    *,
    as_: As,
    reason: Reason,
    key: Annotated[str, Parameter(name="--key")] = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Lift a halt. Everything that was checked before it was raised is checked again.

    Where approvers are registered, the lift is signed with your key, and you must be one of them.

    Parameters
    ----------
    scope
        As it was halted: run:ID, tool:NAME, principal:NAME, tenant:NAME, queue:CLASS, or everything.
    as_
        Your name.
    reason
        Why it may go on.
    key
        Your key file, if it is not in the keys folder.
    """
    from holdfast.report.halt import halted_page
    from holdfast.runtime import people

    with deciding(shared) as store:
        place = scope_of(store, scope)
        signer = None
        if store.fact("approvers") is not None:
            from holdfast.cli.approver import signer_of

            signer = signer_of(shared, as_, key)
        people.lift(store, place, who=as_, reason=_said(reason), signer=signer)
        return halted_page("lifted", place, store.facts(), store.open_effects(), store.now_ms())


def _said(reason: str) -> str:
    return f"{reason} ({vouched()})" if reason.strip() else ""
