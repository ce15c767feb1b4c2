"""What one transaction on PostgreSQL has to lock before it may decide, and the rows that it then holds.

Decides which rows a batch of changes can look at or write (:class:`Wanted`), and in which order they are locked.
Promises that planning never reads a row that this transaction has not locked: one outside the locked set raises
:class:`NotHeld` instead of being read, and the transaction begins anew with it locked too. Does not decide what a
change means (kernel.commit does).

The order of locks is the same in every transaction, so two of them never wait for each other in a circle: the log,
names that may have no row by key, then effects and runs by id in the "C" collation, resources by key, approvals by
id, documents by key, new words by text, and last the one row of ``meta``.

What stands around an effect is in its record, which is not read before it is locked. So everything is locked by what
this process knows of those records (:class:`Known`) in one go, and where what is then read names more, the
transaction ends with nothing done and begins anew, knowing more.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import Change
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.errors import OurBug
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.batch import Ledger
from holdfast.store.postgres_books import log_key
from holdfast.store.seen import Standings

STORE_RUN = "ru_store"
SALT_BYTES = 16
MOST_KNOWN = 20_000
MODE = "mode"
"""The name under which restored mode is locked; all other names have a colon."""

T = TypeVar("T")


class Wanted:
    """The names of everything that a batch may look at or write; effects first, the rest once those are
    read.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        """Collect what the changes name themselves."""
        self.effects: set[str] = set()
        self.runs: set[str] = set()
        self.resources: set[str] = set()
        self.approvals: set[str] = set()
        self.scopes: set[str] = set()  # facts that are looked at or written
        self.names: dict[str, bool] = {}  # what may have no row yet -> whether it is written
        self.documents: dict[tuple[str, str], bool] = {}  # kind and id -> whether it may be written
        self.ending: set[str] = set()  # runs that free their places, or take them again
        self.tokens = self.new_runs = self.new_effects = 0
        for change in changes:
            self._add(change)
            self._add_documents(change)
        self.effects.discard("")

    def _add(self, change: Change) -> None:
        guard = change.guard
        self.effects.update((guard.effect, *guard.absent, *(draft.effect for draft in change.drafts)))
        self.runs.update((change.run, guard.run_open, change.opens.id if change.opens is not None else ""))
        self.approvals.update((guard.approval, *(ask.id for ask in change.asks)))
        self.resources.add(guard.resource)
        for new in (*guard.absent, *(draft.effect for draft in change.drafts if draft.kind == "proposed")):
            self.names["effect:" + new] = True
        if change.opens is not None:
            self.names["run:" + change.opens.id] = True
            self.new_runs += 1
        for draft in change.drafts:
            self.new_effects += draft.kind == "proposed"
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
            self.documents["job", change.run] = True
        for note in change.notes if any(note.kind == "drift" for note in change.notes) else ():
            named = note.body.get("drift")
            if isinstance(named, dict):
                self.documents["drift", str(named.get("id", ""))] = True
                self.runs.add(STORE_RUN)
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
            if view.archived:  # its run takes nothing more: what comes late is said in the store's own
                self.runs.add(STORE_RUN)
        for names in (self.runs, self.resources, self.approvals):
            names.discard("")

    def add(self, missed: NotHeld) -> None:
        """Add what planning asked for beyond all of this."""
        table, name, written = missed.args
        if table == "document":
            self.documents[name] = self.documents.get(name, False) or written
        elif table == "fact":
            self.scopes.add(name)
            self.names["fact:" + name] = self.names.get("fact:" + name, False) or written
        else:
            there = {"effect": self.effects, "run": self.runs, "lease": self.resources, "approval": self.approvals}
            there[table].add(name)

    def within(self, locked: Wanted) -> bool:
        """Whether all of it is among what was locked, and as what will be written where it will be."""
        sets = ((self.runs, locked.runs), (self.resources, locked.resources), (self.approvals, locked.approvals))
        return all(some <= more for some, more in sets) and all(
            at in locked.documents and locked.documents[at] >= written for at, written in self.documents.items()
        )

    def keys(self, schema: str) -> tuple[list[int], list[bool]]:
        """Advisory lock keys in ascending order behind the log's own, and which are exclusive. Two names on one key
        only wait longer.
        """
        keys, exclusive = _keys(schema, self.names)
        return [log_key(schema), *keys], [False, *exclusive]

    def resource_keys(self, schema: str) -> tuple[list[int], list[bool]]:
        """As :meth:`keys`, for the resources: a free one has no row to lock."""
        return _keys(schema, {f"resource:{name}": True for name in self.resources})

    def document_keys(self, schema: str) -> tuple[list[int], list[bool]]:
        """As :meth:`keys`, for the documents."""
        return _keys(schema, {f"document:{kind}:{key}": written for (kind, key), written in self.documents.items()})


