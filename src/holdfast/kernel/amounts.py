"""Amounts: durations, money, and the arithmetic of budgets.

Decides how a length of time is written and read, when two sums of money may be added, and which part of a
budget has no room for one more effect. Promises exact integers throughout (milliseconds, minor units), and
that an effect counts as spent from its dispatch on, whatever becomes of it: only `refund`, which is for a
proved absence, gives anything back. An unknown outcome is spent. Does NOT read a clock, convert currencies,
or decide when an effect is debited: the dispatch commit does.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from holdfast.kernel.errors import BadValue

MAX_DURATION_MS: Final = 36_500 * 86_400_000
MAX_AMOUNT: Final = 2**53 - 1

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_DURATION: Final = re.compile("".join(f"(?:([0-9]{{1,14}}){unit})?" for unit, _ in _UNITS))
_CURRENCY: Final = re.compile("[A-Z]{3}")


# ------------------------------------------------------------------------------------------- durations


def parse_duration(value: str | int, *, name: str = "duration") -> int:
    """Milliseconds of "24h", "2m", "1h30m", "250ms", "7d"; an integer is milliseconds already.

    `name` is what the error calls the value. Raises BadValue: wrong form, negative, or beyond 100 years.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        length_ms = value
    elif isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not value or found is None:
            why = f'"{value}" is no duration; write whole numbers with d, h, m, s or ms, such as "1h30m"'
            raise BadValue(path=name, why=why, value_type="str")
        counts = zip(found.groups(), _UNITS, strict=True)
        length_ms = sum(int(count) * unit_ms for count, (_, unit_ms) in counts if count)
    else:
        why = 'a duration is text such as "24h", or an integer of milliseconds'
        raise BadValue(path=name, why=why, value_type=type(value).__name__)
    if not 0 <= length_ms <= MAX_DURATION_MS:
        why = f"{length_ms} ms is not between 0 and 100 years ({MAX_DURATION_MS} ms)"
        raise BadValue(path=name, why=why, value_type=type(value).__name__)
    return length_ms


def show_duration(length_ms: int) -> str:
    """A length of time for people, such as "1h30m"; `parse_duration` reads it back to the same number."""
    if length_ms < 0:
        return "-" + show_duration(-length_ms)
    shown, rest_ms = "", length_ms
    for unit, unit_ms in _UNITS:
        count, rest_ms = divmod(rest_ms, unit_ms)
        shown += f"{count}{unit}" if count else ""
    return shown or "0s"


# ----------------------------------------------------------------------------------------------- money


Sums = tuple[tuple[str, int], ...]


