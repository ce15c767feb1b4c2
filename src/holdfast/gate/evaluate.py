"""The rules of one tool, evaluated.

Decides what a question gets under the rules that can apply to its tool, from exactly the inputs that these
rules read. The engine is given nothing else: its schema and its context are narrowed to them, so a decision
cannot depend on an input that is missing from `key`, and remembering by `key` is sound. That narrowing
changes no answer rests on `syntax.reads`; a property test holds it against the engine with all in view.

Promises: anything but *Allow without an error in any rule* does not allow. Names and values reach the engine
as data in JSON, never as Cedar text. Does not promise that the question is fit; `decide` sees to that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import cedarpy
import msgspec

from holdfast.gate.arguments import narrowed
from holdfast.gate.policy import PolicySet, Rule, condition_id
from holdfast.gate.question import DIRECT, OPTIONAL, REQUEST_OPEN_MS, Decision, Question, Unfit
from holdfast.gate.schema import Contract, args_shape, constants, context_shape, schema_of
from holdfast.gate.syntax import Path

_encode = msgspec.json.Encoder(enc_hook=str).encode  # The hook writes `Text`, which msgspec does not know.
_PRINCIPAL = ("name", "kind", "groups")
NONE: frozenset[str] = frozenset()
SHOWN = 3
"""How many other ways to be permitted a refusal names."""
WORDS_SHOWN = 120
"""How much of one condition is shown."""


class Verdict(msgspec.Struct, frozen=True):
    """What one evaluation said."""

    allows: bool
    rules: frozenset[str]
    errors: frozenset[str]
    """The rules that could not be evaluated."""
    unjudged: bool
    """True where the engine refused the question as a whole."""


class ToolRules:
    """What the rules for one tool can read, and what they say."""

    def __init__(self, contract: Contract, policy: PolicySet) -> None:
        self.contract = contract
        self.digest = policy.digest
        self.rules = policy.rules_for(contract.name)
        self.shape = args_shape(contract)
        whole = context_shape(self.shape)
        paths = {path for rule in self.rules for path in rule.reads}
        self._context = _names(paths, "context", whole.fields) | {"args", "approved"}
        self._args = _names({path[1:] for path in paths if len(path) > 1}, "args", self.shape.fields)
        if ("context",) in paths:
            self._args = set(self.shape.fields)
        self._constants = {n: v for n, v in constants(contract).items() if n in self._context}
        self._direct = [name for name in DIRECT if name in self._context]
        self._optional = [name for name in OPTIONAL if name in self._context]
        self._slots = {name: self.shape.fields[name].slot for name in sorted(self._args)}
        who = [f"principal.{name}" for name in sorted(_names(paths, "principal", _PRINCIPAL))]
        what = ["resource"] if any(path[0] == "resource" for path in paths) else []
        self._question_key = _getter((*who, *what, *self._direct, *self._optional))
        self._args_key = _getter(self._slots.values())
        context = narrowed(whole, self._context, {"args": narrowed(self.shape, self._args)})
        self._schema = cedarpy.Schema.from_json_str(json.dumps(schema_of({contract.name: context})))
        self._policy = policy
        self._ends = sorted({rule.until_ms for rule in self.rules if rule.until_ms})
        self._unproved = frozenset(rule.id for rule in self.rules if rule.needs_proof)
        self.reads_risk = "risk" in self._context
        self._standing: dict[frozenset[str], _Standing] = {}
        self._conditions: cedarpy.PolicySet | None = None

    def key(self, question: Question, effect_class: str, args: Any) -> tuple[Any, ...]:
        """Everything the decision can depend on; hashable. `args` are typed by `shape`. Raises Unfit."""
        risk = question.risk if self.reads_risk else None
        read = self._question_key(question), self._args_key(args)
        return (question.tool, effect_class, *read, risk, self.absent(question))

    def absent(self, question: Question) -> frozenset[str]:
        """The rules that are not there for this question: those that have ended, and those that wait for a proof."""
        if not self._ends:
            return NONE if question.proved or not self._unproved else self._unproved
        now_ms = question.now_ms
        if now_ms is None:
            raise Unfit("rules for it end with a day, and the time is not given")
        ended = frozenset(rule.id for rule in self.rules if rule.until_ms and now_ms >= rule.until_ms)
        return ended if question.proved else ended | self._unproved

    def judge(self, question: Question, effect_class: str, args: Any) -> Decision:
        """The decision; the digest of the inputs is left to the caller."""
        absent = self.absent(question)
        case = self.case(question, effect_class, args)
        said = self._said(case, absent)
        if question.risk is not None and self.reads_risk:
            case.facts["risk"] = question.risk
            said = stricter(said, self._said(case, absent))
        return msgspec.structs.replace(said, policy_digest=self.digest)

    def until_ms(self, question: Question) -> int:
        """The first instant after the question's at which one of the rules ends; 0: none of them does."""
        now_ms = question.now_ms
        return next((end for end in self._ends if now_ms is not None and now_ms < end), 0)

    def case(self, question: Question, effect_class: str, args: Any) -> Case:
        """The question in the engine's words, without anybody's opinion of its risk."""
        return Case(self.contract.name, question, self._facts(question, effect_class, args), self._schema)

    def holding(self, case: Case) -> frozenset[str]:
        """The conditions (by :func:`holdfast.gate.policy.condition_id`) that hold, were the call approved."""
        if self._conditions is None:
            self._conditions = self._policy.conditions_for(self.contract.name)
        return case.evaluate(self._conditions, approved=True).rules

    def _said(self, case: Case, absent: frozenset[str]) -> Decision:
        standing = self._standing.get(absent)
        if standing is None:
            standing = self._standing[absent] = _Standing(self._policy, self.contract.name, self.rules, absent)
        plain = case.evaluate(standing.engine, approved=False)
        if plain.allows:
            return self._asked_or_allowed([rule for rule in standing.rules if rule.id in plain.rules])
        approved = case.evaluate(standing.engine, approved=True)
        if approved.allows:
            return self._asked(_difference(case, standing, plain, approved))
        return self._refused(case, standing, approved)

    def _facts(self, question: Question, effect_class: str, args: Any) -> dict[str, Any]:
        facts = dict(self._constants)
        if "effect_class" in self._context:
            facts["effect_class"] = effect_class
        for name in self._direct:
            facts[name] = getattr(question, name)
        for name in self._optional:
            if (value := getattr(question, name)) is not None:
                facts[name] = value
        values = {name: getattr(args, slot) for name, slot in self._slots.items()}
        facts["args"] = {n: v for n, v in values.items() if v is not None and v is not msgspec.UNSET}
        return facts

    def _asked_or_allowed(self, rules: list[Rule]) -> Decision:
        if self.contract.only_from_trusted:
            return self._asked(rules)
        return Decision(answer="allow", rules=_ids(rules), reason="permitted by " + " and ".join(map(str, rules)))

    def _asked(self, rules: list[Rule]) -> Decision:
        """Ask by the strictest of the rules: largest quorum, shortest time, and one group only."""
        asking = [rule for rule in rules if rule.asks]
        groups = sorted({rule.approver_group for rule in asking} - {""})
        names, because = _ids(rules), [str(rule) for rule in asking]
        if len(groups) > 1:
            return _cannot_both(groups, names)
        if trusted := ", ".join(sorted(self.contract.only_from_trusted)):
            names = (*names, "builtin:untraced-arguments")
            because.append(f"builtin:untraced-arguments (where {trusted} came from is not traced)")
        quorum = max((rule.quorum for rule in asking), default=1)
        people = "one approval" if quorum == 1 else f"{quorum} approvals"
        source = f" from {groups[0]}" if groups else ""
        return Decision(
            answer="ask",
            rules=names,
            reason=f"allowed with {people}{source}: " + "; ".join(because),
            approver_group=groups[0] if groups else "",
            quorum=quorum,
            expires_ms=min((rule.expires_ms for rule in asking if rule.expires_ms is not None), default=None),
        )

    def _refused(self, case: Case, standing: _Standing, verdict: Verdict) -> Decision:
        """Why not, and what would be allowed instead where the rules let one tell."""
        broken = [rule for rule in standing.rules if rule.id in verdict.errors]
        forbids = [rule for rule in standing.rules if rule.id in verdict.rules and rule.forbids]
        names = _ids((*forbids, *broken))
        if forbids:
            reason = "forbidden by " + " and ".join(map(_forbids, forbids)) + "; an approval does not lift it"
            if instead := self._instead(case, standing):
                reason += "; permitted is: " + "; ".join(instead)
        elif verdict.unjudged:
            reason = "the policy engine did not accept the question, so nothing permits it"
        elif broken:
            rules = " and ".join(map(str, broken))
            reason = f"{rules} cannot be evaluated for this call, so nothing permits it"
        elif waiting := self._waiting_for_proof(case, standing):
            names = (*_ids(waiting), "builtin:unproved")
            rules = " and ".join(map(str, waiting))
            prove = f"holdfast tool prove {self.contract.name}"
            reason = f"{rules} would permit it, but the contract of this tool is not proved: {prove}"
        else:
            reason = "no rule permits it (default deny)"
            if instead := self._instead(case, standing):
                reason += "; permitted is: " + "; ".join(instead)
        return Decision(answer="refuse", rules=names or ("builtin:default-deny",), reason=reason)

    def _waiting_for_proof(self, case: Case, standing: _Standing) -> list[Rule]:
        """The absent permits that would allow or ask, were the contract proved."""
        missing = standing.absent & self._unproved
        if not missing:
            return []
        proved = _Standing(self._policy, self.contract.name, self.rules, standing.absent - self._unproved)
        verdict = case.evaluate(proved.engine, approved=True)
        return [rule for rule in proved.rules if rule.id in verdict.rules & missing] if verdict.allows else []

    def _instead(self, case: Case, standing: _Standing) -> list[str]:
        """What the permits of this tool permit: the conditions that this call does not meet, the nearest first."""
        permits = [rule for rule in standing.rules if not rule.forbids]
        holding = self.holding(case) if permits else NONE
        lacking = [(words, rule) for rule in permits if (words := unmet(rule, holding))]
        nearest = sorted(lacking, key=lambda pair: len(pair[0]))[:SHOWN]
        return [f"{rule} when {' and '.join(words)}" for words, rule in nearest]


