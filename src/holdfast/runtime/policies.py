"""The policies of a store: every version is kept with its text, one is in force, and runs may keep an older one.

Decides how a policy comes into force while work is under way. Promises that a policy is kept before it is in force, so
that every process of the store can take it up without a restart; that one which does not fit the contracts of whoever
brings it changes nothing; and that what happens to the runs in flight is chosen, named and recorded for each of them:
*move* (judged by the new one from their next check on) or *keep* (by the one that was in force when they began).

Does not promise that another process can use it: one whose tools the rules do not fit dispatches nothing until it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from holdfast.gate.policy import PolicySet
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Kept
from holdfast.kernel.errors import BadValue, NotOpen, OurBug
from holdfast.kernel.guard import KEPT, Fact, Guard, Rejected
from holdfast.kernel.model import Contract, Run

MOVE, KEEP = "move", "keep"
KINDS = (MOVE, KEEP)
RACES = 8
"""How often a reload that lost a race to another process is tried again before we call it our bug."""
ALL = 1_000_000


class Book(Protocol):
    """What this needs of a store: it reads what is on disk, and writes one durable commit at a time."""

    def commit_now(self, change: Change) -> Verdict:
        """Record it durably, or say why not."""
        ...

    def fact(self, scope: str) -> Fact | None:
        """A store-wide fact."""
        ...

    def facts(self) -> list[Fact]:
        """Every store-wide fact."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def runs(self, limit: int = 100, intent: str | None = None) -> list[Run]:
        """The newest runs first."""
        ...

    def now_ms(self) -> int:
        """The store's time."""
        ...


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload did: the digests before and after, and the runs whose version it set."""

    before: str
    after: str
    in_flight: str
    runs: tuple[str, ...] = ()


class Shelf:
    """The kept policies as the gate of one process uses them (:class:`holdfast.gate.rulings.Policies`)."""

    def __init__(
        self, book: Book, contracts: Mapping[str, Contract], taken: Callable[[PolicySet], None] = lambda _: None
    ) -> None:
        """Over the contracts of this process; ``taken`` is told of a policy that was taken up."""
        self._book = book
        self._contracts = contracts
        self._taken = taken
        self._read: dict[str, PolicySet] = {}

    def renewed(self, environment: str) -> PolicySet:
        """The policy in force. Raises NotOpen where its text is not kept here, BadPolicy where it does not fit."""
        fact = self._book.fact(scope_of(environment))
        if fact is None:
            raise NotOpen(what=f"The policy of {environment}")
        policy = self.kept(fact.value)
        self._taken(policy)
        return policy

    def kept(self, digest: str) -> PolicySet:
        """A policy by its digest, checked against the contracts of this process. Raises the same."""
        if digest not in self._read:
            document = self._book.document("kept", digest)
            if not isinstance(document, Kept) or document.what != "policy":
                raise NotOpen(what=f"The text of the policy {digest}")
            self._read[digest] = PolicySet.kept(document.text, self._contracts.values(), digest)
        return self._read[digest]


def scope_of(environment: str) -> str:
    """The scope of the fact that says which policy is in force."""
    return f"policy:{environment}"


def kept_scope(environment: str, digest: str) -> str:
    """The scope of the fact that says whether runs may still keep this policy."""
    return f"{KEPT}{environment}:{digest}"


def texts(book: Book, policy: PolicySet) -> tuple[Kept, ...]:
    """The policy's text as a document, unless the store keeps it already."""
    if book.document("kept", policy.digest) is not None:
        return ()
    return (Kept(id=policy.digest, what="policy", text=policy.text(), at_ms=book.now_ms()),)


