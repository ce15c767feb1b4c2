"""May this call happen? One typed question, one decision, remembered.

Decides allow, ask or refuse, by these rules in this order:

    1. A question that does not fit is refused: unknown tool, other contract version, an argument that is
       missing, unknown or of another type. A missing input never passes.
    2. The policy is evaluated with `context.approved` false. Allow, with no error in any rule, allows.
    3. Otherwise it is evaluated with `context.approved` true. Allow, with no error in any rule, asks: the
       rules that made the difference say whom, how many and for how long.
    4. Everything else is refused: a forbid, a rule that could not be evaluated, no rule that permits it. Where the
       rules let one tell, the reason says what would be permitted instead.
    5. Rules that have ended (`@until`) are as if they were not there, and a permit that wants a proof (`@proved`)
       is not there while the contract is not proved.
    6. A model's opinion of the risk is asked for twice: the answer is the stricter one of those without it and
       with it, so that it can tighten and never loosen.
    7. A tool with arguments that only trusted sources may supply is asked, never allowed: where values come
       from is not traced yet. This rule is built in and no policy can lift it.

Promises: the same question under the same policy gets the same decision, on any machine and in any order; a
remembered decision equals the computed one, because the memory's key holds every input that some rule for the
tool can read. Nothing else is looked at: no clock, no store, no text that claims an approval.

Does not promise that an *allow* may be dispatched: grants, budgets, approvals and the state fingerprint are
judged elsewhere and again at the dispatch commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast.gate.arguments import typed
from holdfast.gate.evaluate import ToolRules
from holdfast.gate.policy import PolicySet
from holdfast.gate.question import Decision, Question, Unfit, check_types, inputs_digest
from holdfast.gate.schema import EFFECT_CLASSES, Contract
from holdfast.kernel.errors import BadValue, HoldfastError

MEMORY_LIMIT = 10_000
"""Decisions remembered per judge; the least recently used one is forgotten first."""

_RANK = {name: rank for rank, name in enumerate(EFFECT_CLASSES)}
_UNFIT = (Unfit, HoldfastError, msgspec.ValidationError, UnicodeEncodeError)
_MAX_WORDS = 300


class Judge:
    """Answers questions under one policy and one set of contracts. One per thread."""

    def __init__(self, policy: PolicySet, contracts: Iterable[Contract]) -> None:
        self.policy = policy
        self.remembered = 0
        """How many decisions were answered from memory."""
        self.computed = 0
        """How many were evaluated."""
        self._contracts = {c.name: c for c in contracts if c.name in policy.contexts}
        self._rules: dict[str, ToolRules] = {}
        self._memory: dict[tuple[Any, ...], Decision] = {}

    def decide(self, question: Question) -> Decision:
        """The decision for one call. Never raises: what cannot be judged is refused."""
        try:
            rules = self.rules_of(question)
            effect_class = effect_class_of(question, rules.contract)
            args = typed(rules.shape, question.args)
            inputs = inputs_digest(question, effect_class)
            key = rules.key(question, effect_class, args)
        except _UNFIT as error:
            return self._unfit(question, error)
        found = self._memory.pop(key, None)
        if found is None:
            self.computed += 1
            try:
                found = rules.judge(question, effect_class, args)
            except ValueError as error:  # The engine refuses a value that passed every check of ours.
                return self._unfit(question, error)
            if len(self._memory) >= MEMORY_LIMIT:
                del self._memory[next(iter(self._memory))]
        else:
            self.remembered += 1
        self._memory[key] = found  # Put back at the end, so that the first key is the least recently used.
        return Decision(
            answer=found.answer,
            rules=found.rules,
            reason=found.reason,
            approver_group=found.approver_group,
            quorum=found.quorum,
            expires_ms=found.expires_ms,
            until_ms=rules.until_ms(question),
            policy_digest=found.policy_digest,
            inputs_digest=inputs,
        )

    def forget(self) -> None:
        """Empty the memory; no decision changes by it."""
        self._memory.clear()

    def rules_of(self, question: Question) -> ToolRules:
        """The rules of its tool, ready to be evaluated. Raises Unfit for a tool that is not known."""
        tool = question.tool
        if type(tool) is not str:
            raise Unfit("the tool has no name")
        found = self._rules.get(tool)
        if found is None:
            if tool not in self._contracts:
                raise Unfit("the policy knows no contract of that name")
            found = self._rules[tool] = ToolRules(self._contracts[tool], self.policy)
        return found

    def _unfit(self, question: Question, error: Exception) -> Decision:
        why = f"{error.path}: {error.why}" if isinstance(error, BadValue) else str(error)
        try:
            check_types(question)
            inputs = inputs_digest(question, question.effect_class)
        except (*_UNFIT, TypeError):
            inputs = ""
        return Decision(
            answer="refuse",
            rules=("builtin:unfit-input",),
            reason=f"the call of {_shown(str(question.tool))} does not fit its contract: {_shown(why)}",
            policy_digest=self.policy.digest,
            inputs_digest=inputs,
        )


def effect_class_of(question: Question, contract: Contract) -> str:
    """The contract's class, or a stricter one that the question claims; raises Unfit."""
    if question.contract_version != contract.version:
        raise Unfit("it was made for another version of the contract")
    check_types(question)
    claimed = question.effect_class
    if not claimed:
        return contract.effect
    if claimed not in _RANK:
        raise Unfit("its effect class is none of " + ", ".join(EFFECT_CLASSES))
    return claimed if _RANK[claimed] > _RANK[contract.effect] else contract.effect


def _shown(text: str) -> str:
    """Names come from planners: what cannot be printed is escaped, so that it cannot forge a line."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_MAX_WORDS])
    return "".join(escaped)
