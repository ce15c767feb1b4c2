"""What a check of a bundle found: what holds, what was not looked at, and where it breaks.

A *fault* names file, line and field, so that whoever holds the bundle can look there with any tool. Decides the bounds
on how many are listed; the first ones are the most exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MOST_FAULTS = 20
MOST_CHARS = 200


class Fault(NamedTuple):
    """Something that does not fit. ``line`` counts from 1; 0: the file as a whole."""

    file: str
    line: int
    field: str
    expected: str
    found: str

    @property
    def where(self) -> str:
        """The place in words."""
        return f"{self.file}, line {self.line}, {self.field}" if self.line else f"{self.file}, {self.field}"


class Held(NamedTuple):
    """A head that the reader has from elsewhere: of the whole log (``size`` and ``root``), or the hash of an entry."""

    size: int = 0
    root: bytes = b""
    hash: str = ""
    origin: str = ""


@dataclass(slots=True)
class Checked:
    """The answer about one bundle. ``signed_by`` and ``covered`` say what the log's own key vouches for."""

    run: str
    store: str
    entries: int = 0
    effects: int = 0
    holds: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    key: str = ""
    """The verifier key under which the checkpoint was signed; empty: none of the log's."""
    trusted: bool = False
    """Whether that key is the one that was given, or follows it by endorsements."""
    signed: bool = False
    """Whether the statement is signed by a key of the log."""
    size: int = 0
    covered: int = 0
    """How many entries of the run the checkpoint covers."""

    @property
    def broken(self) -> bool:
        """Whether anything does not fit."""
        return bool(self.faults)

    @property
    def sealed(self) -> bool:
        """Whether statement, checkpoint and every entry hang together under a key of the log."""
        return bool(self.key) and self.signed and self.covered == self.entries and not self.broken

    def fault(self, file: str, line: int, field: str, expected: object, found: object) -> None:
        """Note what does not fit."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(file, line, field, str(expected)[:MOST_CHARS], str(found)[:MOST_CHARS]))
