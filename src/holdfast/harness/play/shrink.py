"""Shrinking a failing play by meaning: fewer faults, fewer turns, fewer calls, fewer and simpler arguments.

Decides which smaller play is tried next; a smaller one counts only where it fails in the same way (the same field of
the verdict, and for laws the same law). Promises that the best so far is kept whatever happens, that the result is
1-minimal (no single one of these steps makes it smaller and keeps it failing), and that the number of plays is bounded
and said. The planner becomes the script of what it answered. Does not promise the smallest counterexample there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.harness.case.case import Case
from holdfast.harness.faults.fault import Fault
from holdfast.harness.oracle.judge import compared
from holdfast.harness.oracle.touched import of_others
from holdfast.harness.play.play import Played, play
from holdfast.harness.play.recording import Turn
from holdfast.harness.play.scripts import Script
from holdfast.runtime.planner import Proposed

MOST = 200
"""Plays at most for one shrinking."""

Turns = tuple[tuple[Proposed, ...], ...]
"""The calls of a planner, turn by turn; after the last it is done."""


class Small(NamedTuple):
    """A failing play as faults and script, with how many plays it took to find and whether none smaller fails so."""

    faults: tuple[Fault, ...]
    script: Turns
    says: str
    played: Played
    plays: int
    minimal: bool

    @property
    def events(self) -> int:
        """How many things happen in it: calls and faults."""
        return len(self.faults) + sum(len(turn) for turn in self.script)


BY_WEIGHT = ("forbidden", "laws", "honesty", "state", "end")
"""Findings in the order in which one of them is taken for the failure: what must not be, before what is not there yet.

