"""May this call happen? One typed question, one decision, remembered.

Decides allow, ask or refuse, by these rules in this order:

    1. A question that does not fit is refused: unknown tool, other contract version, an argument that is
       missing, unknown or of another type. A missing input never passes.
    2. The policy is evaluated with `context.approved` false. Allow, with no error in any rule, allows.
    3. Otherwise it is evaluated with `context.approved` true. Allow, with no error in any rule, asks: the rules
       that made the difference say whom, how many and for how long.
    4. Everything else is refused: a forbid, a rule that could not be evaluated, no rule that permits it.
    5. A tool with arguments that only trusted sources may supply is asked, never allowed: where values come
       from is not traced yet. This rule is built in and no policy can lift it.

Promises: the same question under the same policy gets the same decision, on any machine and in any order; a
remembered decision equals the computed one, because the memory's key holds every input that some rule for the
tool can read. Nothing else is looked at: no clock, no store, no text that claims an approval.

Does not promise that an *allow* may be dispatched: grants, budgets, approvals and the state fingerprint are
judged elsewhere and again at the dispatch commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Literal

import cedarpy
import msgspec

from holdfast.gate.policy import PolicySet, Rule
from holdfast.gate.schema import EFFECT_CLASSES, Contract, Shape, args_shape, constants, typed
from holdfast.gate.syntax import Path
from holdfast.kernel import canon
from holdfast.kernel.errors import HoldfastError

MEMORY_LIMIT = 10_000
"""Decisions remembered per judge; the least recently used one is forgotten first."""

Answer = Literal["allow", "ask", "refuse"]

_encode = msgspec.json.Encoder().encode
_RANK = {name: rank for rank, name in enumerate(EFFECT_CLASSES)}
_DIRECT = ("environment", "tenant", "purpose", "generation", "attempt", "proved")
_OPTIONAL = ("cost_minor", "currency", "minutes_to_deadline")


class Principal(msgspec.Struct, frozen=True):
    """Who asks: vouched for by a credential or by the embedding program, never by the planner's text."""

    name: str
    kind: str
    """person, service or planner."""
    groups: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a rule may read about one call."""

    tool: str
    contract_version: str
    args: dict[str, Any]
    resource: str
    principal: Principal
    environment: str
    tenant: str
    purpose: str
    effect_class: str = ""
    """A class claimed for this call. It may be stricter than the contract's, never looser; empty: the contract's."""
    generation: int = 1
    attempt: int = 1
    proved: bool = False
    """True once the contract was proved against a sandbox and not merely declared."""
    cost_minor: int | None = None
    currency: str | None = None
    minutes_to_deadline: int | None = None
    args_digest: str = ""
    """The digest of the canonical arguments where the caller has it already; computed if empty."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules said, and by which inputs under which policy."""

    answer: Answer
    rules: tuple[str, ...]
    reason: str
    approver_group: str = ""
    """The group that may approve; empty: any approver."""
    quorum: int = 1
    expires_ms: int | None = None
    """How long the request stays open, from when it is made; None: the caller's default."""
    policy_digest: str = ""
    inputs_digest: str = ""


class Judge:
    """Answers questions under one policy and one set of contracts. Not shared between threads."""

    def __init__(self, policy: PolicySet, contracts: Iterable[Contract]) -> None:
        self.policy = policy
        self.remembered = 0
        """Decisions that were answered from memory."""
        self.computed = 0
        """Decisions that were evaluated."""
        self._docket = {c.name: _Docket(c, policy) for c in contracts if c.name in policy.contexts}
        self._memory: dict[tuple[Any, ...], Decision] = {}

    def decide(self, question: Question) -> Decision:
        """The decision for one call. Never raises: what cannot be judged is refused."""
        docket = self._docket.get(question.tool) if type(question.tool) is str else None
        try:
            if docket is None:
                return self._unfit(question, "no contract of that name is known to the policy")
            effect_class = docket.effect_class(question)
            args = typed(docket.shape, question.args)
            inputs = _inputs_digest(question, effect_class)
            key = (question.tool, effect_class, docket.question_key(question), docket.args_key(args))
            found = self._memory.pop(key, None)
        except (msgspec.ValidationError, HoldfastError, _UnfitError, UnicodeEncodeError) as error:
            return self._unfit(question, str(error))
        if found is None:
            self.computed += 1
            found = docket.judge(question, effect_class, args)
            if len(self._memory) >= MEMORY_LIMIT:
                del self._memory[next(iter(self._memory))]
        else:
            self.remembered += 1
        self._memory[key] = found
        return Decision(
            answer=found.answer,
            rules=found.rules,
            reason=found.reason,
            approver_group=found.approver_group,
            quorum=found.quorum,
            expires_ms=found.expires_ms,
            policy_digest=found.policy_digest,
            inputs_digest=inputs,
        )

    def forget(self) -> None:
        """Empty the memory; decisions do not change by it."""
        self._memory.clear()

    def _unfit(self, question: Question, why: str) -> Decision:
        tool = question.tool if type(question.tool) is str else type(question.tool).__name__
        shown = canon.encode(tool[:80].encode("utf-8", "replace").decode()).decode()
        return Decision(
            answer="refuse",
            rules=("builtin:unfit-input",),
            reason=f"the call does not fit the contract {shown}: {why}",
            policy_digest=self.policy.digest,
            inputs_digest=canon.digest(repr(question).encode("utf-8", "backslashreplace")),
        )


