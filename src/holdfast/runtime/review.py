"""Which version of each contract is in force in a store, and how another one gets there: by a named person.

Decides at opening. A tool that the store never saw is put in force and recorded as first seen. A version that differs
from the one in force is kept beside it as *offered* and stays out: its calls are refused, with a reason that names what
changed, until somebody accepts exactly that version. Other tools go on. Every version's text is kept under its digest.

Promises that no start of a process changes what a reviewed name means; that an acceptance counts only while the version
it was compared with is still in force; and that one in a running process counts from the next call on. Does NOT promise
anything about the code behind a contract: a body can change under an unchanged contract, which only a proof would show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from holdfast.kernel import canon
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Kept
from holdfast.kernel.errors import NotAllowedNow, ReasonMissing
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.model import Contract
from holdfast.kernel.ports import GatePort, Ruling, Seen
from holdfast.tools.contract import text_of
from holdfast.tools.difference import Difference, differences, said

IN_FORCE = "contract:"
OFFERED = "offered:"
REVIEWED = "reviewed:"
RULE = "builtin:unreviewed"
FIRST_SEEN = "first seen"
DIFFERS = "differs from the one in force"
UNCHECKED = "accepted by the program that opened the store (accept_contracts), not by a person"


class Store(Protocol):
    """What a review needs of a store."""

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        ...

    def facts(self) -> list[Fact]:
        """All of them."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def commit_now(self, change: Change) -> Verdict:
        """A durable commit."""
        ...

    def now_ms(self) -> int:
        """Store time."""
        ...


class Pending(NamedTuple):
    """A version that is not in force: which one is, and what changed (None: the text of the former was not kept)."""

    tool: str
    before: str
    after: str
    changes: tuple[Difference, ...] | None

    @property
    def why(self) -> str:
        """Why its calls are refused, and what would let them pass."""
        changed = f"changed: {said(self.changes)}" if self.changes else "what changed cannot be shown"
        return (
            f"the contract of {self.tool} is not the one that is in force here ({changed}); nobody has accepted "
            f"version {canon.short(self.after)}; look at it with: holdfast tool review {self.tool}"
        )


def take_in(store: Store, contracts: Iterable[Contract], *, by: str, accept: bool = False) -> tuple[Pending, ...]:
    """Record what the tools of an opening declare; returns the versions that stay out until they are accepted.

    With ``accept`` a changed version is put in force at once, which the record says and sealing refuses.
    """
    contracts = tuple(contracts)
    while (change := _recording(store, contracts, by, accept=accept)) is not None:
        if not isinstance(store.commit_now(change), Rejected):
            break
        # Another process opened at the same instant: what it put in force is looked at.
    return tuple(
        compared(store, contract.name, fact.value, contract.version)
        for contract in contracts
        if (fact := store.fact(IN_FORCE + contract.name)) is not None and fact.value != contract.version
    )


def _recording(store: Store, contracts: tuple[Contract, ...], by: str, *, accept: bool) -> Change | None:
    """One change for all of them, good only while nobody else puts another version in force; None if all is known."""
    facts: list[Fact] = []
    texts: list[Kept] = []
    standing: list[tuple[str, str]] = []
    for contract in contracts:
        name, version = contract.name, contract.version
        fact = store.fact(IN_FORCE + name)
        if store.document("kept", version) is None:
            texts.append(Kept(id=version, what="contract", text=text_of(contract), at_ms=store.now_ms()))
        standing.append((IN_FORCE + name, fact.value if fact is not None else version))
        if fact is None or (accept and fact.value != version):
            facts.append(_fact(IN_FORCE + name, version, by, FIRST_SEEN if fact is None else UNCHECKED))
        elif fact.value != version:
            offered = store.fact(OFFERED + name)
            if offered is None or offered.value != version:
                facts.append(_fact(OFFERED + name, version, by, DIFFERS))
    if not facts and not texts:
        return None
    notes = tuple(
        Note(kind=kind, by=by, body={"evidence": {f.scope: f.value for f in of}, "reason": reason})
        for kind, reason in (("in_force", FIRST_SEEN), ("in_force", UNCHECKED), ("offered", DIFFERS))
        if (of := [f for f in facts if f.reason == reason])
    )
    guard = Guard(in_force=tuple(standing))
    return Change(run=STORE_RUN_ID, guard=guard, facts=tuple(facts), documents=tuple(texts), notes=notes)


def _fact(scope: str, value: str, by: str, reason: str) -> Fact:
    return Fact(scope=scope, value=value, by=by, reason=reason)


def text(store: Store, version: str) -> Mapping[str, Any] | None:
    """The contract of a version as plain data, if the store kept it and it still is what its digest says."""
    kept = store.document("kept", version)
    if not isinstance(kept, Kept) or kept.what != "contract" or canon.digest(kept.text.encode()) != version:
        return None
    read: Mapping[str, Any] = canon.decode(kept.text)
    return read


