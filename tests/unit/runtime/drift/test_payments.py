"""Drifts of money, at a service with a process and books of its own: found, never mended without a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from examples.payments import tools
from examples.payments.client import PaymentsClient
from examples.payments.spawn import running
from holdfast.runtime.drift.records import every
from holdfast.runtime.drift.rounds import Reconciler
from tests.unit.runtime.drift.catalogue import BRISK, PERMITS


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaymentsClient]:
    """The service, and a client of somebody who is not holdfast."""
    with running(tmp_path / "books.sqlite") as (url, _):
        monkeypatch.setenv("PAYMENTS_URL", url)
        tools.bank.cache_clear()
        yield PaymentsClient(url)
        tools.bank.cache_clear()


@pytest.mark.req("1.3b", mutant="drift-orphan-unseen")
async def test_a_refund_that_nobody_here_made_is_an_orphan_for_its_owner(store: str, bank: Any) -> None:
    """A refund by hand is found by the list and goes to the contract's owner; our own are told by their keys."""
    for invoice in ("in_1", "in_2"):
        bank.add_invoice(invoice, 5_000)
    async with hf.open(store, tools=[tools.refund], policy=PERMITS) as app:
        run = await app.begin(hf.Intent(goal="refund", purpose="refund in_1", principal="clerk"))
        (await run.call(tools.refund(invoice_id="in_1", amount=1_000))).unwrap()
        reconciler = Reconciler(app, BRISK)
        await reconciler.round(everything=True)
        assert every(app.store) == []
        bank.refund("in_2", 700, note="by hand")
        for _ in range(2):
            await reconciler.round(everything=True)
        await reconciler.stop()
        [drift] = every(app.store)
        assert (drift.what, drift.state, drift.owner) == ("orphan", "escalated", "billing-oncall")
        assert (drift.observed["invoice_id"], drift.observed["amount"]) == ("in_2", 700)
        assert "irreversible" in drift.reason
    assert len(bank.list_refunds()["refunds"]) == 2