class _UnfitError(Exception):
    """An input is missing, of another type, or contradicts the contract."""


class _Docket:
    """One tool: what its rules can read, and how they are evaluated."""

    def __init__(self, contract: Contract, policy: PolicySet) -> None:
        self.contract = contract
        self.policy = policy
        self.shape = args_shape(contract)
        self.rules = policy.rules_for(contract.name)
        self.constants = constants(contract)
        paths = {path for rule in self.rules for path in rule.reads}
        self.question_key = _getter(_question_slots(paths))
        self.args_key = _getter(_args_slots(paths, self.shape))
        self.asks_always = bool(contract.only_from_trusted)

    def effect_class(self, question: Question) -> str:
        """The contract's class, or a stricter one the question claims; raises for a question that does not fit."""
        if question.contract_version != self.contract.version:
            raise _UnfitError("it was made for another version of the contract")
        _check_types(question)
        if not question.effect_class:
            return self.contract.effect
        if question.effect_class not in _RANK:
            raise _UnfitError("its effect class is none of " + ", ".join(EFFECT_CLASSES))
        return max(question.effect_class, self.contract.effect, key=_RANK.__getitem__)

    def judge(self, question: Question, effect_class: str, args: Any) -> Decision:
        """The decision, computed; the digest of the inputs is left to the caller."""
        facts = {"args": args, "effect_class": effect_class, **self.constants}
        facts.update({name: getattr(question, name) for name in _DIRECT})
        facts.update({n: v for n in _OPTIONAL if (v := getattr(question, n)) is not None})
        case = _Case(self.contract.name, question, facts, self.policy.schema)
        plain = case.evaluate(self.policy.engine, approved=False)
        if plain.allows:
            return self._allowed(plain)
        approved = case.evaluate(self.policy.engine, approved=True)
        if approved.allows:
            return self._asked(self._difference(case, plain, approved))
        return self._refused(approved)

    def _difference(self, case: _Case, plain: _Verdict, approved: _Verdict) -> list[Rule]:
        """The rules that an approval satisfies, in the order in which they were read."""
        named = set(plain.rules) | set(plain.errors)
        permits = set(approved.rules)
        # Permits matter only where none of them permits the call unapproved, which a forbid may have hidden.
        if not named or not case.evaluate(self.policy.permits, approved=False).allows:
            named |= permits
        return [rule for rule in self.rules if rule.id in named]

    def _allowed(self, verdict: _Verdict) -> Decision:
        rules = [rule for rule in self.rules if rule.id in verdict.rules]
        if self.asks_always:
            return self._asked(rules)
        reason = "permitted by " + " and ".join(map(str, rules))
        return Decision(
            answer="allow", rules=tuple(r.id for r in rules), reason=reason, policy_digest=self.policy.digest
        )

    def _asked(self, rules: list[Rule]) -> Decision:
        asking = [rule for rule in rules if rule.asks]
        groups = sorted({rule.approver_group for rule in asking} - {""})
        names = tuple(rule.id for rule in rules)
        if len(groups) > 1:
            why = f"its rules ask different groups ({', '.join(groups)}); write one rule that names the group that decides"
            return Decision(answer="refuse", rules=names, reason=why, policy_digest=self.policy.digest)
        quorum = max((rule.quorum for rule in asking), default=1)
        expires = min((rule.expires_ms for rule in asking if rule.expires_ms is not None), default=None)
        because = [str(rule) for rule in asking]
        if self.asks_always:
            trusted = ", ".join(sorted(self.contract.only_from_trusted))
            names = (*names, "builtin:untraced-arguments")
            because.append(f"builtin:untraced-arguments (where {trusted} came from is not traced)")
        people = "one approval" if quorum == 1 else f"{quorum} approvals"
        source = f" from {groups[0]}" if groups else ""
        return Decision(
            answer="ask",
            rules=names,
            reason=f"allowed with {people}{source}: " + "; ".join(because),
            approver_group=groups[0] if groups else "",
            quorum=quorum,
            expires_ms=expires,
            policy_digest=self.policy.digest,
        )

    def _refused(self, verdict: _Verdict) -> Decision:
        broken = [rule for rule in self.rules if rule.id in verdict.errors]
        forbids = [rule for rule in self.rules if rule.id in verdict.rules and rule.forbids]
        if forbids:
            reason = "forbidden by " + " and ".join(map(str, forbids)) + "; an approval does not lift it"
        elif verdict.unjudged:
            reason = "the policy engine did not accept the question, so nothing permits it"
        elif broken:
            reason = f"{' and '.join(map(str, broken))} cannot be evaluated for this call, so nothing permits it"
        else:
            reason = "no rule permits it (default deny)"
            permits = [str(rule) for rule in self.rules if not rule.forbids]
            if permits:
                reason += "; rules that permit other calls of this tool: " + ", ".join(permits)
        names = tuple(rule.id for rule in (*forbids, *broken)) or ("builtin:default-deny",)
        return Decision(answer="refuse", rules=names, reason=reason, policy_digest=self.policy.digest)


