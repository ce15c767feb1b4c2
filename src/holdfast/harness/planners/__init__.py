"""Unreliable planners: nine ways in which a model that plans goes wrong, seeded and deterministic.

    errand = Errand(calls=(Proposed("refund", {"invoice_id": "in_1", "amount": 1200}),))
    report = await run.drive(NINE["repeating"](errand, 7))

Each turns an :class:`Errand` (what it was asked to do, as the calls that would do it) into the proposals that such a
planner would make. Promises that the same errand, seed and view give the same answer in any process: no planner here
remembers anything, so a run goes on under it after a kill. Every one of them comes to an end by itself.

Does not promise to be as inventive as a model. Each imitates one failure that its docstring names, so that a test that
breaks says what it cannot stand; :class:`Erratic` mixes them by dice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdfast.harness.planners.errand import Errand
from holdfast.harness.planners.forgetful import ClaimingDone, Repeating, Rewording, StoppingEarly
from holdfast.harness.planners.misled import (
    IgnoringRefusals,
    Inventing,
    ObeyingText,
    SwappingEnvironments,
    instructions,
)
from holdfast.runtime.planner import Answer, Planner, Scripted, View


def scripted(errand: Errand, _seed: int = 0) -> Planner:
    """The errand as it was given, in order: what the other eight are compared with."""
    return Scripted(errand.calls, says=errand.says)


NINE: Mapping[str, Callable[[Errand, int], Planner]] = {
    "scripted": scripted,
    "repeating": Repeating,
    "inventing": Inventing,
    "environment-swapping": SwappingEnvironments,
    "text-obeying": ObeyingText,
    "early-stopping": StoppingEarly,
    "done-claiming": ClaimingDone,
    "rewording": Rewording,
    "refusal-ignoring": IgnoringRefusals,
}
"""By name; each is made from an errand and a seed."""


class Erratic:
    """Any of the nine, turn by turn, by dice: nothing about the next turn follows from the last one.

    Imitates no single failure. It is for finding combinations that nobody thought of.
    """

    def __init__(self, errand: Errand, seed: int = 0, turns: int = 8) -> None:
        """``turns`` at most, then it claims to be done."""
        self._errand, self._seed, self._turns = errand, seed, turns
        self._minds = tuple(make(errand, seed) for make in NINE.values())

    async def propose(self, view: View) -> Answer:
        """What one of the nine would say now."""
        if view.step >= self._turns:
            return Answer(done=True, says=self._errand.says)
        dice = self._errand.dice(self, self._seed, view)
        answer = await dice.choice(self._minds).propose(view)
        if answer.done and dice.random() < 1 / 2:
            # Half of the early ends are put off, or most mixtures would be over after two turns.
            return Answer(calls=(dice.choice(self._errand.everything),))
        return answer


__all__ = [
    "NINE",
    "ClaimingDone",
    "Errand",
    "Erratic",
    "IgnoringRefusals",
    "Inventing",
    "ObeyingText",
    "Repeating",
    "Rewording",
    "Scripted",
    "StoppingEarly",
    "SwappingEnvironments",
    "instructions",
    "scripted",
]
