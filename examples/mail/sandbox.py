"""The sandbox in which the mail contracts are proved: a mail server of its own, its mailboxes read past the tools.

    holdfast tool prove send_mail --sandbox examples/mail/sandbox.py

A mail server speaks first, so no relay is put in between: the server itself loses replies and delivers late.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from examples.mail.server import LATE_S
from examples.mail.spawn import running

NOWHERE = "127.0.0.1:1"
MANY = 1_000_000


class Post:
    """One server; every trial writes to a mailbox of its own."""

    page = 50
    """A mailbox is read as a whole; so many messages and one more stand for several pages."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-prove-"))
            self.mail = stack.enter_context(running(Path(folder)))
            for name, value in (("MAIL_SERVER", self.mail.address), ("MAIL_FOLDER", str(self.mail.folder))):
                stack.callback(_point_at, name, os.environ.get(name))
                os.environ[name] = value
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def arguments(self, n: int) -> dict[str, Any]:
        """A message to somebody who has none yet."""
        domain = "example.org" if self._tool == "send_mail" else "partner.example"
        return {"to": f"trial{n}@{domain}", "subject": f"Trial {n}", "text": "A trial.", "greeting": "Hello,"}

    def refused(self, n: int) -> dict[str, Any]:
        """An address of a domain that the server does not serve."""
        return {**self.arguments(n), "to": f"trial{n}@elsewhere.example"}

    def books(self, args: dict[str, Any]) -> int:
        """How many files lie in the mailbox."""
        return len(list((self.mail.folder / args["to"] / "new").glob("*")))

    def overwrite(self, args: dict[str, Any]) -> None:
        """Its owner replaces the message by a copy that says something else."""
        for path in (self.mail.folder / args["to"] / "new").iterdir():
            path.write_bytes(path.read_bytes().replace(b"A trial.", b"Another."))

    def snapshot(self, args: dict[str, Any]) -> dict[str, int]:
        """How many messages everybody else has."""
        boxes = [box for box in self.mail.folder.iterdir() if box.name != args["to"]]
        return {box.name: len(list((box / "new").glob("*"))) for box in boxes}

    @contextmanager
    def drop_reply(self) -> Iterator[None]:
        """Messages are delivered and not answered."""
        with self._wrong("drop-reply"):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody listens."""
        os.environ["MAIL_SERVER"] = NOWHERE
        try:
            yield
        finally:
            os.environ["MAIL_SERVER"] = self.mail.address

    @contextmanager
    def act_late(self) -> Iterator[Callable[[], None]]:
        """Messages are delivered a second after the line was closed; gives what waits for that."""
        with self._wrong("late"):
            # The server delivers by its own clock: this waits until what it was given by now must be there.
            yield lambda: time.sleep(LATE_S + 0.2)

    @contextmanager
    def _wrong(self, how: str) -> Iterator[None]:
        self.mail.goes_wrong(how, MANY)
        try:
            yield
        finally:
            (self.mail.faults / how).unlink(missing_ok=True)


def _point_at(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


sandbox = Post
"""What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
