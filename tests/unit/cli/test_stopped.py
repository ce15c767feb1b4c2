"""What a stop looks like from a terminal, and what a budget refuses, through the public face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run
from holdfast.kernel.errors import HoldfastError
from holdfast.store import open_store

ALLOWED = "permit (principal, action, resource);"
SENT: list[str] = []


@hf.tool(
    effect="irreversible",
    resource="invoice:{invoice}",
    identity=("invoice",),
    owner="billing",
    no_probe="it cannot be asked",
    cost=hf.cost("amount", "EUR"),
)
def pay(fx: hf.Fx, *, invoice: str, amount: int) -> str:
    """Pay an invoice, in cents."""
    SENT.append(invoice)
    if invoice == "lost":
        raise ConnectionResetError("the line went dead")
    return invoice


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store of its own."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    SENT.clear()
    yield f"sqlite:{tmp_path / 'w.db'}"


async def driven(place: str, *calls: hf.Proposed, **terms: Any) -> Any:
    """A run that was driven, and its report."""
    async with hf.open(place, tools=[pay], policy=ALLOWED) as app:
        begun = await app.begin(hf.Intent(goal="pay", purpose="p", principal="agent", **terms))
        return await begun.drive(hf.Scripted(list(calls)), max_steps=6)


@pytest.mark.req("2.5c", mutant="stop-leaves-it-open")
async def test_a_blocked_run_is_shown_as_blocked_with_what_it_left(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list says blocked; the page lists the effect in doubt, what is not known, and commands that move it."""
    report = await driven(place, hf.Proposed("pay", {"invoice": "lost", "amount": 5}))
    assert (report.state, report.stop.code) == ("blocked", "ambiguous-result")
    assert run(["run", "list", "--store", place]) == 0
    assert "⊘ blocked" in capsys.readouterr().out
    assert run(["run", "show", report.run, "--store", place]) == 3
    shown = capsys.readouterr().out
    assert "⊘ ambiguous-result" in shown
    assert "whether invoice:lost was changed" in shown
    assert f"holdfast effect attest {report.stop.effect} --did-not-happen" in shown
    assert run(["evidence", "verify", "--store", place]) == 0


async def test_extending_and_unblocking_from_a_terminal_are_recorded_and_the_record_still_verifies(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are in the story with the name; the terms in the evidence are those that stand now."""
    report = await driven(place, hf.Proposed("pay", {"invoice": "lost", "amount": 5}), deadline="1h")
    assert run(["run", "extend", report.run, "3h", "--as", "ann", "--reason", "slow bank", "--store", place]) == 3
    assert run(["run", "unblock", report.run, "--as", "ann", "--reason", "looked", "--store", place]) == 3
    shown = capsys.readouterr().out
    assert "extended by ann: «slow bank" in shown
    assert "unblocked by ann: «looked" in shown
    assert run(["run", "extend", report.run, "soon", "--as", "ann", "--reason", "x", "--store", place]) == 2
    assert run(["evidence", "verify", "--store", place]) == 0
    store = open_store(place, read_only=True)
    try:
        row = store.run(report.run)
        assert row is not None
        assert row.deadline_ms is not None
        assert row.deadline_ms > row.opened_ms + 2 * 3_600_000
    finally:
        store.close_now()


@pytest.mark.parametrize("amount", [-5, -1])
async def test_a_negative_cost_is_refused_before_anything_is_recorded(place: str, amount: int) -> None:
    """A sum below nothing would give budget back: it is no call."""
    async with hf.open(place, tools=[pay], policy=ALLOWED) as app:
        begun = await app.begin(hf.Intent(goal="pay", purpose="p", principal="agent"))
        with pytest.raises(HoldfastError):
            await begun.call(pay(invoice="a", amount=amount))
    assert SENT == []


@pytest.mark.req("2.5a", mutant="budget-unguarded")
async def test_another_currency_than_the_budgets_has_no_room_in_it(place: str) -> None:
    """The budget speaks of dollars and the tool costs euros: no rate is assumed, and nothing is sent."""
    async with hf.open(place, tools=[pay], policy=ALLOWED) as app:
        budget = hf.Budget(cost=hf.money(1_000_00, "USD"))
        begun = await app.begin(hf.Intent(goal="pay", purpose="p", principal="agent", budget=budget))
        outcome = await begun.call(pay(invoice="a", amount=5))
    assert isinstance(outcome, hf.Refused)
    assert SENT == []


@pytest.mark.req("2.5a", mutant="outcomes-stop-nothing")
async def test_spent_money_stops_a_run_and_an_unknown_counts(place: str) -> None:
    """The budget is gone on a payment in doubt, whatever came of it."""
    calls = [hf.Proposed("pay", {"invoice": "lost", "amount": 500}), hf.Proposed("pay", {"invoice": "b", "amount": 1})]
    report = await driven(place, *calls, budget=hf.Budget(cost=hf.money(500, "EUR")))
    assert report.stop.code == "ambiguous-result"
    assert report.stop.record.left == {"minor units of EUR": 0}
    store = open_store(place)
    try:
        from holdfast.runtime import people

        people.abandon(store, report.stop.effect, who="ann", reason="the bank does not know either")
    finally:
        store.close_now()
    report = await driven(place, *calls)
    assert report.stop.code == "spent-cost"
    assert SENT == ["lost"]
