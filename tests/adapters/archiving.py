"""Stores that have lived, to be archived: runs that ended, signed checkpoints, and an outside that counts.

The engine, the sealer and the archive are the shipped ones; the key that seals is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import holdfast as hf
from holdfast.adapters.archive import Done, archive
from holdfast.adapters.archive.writing import Order
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import VerifierKey, origin_of
from holdfast.runtime.sealer import Evidence, Sealing
from holdfast.store import SqliteStore, open_store

ALLOW = "permit (principal, action, resource);"
LATER_MS = 100 * 86_400_000


class Life:
    """One store in a folder, the tools it was used with, and what they did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "store.db"
        self.sent: list[tuple[str, str, int]] = []
        self.looked: list[str] = []
        self.out = folder / "archives"

    def tools(self) -> list[Any]:
        """A change that is verified, a read, and a change that says no."""

        async def pay(fx: hf.Fx, *, invoice: str, amount: int, note: str = "") -> dict[str, Any]:
            """Pay an invoice."""
            self.sent.append((invoice, fx.key, amount))
            return {"paid": invoice, "secret": "the value that came back"}

        async def paid(look: hf.Look, *, invoice: str, amount: int, note: str = "") -> Any:
            return hf.Holds("it is paid") if any(one[0] == invoice for one in self.sent) else hf.Differs("it is not")

        async def balance(fx: hf.Fx, *, account: str) -> dict[str, Any]:
            """Read a balance."""
            self.looked.append(account)
            return {"balance": 7}

        async def never(fx: hf.Fx, *, order: str) -> None:
            """Say no, always."""
            raise hf.DidNotHappen("the outside says no")

        changing: dict[str, Any] = {
            "effect": "irreversible",
            "owner": "billing",
            "lands_within": "10ms",
            "no_probe": "none",
        }
        tool = hf.tool(
            **changing, resource="invoice:{invoice}", identity=("invoice",), volatile=("note",), keyed="24h",
            cost=hf.cost("amount", "EUR"),
        )(pay)  # fmt: skip
        tool.verify(paid)
        no = hf.tool(**changing, resource="order:{order}", identity=("order",), keyed="24h", attempts=1)(never)
        read = hf.tool(effect="read", resource="account:{account}", identity=("account",))(balance)
        return [tool, no, read]

    async def with_app(self, act: Callable[[Any], Coroutine[Any, Any, Any]], **more: Any) -> Any:
        """Do something with an application over the store."""
        url = f"sqlite:{self.path}"
        async with hf.open(url, tools=self.tools(), policy=more.pop("policy", ALLOW), **more) as app:
            return await act(app)

    def do(self, act: Callable[[Any], Coroutine[Any, Any, Any]], **more: Any) -> Any:
        """As :meth:`with_app`, from a test without a loop."""
        return asyncio.run(self.with_app(act, **more))

    def live(self, *purposes: str, end: bool = True) -> list[str]:
        """One run for each purpose: a payment, a read, a no; ended, unless told otherwise. Their ids."""

        async def act(app: Any) -> list[str]:
            return [await pay_for(app, purpose, end=end) for purpose in purposes]

        return self.do(act)

    def store(self) -> SqliteStore:
        """The store, to write."""
        return open_store(self.path)

    def key(self) -> Key:
        """The key that signs the log."""
        with closing(self.store()) as store:
            name = origin_of(str(store.status()["store"]))
        file = self.folder / "log.key"
        if not file.exists():
            Key.make(name).save(file)
        return Key.load(name, file)

    def seal(self) -> VerifierKey:
        """Sign a checkpoint of everything; the key to verify it with."""
        key = self.key()
        with closing(self.store()) as store:
            sealing = Sealing(store, Evidence(key=self.folder / "log.key", home=self.folder), "sealer")
            try:
                assert sealing.seal() is not None
            finally:
                sealing.close()
        return VerifierKey(key.name, bytes.fromhex(key.public_key))

    def archive(self, **more: Any) -> Done:
        """Archive everything that may go."""
        with closing(self.store()) as store:
            before_ms = more.pop("before_ms", store.now_ms() + LATER_MS)
            return archive(store, self.out, Order(before_ms, "ada", "it is old"), **more)


@contextmanager
def closing(store: SqliteStore) -> Iterator[SqliteStore]:
    """A store that is closed again."""
    try:
        yield store
    finally:
        store.close_now()


async def pay_for(app: Any, purpose: str, *, end: bool = True) -> str:
    """Begin a run, make its three calls, and end it."""
    run = await app.begin(hf.Intent(goal=f"the goal of {purpose}", purpose=purpose, principal="alice"))
    await run.call(hf.Call("pay", {"invoice": f"invoice {purpose}", "amount": 12}))
    await run.call(hf.Call("balance", {"account": f"account {purpose}"}))
    await run.call(hf.Call("never", {"order": f"order {purpose}"}))
    await run.saw("mail", f"what {purpose} was told", kind="untrusted")
    if end:
        await run.stop("it is done", state="done")
    return str(run.id)
