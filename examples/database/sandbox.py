"""The sandbox in which the contracts for rows are proved: a database of its own, read past the tools.

    holdfast tool prove update_row --sandbox examples/database/sandbox.py

It is an SQLite file, or the PostgreSQL database that `CATALOGUE_SANDBOX` names (its three tables are made there; use
none that is real). Losses are made at the one step that changes anything, which is COMMIT: after it the reply is lost
(`drop_reply`), before it the line is cut (`outage`). A request that comes late (`act_late`) is one that was held back
before its transaction began.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from examples.database import books


class Catalogue:
    """One catalogue; every trial gets a product of its own."""

    page = 100
    """Changes are listed a hundred at a time."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-prove-")
        self._before = os.environ.get("CATALOGUE_URL")
        self._mark = secrets.token_hex(4)  # a database that was there before may hold products of an earlier proof
        default = f"sqlite:{Path(self._folder.name) / 'books.sqlite'}"
        self.url = os.environ["CATALOGUE_URL"] = os.environ.get("CATALOGUE_SANDBOX", default)
        books.prepare(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        _point_at(self._before)
        self._folder.cleanup()

    def arguments(self, n: int) -> dict[str, Any]:
        """A product that nobody has touched: in stock, or not there yet for an insertion."""
        sku = f"sku-{self._mark}-{n}"
        if self._tool == "insert_row":
            return {"sku": sku, "title": f"Product {n}", "price": 500}
        books.insert(self.url, sku, f"Product {n}", 400, key=f"stock {sku}", token=0)
        return {"sku": sku, "price": 500} if self._tool == "update_row" else {"sku": sku}

    def refused(self, n: int) -> dict[str, Any]:
        """A product that is there already, or is not there."""
        args = self.arguments(n)
        if self._tool == "insert_row":
            books.insert(self.url, args["sku"], "in the way", 1, key=f"stock {args['sku']}", token=0)
            return args
        return {**args, "sku": f"{args['sku']}-missing"}

    def books(self, args: dict[str, Any]) -> list[Any]:
        """Every change of the product that came through the tools, from every page of the table."""
        with books.reading(self.url) as session:
            rows = session.run("SELECT key, request FROM changes ORDER BY number")
        return [r for r in rows if f'"{args["sku"]}"' in r["request"] and not r["key"].startswith("stock ")]

    def foreign_change(self, args: dict[str, Any]) -> None:
        """Another program inserts the product, or sets its price."""
        with books.transaction(self.url) as session:
            if self._tool == "insert_row":
                session.run("INSERT INTO products VALUES (:sku, 'theirs', 1, 1)", sku=args["sku"])
            else:
                session.run("UPDATE products SET price = 1, version = version + 1 WHERE sku = :sku", sku=args["sku"])

    def overwrite(self, args: dict[str, Any]) -> None:
        """Another program takes away what was left: the row, the price, or that there was none."""
        with books.transaction(self.url) as session:
            if self._tool == "delete_row":
                session.run("INSERT INTO products VALUES (:sku, 'theirs', 1, 1)", sku=args["sku"])
            else:
                session.run("DELETE FROM products WHERE sku = :sku", sku=args["sku"])

    def snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        """All other products."""
        with books.reading(self.url) as session:
            rows = session.run("SELECT * FROM products WHERE sku <> :sku", sku=args["sku"])
        return {row["sku"]: row for row in rows}

    def pass_time(self, by_ms: int) -> None:
        """A unique column never forgets, however long one waits."""

    @contextmanager
    def drop_reply(self) -> Iterator[None]:
        """COMMIT is made, and nobody hears of it."""
        with _at_the_commit(after=True):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The line is cut before COMMIT arrives."""
        with _at_the_commit(after=False):
            yield

    @contextmanager
    def act_late(self) -> Iterator[Callable[[], None]]:
        """Whoever wants to change a row is held back; gives what lets them all arrive."""
        held: list[Callable[[], Any]] = []
        honest = books.once

        def later(*given: Any, **under: Any) -> Any:
            held.append(partial(honest, *given, **under))
            raise ConnectionResetError("nothing was heard of it")

        def arrive() -> None:
            while held:
                with suppress(books.Refused):
                    held.pop()()

        books.once = later
        try:
            yield arrive
        finally:
            books.once = honest


@contextmanager
def _at_the_commit(*, after: bool) -> Iterator[None]:
    honest = books.commit

    def failing(db: Any) -> None:
        if after:
            honest(db)
        raise ConnectionResetError("the line went dead")

    books.commit = failing
    try:
        yield
    finally:
        books.commit = honest


def _point_at(url: str | None) -> None:
    """Let the tools talk to this database again."""
    if url is None:
        os.environ.pop("CATALOGUE_URL", None)
    else:
        os.environ["CATALOGUE_URL"] = url


sandbox = Catalogue
"""What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
