"""Walk through the catalogue's contracts; after each step prints what the database itself says.

Without an argument on SQLite in a folder of its own; `python -m examples.database.run postgresql://…` on a database
of yours, in which it makes three tables.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import holdfast as hf
from examples.database import books, tools

HERE = Path(__file__).resolve().parent
INES = hf.Key.make("ines")
"""The approver of this walk: a key made for it and kept nowhere."""
SKU = "lamp-7"


def say(step: str, outcome: hf.Outcome) -> None:
    """One line: what was asked for, how it ended, how many changes the database has, and the row."""
    row = books.product(tools.address(), SKU)
    shown = f"{row['price']} cents, version {row['version']}" if row else "no row"
    count = len(tools.listed())
    print(f"{step:<58} {type(outcome).__name__:<9} {count} changes, {shown}")


@contextmanager
def reply_lost() -> Iterator[None]:
    """The next commit is made, and the line goes dead before anybody hears of it."""
    honest = books.commit

    def commit(db: Any) -> None:
        books.commit = honest
        honest(db)
        raise ConnectionResetError("the line went dead after the commit")

    books.commit = commit
    try:
        yield
    finally:
        books.commit = honest


@contextmanager
def overtaken() -> Iterator[None]:
    """Somebody else sets the price after the version was read and before ours is written."""
    honest = tools.version_in

    def version_in(expect: str) -> int | None:
        tools.version_in = honest
        by_hand(777)
        return honest(expect)

    tools.version_in = version_in
    try:
        yield
    finally:
        tools.version_in = honest


def by_hand(price: int) -> None:
    """Another program of the company changes the row."""
    with books.transaction(tools.address()) as session:
        session.run("UPDATE products SET price = :price, version = version + 1 WHERE sku = :sku", price=price, sku=SKU)


async def walk(folder: Path) -> None:
    """Insert, repeat, lose a reply, be overtaken, delete on an approval that went stale, and offset."""
    books.prepare(tools.address())
    store = f"sqlite:{folder / 'catalogue.db'}"
    async with hf.open(store, tools=tools.TOOLS, policy=HERE / "policy.cedar", environment="prod") as app:
        app.approvers.add(INES, groups=["catalogue"])

        async def begin(purpose: str) -> hf.RunHandle:
            return await app.begin(hf.Intent(goal=purpose, purpose=purpose, principal="catalogue-agent"))

        first = await begin("list the lamp")
        insert = tools.insert_row(sku=SKU, title="A lamp", price=500)
        say("insert a product", await first.call(insert))
        say("the planner repeats itself: the same effect", await first.call(insert))
        second = await begin("summer price")
        with reply_lost():
            out = await second.call(tools.update_row(sku=SKU, price=450))
        say("a new price; the reply is lost after the commit", out)
        third = await begin("winter price")
        with overtaken():
            out = await third.call(tools.update_row(sku=SKU, price=600))
        say("somebody else writes between our read and our write", out)
        fourth = await begin("end of life")
        delete = tools.delete_row(sku=SKU)
        asked = await fourth.call(delete)
        say("deleting asks a person", asked)
        assert isinstance(asked, hf.Waiting)
        await app.approve(asked.request, key=INES)
        by_hand(888)
        say("the row moved after the yes", await fourth.call(delete))
        anew = await fourth.call(delete)
        assert isinstance(anew, hf.Waiting)
        await app.approve(anew.request, key=INES)
        gone = await fourth.call(delete)
        say("a yes to the row as it is", gone)
        assert isinstance(gone, hf.Verified)
        say("undone: a new effect inserts it anew", await fourth.undo(gone.effect, reason="it sells again"))


def main() -> None:
    """Choose the database and walk."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CATALOGUE_URL"] = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:{folder}/books.sqlite"
        asyncio.run(walk(Path(folder)))


if __name__ == "__main__":
    main()
