"""The planner port: what a planner is shown, and what it may answer. It can only propose.

A planner is given plain data and gives plain data back; it holds no handle on tools, ledger, policy or approvals, and
this module imports none of them. What it says is recorded before it is acted on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec


class Proposed(msgspec.Struct, frozen=True):
    """One call as proposed: a tool's name, its arguments, and the items it rests on. Nothing has happened."""

    tool: str
    args: dict[str, Any] = {}
    cites: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One planner turn: calls to make, or a final message. ``says`` is unchecked text."""

    calls: tuple[Proposed, ...] = ()
    done: bool = False
    says: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one proposed call, as the planner is told: a word, the effect, and the value or the reason."""

    tool: str
    outcome: str
    effect: str = ""
    value: Any = None
    reason: str = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a planner sees: the intent's goal, the tools it may name, what became of its calls, and what is left."""

    goal: str
    purpose: str
    step: int
    tools: tuple[str, ...]
    told: tuple[Told, ...] = ()
    items: tuple[dict[str, Any], ...] = ()
    steps_left: int | None = None
    effects_left: int | None = None
    time_left_ms: int | None = None


class Planner(Protocol):
    """Anything that turns a view into an answer."""

    async def propose(self, view: View) -> Answer:
        """The next turn."""
        ...


class Scripted:
    """A planner that says what it was told to say, in order, and is done when its script ends."""

    def __init__(self, turns: Iterable[Answer | Proposed], says: str = "done") -> None:
        """``turns`` in order; a single call stands for a turn with that call."""
        self._turns = [t if isinstance(t, Answer) else Answer(calls=(t,)) for t in turns]
        self._says = says

    async def propose(self, view: View) -> Answer:
        """The turn for this step; a resumed run goes on where its record ends."""
        if view.step < len(self._turns):
            return self._turns[view.step]
        return Answer(done=True, says=self._says)
