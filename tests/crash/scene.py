"""One case: a store, a mark, a tool, and what is done to its workers; then a restart, until nothing is due.

Decides how a case is run, never how it is judged. Promises that a case touches no other: its own folder, store,
purpose, and mark (of the payment service: an invoice). The payment service is shared, and switches are matched to the
case's invoice.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from examples.payments.client import PaymentsClient
from examples.payments.spawn import running
from holdfast.kernel.model import AFTER_COMMIT, State
from holdfast.store import open_store
from tests.crash.nursery import Child, Nursery
from tests.crash.outsides import KINDS, Ready
from tests.crash.worker import Plan, Told

EXACT = ("refund", "refund_keyed", "refund_fenced", "refund_probed", "payout")
BARE = ("refund_bare",)
TOOLS = (*EXACT, *BARE)
ASKED = 9_900
"""An amount for which the policy asks a person (more than 50.00 EUR)."""
PAYOUT_MS = 150
RESTARTS = 6
PLANTED = "HOLDFAST_MUTANT"
"""Names the defect that every worker of this run of tests is to have; for showing that a test can fail."""
AS_TOLD = {"Verified": frozenset({State.VERIFIED}), "Committed": AFTER_COMMIT}
"""What a caller was told of an effect, and the states in which that is what the ledger says."""
WORKER_LIMIT_S = 45.0
HUNG = 124
"""Stands for the exit code of a worker that had to be killed because it never left."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is done. ``kills``: one address (or a number of milliseconds, from outside) per worker in a row."""

    tool: str
    kills: tuple[str | int, ...] = ()
    asked: bool = False
    calls: int = 1
    together: bool = False
    fault: tuple[str, object, int] | None = None  # switch, value, times
    defect: str = ""
    sole_holder: bool = True  # every worker that may have sent something is dead or done when the last one asks

    @property
    def exact(self) -> bool:
        """Whether exactly one change must come of it, whatever happens."""
        return self.tool in EXACT or (self.tool in KINDS and KINDS[self.tool].exact)

    @property
    def kind(self) -> str:
        """The row of the table: the tool, and whether a person was asked."""
        return f"{self.tool}, asked" if self.asked else self.tool


@dataclass(kw_only=True)
class Ran:
    """What came of a case: exit codes of its workers in order, and where its store lies."""

    case: Case
    folder: Path
    store: Path
    invoice: str
    outside: PaymentsClient | None = None  # None: one of the others; ``ready`` says how its tools find it
    ready: Ready | None = None
    codes: list[int] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """How many of its workers really died by SIGKILL."""
        return self.codes.count(-signal.SIGKILL)

    def told(self) -> list[Told]:
        """What its workers were told, in order, a whole line each."""
        path = self.folder / "told"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Told) for line in lines]

    def trace(self, worker: int) -> list[str]:
        """The addresses that one worker (0: the first) reached, in order."""
        path = self.folder / f"w{worker}" / "trace"
        return path.read_text(encoding="ascii").split() if path.exists() else []

    def errors(self) -> str:
        """Tracebacks and warnings of its workers."""
        parts = sorted(self.folder.glob("w*/errors"))
        return "".join(part.read_text(encoding="utf-8") for part in parts)


class Ground:
    """A nursery and a folder: how a case is played, whatever its outside is."""

    def __init__(self, folder: Path, nursery: Nursery, at_once: int) -> None:
        """``at_once`` cases run side by side; they mostly wait for the disk and for times to pass."""
        self.folder = folder
        self.nursery = nursery
        self._at_once = at_once
        self._numbers = itertools.count(1)

    def place(self) -> Path:
        """A folder of its own for a case."""
        folder = self.folder / f"c{next(self._numbers):04}"
        folder.mkdir()
        return folder

    def new(self, case: Case) -> Ran:
        """A case with everything of its own, of which nothing has run yet."""
        raise NotImplementedError

    def plan(self, ran: Ran, **more: object) -> Plan:
        """The plan of the next worker of a case."""
        folder = ran.folder / f"w{len(list(ran.folder.glob('w*')))}"
        folder.mkdir()
        case = ran.case
        given: dict[str, object] = {
            "store": str(ran.store),
            "state_dir": str(ran.folder / "state"),
            "tool": case.tool,
            "purpose": f"ticket {ran.invoice}",
            "folder": str(folder),
            "told": str(ran.folder / "told"),
            "calls": case.calls,
            "together": case.together,
            "approve": case.asked,
            "defect": case.defect or os.environ.get(PLANTED, ""),
        }
        return msgspec.convert(given | self.errand(ran) | more, Plan)

    def errand(self, ran: Ran) -> dict[str, object]:
        """The part of a plan that depends on the outside: where it is, and what is asked of it."""
        raise NotImplementedError

    def play(self, case: Case) -> Ran:
        """Run a case to its end: each kill in turn, then restarts until a worker leaves with nothing due."""
        return self._play(self.new(case))

    def _play(self, ran: Ran) -> Ran:
        case, began = ran.case, time.monotonic()
        for kill in case.kills:
            child = self._start(ran, kill)
            ran.codes.append(_end(child))
            ran.forgotten += forgotten(ran)
        for _ in range(RESTARTS):
            ran.codes.append(_end(self.nursery.start(self.plan(ran))))
            if ran.codes[-1] == 0:
                break
        ran.seconds = time.monotonic() - began
        return ran

    def _start(self, ran: Ran, kill: str | int) -> Child:
        if isinstance(kill, str):
            return self.nursery.start(self.plan(ran, at=kill))
        child = self.nursery.start(self.plan(ran))
        assert child.pid
        time.sleep(kill / 1000)
        child.signal(signal.SIGKILL)
        return child

    def play_all(self, cases: Iterable[Case], done: Callable[[Ran], None] = lambda _: None) -> list[Ran]:
        """Several cases side by side, in the order given; ``done`` is called as each one ends."""

        def one(case: Case) -> Ran:
            ran = self.play(case)
            done(ran)
            return ran

        with ThreadPoolExecutor(self._at_once) as pool:
            return list(pool.map(one, cases))


