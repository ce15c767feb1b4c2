"""Where the contract is proved: a ledger of its own, and what may happen to it one day.

    holdfast tool prove credit --sandbox sandbox.py

Replies are lost, bookings arrive late, the ledger is out of reach, somebody else books. What really happened is counted
in the ledger's own books. Nothing of var/ is touched.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import ledger

from holdfast.harness.prove import files_under


class Sandbox:
    """A ledger in a temporary folder; every trial gets an account of its own."""

    def __enter__(self) -> Self:
        """Point the tool at the ledger of this sandbox."""
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._stack.enter_context(_variable("LEDGER", str(self.folder / "ledger.jsonl")))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave everything as it was."""
        self._stack.close()

    def arguments(self, n: int) -> dict[str, Any]:
        """A credit to an account that nobody has touched."""
        return {"account": f"account-{n}", "amount": 1200}

    def refused(self, n: int) -> dict[str, Any]:
        """What the ledger declines."""
        return {"account": f"account-{n}", "amount": 0}

    def books(self, args: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every credit of the account, whoever booked it."""
        return ledger.credits_of(args["account"])

    def foreign_change(self, args: Mapping[str, Any]) -> None:
        """A colleague books one by hand."""
        ledger.book(args["account"], 1, "by hand", key=os.urandom(8).hex())

    def overwrite(self, args: Mapping[str, Any]) -> None:
        """Somebody takes the account's credits out of the books."""
        lines = ledger.books().read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if f'"account": "{args["account"]}"' not in line]
        ledger.books().write_text("".join(kept), encoding="utf-8")

    def snapshot(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Whatever else could change: other files, and other accounts."""
        lines = ledger.books().read_text(encoding="utf-8").splitlines() if ledger.books().exists() else []
        others = [line for line in lines if f'"account": "{args["account"]}"' not in line]
        return {**files_under(self.folder, leave_out=("ledger.jsonl",)), "other accounts": others}

    def pass_time(self, by_ms: int) -> None:
        """This ledger never forgets a key, however long one waits."""

    @contextmanager
    def drop_reply(self) -> Iterator[None]:
        """It books, and the line goes dead."""
        with _variable("LOSE_REPLY", "1"):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nothing is booked: the file is a directory for a while."""
        with _variable("LEDGER", str(self.folder)):
            yield

    @contextmanager
    def act_late(self) -> Iterator[Callable[[], None]]:
        """Bookings are held up on the way, and arrive when what is given is called."""
        book, on_the_way = ledger.book, []

        def held_up(*given: Any, **named: Any) -> Any:
            on_the_way.append(partial(book, *given, **named))
            raise TimeoutError("no answer in time")

        def let_go() -> None:
            while on_the_way:
                on_the_way.pop(0)()

        ledger.book = held_up
        try:
            yield let_go
        finally:
            ledger.book = book


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for the length of a block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


sandbox = Sandbox
