"""The programs of the tests that copy stores: a worker whose outside keeps its own books, and a copy that is killed.

Run as ``python moving_house.py copy FROM TO PHASE`` or ``… work STORE BOOKS HOW-MANY`` or ``… hang STORE BOOKS``. The
books are one line a booking, written before anything is answered: whoever counts them counts what really happened.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import holdfast as hf
from holdfast.kernel.errors import HoldfastError
from holdfast.store.address import address
from holdfast.store.copying import Copied, Order, copy

ALLOW = '@id("all") permit (principal, action, resource);'


def book(books: Path, key: str, invoice: str) -> None:
    """One booking; nothing keeps a second one out."""
    with books.open("a", encoding="utf-8") as file:
        file.write(f"{key} {invoice}\n")
        file.flush()
        os.fsync(file.fileno())


def booked(books: Path) -> list[str]:
    """The invoices that were booked, as often as they were."""
    return [line.split()[1] for line in books.read_text().splitlines()] if books.exists() else []


def tool(books: Path, *, hangs: bool = False) -> hf.Tool[..., object]:
    """A refund that can be probed by its key."""

    @hf.tool(
        effect="irreversible", resource="invoice:{invoice}", identity=("invoice",), volatile=("note",), owner="billing",
        lands_within="1s", visible_within="0s",
    )  # fmt: skip
    def refund(fx: hf.Fx, *, invoice: str, note: str = "") -> str:
        """Refund one invoice."""
        book(books, fx.key, invoice)
        if hangs:
            print("hanging", flush=True)
            time.sleep(60)
        return invoice

    @refund.probe
    def found(look: hf.Look) -> hf.Happened | hf.Absent:
        """Whether the key is in the books."""
        there = books.exists() and look.key in books.read_text()
        return hf.Happened("found") if there else hf.Absent(why="no such key")

    return refund


def work(store: str, books: Path, invoices: list[str], *, purpose: str = "ticket", hangs: bool = False) -> list[str]:
    """Refund these, one after the other; the names of the outcomes."""
    refund = tool(books, hangs=hangs)
    with hf.open(store, tools=[refund], policy=ALLOW) as app:
        run = app.begin(hf.Intent(goal="refund", purpose=purpose, principal="support"))
        return [type(run.call(refund(invoice=invoice, note="for Anna Muster"))).__name__ for invoice in invoices]


def move(source: str, target: str, phase: str = "", **more: bool) -> Copied:
    """Copy a store, and die by SIGKILL when it says that this phase is over."""

    def tell(over: str, _done: int, _of: int) -> None:
        if over == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    return copy(address(source), address(target), Order("maria", "a larger house", **more), tell)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    try:
        if what == "copy":
            print(move(os.environ.get("FROM", rest[0]), os.environ.get("TO", rest[1]), rest[2]).root)
        elif what == "hang":
            work(rest[0], Path(rest[1]), ["hung"], hangs=True)
        else:
            for number in range(int(rest[2])):
                work(rest[0], Path(rest[1]), [f"in_{number}"])
                print(number, flush=True)
    except HoldfastError as error:
        print(error.code, flush=True)
        sys.exit(9)