A smaller play often comes less far than the one it is made of; that is not the failure that was seen.
"""


FALLS_SHORT = ("state", "end", "honesty")
"""Findings that a play with nothing in it fails as well: there a smaller one has to be right without its faults."""


def failure(played: Played) -> tuple[str, str]:
    """How a play fails: the weightiest failing field, and for the laws which law; two empty texts if it does not."""
    verdict = played.verdict
    if verdict is None or verdict.word != "fail":
        return "", ""
    field = next(name for name in BY_WEIGHT if verdict.fields[name].word == "fail")
    law = next((law.law for law in played.laws if law.answer == "broken"), "") if field == "laws" else ""
    return field, law


def script_of(turns: tuple[Turn, ...]) -> tuple[Turns, str]:
    """What a planner proposed, turn by turn, and its last words."""
    answers = [turn.answer for turn in turns if turn.answer is not None]
    says = next((answer.says for answer in reversed(answers) if answer.done), "")
    return tuple(answer.calls for answer in answers if answer.calls), says


def shrink(
    case: Case,
    played: Played,
    *,
    most: int = MOST,
    tell: Callable[[Small], None] = lambda _small: None,
    plays: Callable[..., Played] = play,
) -> Small:
    """Make a failing play smaller; ``tell`` is shown each better one. Raises ValueError for one that does not fail."""
    wanted = failure(played)
    if wanted == ("", ""):
        raise ValueError("a play that does not fail cannot be shrunk")
    script, says = script_of(played.turns)
    best = Small(played.faults, script, says, played, 0, minimal=False)
    count = 0

    def played_as(faults: tuple[Fault, ...], lines: Turns, words: str) -> Played | None:
        nonlocal count
        count += 1
        try:
            return plays(case, faults, seed=played.seed, planner=Script(*lines, says=words))
        except Exception:  # noqa: BLE001  # a smaller one that cannot be played is none; the best so far stays
            return None

    def sound(lines: Turns, words: str) -> bool:
        """Whether these calls are not wrong by themselves: where the faults matter, they have to go on mattering."""
        calm = played_as((), lines, words)
        return calm is not None and calm.verdict is not None and calm.verdict.fields[wanted[0]].word != "fail"

    matters = bool(played.faults) and wanted[0] in FALLS_SHORT and sound(script, says)

    def attempt(faults: tuple[Fault, ...], lines: Turns, words: str) -> Played | None:
        again = played_as(faults, lines, words)
        alike = again is not None and failure(again) == wanted and _same_place(again, played, wanted[0])
        return again if alike and (not matters or sound(lines, words)) else None

    same = attempt(best.faults, best.script, says)
    if same is None:  # its planner does something that a script of its calls does not
        return best._replace(plays=count)
    best = best._replace(played=same)
    minimal = False
    while not minimal and count < most:
        minimal = True
        for faults, lines, words in _smaller(best):
            if count >= most:
                minimal = False  # something smaller is left that nobody tried
                break
            found = attempt(faults, lines, words)
            if found is not None:
                best = Small(faults, lines, words, found, count, minimal=False)
                tell(best)
                minimal = False
                break
    return best._replace(plays=count, minimal=minimal)


def _same_place(again: Played, played: Played, field: str) -> bool:
    """Whether nothing else is wrong than was wrong before, where what fails is that something changed.

    An argument that was cut makes a change that nothing allows as well; that is another failure.
    """
    if field != "forbidden":
        return True
    now, was = _wrong(again), _wrong(played)
    return now <= was and bool(now) == bool(was)


def _wrong(played: Played) -> set[str]:
    """The places that differ and are not allowed to; none where only the log shows what is wrong."""
    found = compared(played).covered
    return {one.place for one, number in found if number is None and not of_others(one, played.log)}


def case_of(case: Case, small: Small) -> Case:
    """The shrunk play as a case of its own, which passes when what failed is mended.

    What only the larger one needs is left out: where something else failed than that a change was missing, none that is
    allowed has to be there.
    """
    planner = Script(*small.script, says=small.says)
    field = failure(small.played)[0]
    alone: dict[str, Any] = {"oracle": None, "bad": None, "errand": None, "twin": ""}
    if field != "state":
        alone["allowed"] = tuple(replace(allow, must=False) for allow in case.allowed)
    return replace(case, faults=small.faults, planner=planner, seed=small.played.seed, **alone)


def counterexample(small: Small) -> list[str]:
    """What happens in it, one line each, whatever the words are: calls, faults, and what is wrong with what came."""
    lines = [f"call   {call.tool}({_args(call)})" for turn in small.script for call in turn]
    lines += [f"fault  {fault.kind} at {point}" for fault, point in small.played.struck]
    verdict = small.played.verdict
    if verdict is not None:
        name = failure(small.played)[0]
        finding = verdict.fields.get(name)
        lines.append(f"wrong  {name}: {finding.reason if finding is not None else verdict.reason}")
    return ["".join(char if char.isprintable() else ascii(char)[1:-1] for char in line) for line in lines]


def _args(call: Proposed) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in call.args.items())


def _smaller(small: Small) -> Iterator[tuple[tuple[Fault, ...], Turns, str]]:
    """Everything that is smaller by one step, the largest steps first; last, that it says nothing at its end."""
    for faults, script in _fewer(small):
        yield faults, script, small.says
    if small.says:
        yield small.faults, small.script, ""


def _fewer(small: Small) -> Iterator[tuple[tuple[Fault, ...], Turns]]:
    faults, script = small.faults, small.script
    for number in range(len(script)):
        yield faults, _without(script, number)
    for number in range(len(faults)):
        yield _without(faults, number), script
    for number, turn in enumerate(script):
        for place in range(len(turn) if len(turn) > 1 else 0):
            yield faults, _with(script, number, _without(turn, place))
    for number, fault in enumerate(faults):
        for simpler in _simpler_fault(fault):
            yield _with(faults, number, simpler), script
    for number, turn in enumerate(script):
        for place, call in enumerate(turn):
            for plainer in _simpler_call(call):
                yield faults, _with(script, number, _with(turn, place, plainer))


def _simpler_fault(fault: Fault) -> Iterator[Fault]:
    if fault.times > 1:
        yield replace(fault, times=1)
    if fault.nth > 1:
        yield replace(fault, nth=1)
    for field in ("call", "verb", "tool"):
        if getattr(fault, field):
            yield replace(fault, **{field: ""})


def _simpler_call(call: Proposed) -> Iterator[Proposed]:
    if call.cites:
        yield replace(call, cites=())
    for name, value in call.args.items():
        rest = {key: given for key, given in call.args.items() if key != name}
        yield replace(call, args=rest)
        if isinstance(value, str) and len(value) > 12:
            yield replace(call, args=call.args | {name: value[:6]})
        elif isinstance(value, list) and len(value) > 1:
            yield replace(call, args=call.args | {name: value[:1]})


def _without(items: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    return (*items[:number], *items[number + 1 :])


def _with(items: tuple[Any, ...], number: int, item: Any) -> tuple[Any, ...]:
    return (*items[:number], item, *items[number + 1 :])
