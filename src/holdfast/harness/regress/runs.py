"""What a planner did in a recorded run, as a script that is played in a case's world.

Decides what of a run makes a script: every answer that was recorded, in order, with the calls as they were proposed,
and the last words. Promises that nothing is asked or sent for it, and that an answer whose body was taken out of the
record is refused instead of skipped. What the world of that run was is not in its record: a case says in which world it
is played, and what may change there.
"""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.harness.play.scripts import Script
from holdfast.kernel import canon
from holdfast.kernel.errors import BadValue
from holdfast.runtime.view import Turn
from holdfast.store.evidence import Entry


class Ledger(Protocol):
    """What is read of a store."""

    def entries(self, of: str, limit: int = -1, after: int = 0) -> list[Entry]:
        """The entries of a run, in order."""
        ...


def script_of_run(store: Ledger, run: str) -> Script:
    """The answers of a run's planner. Raises BadValue where there is none, or where one is not readable any more."""
    turns: list[Any] = []
    says = ""
    for entry in store.entries(run):
        if entry.kind != "step" or entry.effect:
            continue
        if entry.body is None:
            why = f"entry {entry.seq} of {run} was redacted: what its planner answered there is not known any more"
            raise BadValue(path="$.run", why=why, value_type="Run")
        turn = Turn(len(turns), entry.at_ms, canon.decode(entry.body))
        if turn.calls:
            turns.append(turn.calls)
        says = turn.says or says
    if not turns:
        raise BadValue(
            path="$.run", why=f"no planner proposed a call in {run}: there is nothing to play", value_type="Run"
        )
    return Script(*turns, says=says)
