"""What stands around a request: who may answer it, its like before, what it rests on, what is left after it.

Read from one store at one time, as plain data, for the page and for ``--json`` alike. Promises to count and never to
judge: "approved nine times" is no reason to approve a tenth. Looks back over a bounded number of effects, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from holdfast.kernel.amounts import Budget, Spent
from holdfast.kernel.authority import not_to_rely_on, spelled
from holdfast.kernel.documents import AnyDocument, Approver, Grant, Item, Meter
from holdfast.kernel.model import AFTER_COMMIT, Approval, Effect, Run

LOOKED_BACK = 5_000
"""How many effects are looked at for earlier ones of a kind, the newest first."""


class Store(Protocol):
    """What this needs of a store."""

    def effects(self, run: str | None = None, *, limit: int = ...) -> list[Effect]:
        """The newest effects."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def documents(self, kind: str) -> list[AnyDocument]:
        """All of a kind."""
        ...

    def now_ms(self) -> int:
        """Store time."""
        ...


class Earlier(NamedTuple):
    """Other effects of the same tool in the same environment, the newest ``LOOKED_BACK`` effects considered."""

    seen: int = 0
    asked: int = 0
    approved: int = 0
    refused: int = 0
    unasked: int = 0
    on_target: int = 0
    largest: tuple[tuple[str, int], ...] = ()
    larger: bool = False

    @property
    def first(self) -> bool:
        """Whether there was none before."""
        return self.seen == 0


class Evidence(NamedTuple):
    """One item that the proposal cites, as it is recorded; ``weak`` says why it does not count, if it does not."""

    id: str
    kind: str
    source: str
    about: str
    seen_ms: int
    fresh_until_ms: int
    weak: str


class Left(NamedTuple):
    """What remains of one budget once this effect is spent; ``of`` is the run or a grant."""

    of: str
    effects: int | None
    minor: int | None
    currency: str


class Context(NamedTuple):
    """Everything around one request."""

    people: tuple[Approver, ...] = ()
    earlier: Earlier = Earlier()
    evidence: tuple[Evidence, ...] = ()
    grants: tuple[Grant, ...] = ()
    left: tuple[Left, ...] = ()


def around(store: Store, approval: Approval, view: Effect, run: Run | None) -> Context:
    """What stands around this request now."""
    now_ms = store.now_ms()
    behind = {spelled(name) for name in (approval.proposer, view.principal)}
    people = [p for p in store.documents("approver") if isinstance(p, Approver) and p.holds(approval.group, now_ms)]
    grants = [g for name in view.grants if isinstance(g := store.document("grant", name), Grant)]
    left = [_left("the run", run.budget, run.spent, view)] if run is not None else []
    for grant in grants:
        meter = store.document("meter", f"grant:{grant.id}")
        spent = meter.spent if isinstance(meter, Meter) else Spent()
        left.append(_left(f"the grant {grant.id} of {grant.holder}", grant.budget, spent, view))
    return Context(
        people=tuple(person for person in people if person.id not in behind),
        earlier=earlier_of(view, store.effects(limit=LOOKED_BACK)),
        evidence=tuple(_evidence(store, view.run, item, now_ms) for item in view.cites),
        grants=tuple(grants),
        left=tuple(one for one in left if one.effects is not None or one.minor is not None),
    )


def earlier_of(view: Effect, effects: Sequence[Effect]) -> Earlier:
    """Count the others of its kind. Pure."""
    kind = [e for e in effects if e.tool == view.tool and e.environment == view.environment and e.id != view.id]
    kind = [e for e in kind if e.proposed_ms <= view.proposed_ms]
    asked = [e for e in kind if e.approval]
    largest: dict[str, int] = {}
    for other in kind:
        if other.cost is not None and other.state in AFTER_COMMIT:
            largest[other.cost.currency] = max(largest.get(other.cost.currency, 0), other.cost.minor)
    cost = view.cost
    return Earlier(
        seen=len(kind),
        asked=len(asked),
        approved=sum(1 for e in asked if e.attempts),
        refused=sum(1 for e in asked if e.declined),
        unasked=sum(1 for e in kind if not e.approval and e.attempts),
        on_target=sum(1 for e in kind if e.resource == view.resource),
        largest=tuple(sorted(largest.items())),
        larger=cost is not None and cost.minor > largest.get(cost.currency, 0),
    )


def _evidence(store: Store, run: str, name: str, now_ms: int) -> Evidence:
    key = f"{run}/{name}"
    item = store.document("item", key)
    weak = not_to_rely_on(item, key, now_ms)
    if not isinstance(item, Item):
        return Evidence(name, "", "", "", 0, 0, weak)
    return Evidence(name, item.item, item.source, item.about, item.seen_ms, item.fresh_until_ms, weak)


def _left(of: str, budget: Budget, spent: Spent, view: Effect) -> Left:
    """What remains after it; a reservation that it holds already is not counted twice."""
    once = 0 if view.reserved or view.attempts else 1
    effects = minor = None
    if budget.effects is not None:
        effects = budget.effects - spent.effects - spent.reserved_effects - once
    if budget.cost is not None:
        sums = dict(spent.cost), dict(spent.reserved_cost)
        minor = budget.cost.minor - sum(used.get(budget.cost.currency, 0) for used in sums)
        if once and view.cost is not None and view.cost.currency == budget.cost.currency:
            minor -= view.cost.minor
    return Left(of, effects, minor, budget.cost.currency if budget.cost is not None else "")


def context_data(context: Context) -> dict[str, Any]:
    """The same for ``--json``."""
    return {
        "may_answer": [person.name for person in context.people],
        "earlier": context.earlier._asdict() | {"first": context.earlier.first, "looked_back": LOOKED_BACK},
        "evidence": [item._asdict() for item in context.evidence],
        "grants": [grant.id for grant in context.grants],
        "budget_left": [left._asdict() for left in context.left],
    }
