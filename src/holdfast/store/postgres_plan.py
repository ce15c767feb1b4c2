"""A plan: changes that go to the server together, what they were planned on, and what may be planned so at all.

Decides which changes are plain: they write nothing that several workers share, and rest on nothing that only people
move. Pure, but for the future of a caller that a plan carries along. Does not decide whose an effect is
(:mod:`.postgres_ahead`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast.kernel.commit import Applied, Change, Verdict
from holdfast.kernel.errors import TakenBack
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import Effect
from holdfast.store.batch import Ledger
from holdfast.store.postgres_believed import Beliefs, Planned

if TYPE_CHECKING:
    from holdfast.store.postgres_columns import Columns

Waiter = asyncio.Future[Any]


class Plan:
    """Changes that go to the server together, and what they were planned on."""

    def __init__(self, unit: Planned, from_ms: int, link: int) -> None:
        """Nothing is planned yet; ``link`` is the number of the connection whose tokens it takes."""
        self.unit = unit
        self.from_ms = from_ms
        self.done: list[tuple[Change, int, Verdict]] = []
        self.waiters: list[tuple[Waiter, Verdict | None]] = []
        self.minted: list[int] = []
        self.link = link
        self.columns: Columns | None = None  # what is to be written, once nothing is added any more
        self.failed: Exception | None = None

    @property
    def changes(self) -> list[Change]:
        """In the order in which they were asked for."""
        return [change for change, _, _ in self.done]


class Own:
    """What is believed, as rows of a look (guard.Rows)."""

    def __init__(self, beliefs: Beliefs) -> None:
        """Raises NotHeld for what is not believed."""
        self.effect = beliefs.load_effect
        self.run = beliefs.load_run
        self.lease = beliefs.load_lease
        self.approval = beliefs.load_approval
        self.fact = beliefs.load_fact
        self.document = beliefs.load_document
        self.restored = beliefs.load_restored


def effects_of(units: Sequence[Ledger], run: str) -> dict[str, Effect]:
    """The effects of a run that plans moved, as the newest of them leaves them."""
    moved = (view for unit in reversed(units) for view in unit.moved_effects().values())
    return {view.id: view for view in moved if view.run == run}


def newer(kept: Sequence[Effect], own: dict[str, Effect]) -> list[Effect]:
    """Effects as on disk, or as this process leaves them, whichever is later; those it proposed come last."""
    there = [moved if (moved := own.pop(view.id, view)).version > view.version else view for view in kept]
    return there + sorted(own.values(), key=lambda view: view.proposed_ms)


def shared_rows(unit: Ledger) -> int:
    """How much of what several workers share it writes."""
    return len(unit.dirty_documents) + len(unit.dirty_approvals) + len(unit.dirty_facts)


def plain(change: Change) -> bool:
    """Whether it writes nothing that several workers share, and rests on nothing that only people move."""
    guard = change.guard
    shared = change.opens is not None or change.ends is not None or change.asks or change.facts or change.documents
    if shared or change.amends or guard.approval or guard.gone or guard.limits or guard.lease_over:
        return False
    return not any(note.kind == "drift" for note in change.notes) and not any(
        "approval" in draft.body or "meters" in draft.body or "decision" in draft.body for draft in change.drafts
    )


def turned(plan: Plan, answers: Sequence[Any]) -> Exception | None:
    """What was answered with yes and is no: the first, as an error."""
    waited = {id(verdict) for _, verdict in plan.waiters}
    for (change, _, verdict), answer in zip(plan.done, answers, strict=True):
        if id(verdict) in waited or isinstance(answer, Applied):
            continue
        effect = change.drafts[0].effect if change.drafts else change.run
        why = answer.why if isinstance(answer, Rejected) else str(answer)
        return TakenBack(effect=effect, run=change.run, why=why)
    return None
