"""The payment service of the tier, and model servers that end with their test."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.payments import tools
from examples.payments.client import PaymentsClient
from examples.payments.spawn import running
from tests.adapters.asking import Speaks
from tests.adapters.wire.loopback import Loopback, Mind


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaymentsClient]:
    """One payment service with books of its own; each test has invoices of its own."""
    with running(tmp_path_factory.mktemp("books") / "books.sqlite") as (url, _process):
        yield PaymentsClient(url)


@pytest.fixture
def bank(payments: PaymentsClient, monkeypatch: pytest.MonkeyPatch) -> PaymentsClient:
    """The service as the tools of the example reach it."""
    monkeypatch.setenv("PAYMENTS_URL", payments.base_url)
    tools.bank.cache_clear()
    return payments


_numbers = itertools.count(1)


@pytest.fixture
def invoices(payments: PaymentsClient, worker_id: str) -> Callable[[int], list[str]]:
    """New invoices of 100.00 EUR each."""

    def new(count: int) -> list[str]:
        names = [f"in_{worker_id}_{next(_numbers)}" for _ in range(count)]
        for name in names:
            payments.add_invoice(name, 10_000)
        return names

    return new


@pytest.fixture
def served() -> Iterator[Callable[[Speaks, Mind], Loopback]]:
    """Start a model server with a mind; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda speaks, mind: stack.enter_context(speaks.server(mind).running())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which heads are remembered too, so that nothing is left elsewhere."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    return tmp_path
