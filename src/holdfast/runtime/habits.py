"""What is approved again and again, as rules that say so: bounded, for a time, revocable, and read by a person first.

A habit is one version of a tool, one principal, one environment and one kind of resource whose requests were approved
at least so often, and refused never. The rule that would take its place permits no larger cost than was approved
(without a cost: no other target), and ends by itself. Promises to write nothing and to change nothing: a rule holds
only once somebody has put it into the policy, where it is part of the policy's digest.

Does not promise that the habit was a good one.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from holdfast.kernel.model import DAY_MS, Approval, Effect
from holdfast.kernel.ports import Seen

MOST_APPROVALS = 10_000

Kind = tuple[str, str, str, str, str]
"""Tool, contract version, principal, environment, kind of resource."""


class Store(Protocol):
    """What this needs of a store."""

    def approvals(self, state: str | None = None, limit: int = ...) -> list[Approval]:
        """Requests."""
        ...

    def read_now(self, effect: str) -> Seen:
        """One effect."""
        ...


class Habit(NamedTuple):
    """One kind of call that people keep approving, and the bounds of what they approved."""

    tool: str
    contract: str
    principal: str
    environment: str
    kind: str
    approvals: tuple[str, ...]
    people: tuple[str, ...]
    most_minor: int | None
    currency: str
    targets: tuple[str, ...]

    @property
    def id(self) -> str:
        """The rule's id: the same for the same kind of call."""
        said = json.dumps([self.tool, self.contract, self.principal, self.environment, self.kind])
        return f"standing-{self.tool}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def habits_of(store: Store, *, least: int) -> list[Habit]:
    """What was approved at least so often and never refused, the most frequent first.

    A request counts once it was spent on an effect; one yes in an emergency keeps its kind from being a habit.
    """
    found: dict[Kind, list[tuple[Approval, Effect]]] = defaultdict(list)
    spoiled: set[Kind] = set()
    for approval in store.approvals(limit=MOST_APPROVALS):
        view = store.read_now(approval.effect).effect
        if view is None:
            continue
        key = (view.tool, view.contract, view.principal, view.environment, kind_of(view.resource))
        if approval.no or approval.broken_glass or (approval.state == "revoked" and approval.revoked_by):
            spoiled.add(key)
        elif approval.state == "spent":
            found[key].append((approval, view))
    habits = [_habit(key, pairs) for key, pairs in found.items() if len(pairs) >= least and key not in spoiled]
    return sorted((h for h in habits if h is not None), key=lambda h: (-len(h.approvals), h.id))


def kind_of(resource: str) -> str:
    """What kind of thing a resource is: ``invoice`` of ``invoice:in_7``."""
    return resource.partition(":")[0]


def _habit(key: Kind, pairs: list[tuple[Approval, Effect]]) -> Habit | None:
    """The habit with its bounds; None where costs are in two currencies and so have no common bound."""
    tool, contract, principal, environment, kind = key
    costs = [view.cost for _, view in pairs if view.cost is not None]
    currencies = {cost.currency for cost in costs}
    if len(currencies) > 1 or (costs and len(costs) < len(pairs)):
        return None
    return Habit(
        tool=tool,
        contract=contract,
        principal=principal,
        environment=environment,
        kind=kind,
        approvals=tuple(approval.id for approval, _ in pairs),
        people=tuple(sorted({name for approval, _ in pairs for name in approval.yes})),
        most_minor=max((cost.minor for cost in costs), default=None),
        currency=next(iter(currencies), ""),
        targets=tuple(sorted({view.resource for _, view in pairs})),
    )


def rules(habits: list[Habit], now_ms: int, *, days: int) -> str:
    """The rules as policy text; empty for no habits."""
    until = datetime.fromtimestamp((now_ms + days * DAY_MS) / 1000, UTC).strftime("%Y-%m-%d")
    return "\n".join(rule_of(habit, until) for habit in habits)


def rule_of(habit: Habit, until: str) -> str:
    """One rule. Everything from the record is written as a Cedar string, so that no name can add a clause."""
    shown = ", ".join(habit.approvals[-5:])
    reason = f"approved {len(habit.approvals)} times by {', '.join(habit.people)}, last: {shown}"
    when = [f"context.environment == {_text(habit.environment)}"]
    when.append(f"context.contract_version == {_text(habit.contract)}")
    when.append(f"resource.kind == {_text(habit.kind)}")
    if habit.most_minor is not None:
        when.append(f"context has cost_minor && context.cost_minor <= {habit.most_minor}")
        when.append(f"context has currency && context.currency == {_text(habit.currency)}")
    else:  # Without a sum to bound it by, only what was approved by name is let through.
        when.append(f"[{', '.join(map(_text, habit.targets))}].contains(resource.name)")
    return (
        f"@id({_text(habit.id)})\n@reason({_text(reason)})\n@until({_text(until)})\n"
        f"permit (principal == Principal::{_text(habit.principal)}, action == Action::{_text(habit.tool)}, resource)\n"
        f"when {{ {' && '.join(when)} }};\n"
    )


def _text(value: str) -> str:
    """A Cedar string literal; what is not plain ASCII is written by its code point."""
    plain = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(
        plain.get(char, char if " " <= char <= "~" else f"\\u{{{ord(char):x}}}") for char in value
    ) + '"'  # fmt: skip
