"""What a life leaves to whoever looks on: its waits, what was shown and said, what the laws are shown, how it ended.

Decides how notes cross from a process that dies to one that lives: over a pipe, written just before the death, which
whoever is killed from elsewhere would not do. Promises that nobody plays by these notes but the stage itself (who has
been asked, which waits were passed): application and world find what is on disk and nothing else.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.harness.faults.fault import Fault, Point
    from holdfast.harness.faults.points import Struck
    from holdfast.harness.play.recording import Turn
    from holdfast.kernel.laws.events import Event
    from holdfast.runtime.run import Report

CHUNK = 1 << 16


@dataclass
class Told:
    """Everything that is known of the lives of one play so far. Plain data: it can be sent to another interpreter."""

    faults: list[Fault] = field(default_factory=list)
    fitted: list[int] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answered: set[tuple[str, str]] = field(default_factory=set)
    prepared: bool = False
    wavering: dict[tuple[str, str], int] = field(default_factory=dict)
    """Of which reads the outside has so many more inconsistent answers."""
    born: int = 0
    seen: int = 0
    """How many changes of the world the laws have been shown."""
    deaths: int = 0
    rested: bool = False
    report: Report | None = None
    error: str = ""
    now_ms: int = 0
    """When the last life ended, in ms UTC by the world's clock."""

    @property
    def counts(self) -> Counter[tuple[str, str, str]]:
        """How often each wait was passed."""
        return Counter((point.call, point.verb, point.at) for point in self.points)

    def hear(self, notes: bytes) -> None:
        """Add what a life left."""
        if not notes:
            self.error = self.error or "a process died without a word"
            return
        left: dict[str, Any] = pickle.loads(notes)  # noqa: S301  # written by a process that was started here
        for name in ("points", "turns", "events"):
            getattr(self, name).extend(left.pop(name))
        chosen: list[Fault] = left.pop("chosen")
        for name, value in left.items():
            setattr(self, name, value)
        self.faults.extend(chosen)
        self.fitted.extend(fault.nth for fault in chosen)  # it struck, and does not strike again


class Note:
    """The pen of one life."""

    def __init__(self, told: Told, fd: int) -> None:
        """Write to this pipe what is new beside what was told before."""
        self._fd, self._told = fd, told
        self._from = {name: len(getattr(told, name)) for name in ("points", "turns", "events")}

    def write(self, **more: Any) -> None:
        """Everything at once; nothing is written twice."""
        told = self._told
        new: dict[str, Any] = {name: getattr(told, name)[since:] for name, since in self._from.items()}
        kept = {
            name: getattr(told, name)
            for name in ("fitted", "struck", "answered", "prepared", "wavering", "report", "born", "seen", "now_ms")
        }
        notes = memoryview(pickle.dumps(new | kept | more))
        while notes:
            notes = notes[os.write(self._fd, notes) :]
        os.close(self._fd)


def read(fd: int) -> bytes:
    """Everything that a life writes, until it has died."""
    parts = []
    while part := os.read(fd, CHUNK):
        parts.append(part)
    os.close(fd)
    return b"".join(parts)
