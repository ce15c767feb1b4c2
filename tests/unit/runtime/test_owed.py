"""A planner's *done* is none while the outside was seen to differ, or a saga of the run has not come to its end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import holdfast as hf
from examples.travel import providers
from examples.travel.tools import TOOLS, book, send
from holdfast.cli.main import run as command
from holdfast.kernel.documents import Job
from holdfast.runtime.drift.records import accept
from holdfast.runtime.planner import Answer, View
from holdfast.runtime.saga import people as words
from tests.unit.runtime.drift.catalogue import BRISK, Catalogue, at_work, inserted, the_drift
from tests.unit.runtime.drift.conftest import catalogue

__all__ = ["catalogue"]
POLICY = Path(__file__).resolve().parents[3] / "examples/travel/policy.cedar"
BY_HAND = BRISK._replace(repairs=False)


class Said(NamedTuple):
    """A person's word."""

    who: str = "ann"
    vouched_by: str = "the test"
    reason: str = "it was told by telephone"


class Content:
    """Says that it is done, whenever it is asked."""

    async def propose(self, view: View) -> Answer:  # it knows already
        return Answer(done=True, says="all is well")


@pytest.mark.req("1.3c", mutant="done-while-owed")
async def test_a_run_is_not_done_while_a_drift_of_it_is_open(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Blocked with the drift and what ends it; done once a person accepted it; and the record plays back."""
    monkeypatch.setattr(sys, "argv", ["holdfast"])
    url = f"sqlite:{tmp_path / 's.db'}"
    async with at_work(url, pace=BY_HAND) as (app, reconciler):
        effect = await inserted(app, "cup", purpose="stock")
        catalogue.lose("cup", books_too=True)
        await reconciler.round(everything=True)
        drift = the_drift(app)
        run = await app.begin(hf.Intent(goal="stock", purpose="stock", principal="clerk"))
        report = await run.drive(Content())
        assert (report.state, report.says) == ("blocked", "all is well")
        assert report.stop is not None
        assert (report.stop.code, report.stop.effect) == ("not-as-desired", effect)
        assert drift.id in report.reason
        assert f'holdfast drift accept {drift.id} --as NAME --reason "…"' in report.stop.record.unblocks
        accept(app.store, drift.id, who="ann", reason="it is sold out")
        report = await run.drive(Content())
        assert (report.state, report.stop) == ("done", None)
        line = ["run", "replay", run.id, "--store", url]
    assert await asyncio.to_thread(command, line) == 0, capsys.readouterr().out


@pytest.mark.req("1.9b", mutant="done-while-owed")
async def test_a_run_is_not_done_while_a_saga_of_it_needs_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partly compensated is no end that may stand until somebody says so; then the run is done."""
    monkeypatch.setenv("TRAVEL_BOOKS", str(tmp_path / "books.db"))
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    async with hf.open(f"sqlite:{tmp_path / 's.db'}", tools=TOOLS, policy=POLICY, environment="prod") as app:
        run = await app.begin(hf.Intent(goal="travel", purpose="trip", principal="agent"))
        steps = [
            hf.Step("room", book(what="room", trip="t")),
            hf.Step("pay", send(what="payment", trip="t"), kind="irreversible"),
            hf.Step("mail", send(what="mail", trip="t"), kind="irreversible", tries=1),
        ]
        came = await run.saga("trip", steps, owner="travel desk")
        assert came.state == "partly compensated"
        report = await run.drive(Content())
        assert report.stop is not None
        assert (report.state, report.stop.code) == ("blocked", "not-as-desired")
        assert f"holdfast saga show {came.saga}" in report.stop.record.unblocks
        words.accept(app.store, came.saga, Said())
        assert (await run.drive(Content())).state == "done"
    assert providers.lines() == ["room t", "payment t"]


async def test_the_job_of_such_a_run_waits_until_the_drift_is_over(catalogue: Catalogue, tmp_path: Path) -> None:
    """A worker does not ask the planner again and again meanwhile; accepted, the next worker ends the run."""
    url = f"sqlite:{tmp_path / 's.db'}"
    async with at_work(url, pace=BY_HAND) as (app, reconciler):
        intent = hf.Intent(goal="stock", purpose="stock", principal="clerk")
        await app.submit(intent)
        run = await app.begin(intent)
        await inserted(app, "cup", purpose="stock")
        catalogue.lose("cup", books_too=True)
        await reconciler.round(everything=True)
        first = await app.shift({"": Content()}, stays="drain").work()
        job = app.store.document("job", run.id)
        assert isinstance(job, Job)
        assert (first.drives, job.waits) == (1, "not-as-desired")
    async with at_work(url, pace=BY_HAND) as (app, _):
        assert (await app.shift({"": Content()}, stays="drain").work()).drives == 0
        accept(app.store, the_drift(app).id, who="ann", reason="it is sold out")
    async with at_work(url, pace=BY_HAND) as (app, _):
        await app.shift({"": Content()}, stays="empty").work()
        ended = await app.store.run_row(run.id)
        assert ended is not None
        assert ended.state == "done"
