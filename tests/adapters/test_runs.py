"""Runs that a model drives over a socket: whatever it says, the payment service's own books show what was wanted.

The runs are in this process; what survives a kill is in test_resume.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast as hf
from examples.payments.client import PaymentsClient
from examples.payments.tools import TOOLS
from holdfast.adapters.models import ModelPlanner
from holdfast.runtime.cancel import cancel
from holdfast.runtime.turns import Patience
from holdfast.store import open_store
from tests import approving
from tests.adapters.asking import KEY, WAYS, Speaks
from tests.adapters.wire.loopback import Loopback, Mind, Question, Turn
from tests.adapters.wire.minds import call, diligent, erratic, scripted

Served = Callable[[Speaks, Mind], Loopback]
Invoices = Callable[[int], list[str]]

POLICY = Path(__file__).resolve().parents[2] / "examples" / "payments" / "policy.cedar"
AT_ONCE = Patience(first_wait_ms=1)
ways = pytest.mark.parametrize("speaks", WAYS, ids=str)


@asynccontextmanager
async def begun(folder: Path, **terms: Any) -> AsyncIterator[tuple[hf.App, hf.RunHandle]]:
    """An application over the payment service's tools, with one run."""
    async with hf.open(f"sqlite:{folder / 'h.db'}", tools=TOOLS, policy=POLICY) as app:
        intent = {"goal": "refund what is asked for", "purpose": "t-1", "principal": "support", "deadline": "2m"}
        yield app, await app.begin(hf.Intent(**{**intent, **terms}))


async def driven(run: hf.RunHandle, speaks: Speaks, server: Loopback, **spec: Any) -> hf.Report:
    """Let the model behind a server drive a run."""
    patience = spec.pop("patience", AT_ONCE)
    async with ModelPlanner(speaks.spec(server, **spec), KEY) as planner:
        return await run.drive(planner, max_steps=40, patience=patience)


def notes(app: hf.App, run: hf.RunHandle, kind: str) -> list[dict[str, Any]]:
    """The bodies of a run's entries of one kind, as they are on disk."""
    return [msgspec.json.decode(e.body or b"{}") for e in app.store.entries(run.id) if e.kind == kind]


def paid(bank: PaymentsClient, invoice: str) -> list[int]:
    """What the service's own books say was paid back on an invoice."""
    return [change["amount"] for change in bank.books()["changes"] if change["invoice"] == invoice]


def wants(invoices: list[str], amount: int = 1_000) -> list[dict[str, object]]:
    """One refund of each invoice."""
    return [{"invoice_id": invoice, "amount": amount} for invoice in invoices]


