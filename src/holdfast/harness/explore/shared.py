"""What was worked out once and is looked up after that: the same call on the same books, the same program on the same
answers, the same laws on the same event.

Schedules of one scenario have most of their steps in common, also where they do not end in one state: a crash costs
a budget and a worker, and leaves the books as they were. Frozen values make that cheap to notice. Each memory below is
keyed by the identity of everything its answer depends on, and keeps those objects, so that no identity is used twice.

Promises: the very objects that working it out gave the first time; whatever breaks a law is not remembered. It rests
on what the engine promises of its verbs (functions of their answers) and the store of its books (replaced, never
changed). Re-execution, playing and shrinking go without, and a test holds both together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from holdfast.harness.explore.virtual import Course
from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.laws import States
from holdfast.store.memory import Books

REMEMBERED = 200_000
"""How much is remembered before all of it is forgotten: an exploration may be long, and memory is not."""

_bytes_of = msgspec.json.Encoder().encode


class Commit(NamedTuple):
    """What a change came to on some books at some instant. ``folds``: the laws' states after it, by those before."""

    before: Books
    change: Change
    verdict: Verdict
    after: Books
    folds: dict[int, tuple[States, States]]


class Shared:
    """The memories of one exploration."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.forget()

    def forget(self) -> None:
        """Begin anew. What is still in use stays as it is, and is only not found again."""
        self.left = REMEMBERED
        self.commits: dict[tuple[int, int, int], Commit] = {}
        self.looks: dict[tuple[int, str, int], tuple[Books, Any]] = {}
        self.courses: dict[tuple[Any, ...], Course] = {}
        self.turns: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.folds: dict[tuple[Any, ...], tuple[Any, States]] = {}
        self._states: dict[States, States] = {}
        self._answers: dict[tuple[type, bytes], Any] = {}

    def spend(self) -> None:
        """One thing more is remembered."""
        self.left -= 1
        if self.left < 0:
            self.forget()

    def the(self, value: Any) -> Any:
        """The one object that stands for all equal records."""
        if value is None or value is True or value is False:
            return value
        return self._answers.setdefault((type(value), _bytes_of(value)), value)

    def states(self, states: States) -> States:
        """The one object that stands for all equal states of the laws."""
        return self._states.setdefault(states, states)


__all__ = ["Commit", "Shared"]
