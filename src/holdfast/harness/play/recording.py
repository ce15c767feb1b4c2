"""What a planner was shown and what it answered, kept beside a play; and a planner that answers from what was kept.

Decides nothing. Promises that what is kept is what crossed the planner port, in order. A recorded planner gives the
answer of the same step; where there is none it has no answer, and a play under it says where the two part.
"""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.runtime.planner import Answer, NoAnswer, Planner, View


class Turn(msgspec.Struct, frozen=True):
    """One question to a planner and its answer; ``silent`` is why there was none."""

    step: int
    shown: dict[str, Any]
    answer: Answer | None = None
    silent: str = ""


class Recording:
    """A planner with somebody who writes down what it is shown and what it says."""

    def __init__(self, planner: Planner, turns: list[Turn]) -> None:
        """Add to these turns."""
        self._planner, self._turns = planner, turns

    async def propose(self, view: View) -> Answer:
        """As the planner answers."""
        shown = msgspec.to_builtins(view)
        try:
            answer = await self._planner.propose(view)
        except NoAnswer as none:
            self._turns.append(Turn(view.step, shown, None, str(none)))
            raise
        self._turns.append(Turn(view.step, shown, answer))
        return answer


class Recorded:
    """A planner that says what was said before, step by step."""

    def __init__(self, turns: tuple[Turn, ...]) -> None:
        """The last answer of a step counts: one before it was not usable."""
        self._answers = {turn.step: turn.answer for turn in turns if turn.answer is not None}

    async def propose(self, view: View) -> Answer:
        """The answer of this step. Raises NoAnswer where none was kept."""
        answer = self._answers.get(view.step)
        if answer is None:
            raise NoAnswer("unrecorded", f"nothing was recorded for step {view.step}", again=False)
        return answer
