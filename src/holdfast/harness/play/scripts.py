"""Scripts: a planner that proposes what it was told to, turn by turn, as cases name one.

    Script([look], [refund, tell], says="Refunded.")

Decides nothing; what came of an earlier call changes nothing about the next one. As a case needs a maker of planners, a
script is one: called with a world it gives the planner.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from holdfast.runtime.planner import Answer, NoAnswer, Proposed, Told, View

CAME_OUT = frozenset({"verified", "committed"})
"""Outcomes after which a careful planner goes on."""

KINDS: Final = {"failed": "not done", "refused": "not done", "superseded": "not done", "waiting": "waiting"}
"""What is claimed of a call that came out otherwise; of any other outcome, that it is not known."""

AFTER_THE_END = 8
"""How often it repeats that it is done before it has no answer any more."""


class Script:
    """Calls turn by turn, then the final message."""

    def __init__(self, *turns: Iterable[Proposed], says: str = "") -> None:
        """``turns`` are the calls of each; ``says`` is the last message."""
        self.turns = tuple(tuple(turn) for turn in turns)
        self.says = says

    def __call__(self, _world: Any) -> Script:
        """Itself: it remembers nothing."""
        return self

    def __repr__(self) -> str:
        """As it is written."""
        turns = ", ".join(f"[{', '.join(map(repr, turn))}]" for turn in self.turns)
        return f"Script({turns}{', ' if turns else ''}says={self.says!r})"

    async def propose(self, view: View) -> Answer:
        """The turn of this step."""
        if view.step < len(self.turns):
            return Answer(calls=self.turns[view.step])
        if view.step >= len(self.turns) + AFTER_THE_END:
            raise NoAnswer("unrecorded", "the script has ended", again=False)
        return Answer(done=True, says=self.says)


class Careful(Script):
    """The same calls, but it reads what became of them: it stops at the first that did not come out, and says so."""

    async def propose(self, view: View) -> Answer:
        """The turn of this step, or the end with what is known of the call that went wrong."""
        wrong = next((told for told in view.told if told.outcome not in CAME_OUT), None)
        if wrong is None:
            return await super().propose(view)
        return Answer(done=True, says=stopped(wrong))


def stopped(wrong: Told) -> str:
    """What a careful planner says of a call that did not come out: a sentence, and the same as data, with the reason.

    The reason stands in the data alone: it is the words of a tool or a rule, and no claim of who hands them on.
    """
    kind = KINDS.get(wrong.outcome, "unknown")
    told = {"claim": kind, "tool": wrong.tool, "args": wrong.args, "why": wrong.reason}
    return f"I stopped. The call of {wrong.tool} is {wrong.outcome}.\n{json.dumps(told, sort_keys=True)}"
