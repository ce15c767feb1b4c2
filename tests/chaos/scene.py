"""One episode: an outside with its own books, a store, workers, orders that keep coming, and faults on all of them.

The store is a PostgreSQL server of our own behind a wire, or a file of SQLite. A client submits orders all the while,
through the same wire as the workers: what it is not sure of it submits again. Promises that an episode is the same
sequence of faults for the same seed, though not the same interleaving; and that everything it started has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import holdfast as hf
from examples.payments.client import PaymentsClient
from examples.payments.spawn import running as outside_running
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import State
from holdfast.runtime.worker import rests
from holdfast.store import open_store
from tests.chaos import faults
from tests.chaos.database import Database
from tests.chaos.fleet import LEASE, Fleet, ask, until
from tests.chaos.shop import AMOUNT, WAYS, invoice, policy, tools
from tests.chaos.wire import Wire

WORKERS = 3
ORDERS_AT_ONCE = 12
SETTLE_S = 150.0
PATIENCE_S = 120.0
"""How long a client submits one order again before it is said to be lost."""


class Scene:
    """Everything of one episode. Enter it, then :meth:`trouble`, then :meth:`settle`."""

    def __init__(self, folder: Path, kind: str, seed: int) -> None:
        """``kind`` is postgresql or sqlite."""
        self.folder, self.kind, self.seed = folder, kind, seed
        self.dice = random.Random(seed)
        self.did: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()  # commits that the wire cut, by its mode
        self.order: list[str] = []
        self.submitted: dict[str, str] = {}
        self.unsure = 0
        self.lost: list[str] = []
        self.clock_leapt = False
        self._stack = contextlib.ExitStack()
        self._asked: set[str] = set()
        self._stop = threading.Event()
        self._client = threading.Thread(target=self._submit_all, name="client", daemon=True)

    def __enter__(self) -> Self:
        """Start the outside, the database, the wire and the workers."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        enter = self._stack.enter_context
        self.folder.mkdir(parents=True, exist_ok=True)
        self.payments_url, _ = enter(outside_running(self.folder / "books.sqlite"))
        self.payments = enter(PaymentsClient(self.payments_url))
        os.environ["PAYMENTS_URL"] = self.payments_url
        if self.kind == "postgresql":
            self.database = Database(self.folder / "database")
            self._stack.callback(self.database.close)
            self.database.make()
            self.database.start()
            self.wire = enter(Wire(self.database.port))
            self.url = Database.address(self.wire.port)
            self.direct = self.database.url
        else:
            self.url = self.direct = f"sqlite:{self.folder / 'store.db'}"
        os.environ["HOLDFAST_STATE_DIR"] = str(self.folder / "state-client")
        open_store(self.direct).close_now()
        self.fleet = enter(Fleet(self.folder, self.url, self.payments_url, WORKERS))
        self._client.start()

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stop.set()
        self._client.join(30)
        self._stack.close()

    # -- faults --

    def trouble(self, count: int) -> None:
        """So many faults, one after the other, while orders are at work."""
        while sum(self.did.values()) < count:
            self._enough_orders()
            time.sleep(self.dice.uniform(0.05, 0.4))
            fault = faults.drawn(self.dice, database=self.kind == "postgresql")
            undo = fault.do(self, self.dice)
            if undo is not None:
                self.did[fault.name] += 1
                faults.hold(fault, self.dice)
                undo()
            self.fleet.tend()
            self.look_at_clock()

    def leap(self, by_ms: int) -> faults.Undo:
        """The server's clock as the store reads it, off by so much until it is undone; then a person accepts it."""
        import psycopg

        real = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        make = "CREATE OR REPLACE FUNCTION holdfast.wall_ms() RETURNS bigint VOLATILE LANGUAGE sql AS $$ SELECT {} $$"

        def to(text: str) -> None:
            self.database.wait_until_it_answers()
            with psycopg.connect(self.direct, autocommit=True) as admin:
                admin.execute(make.format(text))

        to(f"{real} + {by_ms}")
        self.clock_leapt = True

        def right() -> None:
            to(real)
            self.look_at_clock()

        return right

    def look_at_clock(self) -> None:
        """Whoever looks at the clock finds it right, and says so: until then nothing rests on passed time.

        A worker may have seen the leap and not recorded it yet when somebody looks, so they look again.
        """
        if not self.clock_leapt:
            return
        with contextlib.suppress(HoldfastError):
            store = open_store(self.direct, read_only=True)
            try:
                if not store.clock_jumped_ms():
                    return
            finally:
                store.close_now()
            ask(self.folder, self.direct, "store", "clock", "--as", "ops", "--reason", "compared with another clock")

    # -- orders --

    def _enough_orders(self) -> None:
        """Keep so many at work that a fault always meets some."""
        there = len(self._asked) - self._over()
        for _ in range(ORDERS_AT_ONCE - there):
            ways = self.dice.sample(WAYS, self.dice.randint(1, 3))
            name = f"o{self.seed}-{len(self.order)}"
            for way in ways:
                self.payments.add_invoice(invoice(name, way), 10 * AMOUNT)
            self.order.append(name)
            self._asked.add(name)
            self.submitted[name] = " ".join(ways)

    def _over(self) -> int:
        """How many orders are no more to be done, as far as the outside shows: each has its changes."""
        books = Counter(change["invoice"] for change in self.payments.books()["changes"])
        return sum(
            all(books[invoice(name, way)] for way in ways.split()) for name, ways in list(self.submitted.items())
        )

    def _submit_all(self) -> None:
        """The client: a thread of its own with a loop of its own."""
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._client_main())

    async def _client_main(self) -> None:
        done = 0
        while not (self._stop.is_set() and done >= len(self.order)):
            if done >= len(self.order):
                await asyncio.sleep(0.05)
                continue
            name = self.order[done]
            if not await self._submit(name, self.submitted[name]):
                self.lost.append(name)
            done += 1

    async def _submit(self, name: str, ways: str) -> bool:
        """Until it was answered: an error leaves it open whether it arrived, so it is submitted again."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            try:
                async with hf.open(self.url, tools=tools, policy=policy, environment="dev", recover=False) as app:
                    said = await app.submit(
                        hf.Intent(goal=ways, purpose=name, principal="shop", deadline="90d"), planner="refunds"
                    )
                    if said.run is not None:
                        return True
            except (HoldfastError, OSError):
                self.unsure += 1
            if self._stop.is_set() and time.monotonic() > until_s - PATIENCE_S / 2:
                return False
            await asyncio.sleep(0.1)
        return False

    # -- the end --

    def settle(self) -> bool:
        """No more faults: whether everything came to an end, or to somebody's desk, in time."""
        self.payments.clear_switches()
        self._stop.set()
        self._client.join(PATIENCE_S)

        def over() -> bool:
            self.fleet.tend()
            self.look_at_clock()
            with contextlib.suppress(HoldfastError):
                return not self.waiting()
            return False

        return until(over, SETTLE_S, 0.5)

    def waiting(self) -> list[Any]:
        """Jobs that no worker has carried to an end yet."""
        store = open_store(self.direct, read_only=True)
        try:
            return [job for job in store.documents("job") if unresolved(job, store)]
        finally:
            store.close_now()


def unresolved(job: Any, store: Any) -> bool:
    """Whether a job is still to come to an end by itself: it is no more once a person has it, by name."""
    if job.state not in ("queued", "claimed"):
        return False
    if not job.waits or not job.owner:
        return True
    view = store.read_now(job.about).effect if job.about else None
    if view is None:
        return job.waits in (rests.EFFECT, *rests.ON_EFFECT)
    by_person = view.escalated or view.state is State.WAITING or not view.next
    return not (by_person and view.owner) if is_open(view) else job.waits in rests.ON_EFFECT


__all__ = ["LEASE", "Scene"]
