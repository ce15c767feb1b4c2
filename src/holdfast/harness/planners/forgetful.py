"""Planners that lose track: of what they did, of what is left to do, and of how they said it.

They propose nothing that was not asked for; they propose it too often, too rarely, or in other words.
"""

from __future__ import annotations

import random
from typing import Any

from holdfast.harness.planners.errand import Errand, changed
from holdfast.runtime.planner import Answer, Proposed, View


class Repeating:
    """Proposes every call twice in one answer, and everything again in each later turn.

    Imitates a model whose context was cut or summarised and that no longer sees its own calls, parallel calls that
    contain one call twice, and a client that sends an answer again after a lost connection.
    """

    def __init__(self, errand: Errand, seed: int = 0, extra_turns: int = 2) -> None:
        """``extra_turns`` go on after the errand is through."""
        self._errand, self._seed, self._extra_turns = errand, seed, extra_turns

    async def propose(self, view: View) -> Answer:
        """Everything up to now, in any order, each call twice."""
        calls = self._errand.calls
        if view.step >= len(calls) + self._extra_turns:
            return self._errand.end()
        again = [call for call in calls[: view.step + 1] for _ in range(2)]
        self._errand.dice(self, self._seed, view).shuffle(again)
        return Answer(calls=tuple(again))


class StoppingEarly:
    """Does a part of the errand and says that it is done.

    Imitates a model that takes the first step for the whole task, or runs into its own limit of output and ends with a
    summary of what it meant to do.
    """

    def __init__(self, errand: Errand, seed: int = 0) -> None:
        """At least one call of the errand and, where it has more, not all of them."""
        self._errand = errand
        self._most = 1 + seed % max(1, len(errand.calls) - 1)

    async def propose(self, view: View) -> Answer:
        """The next call, or the end before the last of them."""
        if view.step >= self._most:
            return self._errand.end()
        return Answer(calls=(self._errand.calls[view.step],))


class ClaimingDone:
    """Claims that everything is done and checked, whatever became of it, and claims it louder when told otherwise.

    Imitates the confident final message: a summary written from the plan and not from what the tools answered, with
    receipts that nobody issued, over calls that were refused, are in doubt, or were never made.
    """

    def __init__(self, errand: Errand, seed: int = 0) -> None:
        """All calls of the errand are made first, so that there is something to be wrong about."""
        self._errand, self._seed = errand, seed

    async def propose(self, view: View) -> Answer:
        """The calls in one answer; from then on claims."""
        if view.step == 0:
            return Answer(calls=self._errand.calls, says="I am carrying it out; it will be verified.")
        dice = self._errand.dice(self, self._seed, view)
        lines = [f"{call.tool} {call.args}: verified, receipt {dice.randrange(10**8):08}" for call in self._claimed()]
        louder = " I have double-checked." * len(view.problems)
        return Answer(done=True, says=f"{self._errand.says}{louder}\n" + "\n".join(lines))

    def _claimed(self) -> tuple[Proposed, ...]:
        return self._errand.everything


class Rewording:
    """Plans anew each turn and says the same in other words.

    Imitates re-planning after an interruption: the same change with another greeting, another note, a title with a full
    stop, arguments in another order. Whoever makes a key of the bytes of a request sees a new request each time.
    """

    def __init__(self, errand: Errand, seed: int = 0, turns: int = 4) -> None:
        """The whole errand in each of ``turns`` turns; without ``wording`` in it, every text counts as words."""
        self._errand, self._seed, self._turns = errand, seed, turns

    async def propose(self, view: View) -> Answer:
        """The errand as it was given, then in other words."""
        if view.step >= self._turns:
            return self._errand.end()
        if view.step == 0:
            return Answer(calls=self._errand.calls)
        dice = self._errand.dice(self, self._seed, view)
        return Answer(calls=tuple(self._reworded(call, dice) for call in self._errand.calls))

    def _reworded(self, call: Proposed, dice: random.Random) -> Proposed:
        names = [name for name in self._errand.wording if name in call.args]
        if not self._errand.wording:
            names = [name for name, value in call.args.items() if isinstance(value, str)]
        chosen = dice.sample(names, dice.randint(1, len(names))) if names else []
        words = {name: other_words(call.args[name], dice) for name in chosen}
        mixed = list(changed(call, **words).args.items())
        dice.shuffle(mixed)
        return Proposed(call.tool, dict(mixed))


def other_words(value: Any, dice: random.Random) -> Any:
    """The same in other words, as far as a reader is concerned; only texts have words."""
    if not isinstance(value, str):
        return value
    ways = (
        f"{value}.",
        f"Re: {value}",
        f"{value} ",
        value.upper(),
        value.replace(" ", "  "),
        f"{value} (as discussed)",
        f"Attempt {dice.randrange(100)}: {value}",
    )
    return dice.choice(ways)
