"""What one transaction on PostgreSQL has to lock before it may decide, and how records become rows.

Decides which rows a batch of changes can look at or write (:class:`Wanted`), in which order they are locked,
and how records become rows. Promises that planning never reads a row that this transaction has not locked:
one outside the locked set raises :class:`OurBug` instead of being read. Does not decide what a change means
(kernel.commit does).

The order of locks is the same in every transaction, so two of them never wait for each other in a circle:
names that may have no row by key, then effects, runs, leases and approvals, each by id in the "C" collation,
and last the names of documents, by key: which those are stands in the rows locked before them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import Change
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.errors import OurBug
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.evidence import Entry
from holdfast.store.unit import Unit

STORE_RUN = "ru_store"
SALT_BYTES = 16
MODE = "mode"
"""The name under which restored mode is locked; all other names have a colon."""

T = TypeVar("T")

encode = msgspec.json.Encoder().encode
decode_effect = msgspec.json.Decoder(Effect).decode
decode_run = msgspec.json.Decoder(Run).decode
decode_approval = msgspec.json.Decoder(Approval).decode


def text(record: Effect | Run | Approval) -> str:
    """A record as the row keeps it: JSON text, in which control characters are escaped."""
    return encode(record).decode()


def fact(row: tuple[Any, ...]) -> Fact:
    """A row of FACTS as the record."""
    scope, epoch, raised, value, by, reason = row
    return Fact(scope=scope, epoch=epoch, raised=raised, value=value, by=by, reason=reason)


def columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into one array a column, as ``unnest`` takes them; ``width`` arrays also where there is
    no row.
    """
    turned = [list(column) for column in zip(*rows, strict=True)]
    return turned or [[] for _ in range(width)]


