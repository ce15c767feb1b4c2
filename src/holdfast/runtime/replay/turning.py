"""A drive of a planner, played back: the shipped turns over a planner, a handle and a desk that are the tape's.

How often a drive asks, repeats and waits is the caller's choice and not recorded, unless it stopped a run: then its
reason says so. A drive is tried with the terms that hold by default first, then with those of its reason.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any, NamedTuple

from holdfast.kernel.model import Run
from holdfast.kernel.ports import Ports
from holdfast.runtime.replay.desk import TapeDesk, TapeHandle, TapePlanner
from holdfast.runtime.replay.tape import Tape
from holdfast.runtime.stops import TOLERANCE, Ground, Tolerance
from holdfast.runtime.turns import PATIENCE, Patience, Turns

MANY = 1 << 40
_FIRST = re.compile(r"\d+")
_TRIES = re.compile(r"gave no answer (\d+) times in a row")
_LONGEST = re.compile(r"asked again only in (\d+) ms")


class Terms(NamedTuple):
    """What whoever drove allowed the drive."""

    max_steps: int = MANY
    tries: int = PATIENCE.tries
    longest_wait_ms: int = PATIENCE.longest_wait_ms
    scope_exits: int = TOLERANCE.scope_exits
    repeats: int = TOLERANCE.repeats
    idle_steps: int = TOLERANCE.idle_steps


_NAMED = {Ground.SCOPE: "scope_exits", Ground.REPETITION: "repeats", Ground.NO_PROGRESS: "idle_steps"}


def terms_of(tape: Tape, at: int) -> tuple[Terms, Terms]:
    """The terms of the drive that goes on at an entry: by default but for what its end tells, and without bounds."""
    told = _told(tape, at)
    bounds = dict.fromkeys(Terms._fields, MANY)
    return Terms(**told), Terms(**(bounds | told))


def _told(tape: Tape, at: int) -> dict[str, int]:
    """The term on which a drive ended, in the words of its end; empty where it was none."""
    for i in tape.ahead(at, "blocked", "done", "waiting"):
        if tape.entries[i].effect:
            continue
        reason = str(tape.bodies[i].get("reason", ""))
        code = (tape.bodies[i].get("stop") or {}).get("code", "")
        first = _FIRST.search(reason)
        if code == Ground.TURNS and first:
            return {"max_steps": int(first[0])}
        if code in _NAMED and first:
            return {_NAMED[code]: int(first[0])}
        if found := _TRIES.search(reason):
            return {"tries": int(found[1])}
        if found := _LONGEST.search(reason):
            return {"longest_wait_ms": int(found[1]) - 1}
        break
    return {}


def drive(desk: TapeDesk, ports: Ports, run: Run, narrowed: tuple[str, ...], terms: Terms) -> Coroutine[Any, Any, Any]:
    """The drive itself."""
    handle = TapeHandle(desk, run, narrowed)
    patience = Patience(tries=terms.tries, longest_wait_ms=terms.longest_wait_ms)
    tolerance = Tolerance(scope_exits=terms.scope_exits, repeats=terms.repeats, idle_steps=terms.idle_steps)
    return Turns(handle, desk, ports, TapePlanner(), patience, tolerance).drive(terms.max_steps)
