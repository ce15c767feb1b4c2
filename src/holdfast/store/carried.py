"""What the batch before had at its end, for the next one to start from where nobody else wrote in between.

SQLite counts the changes of a file (its *data version*). A batch notes the number right after its commit; the
next one compares it inside its own transaction, which nobody can write beside. Equal: every row that the
batch before held is the row in the file, and need not be read and decoded again. Not equal: nothing is
carried. The mode and the last token are read in every transaction all the same.

Promises no row that another connection or process could have changed. Keeps one batch, never a longer
history.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.seen import Standings
from holdfast.store.source import SqliteSource


class Left(NamedTuple):
    """The rows of one batch as it committed them (None: not there), their numbers, and the data version."""

    effects: dict[str, Effect | None]
    runs: dict[str, Run | None]
    leases: dict[str, Lease | None]
    approvals: dict[str, Approval | None]
    facts: dict[str, Fact | None]
    documents: dict[tuple[str, str], AnyDocument | None]
    effect_n: dict[str, int]
    run_n: dict[str, int]
    standings: Standings
    version: int


class Carried:
    """A transaction's source (see :class:`holdfast.store.unit.Source`) that asks the batch before first."""

    def __init__(self, source: SqliteSource, left: Left) -> None:
        """Only where the data version inside the open transaction is ``left.version``."""
        self._source = source
        self._left = left
        self.load_last_token = source.load_last_token
        self.load_restored = source.load_restored
        self.salt = source.salt

    def load_effect(self, effect: str) -> Effect | None:
        """One effect, and its row's number."""
        left, source = self._left, self._source
        if effect not in left.effects:
            return source.load_effect(effect)
        n = left.effect_n.get(effect)
        if n is not None:
            source.effect_n[effect] = n
        return left.effects[effect]

    def load_run(self, run: str) -> Run | None:
        """One run, and its row's number."""
        left, source = self._left, self._source
        if run not in left.runs:
            return source.load_run(run)
        n = left.run_n.get(run)
        if n is not None:
            source.run_n[run] = n
        return left.runs[run]

    def load_lease(self, resource: str) -> Lease | None:
        """One lease."""
        leases = self._left.leases
        return leases[resource] if resource in leases else self._source.load_lease(resource)

    def load_approval(self, approval: str) -> Approval | None:
        """One approval."""
        approvals = self._left.approvals
        return approvals[approval] if approval in approvals else self._source.load_approval(approval)

    def load_fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        facts = self._left.facts
        return facts[scope] if scope in facts else self._source.load_fact(scope)

    def load_document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        documents = self._left.documents
        return documents[kind, key] if (kind, key) in documents else self._source.load_document(kind, key)
