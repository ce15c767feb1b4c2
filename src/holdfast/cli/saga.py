"""``holdfast saga``: list, show, resume; and what a person says: retry, accept, turn-back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Reason, Shared, deciding, reading, vouched, working
from holdfast.kernel.documents import EVERY, Saga
from holdfast.kernel.errors import SagaNotAtHand, UnknownId
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.store import Store

app = App(name="saga", help="Sagas: how far each came, what stands, and who moves next.", help_format="plaintext")


class Word:
    """What a named person says on a command line."""

    def __init__(self, who: str, reason: str) -> None:
        """Vouched for by the operating-system user who typed it."""
        self.who, self.reason, self.vouched_by = who, reason, vouched()


def _find(store: Store, given: str) -> Saga:
    """The saga that is meant: RUN/NAME, any unique beginning of the run's id, or a run that has only one."""
    run, _, name = given.partition("/")
    full = store.find(run, "run")
    found = [d for d in store.documents("saga", full, EVERY) if isinstance(d, Saga) and name in ("", d.name)]
    if len(found) != 1:
        raise UnknownId(given=given, kind="saga" if not found else "single saga")
    return found[0]


def _page(store: Store, saga: Saga) -> Page:
    from holdfast.report.saga import saga_page
    from holdfast.runtime.saga.people import present_of

    now = store.document("saga", saga.id)
    assert isinstance(now, Saga)
    return saga_page(now, present_of(store, now))


@app.command(name="list")
def list_(*, run: str | None = None, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """Sagas, those that a person has to look at first.

    Exit code 4: there is one of those.

    Parameters
    ----------
    run
        Only those of this run.
    """
    from holdfast.report.saga import saga_list

    with reading(shared) as store:
        full = store.find(run, "run") if run is not None else ""
        found = [d for d in store.documents("saga", full, EVERY) if isinstance(d, Saga)]
        return saga_list(found, limit=limit)


@app.command
def show(saga: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One saga: its steps as a line, the boundary, what offsets what, who was told, and what moves it on.

    Exit code 0: completed, or under way; 1: compensated; 3: something of it is in doubt; 4: a person moves next.

    Parameters
    ----------
    saga
        RUN/NAME; a run with only one saga names it too.
    """
    with reading(shared) as store:
        return _page(store, _find(store, saga))


@app.command
async def resume(saga: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """Go on with a saga, in this process: what was recorded is carried on, nothing is done twice.

    Needs the tools. Where a step's call is made by a program, that program goes on with it instead. Exit codes as show.

    Parameters
    ----------
    saga
        RUN/NAME; a run with only one saga names it too.
    """
    with reading(shared) as store:
        found = _find(store, saga)
    known = next((step.effect for step in found.steps if step.effect), "")
    if not known:
        raise SagaNotAtHand(saga=found.id, why="no step of it was tried yet; start the program of the saga")
    async with working(shared, known) as (opened, _):
        run = await opened.resume(found.run)
        await run.saga(found.name)
        return _page(opened.store, found)


@app.command
def retry(saga: str, /, *, who: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Let what could not be done be tried anew. It goes on by ``holdfast saga resume``, or by its program.

    Parameters
    ----------
    who
        The person who decides.
    reason
        Why; it is recorded.
    """
    from holdfast.runtime.saga import people

    with deciding(shared) as store:
        found = _find(store, saga)
        page = _page(store, people.retry(store, found.id, Word(who, reason)))
        page.exit_code = 0  # it was recorded, as was asked
        return page


@app.command
def accept(
    saga: str,
    /,
    *,
    step: Annotated[str, Parameter(name="--step")] = "",
    who: As,
    reason: Reason,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Take what a saga reached as it is: the whole that needs a person, or one step of it.

    Parameters
    ----------
    step
        Forward: this step counts as done, on your word. On the way back: it may stay, and nothing offsets it.
    who
        The person who decides.
    reason
        Why; it is recorded.
    """
    from holdfast.runtime.saga import people

    with deciding(shared) as store:
        found = _find(store, saga)
        page = _page(store, people.accept(store, found.id, Word(who, reason), step))
        page.exit_code = 0
        return page


@app.command(name="turn-back")
def turn_back(saga: str, /, *, who: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Offset what is there instead of going on, while the boundary is not passed.

    Parameters
    ----------
    who
        The person who decides.
    reason
        Why; it is recorded.
    """
    from holdfast.runtime.saga import people

    with deciding(shared) as store:
        found = _find(store, saga)
        page = _page(store, people.turn_back(store, found.id, Word(who, reason)))
        page.exit_code = 0
        return page