class Money(msgspec.Struct, frozen=True):
    """A sum that something costs: a non-negative integer in minor units (cents) and its currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        _check_count("money.minor", self.minor)
        currency: object = self.currency  # msgspec does not check what is built in Python.
        if not isinstance(currency, str) or _CURRENCY.fullmatch(currency) is None:
            why = f'"{currency}" is no currency code; write three capital letters (ISO 4217), such as "EUR"'
            raise BadValue(path="money.currency", why=why, value_type=type(currency).__name__)

    def __str__(self) -> str:
        return f"{self.minor} {self.currency} minor units"


def money(minor: int, currency: str) -> Money:
    """`money(500_00, "EUR")` is 500 euros. Raises BadValue for floats, negative sums, malformed codes."""
    return Money(minor, currency)


def add(a: Money, b: Money) -> Money:
    """The sum. Raises BadValue for two currencies: no rate is ever assumed."""
    return Money(a.minor + b.minor, _one_currency(a, b))


def subtract(a: Money, b: Money) -> Money:
    """The difference. Raises BadValue for two currencies, or where less than nothing would remain."""
    return Money(a.minor - b.minor, _one_currency(a, b))


def _one_currency(a: Money, b: Money) -> str:
    if a.currency != b.currency:
        why = f"{a.currency} and {b.currency} cannot be reckoned together; no exchange rate is assumed"
        raise BadValue(path="money.currency", why=why, value_type="Money")
    return a.currency


def _check_count(path: str, count: object) -> None:
    """Refuse what is no exact, non-negative integer; True is no 1 and 1.0 is no amount."""
    if type(count) is not int:
        why = "an amount is a whole number (of minor units, effects, steps or tokens)"
        raise BadValue(path=path, why=why, value_type=type(count).__name__)
    if not 0 <= count <= MAX_AMOUNT:
        raise BadValue(path=path, why=f"{count} is not between 0 and {MAX_AMOUNT}", value_type="int")


# --------------------------------------------------------------------------------------------- budgets


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What an intent may use; None means that part is not limited here."""

    effects: int | None = None
    cost: Money | None = None
    steps: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for part, limit in (("effects", self.effects), ("steps", self.steps), ("tokens", self.tokens)):
            if limit is not None:
                _check_count(f"budget.{part}", limit)
        cost: object = self.cost  # msgspec does not check what is built in Python.
        if cost is not None and not isinstance(cost, Money):
            why = 'a cost is hf.money(minor_units, "EUR")'
            raise BadValue(path="budget.cost", why=why, value_type=type(cost).__name__)


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What is used up, and what is held for effects that wait. Sums are (currency, minor), by currency."""

    effects: int = 0
    cost: Sums = ()
    reserved_effects: int = 0
    reserved_cost: Sums = ()
    steps: int = 0
    tokens: int = 0


NOTHING_SPENT: Final = Spent()


def room(budget: Budget, spent: Spent, cost: Money | None) -> str | None:
    """The part that has no room for one more effect of this cost ("effects", "cost"), or None if all have.

    Reservations count as used. An effect that holds one itself is asked about with `unreserve(spent, cost)`.
    A cost in another currency than the budget's has no room: the budget does not speak of that currency.
    """
    if budget.effects is not None and spent.effects + spent.reserved_effects + 1 > budget.effects:
        return "effects"
    if budget.cost is None or cost is None or cost.minor == 0:
        return None
    if cost.currency != budget.cost.currency:
        return "cost"
    used = _sum_of(spent.cost, cost.currency) + _sum_of(spent.reserved_cost, cost.currency)
    return "cost" if used + cost.minor > budget.cost.minor else None


def room_for_step(budget: Budget, spent: Spent, tokens: int = 0) -> str | None:
    """The part that has no room for one more planner step of so many tokens ("steps", "tokens"), or None."""
    if budget.steps is not None and spent.steps + 1 > budget.steps:
        return "steps"
    if budget.tokens is not None and spent.tokens + tokens > budget.tokens:
        return "tokens"
    return None


def debit(spent: Spent, cost: Money | None) -> Spent:
    """One effect was dispatched: it is spent now, and stays so while its outcome is unknown."""
    return msgspec.structs.replace(spent, effects=spent.effects + 1, cost=_moved(spent.cost, cost, 1))


def refund(spent: Spent, cost: Money | None) -> Spent:
    """One dispatched effect is proved absent. For nothing less: a doubt is not a refund."""
    assert spent.effects > 0, "a refund without a debit"
    return msgspec.structs.replace(spent, effects=spent.effects - 1, cost=_moved(spent.cost, cost, -1))


def reserve(spent: Spent, cost: Money | None) -> Spent:
    """One effect waits (for a human, or its schedule) and its budget is held for it."""
    held = _moved(spent.reserved_cost, cost, 1)
    return msgspec.structs.replace(spent, reserved_effects=spent.reserved_effects + 1, reserved_cost=held)


def unreserve(spent: Spent, cost: Money | None) -> Spent:
    """The wait is over: dispatched (debit follows), refused, superseded or expired."""
    assert spent.reserved_effects > 0, "a release without a reservation"
    held = _moved(spent.reserved_cost, cost, -1)
    return msgspec.structs.replace(spent, reserved_effects=spent.reserved_effects - 1, reserved_cost=held)


def count_step(spent: Spent, tokens: int = 0, cost: Money | None = None, *, steps: int = 1) -> Spent:
    """One planner step was taken (``steps=0``: asked for in vain), at the cost of so many tokens and so much money."""
    counted = {"steps": spent.steps + steps, "tokens": spent.tokens + tokens, "cost": _moved(spent.cost, cost, 1)}
    return msgspec.structs.replace(spent, **counted)


def _sum_of(sums: Sums, currency: str) -> int:
    return next((minor for name, minor in sums if name == currency), 0)


def _moved(sums: Sums, cost: Money | None, sign: int) -> Sums:
    """`sums` with the cost added or taken away; sorted, without zeros: equal sums are equal data."""
    if cost is None or cost.minor == 0:
        return sums
    total = _sum_of(sums, cost.currency) + sign * cost.minor
    assert total >= 0, "more was given back than was taken"
    others = [pair for pair in sums if pair[0] != cost.currency]
    return tuple(sorted([*others, (cost.currency, total)] if total else others))
