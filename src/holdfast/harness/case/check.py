"""Admission of a case: whether it can tell right from wrong, before anybody believes what it says.

Decides five things, each by playing: the plan that does it right passes; doing nothing does not (or is the right
answer); something wrong fails it (its bad plan, an unreliable planner, a fault, a tool whose change is left out); every
single change of the right end is noticed; and two plays give the same bytes.

Promises that whatever it says was seen: a word of *pass* names the play that gave it. Does not promise that the case
tests what its name says.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from holdfast.harness.case.case import Case
from holdfast.harness.faults.grid import faults_of
from holdfast.harness.oracle.judge import strength_of
from holdfast.harness.oracle.strength import Strength
from holdfast.harness.oracle.touched import of_others
from holdfast.harness.oracle.verdict import Word, worst
from holdfast.harness.planners import NINE, Errand
from holdfast.harness.play.bundle import bundle, digest, parting
from holdfast.harness.play.play import Played, play
from holdfast.harness.play.scripts import Script
from holdfast.harness.play.shrink import script_of
from holdfast.harness.world.difference import difference
from holdfast.runtime.planner import Planner

NOTHING = Script()
"""A planner that does nothing and says nothing."""

SHOWN = 5


class Checked(NamedTuple):
    """One question of admission and its answer."""

    name: str
    word: Word
    why: str
    seen: tuple[str, ...] = ()


class Admission(NamedTuple):
    """All of them, for one case. ``strength`` is None where no right end was seen."""

    case: Case
    checks: tuple[Checked, ...]
    strength: Strength | None
    plays: int

    @property
    def word(self) -> Word:
        """The worst of them."""
        return worst(check.word for check in self.checks)


def twins(case: Case, names: Container[str]) -> tuple[Checked, ...]:
    """Whether the twin that a case names is among these cases; nothing for a case that names none."""
    if not case.twin:
        return ()
    if case.twin in names:
        return (Checked("twin", "pass", f"{case.twin} is there"),)
    return (Checked("twin", "fail", f"there is no case {case.twin}"),)


class _Plays:
    """The plays of one admission, counted."""

    def __init__(self, case: Case) -> None:
        self.case, self.count = case, 0

    def __call__(self, planner: Callable[[Any], Planner] | None = None, faults: Any = None) -> Played:
        self.count += 1
        return play(self.case, faults, planner=planner)


def check(case: Case) -> Admission:
    """Play a case as often as it takes to admit it."""
    plays = _Plays(case)
    right = plays(case.oracle)
    told = [_right(case, right), _idle(right, plays(NOTHING))]
    strong = strength_of(right) if _word(right) == "pass" else None
    told.append(_sensitive(case, plays, right, strong))
    if strong is not None:
        told.append(_strong(strong))
    told.append(_twice(case, right, plays(case.oracle)))
    return Admission(case, tuple(told), strong, plays.count)


def _right(case: Case, right: Played) -> Checked:
    who = "the oracle's plan" if case.oracle is not None else "its own planner, for want of an oracle,"
    word = _word(right)
    if word == "pass":
        return Checked("right", "pass", f"{who} passes")
    return Checked("right", word, f"{who} does not pass: {_reason(right)}", _lines(right))


def _idle(right: Played, idle: Played) -> Checked:
    if _word(idle) != "pass":
        return Checked("idle", "pass", f"doing nothing does not pass: {_reason(idle)}")
    if all(of_others(one, right.log) for one in difference(right.before, right.after)):
        return Checked("idle", "pass", "doing nothing passes, and is the right answer: nothing is to change")
    return Checked("idle", "fail", "doing nothing passes, although there is something to do")


def _sensitive(case: Case, plays: _Plays, right: Played, strong: Strength | None) -> Checked:
    """The first wrong way that fails."""
    if _word(right) != "pass":
        return Checked("sensitive", "unknown", "no right play was seen that a wrong one could differ from")
    tried = 0
    for what, wrong in _wrong_ways(case, plays, right):
        tried += 1
        if (why := _noticed(wrong)) is not None:
            return Checked("sensitive", "pass", f"{what} fails it: {why}")
    undone = strong is not None and strong.undone
    if undone:
        return Checked("sensitive", "pass", f"a tool whose change is left out fails it; {tried} other ways passed")
    return Checked("sensitive", "fail", f"nothing fails it: {tried} wrong ways were played, and all of them passed")


def _noticed(wrong: Played) -> str | None:
    """Why a wrong way fails, by what the case says; that its words are untrue is no merit of the case."""
    fields = wrong.verdict.fields if wrong.verdict is not None else {}
    told = (f"{name}: {fields[name].reason}" for name in ("forbidden", "state", "end") if fields[name].word == "fail")
    return next(told, None)


def _wrong_ways(case: Case, plays: _Plays, right: Played) -> Iterator[tuple[str, Played]]:
    if case.bad is not None:
        yield "its bad plan", plays(case.bad)
    errand = case.errand or _errand(right)
    if errand.calls:
        for name in NINE:
            if name != "scripted":
                yield f"the planner {name}", plays(_maker(name, errand, case.seed))
    for fault in faults_of(case, right.points):
        yield f"the fault {fault}", plays(case.oracle, (*case.faults, fault))


def _maker(name: str, errand: Errand, seed: int) -> Callable[[Any], Planner]:
    return lambda _world: NINE[name](errand, seed)


def _errand(right: Played) -> Errand:
    script, says = script_of(right.turns)
    return Errand(calls=tuple(call for turn in script for call in turn), says=says)


def _strong(strong: Strength) -> Checked:
    if not strong.unnoticed:
        return Checked("strength", "pass", f"all {strong.made} single changes of the right end are noticed")
    left = strong.unnoticed[:SHOWN]
    more = len(strong.unnoticed) - len(left)
    why = f"{strong.noticed} of {strong.made} single changes of the right end are noticed ({strong.percent} %)"
    return Checked("strength", "unknown", why, (*left, *((f"and {more} more",) if more else ())))


def _twice(case: Case, one: Played, other: Played) -> Checked:
    left, right = bundle(one), bundle(other)
    if digest(left) == digest(right):
        return Checked("twice", "pass", f"two plays are the same: {digest(left)[:23]}…")
    where = parting(left, right)
    seen = tuple(str(where).splitlines()) if where is not None else ()
    world = case.world(case.seed)
    real = world.real
    world.close()
    if real:  # times and names of real parts are not chosen by a seed: what was done has to be the same
        if _doing(one) == _doing(other):
            return Checked("twice", "pass", f"two plays over a {world.kind} world did the same")
        return Checked("twice", "unknown", f"two plays over a {world.kind} world are not the same", seen)
    return Checked("twice", "fail", "two plays of it are not the same", seen)


def _doing(played: Played) -> tuple[Any, ...]:
    log = [(entry.service, entry.operation, entry.places, entry.by) for entry in played.log]
    return dict(played.after), log, played.ended, played.says


def _word(played: Played) -> Word:
    return played.verdict.word if played.verdict is not None else "unknown"


def _reason(played: Played) -> str:
    return (played.verdict.reason if played.verdict is not None else "") or played.error or played.ended


def _lines(played: Played) -> tuple[str, ...]:
    if played.verdict is None:
        return ()
    found = [f"{n}: {f.reason}" for n, f in played.verdict.fields.items() if f.word != "pass"]
    return (*found, *(line for f in played.verdict.fields.values() if f.word != "pass" for line in f.seen[:SHOWN]))
