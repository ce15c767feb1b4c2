"""Amounts: exact durations, money that is never mixed, and budgets in which a doubt stays spent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel import amounts
from holdfast.kernel.amounts import NOTHING_SPENT, Budget, Money, Spent, money
from holdfast.kernel.errors import BadValue

COSTS = st.none() | st.builds(Money, st.integers(0, 10**6), st.sampled_from(["EUR", "USD", "JPY"]))


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("24h", 86_400_000),
        ("2m", 120_000),
        ("5s", 5_000),
        ("250ms", 250),
        ("7d", 604_800_000),
        ("1h30m", 5_400_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("0s", 0),
        (1500, 1500),
        (0, 0),
    ],
)
def test_duration_is_read_as_milliseconds(text: str | int, length_ms: int) -> None:
    """Text with units, several of them in order, or plain milliseconds."""
    assert amounts.parse_duration(text) == length_ms


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "no duration"),
        ("5", "with d, h, m, s or ms"),
        ("5min", "no duration"),
        ("1.5h", "whole numbers"),
        ("-5s", "no duration"),
        ("5 s", "no duration"),
        ("5S", "no duration"),
        ("30m1h", "no duration"),
        ("\u0665s", "no duration"),
        ("5s\n", "no duration"),
        ("9" * 5000 + "s", "no duration"),
        ("36501d", "100 years"),
        (10**18, "100 years"),
        (-1, "between 0 and"),
        (True, "integer of milliseconds"),
        (1.5, "integer of milliseconds"),
        (None, "integer of milliseconds"),
    ],
)
def test_unclear_duration_is_refused_by_name(value: Any, words: str) -> None:
    """The error names the setting, its type and a form that works."""
    with pytest.raises(BadValue) as caught:
        amounts.parse_duration(value, name="contract.timeout")
    assert caught.value.path == "contract.timeout"
    assert caught.value.value_type == type(value).__name__
    assert words in caught.value.why


@given(st.integers(0, amounts.MAX_DURATION_MS))
def test_shown_duration_reads_back(length_ms: int) -> None:
    """What people see can be put into a contract and means the same."""
    assert amounts.parse_duration(amounts.show_duration(length_ms)) == length_ms


def test_duration_is_shown_for_people() -> None:
    """Whole units, largest first, none that is empty."""
    shown = [amounts.show_duration(ms) for ms in (0, 250, 90_000, 86_400_000, 90_061_001, -5_000)]
    assert shown == ["0s", "250ms", "1m30s", "1d", "1d1h1m1s1ms", "-5s"]


# --- money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "currency", "path"),
    [
        (-1, "EUR", "money.minor"),
        (5.0, "EUR", "money.minor"),
        (True, "EUR", "money.minor"),
        ("5", "EUR", "money.minor"),
        (2**53, "EUR", "money.minor"),
        (5, "eur", "money.currency"),
        (5, "EURO", "money.currency"),
        (5, "EUR\n", "money.currency"),
        (5, None, "money.currency"),
    ],
)
def test_money_is_a_whole_number_and_a_currency(minor: Any, currency: Any, path: str) -> None:
    """Floats, negatives, numbers beyond 2^53-1 and malformed codes are refused."""
    with pytest.raises(BadValue) as caught:
        money(minor, currency)
    assert caught.value.path == path


def test_money_of_two_currencies_is_never_reckoned_together() -> None:
    """No exchange rate is assumed, in neither direction."""
    for reckon in (amounts.add, amounts.subtract):
        with pytest.raises(BadValue) as caught:
            reckon(money(5, "EUR"), money(5, "USD"))
        assert "EUR and USD" in caught.value.why


def test_money_adds_and_subtracts_exactly_and_not_below_zero() -> None:
    """Sums are exact integers; less than nothing is refused."""
    assert amounts.add(money(10, "EUR"), money(20, "EUR")) == money(30, "EUR")
    assert amounts.subtract(money(30, "EUR"), money(30, "EUR")) == money(0, "EUR")
    with pytest.raises(BadValue):
        amounts.subtract(money(10, "EUR"), money(11, "EUR"))


def test_records_cannot_be_changed_and_survive_json() -> None:
    """Money, budget and spent are frozen, and their JSON reads back equal."""
    budget = Budget(effects=2, cost=money(5, "EUR"))
    spent = amounts.reserve(amounts.debit(NOTHING_SPENT, money(1, "EUR")), money(2, "USD"))
    for record in (money(5, "EUR"), budget, spent):
        with pytest.raises(AttributeError):
            setattr(record, record.__struct_fields__[0], 9)
        assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


@pytest.mark.parametrize(
    ("part", "limit"), [("effects", -1), ("steps", 1.5), ("tokens", True), ("cost", 500), ("effects", "3")]
)
def test_budget_refuses_a_limit_that_is_no_amount(part: str, limit: Any) -> None:
    """The error names the part of the budget."""
    with pytest.raises(BadValue) as caught:
        Budget(**{part: limit})
    assert caught.value.path == f"budget.{part}"


# --- budgets --------------------------------------------------------------------------------------


def test_unlimited_budget_has_room() -> None:
    """A part that is not limited never refuses."""
    assert amounts.room(Budget(), Spent(effects=10**9), money(10**12, "EUR")) is None
    assert amounts.room_for_step(Budget(), Spent(steps=10**9), 10**9) is None


def test_last_unit_of_a_budget_is_usable_and_the_next_is_not() -> None:
    """Exactly the limit fits, for effects, cost, steps and tokens."""
    budget = Budget(effects=2, cost=money(100, "EUR"), steps=1, tokens=10)
    one = amounts.debit(NOTHING_SPENT, money(40, "EUR"))
    assert amounts.room(budget, one, money(60, "EUR")) is None
    assert amounts.room(budget, one, money(61, "EUR")) == "cost"
    assert amounts.room(budget, amounts.debit(one, None), None) == "effects"
    assert amounts.room_for_step(budget, NOTHING_SPENT, 10) is None
    assert amounts.room_for_step(budget, NOTHING_SPENT, 11) == "tokens"
    assert amounts.room_for_step(budget, amounts.count_step(NOTHING_SPENT), 0) == "steps"


def test_reserved_budget_is_not_free_for_others_but_for_its_holder() -> None:
    """What is held for a waiting effect counts as used, until the holder gives it back to use it."""
    budget = Budget(effects=1, cost=money(100, "EUR"))
    cost = money(100, "EUR")
    held = amounts.reserve(NOTHING_SPENT, cost)
    assert amounts.room(budget, held, None) == "effects"
    assert amounts.room(Budget(cost=cost), held, money(1, "EUR")) == "cost"
    assert amounts.room(budget, amounts.unreserve(held, cost), cost) is None


def test_cost_in_a_currency_the_budget_does_not_name_has_no_room() -> None:
    """A budget in euros allows no dollars, however few; a cost of nothing fits."""
    budget = Budget(cost=money(100, "EUR"))
    assert amounts.room(budget, NOTHING_SPENT, money(1, "USD")) == "cost"
    assert amounts.room(budget, NOTHING_SPENT, money(0, "USD")) is None
    assert amounts.room(budget, NOTHING_SPENT, None) is None


def test_unknown_effect_stays_spent_until_it_is_proved_absent() -> None:
    """Dispatching debits; nothing but a refund makes room again, so a doubt cannot be spent twice."""
    budget, cost = Budget(effects=1, cost=money(50, "EUR")), money(50, "EUR")
    dispatched = amounts.debit(NOTHING_SPENT, cost)
    assert amounts.room(budget, dispatched, cost) == "effects"
    assert amounts.room(Budget(cost=money(50, "EUR")), dispatched, money(1, "EUR")) == "cost"
    assert amounts.room(budget, amounts.refund(dispatched, cost), cost) is None


@given(st.lists(COSTS, max_size=12), st.randoms())
def test_everything_debited_and_refunded_in_any_order_leaves_nothing(costs: list[Money | None], dice: Any) -> None:
    """Debit and refund, reserve and unreserve are exact inverses, and equal sums are equal data."""
    spent = NOTHING_SPENT
    for cost in costs:
        spent = amounts.reserve(amounts.debit(spent, cost), cost)
    for currency, minor in spent.cost:
        assert minor == sum(cost.minor for cost in costs if cost and cost.currency == currency)
    assert list(spent.cost) == sorted(spent.cost)
    assert (spent.effects, spent.reserved_effects) == (len(costs), len(costs))
    assert spent.cost == spent.reserved_cost
    dice.shuffle(costs)
    for cost in costs:
        spent = amounts.unreserve(amounts.refund(spent, cost), cost)
    assert spent == NOTHING_SPENT


@given(st.lists(COSTS, max_size=20), st.integers(0, 10), st.integers(0, 2 * 10**6))
def test_effects_admitted_by_room_never_pass_the_budget(costs: list[Money | None], effects: int, minor: int) -> None:
    """Whatever is asked for in whatever order, what was let through stays within every part."""
    budget, spent = Budget(effects=effects, cost=money(minor, "EUR")), NOTHING_SPENT
    for cost in costs:
        if amounts.room(budget, spent, cost) is None:
            spent = amounts.debit(spent, cost)
    assert spent.effects <= effects
    assert all(currency == "EUR" and total <= minor for currency, total in spent.cost)


@pytest.mark.parametrize("give_back", [amounts.refund, amounts.unreserve])
def test_nothing_is_given_back_that_was_not_taken(give_back: Any) -> None:
    """A second refund of the same effect, or one of more than was spent, stops the program."""
    with pytest.raises(AssertionError):
        give_back(NOTHING_SPENT, None)
    taken = amounts.reserve(amounts.debit(NOTHING_SPENT, money(5, "EUR")), money(5, "EUR"))
    with pytest.raises(AssertionError):
        give_back(taken, money(6, "EUR"))
    with pytest.raises(AssertionError):
        give_back(taken, money(5, "USD"))
