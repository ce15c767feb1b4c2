"""A run interrupted at each of its steps goes on in another process, under another model, from the store alone.

Real processes, real SIGKILL; the payment service's books say what happened outside. The second process has another
provider, another way of streaming, and another mind than the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from examples.payments.client import PaymentsClient
from holdfast.store import SqliteStore, open_store
from holdfast.store.evidence import Entry
from tests.adapters.asking import KEY, WAYS, Speaks
from tests.adapters.children import Command
from tests.adapters.wire.loopback import Loopback, Mind, Question, Turn
from tests.adapters.wire.minds import diligent

ROOT = Path(__file__).resolve().parents[2]
Served = Callable[[Speaks, Mind], Loopback]
Invoices = Callable[[int], list[str]]

RUN_FILE = """
store = "sqlite:h.db"
tools = ["examples.payments.tools:TOOLS"]
policy = "policy.cedar"

[intent]
goal = "refund what is asked for"
purpose = "ticket-1"
principal = "support"
deadline = "5m"

[[items]]
source = "mailbox:42"
text = "please refund my invoices"
"""

PAIRS = [(WAYS[0], WAYS[3]), (WAYS[1], WAYS[2]), (WAYS[2], WAYS[1]), (WAYS[3], WAYS[0])]
"""Who plans first, and who goes on."""


class Stage:
    """A folder with a run file, and what is needed to start commands in it."""

    def __init__(self, folder: Path, bank: PaymentsClient) -> None:
        """Write the files."""
        self.folder = folder
        (folder / "agent.toml").write_text(RUN_FILE)
        (folder / "policy.cedar").write_text((ROOT / "examples" / "payments" / "policy.cedar").read_text())
        self._environ = {
            "PAYMENTS_URL": bank.base_url,
            "HOLDFAST_STATE_DIR": str(folder / "state"),
            "OPENAI_API_KEY": KEY,
            "ANTHROPIC_API_KEY": KEY,
        }
        self._number = 0

    def start(self, *argv: str) -> Command:
        """Start a command."""
        self._number += 1
        return Command(self.folder, f"command-{self._number}", self._environ, list(argv))

    def planned(self, speaks: Speaks, server: Loopback, *argv: str) -> Command:
        """Start a command that a model behind a server plans for."""
        stream = "--stream" if speaks.stream else "--no-stream"
        model = f"{speaks.provider}:m-{speaks.stream:d}"
        return self.start(*argv, "--model", model, "--base-url", speaks.base_url(server), stream)

    @contextmanager
    def store(self) -> Iterator[SqliteStore]:
        """The store, only to read."""
        store = open_store(f"sqlite:{self.folder / 'h.db'}", read_only=True)
        try:
            yield store
        finally:
            store.close_now()

    def entries(self) -> list[Entry]:
        """All entries of the one run."""
        with self.store() as store:
            return store.entries(store.runs()[0].id)


@pytest.fixture
def stage(folder: Path, bank: PaymentsClient) -> Stage:
    """A folder to start commands in."""
    return Stage(folder, bank)


def until(condition: Callable[[], bool], why: str) -> None:
    """Wait for a condition, within a limit."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, why
        time.sleep(0.01)  # another process's books are read: there is nothing to wait on


def paid(bank: PaymentsClient, invoice: str) -> list[int]:
    """What the books say was paid back on an invoice."""
    return [change["amount"] for change in bank.books()["changes"] if change["invoice"] == invoice]


def body(entry: Entry) -> dict[str, Any]:
    """What an entry says."""
    said: dict[str, Any] = msgspec.json.decode(entry.body or b"{}")
    return said


def proposed(entries: list[Entry]) -> list[str]:
    """The invoices of every call in recorded answers, in order."""
    return [call["args"]["invoice_id"] for e in entries if e.kind == "step" for call in body(e).get("calls", [])]


def goes_on(stage: Stage, second: Speaks, server: Loopback, before: list[Entry]) -> list[Entry]:
    """Resume under another model, to the end: every entry of before stands, and every decision was carried out."""
    [run] = {entry.run for entry in before}
    resumed = stage.planned(second, server, "run", "resume", run, "--file", "agent.toml")
    assert resumed.wait() == 0, resumed.told()
    after = stage.entries()
    assert [entry.hash for entry in after[: len(before)]] == [entry.hash for entry in before]
    if server.questions:
        told = server.questions[0].document.get("told", [])
        assert [t["args"]["invoice_id"] for t in told] == proposed(before), "an answer is finished before the next"
    with stage.store() as store:
        assert store.verify().entries >= len(after)
        assert store.runs()[0].state == "done"
    return after


