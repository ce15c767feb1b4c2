"""What another policy would have said: recorded decisions are judged again, and none of them is taken.

Each decision that the policy in force gave to a proposed call is put to a candidate as it was put then: the recorded
arguments, the run's principal and purpose, the time, whether the contract was proved, the grants it came under.
Promises that nothing is recorded, sent or asked of anybody, and that what cannot be judged again is counted with its
reason and never taken for unchanged. Does not say what would have followed: a call that would have been refused may
have been the reason for all that came after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from holdfast.gate.decide import Judge
from holdfast.gate.granted import RULE, tightened
from holdfast.gate.policy import PolicySet
from holdfast.gate.rulings import question_of
from holdfast.kernel import canon
from holdfast.kernel.documents import AnyDocument, Grant, Kept
from holdfast.kernel.errors import BadPolicy
from holdfast.kernel.life import Draft, Stamp, propose
from holdfast.kernel.model import Contract, Effect, Run
from holdfast.kernel.ports import Ruling, Seen
from holdfast.kernel.standin import holds_stand_in
from holdfast.runtime.review import IN_FORCE
from holdfast.store.evidence import Entry
from holdfast.store.reading import Decided

__all__ = ["IN_FORCE", "PROVED", "Answer", "Candidate", "Change", "Group", "Tried", "contract_of", "counted"]

PROVED = "proved:"
"""The facts that say which version of a tool is proved begin so."""

DECISIONS = frozenset({"refused", "waiting", "admitted"})
BY_POLICY = frozenset({RULE, "builtin:unfit-input"})
"""Built-in rules whose refusal is part of judging by a policy; others (a stop, a stale item, no room) are not."""


Said = Entry | Decided


class Answer(NamedTuple):
    """One decision as recorded and as the candidate gives it. ``entry`` is its number within the run."""

    run: str
    entry: int
    effect: str
    tool: str
    at_ms: int
    before: str
    after: str
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    reason: str

    @property
    def changed(self) -> bool:
        """Whether the candidate answers otherwise."""
        return self.before != self.after


class Change(NamedTuple):
    """How an answer changes, by which rules: what changed decisions are grouped by."""

    before: str
    after: str
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]


class Group(NamedTuple):
    """The decisions that change in one way: how many, and the first of them."""

    decisions: int
    first: tuple[Answer, ...]


class Tried(NamedTuple):
    """What a trial came to. ``apart`` counts, by reason, decisions that could not be judged again.

    ``archived`` are runs whose decisions are not in the store any more, whenever they were made.
    """

    judged: int = 0
    groups: Mapping[Change, Group] = {}
    apart: Mapping[str, int] = {}
    archived: int = 0

    @property
    def changed(self) -> int:
        """How many decisions the candidate gives otherwise."""
        return sum(group.decisions for group in self.groups.values())

    def and_(self, other: Tried, keep: int) -> Tried:
        """Both together; of each group the first ``keep``."""
        groups = dict(self.groups)
        for change, group in other.groups.items():
            known = groups.get(change, Group(0, ()))
            groups[change] = Group(known.decisions + group.decisions, (*known.first, *group.first)[:keep])
        apart = Counter(self.apart) + Counter(other.apart)
        return Tried(self.judged + other.judged, groups, dict(apart), self.archived + other.archived)


class Candidate:
    """A policy that is tried, with the contracts that the store kept. One per thread."""

    def __init__(
        self,
        sources: Mapping[str, bytes],
        documents: Callable[[str, str], AnyDocument | None],
        in_force: Mapping[str, str],
        proved: Iterable[tuple[int, str, str]] = (),
    ) -> None:
        """``in_force`` names each tool's contract version; ``proved`` are (time, tool, version) in order.

        Raises BadPolicy where the rules do not fit the contracts in force.
        """
        self._sources = dict(sources)
        self._documents = documents
        found = {tool: contract_of(documents, version) for tool, version in in_force.items()}
        self._contracts = {tool: contract for tool, contract in found.items() if contract is not None}
        self._proved: dict[str, list[tuple[int, str]]] = {}
        for at_ms, tool, version in proved:
            self._proved.setdefault(tool, []).append((at_ms, version))
        first = Judge(PolicySet(self._sources, self._contracts.values()), self._contracts.values())
        self.digest = first.policy.digest
        self._judges: dict[str, Judge | str] = {c.version: first for c in self._contracts.values()}
        self._grants: dict[str, Grant | None] = {}

    def tried(self, run: Run, said: Iterable[Said], since_ms: int = 0) -> Iterator[Answer | str]:
        """Each decision of a run that the policy gave, judged again; a text where it cannot be, and why."""
        proposed: dict[str, Effect] = {}
        for entry in said:
            if entry.body is None:
                if entry.kind in DECISIONS or entry.kind == "proposed":
                    yield "its entry was redacted or archived"
                continue
            body = canon.decode(entry.body)
            if entry.kind == "proposed" and holds_stand_in(body):
                if entry.at_ms >= since_ms:
                    yield "values that it was decided on were redacted"
            elif entry.kind == "proposed":
                draft = Draft(effect=entry.effect, kind=entry.kind, by=entry.by, body=body)
                proposed[entry.effect] = propose(run, draft, Stamp(entry.at_ms))
            elif entry.kind in DECISIONS and entry.at_ms >= since_ms:
                view = proposed.pop(entry.effect, None)  # what comes after is an answer to a request, or a re-check
                if view is not None:
                    yield self._again(run, view, entry, body)

    def _again(self, run: Run, view: Effect, entry: Said, body: dict[str, Any]) -> Answer | str:
        rules = tuple(body.get("rules", ()))
        # What was put off for want of room had been allowed.
        before = {"schedule": "allow"}.get(body.get("answer", ""), body.get("answer", ""))
        if any(rule.startswith("builtin:") and rule not in BY_POLICY for rule in rules) and "inputs" not in body:
            return f"not decided by rules but by {', '.join(rules)}"
        if any(rule.startswith("admission:") for rule in rules):
            return f"not decided by rules but by {', '.join(rules)}"
        judge = self._judge(view.tool, view.contract)
        if isinstance(judge, str):
            return judge
        grants = tuple(grant for name in view.grants if (grant := self._grant(name)) is not None)
        then = replace(run, policy="", deadline_ms=view.deadline_ms)
        seen = Seen(now_ms=entry.at_ms, effect=view, run=then, documents=grants)
        proved = self._was_proved(view.tool, view.contract, entry.at_ms)
        decision = judge.decide(question_of(seen, proved=proved, digest=view.args_digest))
        ruling = Ruling(
            answer=decision.answer,
            rules=decision.rules,
            reason=decision.reason,
            group=decision.approver_group,
            quorum=decision.quorum,
        )
        ruling = tightened(ruling, seen) if view.grants else ruling
        where = (run.id, entry.seq, view.id, view.tool, entry.at_ms)
        return Answer(*where, before, ruling.answer, rules, ruling.rules, ruling.reason)

    def _judge(self, tool: str, version: str) -> Judge | str:
        """The judge for one version of a tool's contract; in words why there is none."""
        found = self._judges.get(version)
        if found is None:
            contract = contract_of(self._documents, version)
            if contract is None:
                found = "the text of its contract's version was not kept"
            else:
                contracts = (self._contracts | {tool: contract}).values()
                try:
                    found = Judge(PolicySet(self._sources, contracts), contracts)
                except BadPolicy:
                    found = "the candidate does not fit the version of the contract that it was made under"
            self._judges[version] = found
        return found

    def _grant(self, name: str) -> Grant | None:
        if name not in self._grants:
            found = self._documents("grant", name)
            self._grants[name] = found if isinstance(found, Grant) else None
        return self._grants[name]

    def _was_proved(self, tool: str, version: str, at_ms: int) -> bool:
        known = [proved for since_ms, proved in self._proved.get(tool, ()) if since_ms <= at_ms]
        return bool(known) and known[-1] == version


def contract_of(documents: Callable[[str, str], AnyDocument | None], version: str) -> Contract | None:
    """The contract of a version as the store kept it; None where it did not, or somebody changed the text."""
    kept = documents("kept", version)
    if not isinstance(kept, Kept) or kept.what != "contract" or canon.digest(kept.text.encode()) != version:
        return None
    return msgspec.convert(canon.decode(kept.text) | {"version": version}, Contract)


def counted(answers: Iterable[Answer | str], keep: int) -> Tried:
    """A trial in figures, with the first ``keep`` decisions of each group."""
    judged, groups, apart = 0, dict[Change, Group](), Counter[str]()
    for answer in answers:
        if isinstance(answer, str):
            apart[answer] += 1
            continue
        judged += 1
        if answer.changed:
            change = Change(answer.before, answer.after, answer.rules_before, answer.rules_after)
            known = groups.get(change, Group(0, ()))
            first = (*known.first, answer) if len(known.first) < keep else known.first
            groups[change] = Group(known.decisions + 1, first)
    return Tried(judged, groups, dict(apart))
