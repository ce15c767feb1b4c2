"""A store, the payment service with its own books, orders, and workers: what each test of real workers stands on.

Decides nothing. Promises that every worker it started has ended with it. What happened outside is read from the
service's books (:meth:`Yard.changes`), what was recorded from a store opened to read.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import holdfast as hf
from examples.payments.client import PaymentsClient
from holdfast.kernel.canon import decode
from holdfast.kernel.errors import HoldfastError
from holdfast.store import open_store
from tests.chaos import odd_shop, shop
from tests.chaos.fleet import Worker, ask, until

ODD = Path(odd_shop.__file__)
WITHIN_S = 60.0
tags = itertools.count(1)


class Yard:
    """One store and who works on it. Enter it; its workers end with it."""

    def __init__(self, folder: Path, url: str, outside: str) -> None:
        """``url`` is where workers and clients find the store, ``outside`` where the payment service is."""
        self.folder, self.url, self.outside = folder, url, outside
        self.direct = url
        """Where the store is found without anything in between."""
        self.tag = f"y{next(tags)}"
        """What its orders' purposes begin with: the books of several tests are one."""
        self.payments = PaymentsClient(outside)
        self.workers: list[Worker] = []
        self.orders: dict[str, str] = {}
        self.runs: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        """Make the store."""
        with self.store(read_only=False):
            return self

    def __exit__(self, *_: object) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.end()
        self.payments.clear_switches()
        self.payments.close()

    # -- who works --

    def start(self, name: str, *more: str, **how: Any) -> Worker:
        """One more worker, of the odd shop."""
        payments = how.pop("payments", self.outside)
        url = how.pop("url", self.url)
        worker = Worker(name, self.folder, url, payments, more=more, shop=ODD, **how)
        self.workers.append(worker)
        return worker

    def ready(self, count: int) -> None:
        """Until so many workers say in the store that they are there."""
        assert until(lambda: len(self.standing("working")) >= count, WITHIN_S), self.logs()

    def standing(self, *words: str) -> list[dict[str, Any]]:
        """`holdfast worker list`'s own rows, of these words; none: every one."""
        from holdfast.report.worker import worker_data
        from holdfast.runtime.worker.listing import workers

        with self.store() as store:
            found = [worker_data(one) for one in workers(store)]
        return [one for one in found if not words or one["state"] in words]

    def ask(self, *words: str) -> tuple[int, Any]:
        """A command of a person at the desk, on the store itself: exit code and data."""
        code, said = ask(self.folder, self.direct, *words)
        return code, said.get("data", said)

    def logs(self) -> str:
        """The end of what each worker said."""
        return "\n".join(f"== {worker.name}\n{worker.log.read_text('utf-8')[-1_500:]}" for worker in self.workers)

    # -- orders --

    async def submit(self, *names: str, ways: str = "refund", **how: Any) -> None:
        """Ask for these orders; an answer that did not come is asked for again, as a client has to."""
        with environment(HOLDFAST_STATE_DIR=str(self.folder / "state-client"), PAYMENTS_URL=self.outside):
            left = list(names)
            while left:
                with contextlib.suppress(HoldfastError, OSError):
                    async with hf.open(
                        self.url, tools=shop.tools, policy=shop.policy, environment="dev", recover=False
                    ) as app:
                        while left:
                            await self._one(app, left[0], ways, how)
                            left.pop(0)

    async def _one(self, app: hf.App, name: str, ways: str, how: dict[str, Any]) -> None:
        if name not in self.orders:
            for way in ways.split():
                self.payments.add_invoice(self.invoice(name, way), 10 * shop.AMOUNT)
            self.orders[name] = ways
        intent = hf.Intent(goal=ways, purpose=f"{self.tag}-{name}", principal="shop", deadline="1h")
        self.runs[name] = (await app.submit(intent, planner="refunds", **how)).unwrap().id

    def invoice(self, name: str, way: str) -> str:
        """The invoice that an order refunds in one way."""
        return shop.invoice(f"{self.tag}-{name}", way)

    def changes(self) -> Counter[str]:
        """How often each order's invoices were changed, by the service's own books: ``name way`` -> times."""
        books = Counter(change["invoice"] for change in self.payments.books()["changes"])
        return Counter(
            {
                f"{name} {way}": books[self.invoice(name, way)]
                for name, ways in self.orders.items()
                for way in ways.split()
            }
        )

    def once_each(self) -> dict[str, int]:
        """What the books have to show: each order's invoices changed once."""
        return {f"{name} {way}": 1 for name, ways in self.orders.items() for way in ways.split()}

    def done(self, *names: str) -> None:
        """Until the jobs of these orders (none named: of all) are done."""

        def over() -> bool:
            with contextlib.suppress(HoldfastError, OSError):
                return all(self.job(name).state == "done" for name in names or self.orders)
            return False

        assert until(over, WITHIN_S, 0.1), f"{[self.job(n) for n in names or self.orders]}\n{self.logs()}"

    # -- what is recorded --

    @contextlib.contextmanager
    def store(self, *, read_only: bool = True) -> Iterator[Any]:
        """The store as somebody sees it who asks it directly."""
        opened = open_store(self.direct, read_only=read_only, state_dir=self.folder / "state-desk")
        try:
            yield opened
        finally:
            opened.close_now()

    def job(self, name: str) -> Any:
        """An order's job as it is now."""
        with self.store() as store:
            return store.document("job", self.runs[name])

    def states(self, name: str, way: str) -> list[str]:
        """The states of an order's call, one for each generation of it."""
        with self.store() as store:
            mine = [view for view in store.effects(run=self.runs[name]) if view.tool == way]
        return [view.state.value for view in sorted(mine, key=lambda view: view.generation)]

    def entries(self, name: str, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
        """Entries of an order's run of these kinds (not of its effects), in order: kind and body."""
        with self.store() as store:
            found = [entry for entry in store.entries(self.runs[name]) if entry.kind in kinds and not entry.effect]
        return [(entry.kind, decode(entry.body) if entry.body is not None else {}) for entry in found]

    def verified(self) -> None:
        """Every order was done once by the books; what was tried in vain is on record as that, the rest as verified."""
        self.done()
        assert self.changes() == self.once_each(), self.logs()
        for name, ways in self.orders.items():
            for way in ways.split():
                *vain, last = self.states(name, way)
                assert (set(vain) <= {"failed", "refused"}, last) == (True, "verified"), f"{name} {vain} {last}"
        with self.store() as store:
            assert store.verify().entries > 0


@contextlib.contextmanager
def environment(**names: str) -> Iterator[None]:
    """These variables, for a block."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