@pytest.mark.parametrize(("at", "first", "second"), [(0, *PAIRS[0]), (1, *PAIRS[1]), (2, *PAIRS[2])], ids=str)
@pytest.mark.req("2.9a", mutant=None, reason="two processes and two models: there is no place to plant a defect from")
def test_killed_while_the_model_thinks_another_model_goes_on(
    at: int, first: Speaks, second: Speaks, stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """Killed at the first, second or last question: no refund is made twice or left out, no recorded answer is lost."""
    wanted: list[dict[str, object]] = [{"invoice_id": name, "amount": 700} for name in invoices(3)]
    sane, running = diligent("refund", wanted, at_once=2), list[Command]()

    def mind(question: Question) -> Turn:
        if question.number == at:
            until(lambda: bool(running), "the command was never started")
            running[0].kill()
        return sane(question)

    running.append(stage.planned(first, served(first, mind), "run", "start", "agent.toml"))
    assert running[0].wait() == -9
    before = stage.entries()
    other = served(second, diligent("refund", wanted[::-1], at_once=1))
    after = goes_on(stage, second, other, before)
    assert [paid(bank, str(args["invoice_id"])) for args in wanted] == [[700]] * 3
    assert sorted(proposed(after)) == sorted(str(args["invoice_id"]) for args in wanted), "nothing was planned twice"
    by = [body(entry)["made"]["by"].partition(":")[0] for entry in after if entry.kind == "step"]
    assert by == [first.provider] * at + [second.provider] * (len(by) - at)


@pytest.mark.parametrize(("at", "first", "second"), [(0, *PAIRS[3]), (1, *PAIRS[2]), (2, *PAIRS[1])], ids=str)
@pytest.mark.req("2.9a", "2.9b", mutant=None, reason="two processes and two models; the books are the judge")
def test_killed_while_money_moves_the_answer_is_finished_before_anything_is_asked(
    at: int, first: Speaks, second: Speaks, stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """Killed after the service paid and before its reply: found by its key, not paid again, and the rest goes on."""
    names = invoices(3)
    wanted: list[dict[str, object]] = [{"invoice_id": name, "amount": 700} for name in names]
    bank.switch("work_then_hang", 60_000, times=1, match=f"invoice={names[at]}")
    running = stage.planned(first, served(first, diligent("refund", wanted, at_once=2)), "run", "start", "agent.toml")
    until(lambda: bool(paid(bank, names[at])) or running.ended, "the money never moved")
    running.kill()
    assert running.wait() == -9, running.told()
    before = stage.entries()
    after = goes_on(stage, second, served(second, diligent("refund", wanted[::-1])), before)
    assert [paid(bank, name) for name in names] == [[700]] * 3
    assert sorted(proposed(after)) == sorted(names), "nothing was planned twice"


def test_started_again_instead_of_resumed_it_is_the_same_run(
    stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """The purpose names the work: run start on the same file goes on with the run that is recorded."""
    names = invoices(2)
    wanted: list[dict[str, object]] = [{"invoice_id": name, "amount": 700} for name in names]
    bank.switch("work_then_hang", 60_000, times=1, match=f"invoice={names[0]}")
    running = stage.planned(WAYS[0], served(WAYS[0], diligent("refund", wanted)), "run", "start", "agent.toml")
    until(lambda: bool(paid(bank, names[0])) or running.ended, "the money never moved")
    running.kill()
    running.wait()
    again = stage.planned(WAYS[1], served(WAYS[1], diligent("refund", wanted)), "run", "start", "agent.toml")
    assert again.wait() == 0, again.told()
    with stage.store() as store:
        assert len(store.runs()) == 1
    assert [paid(bank, name) for name in names] == [[700]] * 2


def test_asked_to_end_while_the_model_thinks_the_run_can_be_gone_on_with(
    stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """SIGTERM at a question: the process leaves with its exit code, and another goes on from the record."""
    [name] = invoices(1)
    wanted: list[dict[str, object]] = [{"invoice_id": name, "amount": 700}]
    running: list[Command] = []

    def mind(_question: Question) -> Turn:
        until(lambda: bool(running), "the command was never started")
        running[0].terminate()
        return Turn(text="too late", cut=10, stall=True)

    running.append(stage.planned(WAYS[1], served(WAYS[1], mind), "run", "start", "agent.toml"))
    assert running[0].wait() == 143, running[0].told()
    goes_on(stage, WAYS[2], served(WAYS[2], diligent("refund", wanted)), stage.entries())
    assert paid(bank, name) == [700]
