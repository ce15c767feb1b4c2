"""Overload of intents: what is accepted has its terms, what is not says what would be, and open runs are bounded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run as command
from holdfast.kernel.errors import BadValue
from holdfast.runtime.cancel import cancel

RUNS = hf.Runs(
    most=6,
    per_principal=2,
    work={"batch": 1},
    budget=hf.Budget(effects=10, cost=hf.money(100_00, "EUR")),
    degrade_from=4,
    degraded=hf.Budget(effects=2),
    not_done="only the two most urgent bills are paid",
    deadline="1h",
    longest_deadline="2h",
    retry_after="10s",
)


def opened(tmp_path: Path, runs: hf.Runs = RUNS) -> Any:
    """An application under limits of runs."""
    return hf.open(f"sqlite:{tmp_path / 'store.db'}", limits=hf.Limits(runs=runs), recover=False)


def intent(number: int = 0, principal: str = "", **terms: Any) -> hf.Intent:
    """An intent of a principal."""
    return hf.Intent(goal="pay", purpose=f"bills {number}", principal=principal or f"p{number}", **terms)


@pytest.mark.req("1.5a", mutant="runs-unbounded")
async def test_an_intent_gets_one_of_five_answers_with_a_code(tmp_path: Path) -> None:
    """Accepted, too much at once, to come again, less while many are open, and refused; each is in the record."""
    async with opened(tmp_path) as app:
        few = hf.Budget(effects=2)
        given = [await app.submit(intent(n, budget=few)) for n in range(4)]
        given.append(await app.submit(intent(4, budget=hf.Budget(effects=11), deadline="3h")))
        given.append(await app.submit(intent(5, budget=hf.Budget(effects=9))))
        given += [await app.submit(intent(n, "p0", budget=few)) for n in (6, 7)]
        given.append(await app.submit(intent(8, budget=few)))
        given.append(await app.submit(intent(9, budget=few)))
        given.append(await app.submit(intent(10, budget=few, deadline="5s")))
        now_ms = app.store.now_ms()
        await app.store.flush()
        notes = [e for e in app.store.entries("ru_store") if e.kind == "admission"]
    words = [(one.answer, one.code) for one in given]
    assert words[:4] == [("accept", "room")] * 4
    assert words[4:] == [
        ("shape", "asks-for-too-much"),
        ("degrade", "many-open"),
        ("accept", "room"),
        ("refuse", "principal-runs"),
        ("accept", "room"),
        ("schedule", "runs-full"),
        ("refuse", "past-deadline"),
    ]
    shaped, degraded, later = given[4], given[5], given[9]
    assert shaped.instead is not None and shaped.instead.budget.effects == 10 and shaped.instead.deadline == "2h"
    assert degraded.instead is not None and degraded.instead.budget.effects == 2
    assert degraded.not_done == "only the two most urgent bills are paid"
    assert now_ms < later.not_before_ms <= now_ms + 10_000
    assert [json.loads(e.body or b"{}")["code"] for e in notes] == [
        code for answer, code in words if answer != "accept"
    ]
    assert all((one.run is None) == (one.answer != "accept") for one in given)


async def test_what_is_proposed_instead_is_accepted(tmp_path: Path) -> None:
    """The smaller terms that an answer names are terms on which there is room."""
    async with opened(tmp_path) as app:
        shaped = await app.submit(intent(0, budget=hf.Budget(cost=hf.money(500_00, "EUR"))))
        assert shaped.answer == "shape" and shaped.instead is not None
        assert (await app.submit(shaped.instead)).answer == "accept"
        for number in range(1, 4):
            await app.submit(intent(number))
        degraded = await app.submit(intent(5))
        assert degraded.answer == "degrade" and degraded.instead is not None
        accepted = await app.submit(degraded.instead)
        assert accepted.run is not None and accepted.run.record.budget.effects == 2


@pytest.mark.req("1.5a", mutant="accepted-without-terms")
async def test_nothing_is_accepted_without_priority_deadline_and_a_way_to_cancel_it(tmp_path: Path) -> None:
    """The deadline is the default where none was given, the priority is kept, and the named command cancels it."""
    async with opened(tmp_path) as app:
        answer = await app.submit(intent(), priority=7, work_class="batch")
        assert answer.run is not None
        row = app.store.run(answer.run.id)
        assert row is not None and row.deadline_ms is not None
        assert row.priority == 7
        assert 0 < row.deadline_ms - app.store.now_ms() <= 3_600_000
        assert row.budget == hf.Budget(effects=10, cost=hf.money(100_00, "EUR"))
        assert (await app.submit(intent(2), work_class="batch")).answer == "schedule"
        words = answer.cancel.replace("NAME", "ann").replace("TEXT", "enough").split()
    assert command([*words[1:], "--store", f"sqlite:{tmp_path / 'store.db'}"]) in (0, 5)
    async with opened(tmp_path) as app:
        row = app.store.run(answer.run.id)
        assert row is not None and row.state == "stopped"
        assert (await app.submit(intent(2), work_class="batch")).answer == "accept"


@pytest.mark.req("1.5b", mutant="runs-unbounded")
async def test_two_processes_cannot_both_begin_the_last_run(tmp_path: Path) -> None:
    """Twenty intents from two applications at once: exactly as many runs as may be open are."""
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        few = hf.Budget(effects=1)
        asked = [app.submit(intent(n, budget=few)) for n in range(10) for app in (one, two)]
        answers = await asyncio.gather(*asked)
        open_runs = [run for run in one.store.runs() if run.state == "open"]
    assert len(open_runs) == 6
    assert {answer.answer for answer in answers} == {"accept", "schedule"}


async def test_a_purpose_that_is_known_is_answered_with_its_run(tmp_path: Path) -> None:
    """The same intent again takes no second place, however full it is."""
    async with opened(tmp_path) as app:
        first = await app.submit(intent(1))
        for number in range(2, 9):
            await app.submit(intent(number, budget=hf.Budget(effects=1)))
        again = await app.submit(intent(1))
        assert first.run is not None and again.run is not None
        assert (again.answer, again.code, again.run.id) == ("accept", "known", first.run.id)
        assert len([m for m in app.store.documents("meter") if m.id == "runs:principal:p1" and m.open == 1]) == 1


async def test_a_run_that_ends_makes_room_for_another(tmp_path: Path) -> None:
    """A place is held for as long as the run is open and no longer."""
    async with opened(tmp_path, hf.Runs(per_principal=1)) as app:
        first = await app.submit(intent(1, "ann"))
        assert (await app.submit(intent(2, "ann"))).answer == "refuse"
        assert first.run is not None
        cancel(app.store, first.run.id, who="ann", vouched_by="test", reason="enough")
        assert (await app.submit(intent(2, "ann"))).answer == "accept"


async def test_a_run_is_begun_without_limits_as_before(tmp_path: Path) -> None:
    """Beginning asks for nothing and counts nothing; submitting without limits accepts, with the usual deadline."""
    async with hf.open(f"sqlite:{tmp_path / 'store.db'}", recover=False) as app:
        begun = await app.begin(intent(1))
        assert (begun.record.deadline_ms, begun.record.meters) == (None, ())
        answer = await app.submit(intent(2))
        assert answer.run is not None and answer.run.record.deadline_ms is not None
        with pytest.raises(BadValue):
            await app.submit(intent(3), priority=10_000)


@pytest.mark.req("1.5c", mutant="age-hidden")
async def test_status_says_that_a_promise_is_broken_while_it_is(tmp_path: Path, capsys: Any) -> None:
    """A payment waits behind a slow one: its age is shown against the promise, and the promise is said to be broken."""
    held = asyncio.Event()

    @hf.tool(effect="idempotent", resource="bill:{bill}", identity=("bill",), owner="x", no_probe="test", work="slow")
    async def pay(fx: hf.Fx, *, bill: str) -> None:
        """Pay a bill, when somebody lets it."""
        await held.wait()

    limits = hf.Limits(work={"slow": hf.Work(most=1, within="1ms", pause="10ms", longest_pause="10ms")})
    policy = '@id("all") @reason("r") permit (principal, action, resource);'
    url = f"sqlite:{tmp_path / 'store.db'}"
    async with hf.open(url, tools=[pay], policy=policy, limits=limits, recover=False) as app:
        run = await app.begin(intent(1))
        first = asyncio.create_task(run.call(pay(bill="a")))
        while not app.store.document("meter", "work:slow"):
            await asyncio.sleep(0.01)
        told = await run.call(pay(bill="b"))
        assert isinstance(told, hf.Deferred)
        await asyncio.sleep(0.02)
        await app.store.flush()
        assert command(["status", "--store", url, "--json"]) == 3
        (queue,) = json.loads(capsys.readouterr().out)["data"]["queues"]
        assert command(["status", "--store", url]) == 3
        screen = capsys.readouterr().out
        assert command(["effect", "show", told.effect, "--store", url]) == 4
        shown = capsys.readouterr().out
        held.set()
        await first
        await told.settled()
        await app.store.flush()
        command(["status", "--store", url, "--json"])
        (after,) = json.loads(capsys.readouterr().out)["data"]["queues"]
    assert (queue["work"], queue["under_way"], queue["waiting"], queue["promise_ms"]) == ("slow", 1, 1, 1)
    assert queue["promise_broken"] and queue["oldest_ms"] >= 20
    assert "promise broken" in screen and "slow in dev: 1 of 1 under way, 1 of 1000 waiting" in screen
    assert "for room in slow: " in shown and "the runtime looks for room at" in shown
    assert (after["under_way"], after["waiting"], after["oldest_ms"], after["promise_broken"]) == (0, 0, 0, False)


def test_limits_of_a_file_that_mean_nothing_are_refused_with_their_line(tmp_path: Path, capsys: Any) -> None:
    """A misspelt limit in holdfast.toml is named with its line, and nothing is opened."""
    (tmp_path / "holdfast.toml").write_text('store = "sqlite:s.db"\n[limits.work.payments]\nmots = 3\n')
    assert command(["status", "--config", str(tmp_path / "holdfast.toml")]) == 2
    assert "line 3: there is no such limit" in capsys.readouterr().err


def test_a_run_from_the_command_line_finds_room_as_any_other(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """Where no run may be open, `run start` begins none, asks no model, and says with what code it was turned away."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools.py").write_text(
        "import holdfast as hf\n\n\n"
        "@hf.tool(effect='read', resource='bills', identity=(), owner='accounts', no_probe='a read')\n"
        "def bills(look: hf.Fx) -> list[str]:\n"
        '    """The bills."""\n'
        "    return []\n"
    )
    (tmp_path / "holdfast.toml").write_text(
        'store = "sqlite:store.db"\ntools = ["tools.py:bills"]\n[limits.runs]\nper_principal = 0\n'
    )
    (tmp_path / "run.toml").write_text('[intent]\ngoal = "pay"\npurpose = "bills"\nprincipal = "ann"\n')
    model = ["--model", "openai-compatible:m", "--base-url", "http://127.0.0.1:9/v1"]
    code = command(["run", "start", "run.toml", *model, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (code, said["error"]["code"]) == (5, "HF-U22-intent-turned-away"), said
    assert "principal-runs" in json.dumps(said["error"])
    with (tmp_path / "run.toml").open("a") as file:
        file.write("[limits.runs]\nper_principal = 9\n")
    assert command(["run", "start", "run.toml", *model, "--json"]) == 2, "what bounds everybody is not one run's to set"
    assert "limits" in json.loads(capsys.readouterr().out)["error"]["fields"]["key"]
