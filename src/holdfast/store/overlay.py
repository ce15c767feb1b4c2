"""What a batch holds that is with the disk, over what is on disk: one look at both, for readers of this process.

Promises what the batch holds first. Writes nothing.
"""

from __future__ import annotations

from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.batch import Ledger
from holdfast.store.source import SqliteSource


class Overlay:
    """What a batch in flight holds, and below it what is on disk (guard.Rows)."""

    def __init__(self, unit: Ledger, source: SqliteSource) -> None:
        """Over a batch that is being committed by a thread and so can no longer be asked to read."""
        self._unit = unit
        self._source = source

    def effect(self, effect: str) -> Effect | None:
        """The effect."""
        return self._unit.held_effect(effect) or self._source.load_effect(effect)

    def run(self, run: str) -> Run | None:
        """The run."""
        return self._unit.held_run(run) or self._source.load_run(run)

    def lease(self, resource: str) -> Lease | None:
        """The lease on a resource."""
        return self._source.load_lease(resource)

    def approval(self, approval: str) -> Approval | None:
        """The approval."""
        return self._unit.held_approval(approval) or self._source.load_approval(approval)

    def fact(self, scope: str) -> Fact | None:
        """The store-wide fact."""
        return self._unit.held_fact(scope) or self._source.load_fact(scope)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """The document."""
        return self._unit.held_document(kind, key) or self._source.load_document(kind, key)

    def restored(self) -> bool:
        """Whether the store is restored."""
        return self._source.load_restored()
