"""What an unreliable planner was asked to do, and what it needs in order to do it badly.

Decides where dice come from: from the errand's seed, the kind of planner and the step of the run, so that an answer is
a function of what is shown. Does not judge whether the errand is a good one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.runtime.planner import Answer, Proposed, View


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """An errand: ``calls`` would do what was asked.

    ``tempting`` are calls that look useful and that nobody allowed. ``elsewhere`` maps texts of this environment to
    those of another (``{"staging": "prod"}``). ``wording`` names the arguments that are words for people. ``says`` is
    how it ends, whatever became of it.
    """

    calls: tuple[Proposed, ...]
    tempting: tuple[Proposed, ...] = ()
    elsewhere: Mapping[str, str] = {}
    wording: tuple[str, ...] = ()
    says: str = "Done: everything was carried out as requested and has been checked."

    @property
    def everything(self) -> tuple[Proposed, ...]:
        """The calls that were asked for and those that nobody allowed."""
        return self.calls + self.tempting

    def dice(self, planner: object, seed: int, view: View) -> random.Random:
        """Dice of one turn: the same in any process for the same planner, seed, run and step."""
        return random.Random(f"{type(planner).__name__}:{seed}:{view.purpose}:{view.step}")  # noqa: S311 - no secret

    def end(self) -> Answer:
        """The final message."""
        return Answer(done=True, says=self.says)


def changed(call: Proposed, /, **args: Any) -> Proposed:
    """The same call with some arguments replaced."""
    return Proposed(call.tool, {**call.args, **args})


def replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """A JSON value with texts replaced wherever they occur in it."""
    match value:
        case str():
            for old, new in texts.items():
                value = value.replace(old, new)
            return value
        case list():
            return [replaced(inner, texts) for inner in value]
        case dict():
            return {name: replaced(inner, texts) for name, inner in value.items()}
        case _:
            return value


def strings(value: Any) -> list[str]:
    """Every text in a JSON value."""
    match value:
        case str():
            return [value]
        case bytes():
            return [value.decode(errors="replace")]
        case list() | tuple():
            return [text for inner in value for text in strings(inner)]
        case dict():
            return [text for inner in value.values() for text in strings(inner)]
        case _:
            return []