class _Standing:
    """The rules of a tool that are there, as an engine; the permits among them apart."""

    def __init__(self, policy: PolicySet, tool: str, rules: tuple[Rule, ...], absent: frozenset[str]) -> None:
        self.absent = absent
        self.rules = tuple(rule for rule in rules if rule.id not in absent)
        self.engine = policy.engine_for(tool, without=absent)
        self.permits = policy.engine_for(tool, permits_only=True, without=absent)


def unmet(rule: Rule, holding: frozenset[str]) -> list[str]:
    """The conditions of a rule that do not hold, in its author's words, each cut to a length that can be read."""
    parts = enumerate(rule.conditions)
    return [c.words[:WORDS_SHOWN] for number, c in parts if condition_id(rule.id, number) not in holding]


def _forbids(rule: Rule) -> str:
    conditions = " and ".join(c.words[:WORDS_SHOWN] for c in rule.conditions)
    return f"{rule}, which holds when {conditions}" if conditions else str(rule)


def _difference(case: Case, standing: _Standing, plain: Verdict, approved: Verdict) -> list[Rule]:
    """The rules that an approval satisfies, in the order in which they were read."""
    named = set(plain.rules) | set(plain.errors)
    # The permits are part of it unless one permits the call unapproved, which a forbid may have hidden.
    if not named or not case.evaluate(standing.permits, approved=False).allows:
        named |= approved.rules
    return [rule for rule in standing.rules if rule.id in named]


