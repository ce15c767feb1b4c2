"""A model as a fresh planner: asked over a socket, in a recorded world that answers for the payment service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.payments.client import PaymentsClient
from holdfast.adapters.models.spec import KEY_ENV
from holdfast.cli.main import run as command
from tests.adapters.asking import KEY, WAYS, Speaks
from tests.adapters.test_runs import begun, driven, paid, wants
from tests.adapters.wire.loopback import Loopback, Mind
from tests.adapters.wire.minds import diligent

Served = Callable[[Speaks, Mind], Loopback]
Invoices = Callable[[int], list[str]]


@pytest.mark.parametrize("speaks", WAYS, ids=str)
@pytest.mark.req("1.8b", mutant=None, reason="the world's defects are planted beside its own tests, without a model")
def test_todays_model_is_asked_what_it_would_have_done(
    speaks: Speaks,
    folder: Path,
    bank: PaymentsClient,
    invoices: Invoices,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that asks for the same comes to the same; another amount is named; the service's books stand still."""
    wanted = invoices(2)

    async def recorded() -> str:
        async with begun(folder) as (_, run):
            report = await driven(run, speaks, served(speaks, diligent("refund", wants(wanted))))
            assert report.state == "done"
        return run.id

    run = asyncio.run(recorded())
    books = bank.books()["changes"]
    monkeypatch.setenv(KEY_ENV[speaks.provider], KEY)
    for amount, code in ((1_000, 0), (1_001, 1)):
        server = served(speaks, diligent("refund", wants(wanted, amount)))
        where = ["--base-url", speaks.base_url(server), "--stream" if speaks.stream else "--no-stream"]
        store = ["--store", f"sqlite:{folder / 'h.db'}", "--json"]
        assert command(["run", "replay", run, "--planner", f"{speaks.provider}:m-1", *where, *store]) == code
        found = json.loads(capsys.readouterr().out)["data"]
        assert found["differs"] is bool(code)
        assert found["answered_from_the_record"] == (0 if code else 2)
        assert found["fresh"]["tokens"] > 0
        if code:
            assert (found["calls"][0]["kind"], found["calls"][0]["names"]) == ("changed", ["amount"])
            assert found["unrecorded"].startswith("no recorded answer for ")
    assert bank.books()["changes"] == books
    assert [paid(bank, invoice) for invoice in wanted] == [[1_000]] * 2
