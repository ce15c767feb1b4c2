"""What is approved again and again becomes a rule that says so: bounded, for a time, in a file that a person reads."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run
from holdfast.kernel.model import DAY_MS
from holdfast.runtime import people
from holdfast.runtime.habits import Habit, habits_of, rule_of, rules
from tests import approving
from tests.approving import key_of

ASK = '@id("asks") @approvers("billing") permit (principal, action, resource) when { context.approved };'
SENT: list[tuple[str, int]] = []


@hf.tool(
    effect="irreversible", resource="invoice:{invoice}", identity=("invoice",), owner="billing", no_probe="none",
    cost=hf.cost("amount", "EUR"),
)  # fmt: skip
async def refund(fx: hf.Fx, *, invoice: str, amount: int) -> str:
    """Pay back."""
    SENT.append((invoice, amount))
    return "paid"


@hf.tool(effect="irreversible", resource="page:{page}", identity=("page",), owner="web", no_probe="none")
async def delete(fx: hf.Fx, *, page: str) -> str:
    """Delete a page."""
    SENT.append((page, 0))
    return "gone"


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    SENT.clear()


def opened(policy: Any = ASK, environment: str = "prod") -> hf.App:
    """The application of these tests."""
    tools = [refund, delete]
    return hf.open("sqlite:h.db", tools=tools, policy=policy, environment=environment, recover=False)


async def carried(app: hf.App, call: hf.Call, purpose: str, who: str = "ann", principal: str = "support") -> str:
    """One call: asked, approved if it asks, and how it ended."""
    work = await app.begin(hf.Intent(goal="g", purpose=purpose, principal=principal))
    out = await work.call(call)
    if not isinstance(out, hf.Waiting):
        return type(out).__name__
    if who:
        approving.approve(app.store, out.request, who)
        return type(await work.call(call)).__name__
    approving.refuse(app.store, out.request, "ann", "no")
    return type(await work.call(call)).__name__


async def lived(least: int = 4) -> None:
    """Refunds that are always approved, by two people."""
    async with opened() as app:
        for number, amount in enumerate((1200, 4500, 800, 4000)[:least]):
            call = refund(invoice=f"in_{number}", amount=amount)
            assert await carried(app, call, f"t-{number}", ("ann", "bob")[number % 2]) == "Committed"


@pytest.mark.req("2.6a", mutant="habit-without-bounds")
async def test_rule_of_a_habit_permits_what_was_approved_and_nothing_more(tmp_path: Path) -> None:
    """Taken into the policy it lets pass the sum seen so far, and asks for more, for others, elsewhere."""
    await lived()
    async with opened() as app:
        [habit] = habits_of(app.store, least=4)
        assert habits_of(app.store, least=5) == []
        text = rules([habit], app.store.now_ms(), days=30)
    assert (habit.tool, habit.principal, habit.environment, habit.kind) == ("refund", "support", "prod", "invoice")
    assert (habit.most_minor, habit.currency, habit.people) == (4500, "EUR", ("ann", "bob"))
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "main.cedar").write_text(ASK)
    before = len(SENT)
    (tmp_path / "policy" / "standing.cedar").write_text(text)
    async with opened(tmp_path / "policy") as app:
        calls = {"same": 4500, "more": 4501}
        said = {
            name: type(await (await begun(app, name)).call(refund(invoice=name, amount=amount))).__name__
            for name, amount in calls.items()
        }
        other = await (await begun(app, "o", "sales")).call(refund(invoice="o", amount=100))
        page = await (await begun(app, "p")).call(delete(page="p"))
    async with opened(tmp_path / "policy", "test") as app:
        elsewhere = await (await begun(app, "e")).call(refund(invoice="e", amount=100))
    assert said == {"same": "Committed", "more": "Waiting"}
    assert {type(out).__name__ for out in (other, page, elsewhere)} == {"Waiting"}
    assert SENT[before:] == [("same", 4500)]


async def begun(app: hf.App, purpose: str, principal: str = "support") -> hf.RunHandle:
    """A run."""
    return await app.begin(hf.Intent(goal="g", purpose=purpose, principal=principal))


async def test_one_refusal_or_one_emergency_or_one_taken_back_keeps_it_from_being_a_habit() -> None:
    """What was ever doubted by a person is not made a rule."""
    await lived()
    for number, how in enumerate(("refused", "broken", "revoked")):
        async with opened() as app:
            before = len(habits_of(app.store, least=4))
            work = await begun(app, how, "support" if number == 0 else f"support-{number}")
            if number:
                for n in range(4):
                    call = refund(invoice=f"{how}{n}", amount=1)
                    await carried(app, call, f"{how}{n}", principal=f"support-{number}")
                assert len(habits_of(app.store, least=4)) == before + 1
            out = await work.call(refund(invoice=how, amount=100))
            assert isinstance(out, hf.Waiting)
            if how == "refused":
                approving.refuse(app.store, out.request, "ann", "a duplicate")
            elif how == "broken":
                approving.register(app.store, "kim", groups=("break-glass",))
                people.approve(app.store, out.request, signer=key_of("kim"), break_glass=True, reason="down")
            else:
                people.revoke(app.store, out.request, signer=key_of("ann"), reason="freeze")
            assert len(habits_of(app.store, least=4)) == max(0, before - (number == 0))


async def test_without_a_cost_only_the_named_targets_are_let_through(tmp_path: Path) -> None:
    """A rule that no sum bounds permits the very targets that were approved."""
    async with opened() as app:
        for number in range(3):
            assert await carried(app, delete(page=f"{number % 2}"), f"d-{number}") == "Committed"
        [habit] = habits_of(app.store, least=3)
        text = rules([habit], app.store.now_ms(), days=1)
    async with opened(ASK + text) as app:
        known = await (await begun(app, "a")).call(delete(page="1"))
        new = await (await begun(app, "b")).call(delete(page="2"))
    assert (type(known).__name__, type(new).__name__) == ("Committed", "Waiting")


def test_rule_ends_by_itself_and_names_what_it_stands_on() -> None:
    """The last day, the approvals and who gave them are in the rule; its id is the same for the same kind of call."""
    habit = Habit("refund", "v1", "support", "prod", "invoice", ("ap_1", "ap_2"), ("ann",), 4500, "EUR", ("invoice:1",))
    now_ms = int(dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp() * 1000)
    text = rules([habit], now_ms, days=30)
    assert '@until("2026-03-31")' in text
    assert "approved 2 times by ann, last: ap_1, ap_2" in text
    assert f'@id("{habit.id}")' in text
    assert habit.id == habit._replace(approvals=("ap_9",), most_minor=1).id
    assert habit.id != habit._replace(principal="other").id
    assert now_ms % DAY_MS == 0


def test_no_name_in_the_record_can_add_a_clause() -> None:
    """A principal, a tool and a target that look like policy text stay strings."""
    bad = 'x", action, resource); permit (principal, action, resource); //\\" \u202e\n'
    habit = Habit("refund", bad, bad, bad, bad, ("ap_1",), (bad,), None, "", (bad,))
    text = rule_of(habit, "2026-03-31")
    assert text.count("permit (") - text.count('\\", action, resource); permit (') == 1
    assert text.isascii()
    assert len(text.splitlines()) == 5


async def test_habits_are_shown_and_written_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown without writing anything; written where asked; never over a file that is there."""
    await lived()
    here = ("--store", "sqlite:h.db", "--least", "4")
    assert run(["approval", "habits", *here]) == 0
    shown = capsys.readouterr().out
    assert "4 approved, up to 4500 minor units of EUR" in shown
    assert "permit (principal" in shown
    assert not list(tmp_path.glob("*.cedar"))
    assert run(["approval", "habits", *here, "--write", "standing.cedar"]) == 0
    text = (tmp_path / "standing.cedar").read_text()
    assert "@until(" in text
    assert run(["approval", "habits", *here, "--write", "standing.cedar"]) == 2
    assert (tmp_path / "standing.cedar").read_text() == text
    assert run(["approval", "habits", "--store", "sqlite:h.db", "--least", "1"]) == 2
    assert run(["approval", "habits", "--store", "sqlite:h.db", "--least", "9", "--write", "none.cedar"]) == 0
    assert not (tmp_path / "none.cedar").exists()
