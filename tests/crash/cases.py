"""Which cases a campaign plays: every point of an undisturbed run, every point of a recovery, chance, faults.

The points are not listed by hand. An undisturbed run of each tool is traced, and so is the restart after each kill;
what they reached is what is killed next, before and after. Chance comes from the seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from tests.crash import outsides
from tests.crash.scene import TOOLS, Case, Ran, shuffled

KINDS = (*((tool, False) for tool in TOOLS), ("refund", True))
"""Every tool, and the full refund once more with a person's approval in the way."""

SIDES = ("before", "after")
IN_DOUBT = (
    "dispatch/store.commit#1:after",
    "body/wire.send#1:after",
    "body/wire.reply#1:after",
    "observe/store.later#1:before",
    "observe/store.commit#1:before",
)
"""Kills after which nobody knows: committed to dispatch and not sent, sent and not answered, answered and not kept."""

INSIDE = (
    "body/wire.send#1:before",
    "body/db.commit#1:after",
    "body/git.reply#1:before",
    "body/git.reply#1:after",
    "body/disk.put#2:after",
    "body/disk.rename#1:before",
    "body/disk.rename#1:after",
)
"""The same inside the bodies of the other outsides: on its way, staged on disk, in place and not recorded there."""
OUTSIDES = tuple((tool, False) for tool in outsides.KINDS if tool != outsides.ON_POSTGRES)
"""Every tool of the other outsides whose outside starts at once."""

FAULTS: tuple[tuple[str, object, int], ...] = (
    ("drop_reply", None, 1),
    ("work_then_hang", 1_500, 1),
    ("act_late", 300, 1),
    ("garbage", "body", 1),
    ("garbage", "wire", 1),
    ("outage", "503", 1),
)
LATER_THAN_PROMISED: tuple[str, object, int] = ("act_late", 2_500, 1)
GUARDED = ("refund", "refund_keyed", "refund_fenced", "payout")
"""Tools whose outside keeps a second change out by itself, however late the first one lands."""


Kinds = Sequence[tuple[str, bool]]


def undisturbed(kinds: Kinds = KINDS) -> list[Case]:
    """One run of each kind that nobody kills: the ground on which points are found."""
    return [Case(tool=tool, asked=asked) for tool, asked in kinds]


def every_point(rans: Iterable[Ran]) -> list[Case]:
    """A kill before and after each wait that the first worker of each undisturbed case reached."""
    return [
        Case(tool=ran.case.tool, asked=ran.case.asked, kills=(f"{address}:{side}",))
        for ran in rans
        for address in ran.trace(0)
        for side in SIDES
    ]


def in_recovery(rans: Iterable[Ran]) -> list[Case]:
    """After a kill that left doubt: a second kill, before and after each wait that the restart reached."""
    return [
        Case(tool=ran.case.tool, asked=ran.case.asked, kills=(*ran.case.kills, f"{address}:{side}"))
        for ran in rans
        if len(ran.case.kills) == 1 and ran.case.kills[0] in (*IN_DOUBT, *INSIDE) and ran.codes[0] < 0
        for address in ran.trace(1)
        for side in SIDES
    ]


def twice_in_a_row(rans: Iterable[Ran], seed: int, count: int) -> list[Case]:
    """Three kills in a row: the first leaves doubt, the next two strike the restarts at the same point."""
    return shuffled(
        [
            Case(tool=case.tool, asked=case.asked, kills=(*case.kills, case.kills[-1]))
            for case in in_recovery(rans)
            if case.kills[-1].startswith(("reconcile/", "observe/", "runtime/", "settle/", "verify/", "look/"))  # type: ignore[union-attr]
        ],
        seed,
    )[:count]


def at_random(seed: int, count: int, kinds: Kinds = KINDS) -> list[Case]:
    """Killed from outside after a random few milliseconds, once or twice."""
    dice = random.Random(seed)
    cases = []
    for number in range(count):
        tool, asked = kinds[number % len(kinds)]
        kills = tuple(dice.randrange(5, 140) for _ in range(dice.choice((1, 1, 2))))
        cases.append(Case(tool=tool, asked=asked, kills=kills))
    return cases


def with_faults(seed: int, count: int) -> list[Case]:
    """The outside misbehaves as well: each fault alone, and with a kill at a moment that leaves doubt."""
    dice = random.Random(seed)
    cases = []
    for number in range(count):
        tool, asked = KINDS[number % len(KINDS)]
        fault = FAULTS[(number // len(KINDS)) % len(FAULTS)]
        if tool in GUARDED and dice.random() < 0.2:
            fault = LATER_THAN_PROMISED
        kills = dice.choice(((), (dice.choice(IN_DOUBT),), (dice.randrange(20, 120),)))
        cases.append(Case(tool=tool, asked=asked, kills=kills, fault=fault, calls=2))
    return cases


def repeated(seed: int, count: int, kinds: Kinds = KINDS) -> list[Case]:
    """One call proposed four times, in turn or at once, by a planner that repeats itself; with a kill."""
    dice = random.Random(seed)
    cases = []
    for number in range(count):
        tool, asked = kinds[number % len(kinds)]
        kills = (dice.choice((*IN_DOUBT, dice.randrange(20, 120))),)
        cases.append(Case(tool=tool, asked=asked, kills=kills, calls=4, together=number % 2 == 0))
    return cases
