"""The stage of the other outsides: each is started when a case first needs it, and all end with the stage."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.crash.nursery import Nursery
from tests.crash.outsides import KINDS, Found, Outside
from tests.crash.scene import Case, Ground, Ran


class Outsides(Ground):
    """One service for each outside and many cases."""

    def __init__(self, folder: Path, nursery: Nursery, at_once: int, keep: contextlib.ExitStack) -> None:
        """What is started is entered into ``keep``."""
        super().__init__(folder, nursery, at_once)
        self._keep = keep
        self._started: dict[type[Outside], Outside] = {}
        self._lock = threading.Lock()

    def of(self, tool: str) -> Outside:
        """The outside that a tool changes."""
        kind = KINDS[tool].outside
        with self._lock:
            if kind not in self._started:
                self._started[kind] = kind(self.folder / kind.__name__.lower(), self._keep)  # type: ignore[call-arg]
            return self._started[kind]

    def new(self, case: Case) -> Ran:
        """A folder and a place outside for a case."""
        outside, folder = self.of(case.tool), self.place()
        ready = outside.ready(case.tool, folder.name)
        return Ran(case=case, folder=folder, store=folder / "store.db", invoice=folder.name, ready=ready)

    def errand(self, ran: Ran) -> dict[str, object]:
        """Call the tool under test."""
        assert ran.ready is not None
        tool = KINDS[ran.case.tool].tool or ran.case.tool
        return {"tool": tool, "args": ran.ready.args, "env": ran.ready.env}

    def found(self, ran: Ran) -> Found:
        """What the outside's own books say of a case."""
        return self.of(ran.case.tool).found(ran.case.tool, ran.invoice)


@contextlib.contextmanager
def outside_stage(at_once: int = 4) -> Iterator[Outsides]:
    """A stage in a temporary folder, taken down with everything on it."""
    with contextlib.ExitStack() as keep:
        folder = Path(keep.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-crash-")))
        nursery = keep.enter_context(Nursery(outsides=True))
        yield Outsides(folder, nursery, at_once, keep)
