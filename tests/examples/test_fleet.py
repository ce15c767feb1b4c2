"""The fleet example on real processes: one worker of two is killed while it works, judged by the service's books."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from examples.payments.client import PaymentsClient
from examples.payments.spawn import running as payment_service
from tests.contract.postgres_server import server  # noqa: F401 -- a fixture

ROOT = Path(__file__).resolve().parents[2]
COUNT = 60
LIMIT_S = 120
LATENCY_MS = 100
pytestmark = [pytest.mark.slow]


class Shop:
    """A store, the service, and the workers on it, each ended by its own id."""

    def __init__(self, store: str, payments: str, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.client = stack.enter_context(PaymentsClient(payments))
        self._env = os.environ | {
            "HOLDFAST_STORE": store,
            "PAYMENTS_URL": payments,
            "HOLDFAST_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of the example, to its end."""
        return subprocess.run(
            [sys.executable, "-m", *words], env=self._env, cwd=self._folder, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def worker(self) -> subprocess.Popen[bytes]:
        """One `holdfast work`, that ends when there is nothing left."""
        file = str(ROOT / "examples" / "fleet" / "shop.py")
        words = ["holdfast.cli.main", "work", file, "--at-once", "4", "--until-empty"]
        process = subprocess.Popen(
            [sys.executable, "-m", *words], env=self._env, cwd=self._folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def changes(self) -> Counter[str]:
        """How often each invoice was changed, by the service's books."""
        return Counter(change["invoice"] for change in self.client.books()["changes"])


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """One on each kind of store."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    if request.param == "sqlite":
        store = f"sqlite:{tmp_path / 'fleet.db'}"
    else:
        dsn: str = request.getfixturevalue("server")
        store = f"{dsn}{'&' if '?' in dsn else '?'}schema=fleet_{os.getpid()}"
    with ExitStack() as stack:
        if request.param == "postgres":
            admin = stack.enter_context(psycopg.connect(dsn, autocommit=True))
            stack.callback(admin.execute, f"DROP SCHEMA IF EXISTS fleet_{os.getpid()} CASCADE")
        url, _ = stack.enter_context(payment_service(tmp_path / "books.sqlite"))
        yield Shop(store, url, tmp_path, stack)


@pytest.mark.req("1.4a", mutant=None, reason="a kill -9 of a real worker, judged by the service's own books")
def test_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(shop: Shop) -> None:
    """Each of 60 invoices is refunded once, every effect is verified, and one worker died while it held runs."""
    submitted = shop.run("examples.fleet.submit", str(COUNT))
    assert submitted.returncode == 0, submitted.stderr
    assert not shop.changes()
    shop.client.switch("latency_ms", LATENCY_MS, on="changes")
    dies, lives = shop.worker(), shop.worker()
    assert shop.run("examples.fleet.books", "--until", "12").returncode == 0
    assert dies.poll() is None
    dies.send_signal(signal.SIGKILL)
    dies.wait()
    assert shop.changes().total() < COUNT  # it was in the middle
    assert lives.wait(LIMIT_S) == 0
    counted = shop.run("examples.fleet.books", str(COUNT))
    assert counted.returncode == 0, counted.stdout
    assert shop.changes() == {f"in-{number:05}": 1 for number in range(1, COUNT + 1)}
    verified = shop.run("holdfast.cli.main", "evidence", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    status = shop.run("holdfast.cli.main", "status")
    assert f"verified {COUNT}" in status.stdout
    again = shop.run("examples.fleet.submit", str(COUNT))
    assert "'over': 60" in again.stdout


def test_books_that_show_one_twice_or_too_few_are_said_to_be_wrong(shop: Shop) -> None:
    """The program that judges the trial fails where a trial failed."""
    for invoice in ("a", "b"):
        shop.client.add_invoice(invoice, 10_000)
        shop.client.refund(invoice, 100)
    assert shop.run("examples.fleet.books", "2").returncode == 0
    assert shop.run("examples.fleet.books", "3").returncode == 1
    assert shop.run("examples.fleet.books", "2", "--until", "3", "--within", "0").returncode == 1
    shop.client.refund("a", 100)
    doubled = shop.run("examples.fleet.books", "3")
    assert (doubled.returncode, doubled.stdout) == (1, "3 changes of 2 invoices; changed more than once: a\n")
