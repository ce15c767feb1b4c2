"""Every real death of a case, each compared with the same death in virtual time.

    for row in deaths(case):
        print(row)

Decides which deaths there are: one at each wait at which a process can die, before and after it; chains, in which every
life dies at its own n-th wait; and a sample in interpreters of their own. Promises a row for each play, with what the
system says died and every difference from the virtual play. Does not judge a case: a play that fails in both ways is no
difference.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.harness.death.differ import parted
from holdfast.harness.death.ground import Ground
from holdfast.harness.death.life import Dies
from holdfast.harness.death.lives import NOT_HERE, Lives, forked, started
from holdfast.harness.death.lives import play as play_real
from holdfast.harness.faults.fault import Fault, Point
from holdfast.harness.faults.grid import strikes_at
from holdfast.harness.oracle.verdict import Word
from holdfast.harness.play.play import play as play_virtual

if TYPE_CHECKING:
    from holdfast.harness.case.case import Case

KINDS: Final = ("crash before", "crash after")
CHAINS: Final = tuple(Dies(nth, kind) for nth in (1, 2, 3, 5, 8) for kind in reversed(KINDS))
LONGEST: Final = 12
"""How many lives of a chain die; the one after them lives on."""


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How far: of the single deaths every ``each``-th, which chains, and how many plays in interpreters of their own.

    ``part`` of ``parts`` is the share of one process, where several share a case.
    """

    each: int = 1
    chains: tuple[Dies, ...] = CHAINS
    interpreters: int = 2
    part: int = 0
    parts: int = 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One play with real deaths: how it was to die, how many processes died, and where it parted from the virtual one.

    ``cpu_ms`` is what the real play took, all its processes together. ``left_out`` says why a case is not played at
    all.
    """

    case: str
    label: str
    deaths: int = 0
    interpreters: bool = False
    virtual: Word = "unknown"
    real: Word = "unknown"
    ended: str = ""
    parted: tuple[str, ...] = ()
    cpu_ms: float = 0.0
    left_out: str = ""

    def __str__(self) -> str:
        """On one line, and one more for each difference."""
        if self.left_out:
            return f"-  {self.case} · not played: {self.left_out}"
        sign = "✗" if self.parted else "="
        where = " · interpreters" if self.interpreters else ""
        line = f"{sign}  {self.case} · {self.label}{where} · {self.deaths} died · {self.ended}, {self.real}"
        return "\n".join([line, *(f"     {one}" for one in self.parted)])


def deaths(case: Case, how: How = How()) -> Iterator[Row]:  # noqa: B008  # frozen
    """Play a case with every death that there is, one after the other."""
    if why := _cannot(case):
        yield Row(case=case.name, label="", left_out=why)
        return
    as_it_is = play_virtual(case, case.faults)
    with Ground(case) as ground:
        gc.collect()
        gc.freeze()  # what every life inherits is not walked, and so not copied, by any of them
        try:
            for number, (label, faults, dies, lives) in enumerate(_planned(case, as_it_is.points, how)):
                if number % how.parts == how.part:
                    yield _row(ground, label, faults, dies, lives)
        finally:
            gc.unfreeze()


def _cannot(case: Case) -> str:
    """Why a case has no real deaths; empty if it has."""
    if kinds := sorted({fault.kind for fault in case.faults} & NOT_HERE):
        return f"its fault {kinds[0]!r} is played in virtual time alone"
    world = case.world(case.seed)
    try:
        return "" if world.kind in ("memory", "sqlite") else f"its world ({world.kind}) is not put on file"
    finally:
        world.close()


_Plan = tuple[str, tuple[Fault, ...], Callable[[int], Dies | None], Lives]


def _planned(case: Case, points: Sequence[Point], how: How) -> Iterator[_Plan]:
    single = [fault for point in dict.fromkeys(points) for fault in strikes_at(point, KINDS)]
    yield "as it is", case.faults, _lives_on, forked
    for fault in single[:: how.each]:
        yield str(fault), (*case.faults, fault), _lives_on, forked
    for chain in how.chains:
        yield f"each life {_words(chain)}", case.faults, _chain(chain), forked
    if case.origin and single:  # what is in no file cannot be found by another interpreter
        for fault in random.Random(case.seed).sample(single, min(how.interpreters, len(single))):  # noqa: S311
            yield str(fault), (*case.faults, fault), _lives_on, started


def _lives_on(_life: int) -> None:
    return None


def _chain(dies: Dies) -> Callable[[int], Dies | None]:
    return lambda life: dies if life <= LONGEST else None


def _words(dies: Dies) -> str:
    return f"dies {dies.kind.removeprefix('crash ')} its wait {dies.nth}"


def _row(ground: Ground, label: str, faults: Sequence[Fault], dies: Callable[[int], Dies | None], lives: Lives) -> Row:
    began_s = _cpu_s()
    real, told = play_real(ground, faults, dies=dies, lives=lives, most_lives=LONGEST + 8)
    cpu_ms = (_cpu_s() - began_s) * 1000
    virtual = play_virtual(ground.case, real.faults, seed=ground.seed)
    assert real.verdict is not None, "a judged play"
    assert virtual.verdict is not None, "a judged play"
    differ = [str(one) for one in parted(virtual, real)]
    meant = real.starts - told.rested
    if told.deaths != meant:
        differ.append(f"{meant} lives did not come to rest, and the system says that {told.deaths} died")
    return Row(
        case=ground.case.name,
        label=label,
        deaths=told.deaths,
        interpreters=lives is started,
        virtual=virtual.verdict.word,
        real=real.verdict.word,
        ended=real.ended,
        parted=tuple(differ),
        cpu_ms=cpu_ms,
    )


def _cpu_s() -> float:
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system
