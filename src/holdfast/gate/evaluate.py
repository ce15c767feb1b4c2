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
from holdfast.gate.policy import PolicySet, Rule
from holdfast.gate.question import DIRECT, OPTIONAL, Decision, Question
from holdfast.gate.schema import Contract, args_shape, constants, context_shape, schema_of
from holdfast.gate.syntax import Path

_encode = msgspec.json.Encoder(enc_hook=str).encode  # The hook writes `Text`, which msgspec does not know.
_PRINCIPAL = ("name", "kind", "groups")


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
        self._engine = policy.engine_for(contract.name)
        self._permits = policy.engine_for(contract.name, permits_only=True)

    def key(self, question: Question, effect_class: str, args: Any) -> tuple[Any, ...]:
        """Everything the decision can depend on; hashable. `args` are typed by `shape`."""
        return (question.tool, effect_class, self._question_key(question), self._args_key(args))

    def judge(self, question: Question, effect_class: str, args: Any) -> Decision:
        """The decision; the digest of the inputs is left to the caller."""
        case = _Case(self.contract.name, question, self._facts(question, effect_class, args), self._schema)
        plain = case.evaluate(self._engine, approved=False)
        if plain.allows:
            return self._asked_or_allowed([rule for rule in self.rules if rule.id in plain.rules])
        approved = case.evaluate(self._engine, approved=True)
        if approved.allows:
            return self._asked(self._difference(case, plain, approved))
        return self._refused(approved)

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

    def _difference(self, case: _Case, plain: Verdict, approved: Verdict) -> list[Rule]:
        """The rules that an approval satisfies, in the order in which they were read."""
        named = set(plain.rules) | set(plain.errors)
        # The permits are part of it unless one permits the call unapproved, which a forbid may have hidden.
        if not named or not case.evaluate(self._permits, approved=False).allows:
            named |= approved.rules
        return [rule for rule in self.rules if rule.id in named]

    def _asked_or_allowed(self, rules: list[Rule]) -> Decision:
        if self.contract.only_from_trusted:
            return self._asked(rules)
        reason = "permitted by " + " and ".join(map(str, rules))
        return Decision(answer="allow", rules=_ids(rules), reason=reason, policy_digest=self.digest)

    def _asked(self, rules: list[Rule]) -> Decision:
        """Ask by the strictest of the rules: largest quorum, shortest time, and one group only."""
        asking = [rule for rule in rules if rule.asks]
        groups = sorted({rule.approver_group for rule in asking} - {""})
        names, because = _ids(rules), [str(rule) for rule in asking]
        if len(groups) > 1:
            why = f"its rules ask different groups ({', '.join(groups)}), and one approval cannot satisfy both"
            return Decision(answer="refuse", rules=names, reason=why, policy_digest=self.digest)
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
            policy_digest=self.digest,
        )

    def _refused(self, verdict: Verdict) -> Decision:
        broken = [rule for rule in self.rules if rule.id in verdict.errors]
        forbids = [rule for rule in self.rules if rule.id in verdict.rules and rule.forbids]
        permits = [str(rule) for rule in self.rules if not rule.forbids]
        if forbids:
            reason = "forbidden by " + " and ".join(map(str, forbids)) + "; an approval does not lift it"
        elif verdict.unjudged:
            reason = "the policy engine did not accept the question, so nothing permits it"
        elif broken:
            rules = " and ".join(map(str, broken))
            reason = f"{rules} cannot be evaluated for this call, so nothing permits it"
        else:
            reason = "no rule permits it (default deny)"
            if permits:
                reason += "; rules that permit other calls of this tool: " + ", ".join(permits)
        names = _ids((*forbids, *broken)) or ("builtin:default-deny",)
        return Decision(answer="refuse", rules=names, reason=reason, policy_digest=self.digest)


class _Case:
    """One question in the engine's words."""

    def __init__(self, tool: str, question: Question, facts: dict[str, Any], schema: cedarpy.Schema) -> None:
        who, what = question.principal, question.resource
        self._facts = facts
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
        self._facts["approved"] = approved
        request = {**self._request, "context": _encode(self._facts).decode()}
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
