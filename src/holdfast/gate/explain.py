"""Why a call gets its answer: every rule of its tool, the conditions that hold and those that do not, and what would.

Decides nothing: the decision is the judge's own, and the conditions are evaluated by the same engine over the same
facts. Promises that what is called unmet did not hold for exactly this question, were it approved.

Does not promise that meeting the conditions of one rule is enough: a forbid may stand in the way of it.
"""

from __future__ import annotations

import msgspec

from holdfast.gate.arguments import typed
from holdfast.gate.decide import Judge, effect_class_of
from holdfast.gate.evaluate import unmet
from holdfast.gate.policy import Rule, condition_id
from holdfast.gate.question import Decision, Question


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One rule as it stands to one call: ``decided`` if it is among the rules that made the answer."""

    rule: Rule
    decided: bool
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    absent: str = ""
    """Why the rule is as if it were not there; empty: it is there."""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with every rule that could have spoken of it, those that decided first."""

    decision: Decision
    rules: tuple[Seen, ...] = ()


def explain(judge: Judge, question: Question) -> Explained:
    """The decision and what each rule says to it. Never raises: what cannot be judged is refused, without rules."""
    said = judge.decide(question)
    if "builtin:unfit-input" in said.rules:
        return Explained(decision=said)
    rules = judge.rules_of(question)
    effect_class = effect_class_of(question, rules.contract)
    case = rules.case(question, effect_class, typed(rules.shape, question.args))
    if question.risk is not None and rules.reads_risk:
        case.facts["risk"] = question.risk
    holding, absent = rules.holding(case), rules.absent(question)
    found = [
        Seen(
            rule=rule,
            decided=rule.id in said.rules,
            holds=tuple(c.words for n, c in enumerate(rule.conditions) if condition_id(rule.id, n) in holding),
            lacks=tuple(unmet(rule, holding)),
            absent=_absent(rule, question) if rule.id in absent else "",
        )
        for rule in rules.rules
    ]
    return Explained(decision=said, rules=tuple(sorted(found, key=lambda seen: not seen.decided)))


def _absent(rule: Rule, question: Question) -> str:
    if rule.until_ms and question.now_ms is not None and question.now_ms >= rule.until_ms:
        return f"it ended with {rule.until}"
    return f"the contract is not proved: holdfast tool prove {question.tool}"
