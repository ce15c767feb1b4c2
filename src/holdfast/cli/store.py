"""``holdfast store show|release|clock|copy|roles``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

app = App(
    name="store",
    help="The store: show it, release it, accept its clock, move it, say who may do what with it.",
    help_format="plaintext",
)

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


@app.command
def copy(
    from_: str,
    to: str,
    /,
    *,
    as_: As,
    reason: Reason,
    clone: Annotated[bool, Parameter(name="--clone", negative="")] = False,
    target_lost: Annotated[bool, Parameter(name="--target-lost", negative="")] = False,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Move a store to another place, evidence and all: a file to PostgreSQL, back, or to another of its kind.

    The source is closed for good and the copy goes on. Stop the workers first. Interrupted, the same command finishes.

    Parameters
    ----------
    from_
        The store as it is: sqlite:PATH, postgresql://… or env:NAME, a variable that has the address.
    to
        Where it goes, likewise. There is no store yet.
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        Why it moves.
    clone
        Leave the source as it is; the copy is then restored, and dispatches nothing until it is released.
    target_lost
        The source was moved before to a place where no store ever came to be. If that is wrong, two go on.
    """
    from pathlib import Path

    from holdfast.cli.config import address as absolute
    from holdfast.cli.progress import progress
    from holdfast.report.moving import copied_page
    from holdfast.store.address import address
    from holdfast.store.copying import Order
    from holdfast.store.copying import copy as copied

    del shared  # only how the answer is written
    if not as_.strip() or not reason.strip():
        raise Misused("moving a store needs a name and a reason")
    source, target = (
        address(absolute(_meant(given), Path.cwd(), "the command line", which))
        for given, which in ((from_, "FROM"), (to, "TO"))
    )
    order = Order(as_, f"{reason} ({vouched()})", clone=clone, lost=target_lost)
    with progress("copied", "rows") as told:
        return copied_page(copied(source, target, order, lambda _, done, of: told(done, of)))


def _meant(given: str) -> str:
    """An address, or the one that a variable of the environment has."""
    import os

    scheme, colon, name = given.partition(":")
    if scheme != "env" or not colon:
        return given
    if not os.environ.get(name):
        raise Misused(f"the environment has no variable {name}")
    return os.environ[name]


@app.command
def roles(
    *,
    create: Annotated[bool, Parameter(name="--create", negative="")] = False,
    print_: Annotated[bool, Parameter(name="--print", negative="")] = False,
    prefix: Annotated[str, Parameter(name="--prefix")] = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Who may do what with a store on PostgreSQL: three group roles, to be granted to logins. Exit code 1: not there.

    Parameters
    ----------
    create
        Make them: a reader, a worker, and an owner that gets the tables. Twice does no harm.
    print_
        Show the statements instead of running them.
    prefix
        What their names begin with [default: the schema].
    """
    from holdfast.report.moving import roles_page, statements_page

    at = shared.settings().place
    if not at.on_server:
        raise Misused(f"{at} is a file: who may do what with it is said by its permissions (holdfast doctor)")
    from holdfast.store import postgres_roles

    if print_:
        return statements_page(postgres_roles.statements(at, prefix))
    ran = postgres_roles.create(at, prefix) if create else []
    found = postgres_roles.found(at, prefix)
    return roles_page(found.store, found.me, found.roles, ran)