def stricter(plain: Decision, tightened: Decision) -> Decision:
    """What both decisions allow: refuse before ask before allow; of two requests the one that asks more."""
    if "refuse" in (plain.answer, tightened.answer) or tightened.answer == plain.answer == "allow":
        return plain if plain.answer in ("refuse", tightened.answer) else tightened
    if tightened.answer != plain.answer:
        return tightened if tightened.answer == "ask" else plain
    names = tuple(dict.fromkeys((*plain.rules, *tightened.rules)))
    groups = sorted({plain.approver_group, tightened.approver_group} - {""})
    if len(groups) > 1:
        return _cannot_both(groups, names)
    more = tightened if tightened.quorum >= plain.quorum else plain
    open_ms = [d.expires_ms if d.expires_ms is not None else REQUEST_OPEN_MS for d in (plain, tightened)]
    return msgspec.structs.replace(
        more,
        rules=names,
        reason=plain.reason if plain.reason == tightened.reason else f"{plain.reason}; by its risk {tightened.reason}",
        approver_group=groups[0] if groups else "",
        expires_ms=min(open_ms),
    )


def _cannot_both(groups: list[str], names: tuple[str, ...]) -> Decision:
    why = f"its rules ask different groups ({', '.join(groups)}), and one approval cannot satisfy both"
    return Decision(answer="refuse", rules=names, reason=why)


class Case:
    """One question in the engine's words; ``facts`` are what the rules read as ``context``."""

    def __init__(self, tool: str, question: Question, facts: dict[str, Any], schema: cedarpy.Schema) -> None:
        who, what = question.principal, question.resource
        self.facts = facts
        self._schema = schema
        self._request: dict[str, Any] = {
            "principal": {"type": "Principal", "id": who.name},
            "action": {"type": "Action", "id": tool},
            "resource": {"type": "Target", "id": what},
        }
        person = {"name": who.name, "kind": who.kind, "groups": who.groups}
        target = {"name": what, "kind": what.partition(":")[0]}
        entities = (
            {"uid": self._request["principal"], "attrs": person, "parents": ()},
            {"uid": self._request["resource"], "attrs": target, "parents": ()},
        )
        self._entities = cedarpy.Entities.from_json_str(_encode(entities).decode(), schema)

    def evaluate(self, engine: cedarpy.PolicySet, *, approved: bool) -> Verdict:
        """What these rules say, once the call was approved or as it stands."""
        self.facts["approved"] = approved
        request = {**self._request, "context": _encode(self.facts).decode()}
        result = cedarpy.is_authorized(request, engine, self._entities, self._schema)
        errors = result.diagnostics.errors
        return Verdict(
            allows=result.decision is cedarpy.Decision.Allow and not errors,
            rules=frozenset(result.diagnostics.reasons),
            errors=frozenset(part for error in errors for part in error.split("`")[1:2]),
            unjudged=result.decision is cedarpy.Decision.NoDecision,
        )


def _ids(rules: Iterable[Rule]) -> tuple[str, ...]:
    return tuple(rule.id for rule in rules)


def _names(paths: Iterable[Path], root: str, attributes: Iterable[str]) -> set[str]:
    """The attributes of `root` that some path leads to; all of them where `root` is read as a whole."""
    known = set(attributes)
    mine = [path for path in paths if path[0] == root]
    return known if any(len(path) == 1 for path in mine) else {path[1] for path in mine} & known


def _getter(slots: Iterable[str]) -> Callable[[Any], Any]:
    names = tuple(slots)
    return attrgetter(*names) if names else lambda _value: None