@lru_cache(maxsize=4_096)
def _key(schema: str, name: str) -> int:
    raw = hashlib.blake2b(f"{schema}\0{name}".encode(), digest_size=8, person=b"holdfast-name").digest()
    return int.from_bytes(raw, signed=True)


def keys_of(schema: str, names: Iterable[str]) -> list[int]:
    """Advisory lock keys of some names, in ascending order, each once."""
    return sorted({_key(schema, name) for name in names})


def _keys(schema: str, names: Mapping[str, bool]) -> tuple[list[int], list[bool]]:
    keys: dict[int, bool] = {}
    for name, written in names.items():
        key = _key(schema, name)
        keys[key] = keys.get(key, False) or written
    ordered = sorted(keys)
    return ordered, [keys[key] for key in ordered]


class Known:
    """Records as this process last saw them: good for saying what stands around them, and for believing."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.effects: dict[str, Effect] = {}
        self.runs: dict[str, Run] = {}
        self.approvals: dict[str, Approval] = {}
        self.leases: dict[str, Lease] = {}
        self.run_at: dict[str, float] = {}  # when it was seen, by this machine's steady clock (s)
        self.facts: dict[str, tuple[float, Fact | None]] = {}
        self.documents: dict[tuple[str, str], tuple[float, AnyDocument | None]] = {}
        self.standings: Standings = {}  # for looks; empty again whenever a fact moves
        self._facts_said = (-1, -1)
        self.all_facts_s = 0.0  # when all of them were seen at once: one that is not among them is not there

    def wanted(self, changes: Iterable[Change]) -> Wanted:
        """What a batch may look at, as far as that is known."""
        wanted = Wanted(changes)
        wanted.follow(view for name in wanted.effects if (view := self.effects.get(name)) is not None)
        runs = (self.runs.get(name) for name in wanted.runs)
        wanted.follow_last(runs, (self.approvals.get(name) for name in wanted.approvals))
        return wanted

    def learn(self, unit: Ledger) -> None:
        """Remember what a batch holds, each as it left it."""
        kept: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
            (self.effects, unit.effects_held),
            (self.runs, unit.runs_held),
            (self.approvals, unit.approvals_held),
        )
        for known, held in kept:
            if len(known) > MOST_KNOWN:
                known.clear()
            known.update((name, view) for name, view in held.items() if view is not None)
        now_s = time.monotonic()
        for seen in (self.run_at, self.facts, self.documents, self.leases):
            if len(seen) > MOST_KNOWN:
                seen.clear()
        self.run_at.update(dict.fromkeys(unit.runs_held, now_s))
        for scope, fact in unit.facts_held.items():
            if self.facts.get(scope, (0.0, None))[1] != fact:
                self.standings.clear()
            self.facts[scope] = (now_s, fact)
        self.documents.update((at, (now_s, found)) for at, found in unit.documents_held.items())
        for resource, lease in unit.leases_held.items():
            if lease is None:
                self.leases.pop(resource, None)
            else:
                self.leases[resource] = lease

    def looked(self, effects: Iterable[Effect], runs: Iterable[Run], facts: Mapping[str, Fact], *, whole: bool) -> None:
        """Remember what a look showed, unless it is older than what is known; ``whole``: there are no other facts."""
        now_s = time.monotonic()
        for view in effects:
            known = self.effects.get(view.id)
            if known is None or known.version < view.version:
                self.effects[view.id] = view
        for run in runs:
            if (there := self.runs.get(run.id)) is None or there.seq <= run.seq:
                self.runs[run.id] = run
                self.run_at[run.id] = now_s
        if whole:
            self.standings.clear()
            self.facts = {scope: (now_s, fact) for scope, fact in facts.items()}
            self.all_facts_s, self._facts_said = now_s, (len(facts), sum(fact.epoch for fact in facts.values()))

    def still(self, said: tuple[int, int]) -> bool:
        """Whether all facts are those that were seen at once: as many, with the same epochs, which only rise."""
        if said != self._facts_said:
            return False
        self.all_facts_s = time.monotonic()
        return True

    def forget(self, unit: Ledger) -> None:
        """What a plan was made on is not so: nothing of it is believed any more."""
        for name in unit.effects_held:
            self.effects.pop(name, None)
        for name in unit.runs_held:
            self.run_at.pop(name, None)
        for name in unit.leases_held:
            self.leases.pop(name, None)
        self.standings.clear()
        for scope in unit.facts_held:
            self.facts.pop(scope, None)
        self._facts_said, self.all_facts_s = (-1, -1), 0.0
        for at in unit.documents_held:
            self.documents.pop(at, None)


class NotHeld(Exception):  # noqa: N818  # no error: the transaction begins anew and locks it too
    """Planning asked for a row that is not locked, or writes one that is locked only to be looked at."""


class Locked(NamedTuple):
    """The rows one transaction holds; None stands for a row that is not there (:class:`holdfast.store.unit.Source`)."""

    effects: Mapping[str, Effect | None]
    effect_n: dict[str, int]
    viewed: frozenset[str]  # effects of which the whole record is kept at hand
    runs: Mapping[str, Run | None]
    run_n: dict[str, int]
    leases: Mapping[str, Lease | None]
    approvals: Mapping[str, Approval | None]
    facts: Mapping[str, Fact | None]
    documents: Mapping[tuple[str, str], AnyDocument | None]
    mode: str
    incarnation: int
    written: Mapping[str, bool]  # names of facts, and documents, that are locked: whether they may be written
    documents_written: Mapping[tuple[str, str], bool]

    def check(self, unit: Ledger) -> None:
        """Nothing is written that was only locked to be looked at. Raises NotHeld."""
        for at in unit.dirty_documents:
            if not self.documents_written.get(at, False):
                raise NotHeld("document", at, True)
        for scope in unit.dirty_facts:
            if not self.written.get("fact:" + scope, False):
                raise NotHeld("fact", scope, True)

    def load_effect(self, effect: str) -> Effect | None:
        """The locked effect."""
        return _held(self.effects, "effect", effect)

    def load_run(self, run: str) -> Run | None:
        """The locked run."""
        return _held(self.runs, "run", run)

    def load_lease(self, resource: str) -> Lease | None:
        """The lease under the lock of its resource; None where that is free."""
        return _held(self.leases, "lease", resource)

    def load_approval(self, approval: str) -> Approval | None:
        """The locked approval request."""
        return _held(self.approvals, "approval", approval)

    def load_fact(self, scope: str) -> Fact | None:
        """The fact as it stands under the lock of its name."""
        return _held(self.facts, "fact", scope)

    def load_document(self, kind: str, key: str) -> AnyDocument | None:
        """The document as it stands under the lock of its name."""
        return _held(self.documents, "document", (kind, key))

    def load_restored(self) -> bool:
        """Whether nothing may be dispatched."""
        return self.mode == "restored"

    def load_last_token(self) -> int:
        """Never asked for: tokens come from the sequence (:class:`Minting`)."""
        raise OurBug(where="the PostgreSQL store", what="a token was counted instead of drawn")

    def salt(self) -> bytes:
        """Fresh random bytes."""
        return os.urandom(SALT_BYTES)


def _held(rows: Mapping[Any, T], table: str, name: Any) -> T:
    if name not in rows:
        raise NotHeld(table, name, False)
    return rows[name]


class Minting(Ledger):
    """A unit whose tokens were drawn from the store's sequence while the locks were held."""

    def __init__(self, source: Locked, tokens: list[int]) -> None:
        """``tokens`` rise and are as many as the batch can need."""
        super().__init__(source)
        self._left = list(reversed(tokens))

    def mint(self) -> int:
        """The next drawn token. What is left over is a gap in the sequence, which nobody minds."""
        self._token = self._left.pop()
        return self._token
