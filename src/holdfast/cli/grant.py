"""``holdfast grant add|list|show|narrow|revoke``: what a principal may do at most, given by a named person."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.kernel.errors import AmbiguousId, UnknownId
from holdfast.report.page import Page

app = App(name="grant", help="Grants: what a principal may do at most.", help_format="plaintext")

Many = tuple[str, ...]
KeyFile = Annotated[str, Parameter(name="--key")]
Tool = Annotated[Many, Parameter(name="--tool", negative="")]
Resource = Annotated[Many, Parameter(name="--resource", negative="")]
Environment = Annotated[Many, Parameter(name="--environment", negative="")]
Class = Annotated[Many, Parameter(name="--class", negative="")]
Ask = Annotated[Many, Parameter(name="--ask", negative="")]


@app.command
def add(
    holder: str,
    /,
    *,
    as_: As,
    reason: Reason,
    tool: Tool = (),
    resource: Resource = (),
    environment: Environment = (),
    class_: Class = (),
    effects: Annotated[int | None, Parameter(name="--effects")] = None,
    cost: Annotated[str, Parameter(name="--cost")] = "",
    expires: Annotated[str, Parameter(name="--expires")] = "",
    ask: Ask = (),
    quorum: Annotated[int, Parameter(name="--quorum")] = 1,
    group: Annotated[str, Parameter(name="--group")] = "",
    key: KeyFile = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Give a grant. A facet that is not named allows nothing; '*' allows all of it.

    Where approvers are registered it is signed with your key, and you must be one of them.

    Parameters
    ----------
    holder
        The principal whose runs may begin under it.
    as_
        Your name.
    reason
        Why, for whoever asks later.
    tool
        A tool's name; may be given several times, like the other facets.
    resource
        A pattern such as 'invoice:in_1*': * is one value without a separator, ** anything.
    environment
        An environment's name.
    class_
        An effect class: read, idempotent, compensable, irreversible.
    effects
        How many effects at most.
    cost
        How much money at most, in minor units and currency, such as 50000EUR.
    expires
        How long it is good, such as 8h [default: it does not expire].
    ask
        A tool of which every change is asked about.
    quorum
        How many people must say yes to what is asked.
    group
        Which group is asked [default: any approver].
    key
        Your key's file [default: your name in the keys folder].
    """
    from holdfast.runtime import grants

    facets = (tool, resource, environment, class_)
    wanted = _less(facets, effects, cost, expires, asks=(ask, quorum, group), whole=True)
    with deciding(shared) as store:
        made = grants.give(
            store, holder, wanted, tenant=shared.settings().tenant, **_person(shared, store, as_, reason, key)
        )
        return _page(store, made.id)


