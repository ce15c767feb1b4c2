"""A page: the same facts as lines for a person and as plain data for a machine.

Decides the layout (labels in one column, values in the next), the sign of each state and the exit code it
answers with. Promises that a symbol never stands without its word. Does not escape: whoever adds a line does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from holdfast.kernel.model import Effect, State

LABEL_CHARS = 12


class Span(NamedTuple):
    """A piece of a line and the role it plays: label, head, good, bad, doubt, still, quiet, or none."""

    text: str
    role: str = ""


@dataclass(slots=True)
class Page:
    """What a command answers with; ``exit_code`` is part of the answer."""

    data: Any
    lines: list[tuple[Span, ...]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    truncated: bool = False
    exit_code: int = 0

    def head(self, text: str, *more: Span) -> None:
        """A heading line."""
        self.lines.append((Span(text, "head"), *more))

    def fact(self, label: str, value: str | Span, *more: Span) -> None:
        """A label and its value; lines of a value that is a list are added with an empty label."""
        first = value if isinstance(value, Span) else Span(value)
        self.lines.append((Span(f"  {label:<{LABEL_CHARS}}", "label"), first, *more))

    def facts(self, label: str, values: list[str] | tuple[str, ...]) -> None:
        """One label with a line for each value."""
        for number, value in enumerate(values):
            self.fact(label if number == 0 else "", value)

    def line(self, *spans: Span | str) -> None:
        """Any line."""
        self.lines.append(tuple(s if isinstance(s, Span) else Span(s) for s in spans))

    def gap(self) -> None:
        """An empty line."""
        self.lines.append(())

    def text(self) -> str:
        """The lines without roles, as a pipe gets them."""
        return "".join("".join(s.text for s in line).rstrip() + "\n" for line in self.lines)


class Sign(NamedTuple):
    """How a state is shown: symbol, word, role."""

    symbol: str
    word: str
    role: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.word}"

    @property
    def span(self) -> Span:
        """As a piece of a line."""
        return Span(str(self), self.role)


SIGNS: dict[State, Sign] = {
    State.PROPOSED: Sign("…", "proposed", "still"),
    State.WAITING: Sign("…", "waiting", "still"),
    State.ADMITTED: Sign("…", "admitted", "still"),
    State.CLAIMED: Sign("▶", "claimed", "still"),
    State.DISPATCHED: Sign("▶", "dispatched", "doubt"),
    State.PENDING: Sign("…", "pending", "still"),
    State.UNKNOWN: Sign("?", "unknown", "doubt"),
    State.COMMITTED: Sign("✓", "committed", "good"),
    State.FAILED: Sign("✗", "failed", "bad"),
    State.VERIFIED: Sign("✓", "verified", "good"),
    State.UNCONFIRMED: Sign("?", "unconfirmed", "doubt"),
    State.REFUSED: Sign("⊘", "refused", "quiet"),
    State.SUPERSEDED: Sign("⊘", "superseded", "quiet"),
    State.COMPENSATED: Sign("↺", "compensated", "quiet"),
    State.ABANDONED: Sign("?", "abandoned", "doubt"),
}

CODES: dict[State, int] = {
    State.VERIFIED: 0,
    State.COMMITTED: 0,
    State.COMPENSATED: 0,
    State.FAILED: 1,
    State.UNKNOWN: 3,
    State.ABANDONED: 3,
    State.DISPATCHED: 3,
    State.PROPOSED: 4,
    State.WAITING: 4,
    State.ADMITTED: 4,
    State.CLAIMED: 4,
    State.PENDING: 4,
    State.REFUSED: 5,
    State.SUPERSEDED: 5,
}


def exit_code(view: Effect) -> int:
    """The exit code that answers "is it done?": done only once the agreed verification has held."""
    if view.state is State.UNCONFIRMED:
        return 1 if view.differs.startswith("differs") else 3
    if view.state is State.COMMITTED and view.next == "verify":
        return 3
    return CODES[view.state]


def sign(view: Effect) -> Sign:
    """The sign of an effect; attested, unverified and checked are told apart in the word."""
    plain = SIGNS[view.state]
    if view.state is State.COMMITTED and view.attested_by:
        return Sign(plain.symbol, "committed (attested, never verified)", plain.role)
    if view.state is State.COMMITTED and view.next == "verify":
        return Sign("…", "committed, not verified yet", "still")
    if view.state is State.FAILED and view.attested_by:
        return Sign(plain.symbol, "failed (attested)", plain.role)
    if view.state is State.UNKNOWN and view.escalated:
        return Sign(plain.symbol, "unknown, a human moves next", plain.role)
    return plain


def counted(states: Mapping[str, int]) -> list[str]:
    """Counts by state, in the order of a life, each with its symbol and word."""
    return [f"{SIGNS[s].symbol} {s.value} {states[s.value]}" for s in State if states.get(s.value)]
