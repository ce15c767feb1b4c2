"""A product catalogue as the outside of these tests: a database file with its own books, spoiled past holdfast.

Promises that what is asserted about the outside is read from its own tables. The store under test is a parameter.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import holdfast as hf
from examples.database import books, tools
from holdfast.kernel.documents import Drift
from holdfast.runtime.drift.pacing import Pace
from holdfast.runtime.drift.records import every
from holdfast.runtime.drift.rounds import Reconciler

PERMITS = """
@id("reads-and-changes")
permit (principal, action, resource);
"""
ASKS = """
@id("ask-for-changes")
permit (principal, action, resource) when { context.approved };
"""
BRISK = Pace(every_s=0.05, lists_every_s=0.0, again_s=0.0, per_second=0.0, lease_ms=2_000)
OTHERS = "f" * 64
"""A key that no store of ours has given out."""


class Catalogue:
    """The outside: prepared in a folder, and pointed at by the tools."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "catalogue.sqlite"
        self.url = f"sqlite:{self.file}"
        os.environ["CATALOGUE_URL"] = self.url
        books.prepare(self.url)

    def run(self, statement: str, *values: Any) -> list[Any]:
        """A statement of somebody who goes past everything, the books included."""
        with sqlite3.connect(self.file) as db:
            return db.execute(statement, values).fetchall()

    def products(self) -> dict[str, int]:
        """What is for sale, at which price, as the table says."""
        return dict(self.run("SELECT sku, price FROM products"))

    def changes(self) -> int:
        """How many changes were ever made through the tools."""
        return int(self.run("SELECT count(*) FROM changes")[0][0])

    def lose(self, sku: str, *, books_too: bool = False) -> None:
        """The row is gone; with ``books_too`` as if it had never been: a backup from before was restored."""
        self.run("DELETE FROM products WHERE sku = ?", sku)
        if books_too:
            self.run("DELETE FROM changes WHERE request LIKE ?", f'%"{sku}"%')
            self.run("DELETE FROM guards WHERE sku = ?", sku)


def opened(store: str, *, policy: str = PERMITS, **more: Any) -> hf.App:
    """The application of these tests."""
    return hf.open(store, tools=tools.TOOLS, policy=policy, **more)


@asynccontextmanager
async def at_work(store: str, *, policy: str = PERMITS, pace: Pace = BRISK) -> AsyncIterator[tuple[hf.App, Reconciler]]:
    """An application and a reconciler that looks when it is told to."""
    async with opened(store, policy=policy) as app:
        reconciler = Reconciler(app, pace)
        try:
            yield app, reconciler
        finally:
            await reconciler.stop()


async def inserted(app: hf.App, sku: str, price: int = 500, purpose: str = "") -> str:
    """One product, inserted and verified; its effect."""
    run = await app.begin(hf.Intent(goal="stock", purpose=purpose or f"stock {sku}", principal="clerk"))
    outcome = await run.call(tools.insert_row(sku=sku, title="Cup", price=price))
    assert isinstance(outcome, hf.Verified), outcome
    return outcome.effect


def drifts(app: hf.App) -> list[Drift]:
    """Every record, by id."""
    return every(app.store)


def the_drift(app: hf.App) -> Drift:
    """The only record there is."""
    [drift] = drifts(app)
    return drift