class Stage(Ground):
    """Some payment services, one nursery, a folder: what cases share."""

    def __init__(self, folder: Path, outsides: list[PaymentsClient], nursery: Nursery) -> None:
        """As many cases run side by side as there are services.

        A service has one switch of each kind, so two cases with faults must not share one at the same time.
        """
        super().__init__(folder, nursery, len(outsides))
        self.client = outsides[0]
        self._outsides = outsides
        self._free: queue.SimpleQueue[PaymentsClient] = queue.SimpleQueue()
        for outside in outsides:
            self._free.put(outside)

    def new(self, case: Case, outside: PaymentsClient | None = None) -> Ran:
        """A folder and an invoice of its own for a case."""
        folder = self.place()
        outside = outside or self.client
        ran = Ran(case=case, folder=folder, store=folder / "store.db", invoice=f"in_{folder.name}", outside=outside)
        outside.add_invoice(ran.invoice, 100_00)
        return ran

    def errand(self, ran: Ran) -> dict[str, object]:
        """Pay back this invoice."""
        assert ran.outside is not None
        amount = ASKED if ran.case.asked else 1_200
        return {"url": ran.outside.base_url, "invoice": ran.invoice, "amount": amount}

    def play(self, case: Case) -> Ran:
        """Run a case against a service that no other case uses meanwhile."""
        outside = self._free.get()
        try:
            ran = self.new(case, outside)
            if case.fault is not None:
                name, value, times = case.fault
                outside.switch(name, value, times=times, match=f"invoice={ran.invoice}", on="changes")
            return self._play(ran)
        finally:
            self._free.put(outside)

    def books(self) -> dict[str, list[dict[str, object]]]:
        """The books of all the services together, once all work that is still late has been done."""
        changes: list[dict[str, object]] = []
        for outside in self._outsides:
            outside.release_late()
            changes += outside.books()["changes"]
        return {"changes": changes}


def forgotten(ran: Ran) -> list[str]:
    """What was told and is not in the ledger at this moment, before any restart could find it out again."""
    told = [said for said in ran.told() if said.outcome in ("Verified", "Committed")]
    if not told:
        return []
    store = open_store(f"sqlite:{ran.store}", read_only=True, state_dir=ran.folder / "state")
    try:
        states = {said.effect: store.read_now(said.effect).effect for said in told}
    finally:
        store.close_now()
    return [
        f"{said.outcome} of {said.effect} was told, and the ledger had {view.state.value if view else 'nothing'} of it"
        for said in told
        if (view := states[said.effect]) is None or view.state not in AS_TOLD[said.outcome]
    ]


def _end(child: Child) -> int:
    try:
        return child.wait(WORKER_LIMIT_S)
    except TimeoutError:
        return HUNG


@contextlib.contextmanager
def stage(at_once: int = 4) -> Iterator[Stage]:
    """A stage in a temporary folder, taken down with everything on it."""
    with contextlib.ExitStack() as keep:
        folder = Path(keep.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-crash-")))
        outsides = []
        for number in range(at_once):
            url, _ = keep.enter_context(running(folder / f"books-{number}.db", payout_ms=PAYOUT_MS))
            outsides.append(PaymentsClient(url, timeout_s=10, name="the judge"))
        yield Stage(folder, outsides, keep.enter_context(Nursery()))


def shuffled(cases: list[Case], seed: int) -> list[Case]:
    """The same cases in an order that only the seed decides."""
    order = list(cases)
    random.Random(seed).shuffle(order)
    return order