class Wanted:
    """The names of everything that a batch may look at or write; effects first, the rest once those are
    read.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        """Collect what the changes name themselves."""
        self.effects: set[str] = set()
        self.runs: set[str] = set()
        self.resources: set[str] = set()
        self.takes: set[str] = set()  # resources that may be taken, so must have a row
        self.approvals: set[str] = set()
        self.scopes: set[str] = set()  # facts that are looked at or written
        self.names: dict[str, bool] = {}  # what may have no row yet -> whether it is written
        self.documents: dict[tuple[str, str], bool] = {}  # kind and id -> whether it may be written
        self.ending: set[str] = set()  # runs that free their places, or take them again
        self.tokens = 0
        for change in changes:
            self._add(change)
            self._add_documents(change)
        self.effects.discard("")

    def _add(self, change: Change) -> None:
        guard = change.guard
        self.effects.update((guard.effect, *guard.absent, *(draft.effect for draft in change.drafts)))
        self.runs.update((change.run, guard.run_open, change.opens.id if change.opens is not None else ""))
        self.approvals.update((guard.approval, *(ask.id for ask in change.asks)))
        if guard.resource:
            self.takes.add(guard.resource)
        for new in (*guard.absent, *(draft.effect for draft in change.drafts if draft.kind == "proposed")):
            self.names["effect:" + new] = True
        if change.opens is not None:
            self.names["run:" + change.opens.id] = True
        for draft in change.drafts:
            self.resources.add(str(draft.body.get("resource", "")))
            self.approvals.add(str(draft.body.get("approval", "")))
            self.tokens += 1 if draft.body.get("holder") else 0
        if guard.released:
            self.names.setdefault(MODE, False)
        for scope, _ in (*guard.epochs, *guard.in_force):
            self.scopes.add(scope)
            self.names.setdefault("fact:" + scope, False)
        for set_now in change.facts:
            self.scopes.add(set_now.scope)
            self.names["fact:" + set_now.scope] = True

    def _add_documents(self, change: Change) -> None:
        """What the change names itself: items, limits, who answers, what is replaced and whose entries say so."""
        for item in change.guard.items:
            self.documents.setdefault(("item", item), False)
        for limit in change.guard.limits:
            self.documents["meter", limit.scope] = True
        for draft in change.drafts:
            self._under(draft.body.get("grants", ()), draft.body.get("meters", ()))
            decision = draft.body.get("decision")
            if decision:
                self.documents.setdefault(("approver", spelled(str(decision.get("who", "")))), False)
        if change.opens is not None:
            self._under(change.opens.grants, change.opens.meters)
        if change.ends is not None:
            self.ending.add(change.run)
        for kind, key, _ in change.guard.as_read:
            self.documents.setdefault((kind, key), False)
        for worker in change.guard.gone:
            self.documents.setdefault(("worker", worker), False)
        if change.guard.driver[0]:
            self.documents.setdefault(("job", change.guard.driver[0]), False)
            self.documents.setdefault(("worker", change.guard.driver[2]), False)
            self.runs.add(change.guard.driver[0])
        for document in change.documents:
            self.documents[document.kind, document.id] = True
            self.tokens += document.mints
            if document.logged:
                self.runs.add(document.run or STORE_RUN)

    def _under(self, grants: Iterable[str], meters: Iterable[str]) -> None:
        """An effect is judged by its grants, and counted under each of them and in its other scopes."""
        for grant in grants:
            self.documents.setdefault(("grant", grant), False)
            self.documents["meter", f"grant:{grant}"] = True
        for scope in meters:
            self.documents["meter", scope] = True

    def follow_last(self, runs: Iterable[Run | None], approvals: Iterable[Approval | None]) -> None:
        """Add the documents that the locked runs and requests name: a call comes under the grants of its run, and
        whoever answered a request is looked at again.
        """
        for run in runs:
            if run is not None:
                self._under(run.grants, run.meters if run.id in self.ending else ())
        for approval in approvals:
            for decision in approval.decisions if approval is not None else ():
                self.documents.setdefault(("approver", spelled(decision.who)), False)

    def follow(self, found: Iterable[Effect]) -> None:
        """Add what stands around the effects that were found: their runs, resources and approvals."""
        for view in found:
            self.runs.add(view.run)
            self.resources.add(view.resource)
            self.approvals.add(view.approval)
            self._under(view.grants, view.meters)
        self.resources |= self.takes
        for names in (self.runs, self.resources, self.approvals):
            names.discard("")

    def keys(self, schema: str) -> tuple[list[int], list[bool]]:
        """Advisory lock keys in ascending order, and which are exclusive. Two names on one key only wait
        longer.
        """
        return _keys(schema, self.names)

    def document_keys(self, schema: str) -> tuple[list[int], list[bool]]:
        """As :meth:`keys`, for the documents: taken last."""
        return _keys(schema, {f"document:{kind}:{key}": written for (kind, key), written in self.documents.items()})


def _keys(schema: str, names: Mapping[str, bool]) -> tuple[list[int], list[bool]]:
    keys: dict[int, bool] = {}
    for name, written in names.items():
        raw = hashlib.blake2b(f"{schema}\0{name}".encode(), digest_size=8, person=b"holdfast-name").digest()
        key = int.from_bytes(raw, signed=True)
        keys[key] = keys.get(key, False) or written
    ordered = sorted(keys)
    return ordered, [keys[key] for key in ordered]


class Locked(NamedTuple):
    """The rows one transaction holds; None stands for a row that is not there
    (:class:`holdfast.store.unit.Source`).
    """

    effects: Mapping[str, Effect | None]
    runs: Mapping[str, Run | None]
    leases: Mapping[str, tuple[Lease | None, int]]  # and the last token of the resource, free or not
    approvals: Mapping[str, Approval | None]
    facts: Mapping[str, Fact | None]
    documents: Mapping[tuple[str, str], AnyDocument | None]
    restored: bool

    def load_effect(self, effect: str) -> Effect | None:
        """The locked effect."""
        return _held(self.effects, "effect", effect)

    def load_run(self, run: str) -> Run | None:
        """The locked run."""
        return _held(self.runs, "run", run)

    def load_lease(self, resource: str) -> Lease | None:
        """The locked lease; None where the resource is free."""
        return _held(self.leases, "lease", resource)[0]

    def load_approval(self, approval: str) -> Approval | None:
        """The locked approval request."""
        return _held(self.approvals, "approval", approval)

    def load_fact(self, scope: str) -> Fact | None:
        """The fact as it stands under the lock of its name."""
        return _held(self.facts, "fact", scope)

    def load_document(self, kind: str, key: str) -> AnyDocument | None:
        """The document as it stands under the lock of its name."""
        if (kind, key) not in self.documents:
            raise OurBug(where="the PostgreSQL store", what=f"document {kind}:{key} was read without its lock")
        return self.documents[kind, key]

    def load_restored(self) -> bool:
        """Whether nothing may be dispatched."""
        return self.restored

    def load_last_token(self) -> int:
        """Never asked for: tokens come from the sequence (:class:`Minting`)."""
        raise OurBug(where="the PostgreSQL store", what="a token was counted instead of drawn")

    def salt(self) -> bytes:
        """Fresh random bytes."""
        return os.urandom(SALT_BYTES)


def _held(rows: Mapping[str, T], table: str, name: str) -> T:
    if name not in rows:
        raise OurBug(where="the PostgreSQL store", what=f"{table} {name} was read without its lock")
    return rows[name]


class Minting(Unit):
    """A unit whose tokens were drawn from the store's sequence while the locks were held."""

    def __init__(self, source: Locked, tokens: list[int]) -> None:
        """``tokens`` rise and are as many as the batch can need."""
        super().__init__(source)
        self._left = list(reversed(tokens))

    def mint(self) -> int:
        """The next drawn token. What is left over is a gap in the sequence, which nobody minds."""
        self._token = self._left.pop()
        return self._token

    @property
    def untouched(self) -> bool:
        """Whether nothing is to be written."""
        dirty = (
            self.dirty_effects,
            self.dirty_runs,
            self.dirty_leases,
            self.dirty_approvals,
            self.dirty_facts,
            self.dirty_documents,
        )
        return not self.entries and not any(dirty)


def entry_row(entry: Entry) -> tuple[Any, ...]:
    """An entry as ADD_ENTRIES takes it: digests as raw bytes."""
    said = (entry.run, entry.seq, entry.effect, entry.kind, entry.before, entry.after, entry.at_ms, entry.by)
    digests = (bytes.fromhex(entry.commitment), bytes.fromhex(entry.hash))
    return (*said, entry.token, entry.tenant, *digests)
