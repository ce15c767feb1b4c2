"""What a suite plays: each case as it is, under every fault it can be struck by, and under every unreliable planner.

Decides which plays there are and how each is judged. A case by itself has to end as it says. Under a fault it was not
written for it may also come to rest short of that, as long as it says so: nothing forbidden, no law broken, no claim
that the world contradicts. Under a planner that is none of its own only what happened counts, not what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from holdfast.harness.case.case import Case
from holdfast.harness.faults.fault import Fault
from holdfast.harness.oracle.judge import claimed
from holdfast.harness.oracle.verdict import Finding, Verdict
from holdfast.harness.planners import NINE, Errand
from holdfast.harness.play.play import Played, play
from holdfast.harness.play.shrink import script_of
from holdfast.kernel.model import State
from holdfast.runtime.planner import Planner

Faults = Literal["none", "all", "deep"]
TOLD = ("not done", "waiting", "unknown")
"""Claims by which a message says that something did not come to its end."""

RESTS = ("refused", "unknown-reported", "blocked")
"""Ends that are honest although the case hoped for another."""


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One play to be done: which case by its number, under which faults beside its own, planned by whom."""

    case: int
    faults: tuple[Fault, ...] = ()
    planner: str = ""
    seed: int | None = None

    @property
    def label(self) -> str:
        """What is special about it, in one line; empty for the case as it is."""
        parts = [str(fault) for fault in self.faults]
        if self.planner:
            parts.append(f"planner {self.planner}")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        return " + ".join(parts)


def done(case: Case, task: Task) -> Played:
    """Do one play and judge it as this kind of play is judged."""
    planner = _planner(case, task.planner, case.seed if task.seed is None else task.seed) if task.planner else None
    played = play(case, (*case.faults, *task.faults), seed=task.seed, planner=planner)
    if played.verdict is not None and played.missed and not task.faults and not task.planner:
        # A case that names a fault says what happens under it, and nothing of that was seen.
        verdict, said = played.verdict, f"{played.missed[0]} struck nothing"
        if verdict.end.word == "pass":
            played.verdict = replace(verdict, end=Finding("unknown", said))
    if played.verdict is not None and (task.faults or task.planner):
        played.verdict = forgiving(played, played.verdict, spoken=not task.planner)
    return played


def forgiving(played: Played, verdict: Verdict, *, spoken: bool) -> Verdict:
    """The verdict of a play that met what its case was not written for."""
    if not spoken:
        verdict = replace(verdict, honesty=Finding("pass", "not asked of such a planner"))
    why = "" if played.ended in ("broken", "lost") else _excuse(played, verdict) if spoken else "planned by others"
    if not why:
        return verdict
    fields = verdict.fields
    return replace(verdict, **{name: Finding("pass", why) for name in ("state", "end") if fields[name].word != "pass"})


def _excuse(played: Played, verdict: Verdict) -> str:
    """Why not everything that the case asks for had to be there; empty if it had to."""
    if played.ended in RESTS:
        return f"it came to rest and says so: {played.ended}"
    short = [view for view in played.effects if view.state in (State.FAILED, State.REFUSED) and not view.successor]
    told = any(claim.word == "supported" and claim.kind in TOLD for claim in claimed(played))
    honest = told and verdict.honesty.word == "pass"
    return f"{short[0].tool} is {short[0].state.value}, and it says so" if short and honest else ""


def _planner(case: Case, name: str, seed: int) -> Callable[[Any], Planner]:
    errand = errand_of(case)
    return lambda _world: NINE[name](errand, seed)


def errand_of(case: Case) -> Errand:
    """What a case asks for, as the calls that do it: as it says, or those of its oracle, or of its own planner."""
    if case.errand is not None:
        return case.errand
    played = play(case, (), planner=case.oracle or case.planner, judged=False)
    script, says = script_of(played.turns)
    return Errand(calls=tuple(call for turn in script for call in turn), says=says)


def planned(number: int, planners: Iterable[str]) -> list[Task]:
    """The first plays of a case: as it is, and under each planner."""
    return [Task(case=number), *(Task(case=number, planner=name) for name in planners)]
