"""Workers on one SQLite file, in one process: each an application of its own, over an outside with its own books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holdfast as hf
from holdfast.runtime.planner import View

ALL = '@id("all") permit(principal, action, resource);'
ASKS = '@id("asks") @answer("ask") @group("billing") permit(principal, action, resource);'


class Floor:
    """The store, the outside's books, and a gate in the tool's body that tests may close."""

    def __init__(self, folder: Path, *, timeout: str = "10s") -> None:
        """Nothing is open yet; the gate is open. ``timeout`` is the tool's: what is lost of a call is lost so long."""
        self._timeout = timeout
        self.url = f"sqlite:{folder / 'ledger.db'}"
        self.books: Counter[str] = Counter()
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def tool(self, words: str = "Charge one order.") -> Any:
        """The tool, with these words in its contract."""

        async def charge(fx: hf.Fx, *, order: str) -> dict[str, str]:
            self.entered.set()
            await self.gate.wait()
            self.books[fx.key] += 1
            return {"order": order}

        charge.__doc__ = words
        return hf.tool(
            effect="idempotent", resource="order:{order}", identity=("order",), keyed="24h", owner="ops",
            no_probe="its outside keeps keys", timeout=self._timeout,
        )(charge)  # fmt: skip

    def open(self, *, words: str = "Charge one order.", policy: str = ALL) -> hf.App:
        """One more application on the store."""
        return hf.open(self.url, tools=[self.tool(words)], policy=policy, environment="prod")


class Charges:
    """One call, then done."""

    async def propose(self, view: View) -> hf.Answer:
        """Charge the order that the purpose names, once."""
        if view.told:
            return hf.Answer(done=True, says="charged")
        return hf.Answer(calls=(hf.Proposed("charge", {"order": view.purpose}),))


class Raises:
    """A planner with a defect."""

    async def propose(self, view: View) -> hf.Answer:
        """Never an answer."""
        raise RuntimeError("no plan")


async def submitted(app: hf.App, purpose: str, **how: Any) -> str:
    """A queued run's id."""
    found = await app.submit(hf.Intent(goal="charge", purpose=purpose, principal="shop"), **how)
    return found.unwrap().id


def job(app: hf.App, run: str) -> Any:
    """The job as it is now."""
    return app.store.document("job", run)


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for a condition; a test in which it never comes to hold ends as failed."""
    async with asyncio.timeout(within_s):
        while not holds():  # the store of another application is no event
            await asyncio.sleep(0.01)
