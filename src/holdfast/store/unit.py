"""The unit of work every store shares: rows read inside one transaction, changes planned on them, entries chained.

A store opens a transaction, hands a :class:`Source` to a :class:`Unit`, applies any number of changes to it, each
with its own verdict, and then writes what the unit collected and commits. Rows are read once per transaction and
never kept across it. What a commit *means* is :func:`holdfast.kernel.commit.plan`, the same for every store.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from holdfast.kernel.canon import encode
from holdfast.kernel.commit import Change, Line, Verdict, plan
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.evidence import Entry, seal
from holdfast.store.seen import Standings


class Source(Protocol):
    """How one transaction reads its rows. Every answer is the committed row as this transaction sees it."""

    def load_effect(self, effect: str) -> Effect | None: ...
    def load_run(self, run: str) -> Run | None: ...
    def load_lease(self, resource: str) -> Lease | None: ...
    def load_approval(self, approval: str) -> Approval | None: ...
    def load_fact(self, scope: str) -> Fact | None: ...
    def load_document(self, kind: str, key: str) -> AnyDocument | None: ...
    def load_last_token(self) -> int: ...
    def load_restored(self) -> bool: ...
    def salt(self) -> bytes: ...


class Unit:
    """One transaction's worth of planned work. ``dirty_*`` and ``entries`` are what must be written."""

    def __init__(self, source: Source) -> None:
        """Start empty over a source."""
        self._source = source
        self._effects: dict[str, Effect | None] = {}
        self._runs: dict[str, Run | None] = {}
        self._leases: dict[str, Lease | None] = {}
        self._approvals: dict[str, Approval | None] = {}
        self._facts: dict[str, Fact | None] = {}
        self._documents: dict[tuple[str, str], AnyDocument | None] = {}
        self._restored: bool | None = None
        self._token: int | None = None
        self.dirty_effects: set[str] = set()
        self.dirty_runs: set[str] = set()
        self.dirty_leases: set[str] = set()
        self.dirty_approvals: set[str] = set()
        self.dirty_facts: set[str] = set()
        self.dirty_documents: set[tuple[str, str]] = set()
        self.entries: list[Entry] = []
        self.standings: Standings = {}  # for looks; empty again whenever a fact moves
        self.now_ms = 0

    def do(self, change: Change, now_ms: int) -> Verdict:
        """Plan one change on this unit's rows, at the store's time."""
        self.now_ms = now_ms
        return plan(change, self, now_ms)

    @property
    def token(self) -> int | None:
        """The last token minted here, None if none was."""
        return self._token

    # -- reading (guard.Rows) --

    def effect(self, effect: str) -> Effect | None:
        try:
            return self._effects[effect]
        except KeyError:
            found = self._effects[effect] = self._source.load_effect(effect)
            return found

    def run(self, run: str) -> Run | None:
        try:
            return self._runs[run]
        except KeyError:
            found = self._runs[run] = self._source.load_run(run)
            return found

    def lease(self, resource: str) -> Lease | None:
        try:
            return self._leases[resource]
        except KeyError:
            found = self._leases[resource] = self._source.load_lease(resource)
            return found

    def approval(self, approval: str) -> Approval | None:
        try:
            return self._approvals[approval]
        except KeyError:
            found = self._approvals[approval] = self._source.load_approval(approval)
            return found

    def fact(self, scope: str) -> Fact | None:
        try:
            return self._facts[scope]
        except KeyError:
            found = self._facts[scope] = self._source.load_fact(scope)
            return found

    def document(self, kind: str, key: str) -> AnyDocument | None:
        try:
            return self._documents[kind, key]
        except KeyError:
            found = self._documents[kind, key] = self._source.load_document(kind, key)
            return found

    def restored(self) -> bool:
        if self._restored is None:
            self._restored = self._source.load_restored()
        return self._restored

    # -- writing (commit.Tables) --

    def put_effect(self, effect: Effect, before: Effect | None) -> None:  # noqa: ARG002 - stores may want it
        self._effects[effect.id] = effect
        self.dirty_effects.add(effect.id)

    def put_run(self, run: Run) -> None:
        self._runs[run.id] = run
        self.dirty_runs.add(run.id)

    def put_lease(self, lease: Lease) -> None:
        self._leases[lease.resource] = lease
        self.dirty_leases.add(lease.resource)

    def drop_lease(self, resource: str) -> None:
        self._leases[resource] = None
        self.dirty_leases.add(resource)

    def put_approval(self, approval: Approval) -> None:
        self._approvals[approval.id] = approval
        self.dirty_approvals.add(approval.id)

    def put_fact(self, fact: Fact) -> None:
        self._facts[fact.scope] = fact
        self.standings.clear()
        self.dirty_facts.add(fact.scope)

    def put_document(self, document: AnyDocument) -> None:
        at = (document.kind, document.id)
        self._documents[at] = document
        self.dirty_documents.add(at)

    def mint(self) -> int:
        """The next value of the store-wide rising sequence."""
        last = self._source.load_last_token() if self._token is None else self._token
        self._token = last + 1
        return self._token

    def append(self, line: Line) -> None:
        """Chain one entry to its run and move the run's head."""
        run = self.run(line.run)
        if run is None:
            raise LookupError(line.run)
        entry = seal(
            run=run.id,
            seq=run.seq + 1,
            prev=run.head,
            tenant=run.tenant,
            effect=line.effect,
            kind=line.kind,
            before=line.before,
            after=line.after,
            at_ms=line.at_ms,
            by=line.by,
            token=line.token,
            salt=self._source.salt(),
            body=encode(line.body),
        )
        self.entries.append(entry)
        self.put_run(replace(run, seq=entry.seq, head=entry.hash))