def compared(store: Store, tool: str, before: str, after: str) -> Pending:
    """What changed between two versions that the store keeps."""
    old, new = text(store, before), text(store, after)
    changes = differences(old, new) if old is not None and new is not None else None
    return Pending(tool, before, after, changes)


def pending(store: Store) -> tuple[Pending, ...]:
    """Every version that was offered and is not in force, by the tool's name. No tool code is needed."""
    found = {f.scope: f.value for f in store.facts() if f.scope.startswith((IN_FORCE, OFFERED))}
    offered = ((scope.removeprefix(OFFERED), value) for scope, value in found.items() if scope.startswith(OFFERED))
    return tuple(
        compared(store, tool, found.get(IN_FORCE + tool, ""), value)
        for tool, value in sorted(offered)
        if found.get(IN_FORCE + tool) != value
    )


def never_reviewed(store: Store, contracts: Iterable[Contract]) -> tuple[str, ...]:
    """The tools whose present version no person has accepted."""
    return tuple(
        contract.name
        for contract in contracts
        if (fact := store.fact(REVIEWED + contract.name)) is None or fact.value != contract.version
    )


def accept(
    store: Store, tool: str, version: str, *, expected: str, who: str, reason: str, evidence: Mapping[str, Any]
) -> None:
    """A named person puts a version that the store keeps in force. ``expected`` is the one it was compared with.

    ``evidence`` says who vouches for the name: the operating system, or a signature. Raises ReasonMissing, and
    NotAllowedNow where the version is not kept, or where another one came in force since it was compared.
    """
    scope = IN_FORCE + tool
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=f"the contract of {tool}", asked="accept")
    if text(store, version) is None:
        raise NotAllowedNow(effect=scope, state="not kept in this store", asked="accept", allowed=("look again",))
    facts = [_fact(REVIEWED + tool, version, who, reason)]
    if expected != version:
        facts.append(_fact(scope, version, who, reason))
    found = compared(store, tool, expected, version).changes or ()
    body = {
        "tool": tool,
        "before": expected,
        "after": version,
        "changed": [f"{one.field}: {one.weight or 'no wider'}" for one in found],
        "reason": reason,
        "evidence": dict(evidence),
    }
    guard = Guard(in_force=((scope, expected),)) if expected else Guard()
    notes = (Note(kind="reviewed", by=who, body=body),)
    verdict = store.commit_now(Change(run=STORE_RUN_ID, guard=guard, facts=tuple(facts), notes=notes))
    if isinstance(verdict, Rejected):
        raise NotAllowedNow(effect=scope, state=verdict.why, asked="accept", allowed=("look again",))


def decline(store: Store, tool: str, *, who: str, reason: str, evidence: Mapping[str, Any]) -> None:
    """A named person leaves the version in force as it is: the offered one is no longer asked about, and stays refused.

    A process that comes with it again offers it again. Raises ReasonMissing, or NotAllowedNow if nothing is offered.
    """
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=f"the contract of {tool}", asked="decline")
    offered, in_force = store.fact(OFFERED + tool), store.fact(IN_FORCE + tool)
    if offered is None or in_force is None or offered.value == in_force.value:
        raise NotAllowedNow(effect=IN_FORCE + tool, state="as it was accepted", asked="decline", allowed=("accept",))
    body = {"tool": tool, "declined": offered.value, "reason": reason, "evidence": dict(evidence)}
    fact = _fact(OFFERED + tool, in_force.value, who, reason)
    store.commit_now(Change(run=STORE_RUN_ID, facts=(fact,), notes=(Note(kind="not_accepted", by=who, body=body),)))


class Unreviewed:
    """A gate before the gate: what came with a version that nobody accepted is refused, whatever the rules say.

    An effect that was recorded under the version in force is left to those who run that one.
    """

    def __init__(self, gate: GatePort, store: Store, found: Iterable[Pending]) -> None:
        """Stand before a gate, for the versions that stay out. ``store`` tells when one of them is accepted."""
        self._gate = gate
        self._store = store
        self._found = {one.tool: one for one in found}

    async def rule(self, seen: Seen) -> Ruling:
        """Refuse what is not accepted; else whatever the rules say."""
        view = seen.effect
        found = self._found.get(view.tool) if view is not None else None
        if view is None or found is None or self._accepted(found):
            return await self._gate.rule(seen)
        if view.contract == found.after:
            return Ruling(answer="refuse", rules=(RULE,), reason=found.why)
        return Ruling(answer="blocked", rules=(RULE,), reason=found.why)

    def stays_out(self, tool: str) -> bool:
        """Whether the version of a tool that is here is not accepted."""
        found = self._found.get(tool)
        return found is not None and not self._accepted(found)

    def _accepted(self, found: Pending) -> bool:
        fact = self._store.fact(IN_FORCE + found.tool)
        return fact is not None and fact.value == found.after

    async def renew(self, environment: str) -> str:
        """As the gate behind it."""
        return await self._gate.renew(environment)