class _Verdict(msgspec.Struct, frozen=True):
    """What one evaluation said."""

    allows: bool
    rules: frozenset[str]
    errors: frozenset[str]
    """The rules that could not be evaluated."""
    unjudged: bool
    """True where the engine refused the question as a whole."""


class _Case:
    """One question in the engine's words. Names and values are data in JSON and never Cedar text."""

    def __init__(self, tool: str, question: Question, facts: dict[str, Any], schema: cedarpy.Schema) -> None:
        who, what = question.principal, question.resource
        self.facts = facts
        self.schema = schema
        self.request: dict[str, Any] = {
            "principal": {"type": "Principal", "id": who.name},
            "action": {"type": "Action", "id": tool},
            "resource": {"type": "Target", "id": what},
        }
        person = {"name": who.name, "kind": who.kind, "groups": who.groups}
        target = {"name": what, "kind": what.partition(":")[0]}
        entities = [
            {"uid": self.request["principal"], "attrs": person, "parents": ()},
            {"uid": self.request["resource"], "attrs": target, "parents": ()},
        ]
        # Read once and checked against the schema here; every evaluation of the case shares them.
        self.entities = cedarpy.Entities.from_json_str(_encode(entities).decode(), schema)

    def evaluate(self, engine: cedarpy.PolicySet, *, approved: bool) -> _Verdict:
        self.facts["approved"] = approved
        request = {**self.request, "context": _encode(self.facts).decode()}
        result = cedarpy.is_authorized(request, engine, self.entities, self.schema)
        errors = result.diagnostics.errors
        return _Verdict(
            allows=result.decision is cedarpy.Decision.Allow and not errors,
            rules=frozenset(result.diagnostics.reasons),
            errors=frozenset(word for error in errors for word in error.split("`")[1:2]),
            unjudged=result.decision is cedarpy.Decision.NoDecision,
        )


def _inputs_digest(question: Question, effect_class: str) -> str:
    """SHA-256 of the JSON array of every input, in the order of `Question`, arguments as their digest.

    An array of text, whole numbers and booleans has one canonical form (RFC 8785), which is what is hashed.
    """
    q, who = question, question.principal
    args_digest = q.args_digest or canon.digest(canon.encode(q.args))
    inputs = (
        (q.tool, q.contract_version, args_digest, q.resource, who.name, who.kind, who.groups, q.environment)
        + (q.tenant, q.purpose, effect_class, q.generation, q.attempt, q.proved)
        + (q.cost_minor, q.currency, q.minutes_to_deadline)
    )
    return "sha256:" + hashlib.sha256(_encode(inputs)).hexdigest()


def _check_types(q: Question) -> None:
    """Refuse an input of another type: 1, 1.0 and True are one dictionary key but three different answers."""
    who = q.principal
    if not (
        type(q.resource) is type(q.environment) is type(q.tenant) is type(q.purpose) is str
        and type(who.name) is type(who.kind) is type(q.effect_class) is type(q.args_digest) is str
        and type(who.groups) is tuple
        and all(type(group) is str for group in who.groups)
        and type(q.generation) is type(q.attempt) is int
        and type(q.proved) is bool
        and (q.currency is None or type(q.currency) is str)
        and (q.cost_minor is None or type(q.cost_minor) is int)
        and (q.minutes_to_deadline is None or type(q.minutes_to_deadline) is int)
    ):
        raise _UnfitError("an input is missing or has the wrong type")
    for number in (q.generation, q.attempt, q.cost_minor, q.minutes_to_deadline):
        if number is not None and not -(2**63) <= number < 2**63:
            raise _UnfitError("a number is outside 64 bits")


def _getter(slots: Iterable[str]) -> Callable[[Any], Any]:
    names = sorted(set(slots))
    return attrgetter(*names) if names else lambda _value: None


def _question_slots(paths: Iterable[Path]) -> Iterable[str]:
    """The attributes of a question that the paths lead to."""
    for root, *rest in paths:
        if root == "principal":
            yield from [f"principal.{rest[0]}"] if rest else ["principal.name", "principal.kind", "principal.groups"]
        elif root == "resource":
            yield "resource"
        elif not rest:
            yield from (*_DIRECT, *_OPTIONAL)
        elif rest[0] in _DIRECT or rest[0] in _OPTIONAL:
            yield rest[0]


def _args_slots(paths: Iterable[Path], shape: Shape) -> Iterable[str]:
    """The parts of the typed arguments that the paths lead to, as far down as they are certain to exist."""
    for path in paths:
        if path == ("context",):
            yield from (field.slot for field in shape.fields.values())
        if path[:2] != ("context", "args"):
            continue
        slots: list[str] = []
        here = shape
        for attribute in path[2:]:
            field = here.fields.get(attribute)
            if field is None:
                break
            slots.append(field.slot)
            here = field.shape
            if field.optional:
                break
        if slots:
            yield ".".join(slots)
        else:
            yield from (field.slot for field in shape.fields.values())