@ways
async def test_a_model_does_what_was_asked_for(
    speaks: Speaks, folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """Several calls, some at once, then a last word: each refund is made once and verified, and the run is done."""
    wanted = invoices(3)
    server = served(speaks, diligent("refund", wants(wanted), at_once=2))
    async with begun(folder) as (app, run):
        report = await driven(run, speaks, server)
        steps, used = notes(app, run, "step"), app.store.run(run.id)
    assert (report.state, [type(o).__name__ for o in report.outcomes]) == ("done", ["Verified"] * 3)
    assert [paid(bank, invoice) for invoice in wanted] == [[1_000]] * 3
    assert [len(step.get("calls", [])) for step in steps] == [2, 1, 0]
    assert used is not None
    assert (used.steps, used.spent.steps, used.spent.tokens) == (3, 3, 3 * 120)


@ways
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.req("2.1b", "2.1c", mutant=None, reason="the defect would have to be the model's; the books are the judge")
async def test_an_erratic_model_changes_nothing_that_was_not_wanted(
    speaks: Speaks, seed: int, folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """Broken calls, unknown tools, refusals, broken connections: what was wanted is paid once, and nothing else is."""
    wanted = invoices(3)
    server = served(speaks, erratic(seed, diligent("refund", wants(wanted))))
    async with begun(folder) as (app, run):
        report = await driven(run, speaks, server)
        again = report
        while again.state == "blocked" and len(server.questions) < 60:
            again = await driven(run, speaks, server)
        answers, missing = notes(app, run, "step"), notes(app, run, "no_answer")
        effects = app.store.effects(run=run.id)
        assert app.store.verify().entries > 0
    assert [paid(bank, invoice) for invoice in wanted] == [[1_000]] * 3
    assert {e.args["invoice_id"] for e in effects if e.attempts} == set(wanted)
    assert len(server.questions) == len(answers) + len(missing), "each question has its entry"
    assert again.state == "done"


async def test_a_model_that_cannot_be_had_blocks_the_run_with_the_reason(
    folder: Path, bank: PaymentsClient, served: Served
) -> None:
    """Nothing but 503: asked as often as the patience says, each time recorded, then blocked. The key is nowhere."""
    server = served(WAYS[0], scripted(Turn(status=503, text=f"overloaded, key {KEY}")))
    async with begun(folder) as (app, run):
        report = await driven(run, WAYS[0], server, patience=Patience(tries=4, first_wait_ms=1))
        tried = notes(app, run, "no_answer")
    assert (report.state, report.steps) == ("blocked", 0)
    assert "gave no answer 4 times in a row; the last: overloaded" in report.reason
    assert [body["try"] for body in tried] == [1, 2, 3, 4]
    assert len(server.questions) == 4
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert KEY.encode() not in everything


async def test_a_rate_limit_is_waited_out_as_long_as_it_asks(
    folder: Path, bank: PaymentsClient, served: Served
) -> None:
    """429 with a time to wait: the wait is recorded, and the answer after it counts as the one step."""
    limited = Turn(status=429, headers=(("retry-after-ms", "40"),))
    server = served(WAYS[0], scripted(limited, Turn(text="Nothing to do.")))
    async with begun(folder) as (app, run):
        report = await driven(run, WAYS[0], server)
        [body] = notes(app, run, "no_answer")
        first, second = [e.at_ms for e in app.store.entries(run.id) if e.kind in ("no_answer", "step")]
    assert (report.state, report.steps) == ("done", 1)
    assert (body["cause"], body["retry_after_ms"]) == ("rate_limited", 40)
    assert second - first >= 40


@pytest.mark.parametrize(
    ("asked_s", "deadline", "why"),
    [(3600, "2h", "is to be asked again only in 3600000 ms"), (60, "20s", "deadline comes before")],
)
async def test_a_wait_that_nobody_has_time_for_blocks_at_once(
    asked_s: int, deadline: str, why: str, folder: Path, bank: PaymentsClient, served: Served
) -> None:
    """A provider that asks for an hour, or for longer than the run has, is not waited for."""
    server = served(WAYS[0], scripted(Turn(status=429, headers=(("retry-after", str(asked_s)),))))
    async with begun(folder, deadline=deadline) as (_app, run):
        report = await driven(run, WAYS[0], server)
    assert report.state == "blocked"
    assert why in report.reason
    assert len(server.questions) == 1


async def test_a_silent_model_is_left_at_the_runs_deadline(folder: Path, bank: PaymentsClient, served: Served) -> None:
    """A half-open connection cannot hold a run past its deadline, whatever the model's own bounds are."""
    server = served(WAYS[1], scripted(Turn(text="I am thinking about it", cut=60, stall=True)))
    async with begun(folder, deadline="700ms") as (_app, run):
        report = await driven(run, WAYS[1], server, timeout_ms=60_000, stall_ms=60_000)
    assert report.state == "blocked"
    assert "deadline" in report.reason
    assert len(server.questions) == 1


@ways
async def test_a_refusing_model_is_asked_once(
    speaks: Speaks, folder: Path, bank: PaymentsClient, served: Served
) -> None:
    """A model that declines is not asked to change its mind."""
    server = served(speaks, scripted(Turn(refusal="I do not move money.")))
    async with begun(folder) as (_app, run):
        report = await driven(run, speaks, server)
    assert report.state == "blocked"
    assert "declined" in report.reason
    assert len(server.questions) == 1


async def test_tokens_are_a_budget(folder: Path, bank: PaymentsClient, served: Served) -> None:
    """What answers use up is debited with them; a request asks for no more than is left; then the run is blocked."""
    server = served(WAYS[0], scripted(Turn(calls=(call("nope"),), tokens=(100, 20))))
    async with begun(folder, budget=hf.Budget(tokens=300)) as (app, run):
        report = await driven(run, WAYS[0], server)
        row = app.store.run(run.id)
    assert report.state == "blocked"
    assert "tokens are spent" in report.reason
    assert row is not None
    assert row.spent.tokens == 360
    most = [question.body["max_completion_tokens"] for question in server.questions]
    assert most == [300, 180, 60]


async def test_answers_that_could_not_be_used_count_against_the_budget(
    folder: Path, bank: PaymentsClient, served: Served
) -> None:
    """A truncated answer was paid for; a budget that ignored it could be spent many times over."""
    server = served(WAYS[0], scripted(Turn(text="I", finish="length", tokens=(100, 50))))
    async with begun(folder, budget=hf.Budget(tokens=400)) as (app, run):
        report = await driven(run, WAYS[0], server)
        row = app.store.run(run.id)
    assert "tokens are spent" in report.reason
    assert row is not None
    assert (row.steps, row.spent.tokens, len(server.questions)) == (0, 450, 3)


async def test_money_for_answers_comes_from_the_runs_budget(folder: Path, bank: PaymentsClient, served: Served) -> None:
    """Prices are debited in whole minor units as the sum of all answers passes them, and bound the asking."""
    server = served(WAYS[0], scripted(Turn(calls=(call("nope"),), tokens=(1_000, 0))))
    async with begun(folder, budget=hf.Budget(cost=hf.money(2, "EUR"))) as (app, run):
        # 400 minor units a million tokens: 0.4 of one for each answer.
        report = await driven(run, WAYS[0], server, input_price=400, currency="EUR")
        row, steps = app.store.run(run.id), notes(app, run, "step")
    assert "cost is spent" in report.reason
    assert row is not None
    assert row.spent.cost == (("EUR", 2),)
    assert [step.get("cost", {}).get("minor", 0) for step in steps] == [1, 0, 1]


async def test_a_refusal_is_told_with_what_is_permitted(
    folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """A call beyond the policy changes nothing; the next question names the reason and what the rules allow instead."""
    [invoice] = invoices(1)
    seen: list[dict[str, Any]] = []

    def mind(question: Question) -> Turn:
        seen.append(question.document)
        if not question.document.get("told"):
            return Turn(calls=(call("refund_keyed", invoice_id=invoice, amount=9_900),))
        return Turn(text="It is not permitted.")

    async with begun(folder) as (_app, run):
        report = await driven(run, WAYS[0], served(WAYS[0], mind))
    [told] = seen[1]["told"]
    assert (told["outcome"], told["tool"]) == ("refused", "refund_keyed")
    assert told["reason"]
    assert told["permitted"] == ["small-refund (refunds up to 50.00 EUR are allowed)"]
    assert paid(bank, invoice) == []
    assert report.state == "blocked", "a run in which nothing took place is not done, whatever the planner says"


@pytest.mark.req("2.9b", mutant=None, reason="staleness is shown here; that stale items justify nothing is the gate's")
async def test_a_stale_item_is_shown_as_stale_also_elsewhere(
    folder: Path, bank: PaymentsClient, served: Served
) -> None:
    """Age and staleness come from the record: a handle that never saw the item shows it all the same, kept or not."""
    server = served(WAYS[0], scripted(Turn(text="done")))
    async with begun(folder) as (app, run):
        await run.saw("mailbox:1", "kept", kind="untrusted", fresh_for="0ms", keep=True)
        await run.saw("mailbox:2", "not kept", kind="untrusted", fresh_for="1h")
        other = await app.resume(run.id)
        await driven(other, WAYS[0], server)
    kept, left = sorted(server.questions[0].document["items"], key=lambda item: item["source"])
    assert (kept["content"], kept["stale"]) == ("kept", True)
    assert "stale" not in left
    assert "content" not in left
    assert left["content_not_kept"]


async def test_an_answer_that_comes_after_a_stop_is_not_acted_on(
    folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """A person cancels while the model thinks: what it then proposes is neither recorded nor sent."""
    [invoice] = invoices(1)

    name: list[str] = []

    def mind(_question: Question) -> Turn:
        store = open_store(f"sqlite:{folder / 'h.db'}")
        try:
            cancel(store, name[0], who="ann", vouched_by="test", reason="wrong customer")
        finally:
            store.close_now()
        return Turn(calls=(call("refund", invoice_id=invoice, amount=1_000),))

    async with begun(folder) as (app, run):
        name.append(run.id)
        report = await driven(run, WAYS[0], served(WAYS[0], mind))
        kinds = [e.kind for e in app.store.entries(run.id)]
        row = app.store.run(run.id)
    assert (report.state, report.reason) == ("blocked", "ann: wrong customer")
    assert row is not None
    assert row.state == "stopped"
    assert "step" not in kinds
    assert paid(bank, invoice) == []


async def test_each_answer_is_recorded_before_anything_it_proposes(
    folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """In the chain each step stands before the proposals that come of it, and each call is told before the next."""
    wanted = invoices(2)
    server = served(WAYS[3], diligent("refund", wants(wanted)))
    async with begun(folder) as (app, run):
        await driven(run, WAYS[3], server)
        kinds = [
            e.kind for e in app.store.entries(run.id) if e.kind in ("step", "proposed", "dispatched", "told", "done")
        ]
    assert kinds == ["step", "proposed", "dispatched", "told"] * 2 + ["step", "done"]


async def test_an_answer_that_was_not_carried_out_is_finished_first(
    folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """A call waits for a person; once approved, the drive takes up that answer and its next call, and asks nobody."""
    first, second = invoices(2)
    calls = (call("refund", invoice_id=first, amount=9_900), call("refund", invoice_id=second, amount=100))
    server = served(WAYS[0], scripted(Turn(calls=calls), Turn(text="done")))
    async with begun(folder) as (app, run):
        report = await driven(run, WAYS[0], server)
        assert (report.state, len(server.questions)) == ("waiting", 1)
        assert paid(bank, second) == []
        report = await driven(run, WAYS[0], server)
        assert (report.state, len(server.questions)) == ("waiting", 1), "the model is not asked while a person is"
        [request] = app.store.approvals("open")
        approving.approve(app.store, request.id, "maria")
        report = await driven(run, WAYS[0], server)
        steps = notes(app, run, "step")
    assert report.state == "done"
    assert (paid(bank, first), paid(bank, second)) == ([9_900], [100])
    assert len(steps) == len(server.questions) == 2


async def test_a_claim_of_done_over_a_wrong_world_is_shown_to_the_model_and_not_believed(
    folder: Path, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """An effect in doubt, and the model says that all is done: blocked; asked again later it is told why."""
    [invoice] = invoices(1)
    bank.switch("drop_reply", times=1, match=f"invoice={invoice}")
    server = served(
        WAYS[0], scripted(Turn(calls=(call("refund_bare", invoice_id=invoice, amount=100),)), Turn(text="All done!"))
    )
    async with begun(folder) as (_app, run):
        report = await driven(run, WAYS[0], server)
        again = await driven(run, WAYS[0], server)
    assert (report.state, again.state) == ("blocked", "blocked")
    assert "is unknown" in again.reason
    assert paid(bank, invoice) == [100]
    assert len(server.questions) == 1, "while it is in doubt, nobody is asked what to do instead"


def test_the_document_is_cut_oldest_first_and_says_so() -> None:
    """A thousand items and outcomes do not fit: the newest are shown, and how many are not."""
    from holdfast.adapters.models.prompt import DOCUMENT_CHARS, ask
    from holdfast.runtime.planner import Glimpse, Told
    from tests.adapters.asking import VIEW

    items = tuple(
        Glimpse(id=f"it_{n}", source="m", kind="observed", age_ms=n * 1_000, content="x" * 900) for n in range(1_000)
    )
    told = tuple(Told(tool="refund", outcome="failed", reason="y" * 300, step=n) for n in range(200))
    asked = ask(msgspec.structs.replace(VIEW, items=items, told=told, earlier=7))
    document = json.loads(asked.document)
    assert len(asked.document) <= DOCUMENT_CHARS
    assert document["items"][-1]["id"] == "it_0"
    assert document["items_not_shown"] + len(document["items"]) == 1_000
    assert document["told"][-1]["step"] == 199
    assert document["told_not_shown"] + len(document["told"]) == 207
