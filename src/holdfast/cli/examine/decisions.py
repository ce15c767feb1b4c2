"""Whether the newest runs can show a decision for each of their effects.

Decides which runs are looked at: the newest ones, and none that is very long; ``holdfast run explain RUN`` looks at any
of them. Promises to read only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from holdfast.kernel.errors import NotReplayable
from holdfast.report.doctor import Finding, broken, fine
from holdfast.report.text import escaped
from holdfast.runtime.account import alarms
from holdfast.runtime.record import record_of

if TYPE_CHECKING:
    from holdfast.store import Store

NEWEST = 20
LONGEST = 2_000
NAMED = 5


def decisions(store: Store) -> Iterator[Finding]:
    """Effects that something was done about without a decision that the record can show."""
    runs = [run for run in store.runs(NEWEST) if run.seq <= LONGEST and not run.archived]
    found = []
    for run in runs:
        try:
            found += [(run.id, alarm) for alarm in alarms(record_of(store, run.id))]
        except NotReplayable:
            continue  # it goes on meanwhile, or was archived
    if not found:
        yield fine(
            "decisions", "store", f"each effect of the newest {len(runs)} run(s) has its decision", runs=len(runs)
        )
        return
    named = ", ".join(f"{escaped(alarm.effect)} ({alarm.code})" for _, alarm in found[:NAMED])
    yield broken(
        "undecided", "store", f"{len(found)} effect(s) without a decision that the record can show: {named}",
        why="A store refuses such moves, so somebody went past it, or took a decision away.",
        to_do=f"holdfast run explain {found[0][0]}, then: holdfast evidence verify",
        effects=[alarm.effect for _, alarm in found],
    )  # fmt: skip