@app.command
def narrow(
    grant: str,
    /,
    *,
    as_: As,
    reason: Reason,
    holder: Annotated[str, Parameter(name="--holder")] = "",
    tool: Tool = (),
    resource: Resource = (),
    environment: Environment = (),
    class_: Class = (),
    effects: Annotated[int | None, Parameter(name="--effects")] = None,
    cost: Annotated[str, Parameter(name="--cost")] = "",
    expires: Annotated[str, Parameter(name="--expires")] = "",
    ask: Ask = (),
    quorum: Annotated[int, Parameter(name="--quorum")] = 1,
    group: Annotated[str, Parameter(name="--group")] = "",
    key: KeyFile = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Give a part of a grant on. Facets that are not named stay as they are; what would be more is refused.

    Parameters
    ----------
    grant
        The grant that it comes of; any unique beginning of the id.
    as_
        Your name.
    reason
        Why, for whoever asks later.
    holder
        Whose runs may begin under it [default: the same].
    tool
        A tool's name; may be given several times, like the other facets.
    resource
        A pattern; see holdfast grant add.
    environment
        An environment's name.
    class_
        An effect class.
    effects
        How many effects at most; they count in the grant above as well.
    cost
        How much money at most, such as 50000EUR.
    expires
        How long it is good; it ends with the grant above at the latest.
    ask
        A tool of which every change is asked about, beside what the grant above asks.
    quorum
        How many people must say yes.
    group
        Which group is asked.
    key
        Your key's file [default: your name in the keys folder].
    """
    from holdfast.runtime import grants

    facets = (tool, resource, environment, class_)
    wanted = _less(facets, effects, cost, expires, asks=(ask, quorum, group))
    with deciding(shared) as store:
        above = _found(store, grant)
        made = grants.give_less(store, above, wanted, holder=holder, **_person(shared, store, as_, reason, key))
        return _page(store, made.id)


@app.command(name="list")
def list_(*, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """Every grant, newest first, and whether it still gives anything."""
    from holdfast.report.grant import grant_list

    with reading(shared) as store:
        lines = [_lines(store, grant.id)[-1] for grant in store.documents("grant")]
        return grant_list(sorted(lines, key=lambda line: -line.grant.at_ms), limit=limit)


@app.command
def show(grant: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One grant: what it covers, what is spent, what it came of. Exit code 5 where it gives nothing any more.

    Parameters
    ----------
    grant
        Any unique beginning of the id.
    """
    with reading(shared) as store:
        return _page(store, _found(store, grant))


@app.command
def revoke(grant: str, /, *, as_: As, reason: Reason, key: KeyFile = "", shared: Shared = NO_OPTIONS) -> Page:
    """Take a grant back, with all that came of it: nothing is dispatched under it from the next commit on.

    What has left already is still reconciled; an unknown stays unknown. A grant that was taken back stays so.

    Parameters
    ----------
    grant
        Any unique beginning of the id.
    as_
        Your name.
    reason
        Why; everybody who is stopped by it is told.
    key
        Your key's file [default: your name in the keys folder].
    """
    from holdfast.runtime import grants

    with deciding(shared) as store:
        name = _found(store, grant)
        grants.revoke(store, name, **_person(shared, store, as_, reason, key))
        page = _page(store, name)
        page.exit_code = 0  # it was asked to be over, and it is
        return page


def _less(
    facets: tuple[Many, Many, Many, Many],
    effects: int | None,
    cost: str,
    expires: str,
    *,
    asks: tuple[Many, int, str],
    whole: bool = False,
) -> Any:
    """What was asked for. Of a grant without a parent, facets that are not named are empty: they allow nothing."""
    from holdfast.kernel.amounts import Budget
    from holdfast.runtime import grants

    bounded = effects is not None or bool(cost)
    tools, resources, environments, classes = (facet or (() if whole else None) for facet in facets)
    return grants.less(
        tools=tools,
        resources=resources,
        environments=environments,
        classes=classes,
        budget=Budget(effects=effects, cost=_money(cost)) if bounded else None,
        expires=expires or None,
        asks=asks[0],
        quorum=asks[1],
        group=asks[2],
    )


def _money(text: str) -> Any:
    from holdfast.kernel.amounts import money

    if not text:
        return None
    minor, currency = text[:-3].strip(), text[-3:]
    if not (minor.isascii() and minor.isdigit()):
        raise Misused(f'--cost takes minor units and a currency, such as 50000EUR, and not "{text}"')
    return money(int(minor), currency)


def _person(shared: Shared, store: Any, who: str, reason: str, key: str) -> dict[str, Any]:
    """Who does this: their key where approvers are registered, else their name and who typed it."""
    said = f"{reason} ({vouched()})" if reason.strip() else ""
    if store.documents("approver"):
        from holdfast.cli.approver import signer_of

        return {"key": signer_of(shared, who, key), "reason": said}
    return {"who": who, "reason": said}


def _found(store: Any, given: str) -> str:
    """The one grant whose id begins so."""
    ids = [grant.id for grant in store.documents("grant") if given and grant.id.startswith(given)]
    if given in ids:
        return given
    if not ids:
        raise UnknownId(given=given, kind="grant")
    if len(ids) > 1:
        raise AmbiguousId(given=given, matches=tuple(ids))
    return str(ids[0])


def _lines(store: Any, grant: str) -> list[Any]:
    """A grant with those it came of, as the pages show them."""
    from holdfast.kernel.authority import meter_of
    from holdfast.report.grant import Line
    from holdfast.runtime.grants import chain_of, why_not

    chain = chain_of(store, grant)
    return [
        Line(one, why_not(store, chain[: number + 1]), meter_of(store, f"grant:{one.id}").spent)
        for number, one in enumerate(chain)
    ]


def _page(store: Any, grant: str) -> Page:
    from holdfast.report.grant import grant_page

    return grant_page(_lines(store, grant), store.now_ms())