def reload(
    book: Book, policy: PolicySet, *, environment: str, who: str, reason: str, in_flight: str = MOVE
) -> Reloaded:
    """Put a policy in force, durably, and set what the open runs of the environment are judged by from here on.

    With ``keep`` each run that is judged by what is in force now keeps it; with ``move`` every run is judged by the
    new one, also those that had kept another. Raises BadValue where who, reason or ``in_flight`` make no sense.
    """
    for name, value in (("who", who), ("reason", reason)):
        if not value.strip():
            raise BadValue(path=f"$.{name}", why="a reload says who brings it and why", value_type="str")
    if in_flight not in KINDS:
        raise BadValue(path="$.in_flight", why="it is one of " + ", ".join(KINDS), value_type="str")
    for _ in range(RACES):
        fact = book.fact(scope_of(environment))
        before = fact.value if fact is not None else ""
        keeps = in_flight == KEEP and before not in ("", policy.digest)
        told: dict[str, Any] = {"reason": reason, "in_flight": in_flight}
        runs: list[str] = []
        if keeps:
            # Kept first: a run that is amended before the new one is in force is judged as it was all the time.
            may = Fact(scope=kept_scope(environment, before), value="kept", by=who, reason=reason)
            _store(book, who, told | {"kept": before}, facts=(may,))
            runs += _amended(book, environment, who, told, before, only="")
        now = Fact(scope=scope_of(environment), value=policy.digest, by=who, reason=reason)
        guard = Guard(in_force=((now.scope, before),)) if before else Guard()
        # In the same commit: whoever dies after it leaves runs that dispatch nothing, and none under what is over.
        over = _kept(book, environment) if in_flight == MOVE else []
        gone = tuple(Fact(scope=scope, value="moved", by=who, reason=reason) for scope in over)
        body = told | {"before": before, "evidence": {fact.scope: fact.value for fact in (now, *gone)}}
        note = Note(kind="in_force", by=who, body=body)
        change = Change(run=STORE_RUN_ID, guard=guard, facts=(now, *gone), notes=(note,), documents=texts(book, policy))
        verdict = book.commit_now(change)
        if isinstance(verdict, Rejected):
            continue  # another process put one in force meanwhile: what is kept is that one now
        if keeps:  # those that began while the others were being amended
            runs += _amended(book, environment, who, told, before, only="", opened_by_ms=verdict.at_ms)
        elif in_flight == MOVE and _ever_kept(book, environment):
            runs += _amended(book, environment, who, told, "")
        return Reloaded(before=before, after=policy.digest, in_flight=in_flight, runs=tuple(runs))
    raise OurBug(where="runtime.policies", what=f"a reload lost {RACES} races in a row")


def _kept(book: Book, environment: str) -> list[str]:
    """The scopes under which some policy may be kept in this environment."""
    return [fact.scope for fact in _ever_kept(book, environment) if fact.value == "kept"]


def _ever_kept(book: Book, environment: str) -> list[Fact]:
    """Every policy that was ever kept here: without one, no run has to be looked at."""
    prefix = kept_scope(environment, "sha256:")
    return sorted((fact for fact in book.facts() if fact.scope.startswith(prefix)), key=lambda fact: fact.scope)


def _open(book: Book, environment: str) -> list[Run]:
    """Those that something may still be judged under: one that is blocked goes on when it is driven."""
    return [run for run in book.runs(ALL) if run.state in ("open", "blocked") and run.environment == environment]


def _amended(
    book: Book,
    environment: str,
    who: str,
    told: dict[str, Any],
    digest: str,
    *,
    only: str | None = None,
    opened_by_ms: int | None = None,
) -> list[str]:
    """Set what the open runs are judged by (``only`` those judged by this so far), each with an entry of its own."""
    done = []
    for run in _open(book, environment):
        late = opened_by_ms is not None and run.opened_ms > opened_by_ms
        if run.policy == digest or late or (only is not None and run.policy != only):
            continue
        note = Note(kind="policy", by=who, body={**told, "policy": digest or "moves"})
        for state in (run.state, "blocked" if run.state == "open" else "open"):  # it may be driven on meanwhile
            guard = Guard(run_open=run.id, run_state=state)
            change = Change(run=run.id, guard=guard, amends=(("policy", digest),), notes=(note,))
            if not isinstance(book.commit_now(change), Rejected):
                done.append(run.id)
                break
    return done


def _store(book: Book, who: str, body: dict[str, Any], facts: tuple[Fact, ...]) -> None:
    note = Note(kind="in_force", by=who, body=body | {"evidence": {fact.scope: fact.value for fact in facts}})
    book.commit_now(Change(run=STORE_RUN_ID, facts=facts, notes=(note,)))
