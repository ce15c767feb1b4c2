"""Planted defects of the gate: rules that are misread, inputs that are let pass, decisions remembered for too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.effect import admit, dispatch
from holdfast.gate import decide, evaluate, examples, policy
from holdfast.gate.decide import Judge
from holdfast.gate.evaluate import Case, ToolRules
from holdfast.gate.question import Decision
from holdfast.gate.rulings import Rulings
from holdfast.kernel.commit import Change
from holdfast.runtime import policies, trial

Put = Callable[[Any, str, Any], None]


def missing_input_allows(put: Put) -> None:
    """A question that does not fit is let pass."""
    said = Decision(answer="allow", rules=("builtin:unfit-input",), reason="")
    put(Judge, "_unfit", lambda self, question, error: said)


def default_allow(put: Put) -> None:
    """What no rule permits is allowed."""
    honest = ToolRules._refused

    def lenient(self: Any, case: Any, standing: Any, verdict: Any) -> Decision:
        said = honest(self, case, standing, verdict)
        return replace(said, answer="allow") if said.rules == ("builtin:default-deny",) else said

    put(ToolRules, "_refused", lenient)


def risk_loosens(put: Put) -> None:
    """The answer is the one with the model's opinion of the risk, whatever it would be without."""
    put(evaluate, "stricter", lambda plain, tightened: tightened)


def until_ignored(put: Put) -> None:
    """A rule that has ended still counts."""
    honest = ToolRules.absent
    put(ToolRules, "absent", lambda self, question: honest(self, replace(question, now_ms=0)))


def unproved_passes(put: Put) -> None:
    """A permit that wants a proof counts without one."""
    honest = ToolRules.absent
    put(ToolRules, "absent", lambda self, question: honest(self, replace(question, proved=True)))


def remembers_across_days(put: Put) -> None:
    """The key of a remembered decision does not hold which rules were there."""
    honest = ToolRules.key
    put(ToolRules, "key", lambda self, *given: honest(self, *given)[:-1])


def remembers_across_arguments(put: Put) -> None:
    """The key of a remembered decision does not hold the arguments that rules read."""

    def forgetful(self: Any, *given: Any, honest: Any = ToolRules.key) -> Any:
        tool, effect_class, who, _, *more = honest(self, *given)
        return (tool, effect_class, who, *more)

    put(ToolRules, "key", forgetful)


def remembers_across_policies(put: Put) -> None:
    """Another policy is put in force, and what was remembered under the first is answered on."""

    def kept(self: Any, policy: Any) -> None:
        self.judge.policy = policy

    put(Rulings, "use", kept)


def claimed_approval_counts(put: Put) -> None:
    """A text that says it was approved counts as an approval."""
    honest = Case.evaluate

    def credulous(self: Any, engine: Any, *, approved: bool) -> Any:
        return honest(self, engine, approved=approved or "approved" in str(self.facts.get("args", "")).casefold())

    put(Case, "evaluate", credulous)


def claimed_class_loosens(put: Put) -> None:
    """A class that is claimed for a call counts instead of the contract's."""
    put(decide, "effect_class_of", lambda question, contract: question.effect_class or contract.effect)


def unsound_rule_loads(put: Put) -> None:
    """A rule that cannot be evaluated is loaded all the same."""
    put(policy, "_validate", lambda *given: None)


def order_matters(put: Put) -> None:
    """Only the first rule that asks says how many must approve."""
    put(ToolRules, "_asked", lambda self, rules, honest=ToolRules._asked: honest(self, rules[:1]))


def described_tool_passes(put: Put) -> None:
    """A tool whose description says that it is safe or allowed is taken at its word."""
    honest = Rulings._judged

    def credulous(self: Any, judge: Any, seen: Any, *more: Any) -> Any:
        said = self._contracts[seen.effect.tool].description
        ruling = honest(self, judge, seen, *more)
        return ruling if said == "Pay out." else replace(ruling, answer="allow")

    put(Rulings, "_judged", credulous)


def purpose_persuades(put: Put) -> None:
    """What an intent says it is for is taken as a reason."""
    honest = Rulings._judged

    def credulous(self: Any, judge: Any, seen: Any, *more: Any) -> Any:
        ruling = honest(self, judge, seen, *more)
        return ruling if seen.run.goal == "pay the invoice" else replace(ruling, answer="allow")

    put(Rulings, "_judged", credulous)


def examples_always_pass(put: Put) -> None:
    """An example is as it should be, whatever the policy answers."""
    put(examples, "_differs", lambda example, said: "")


def midnight_passes(put: Put) -> None:
    """A dispatch commit may pass the end of a rule by which it was allowed."""
    put(dispatch, "rules_end", lambda ruling: ())


def denial_unrecorded(put: Put) -> None:
    """A refusal leaves no entry."""
    honest = admit._moved

    def silent(ports: Any, view: Any, kind: str, body: dict[str, Any]) -> Change:
        change = honest(ports, view, kind, body)
        return replace(change, drafts=()) if kind == "refused" else change

    put(admit, "_moved", silent)


def kept_moves(put: Put) -> None:
    """A reload says that runs keep their policy, and they do not."""
    put(policies, "_amended", lambda *given, **more: [])


def trial_hears_no_refusal(put: Put) -> None:
    """A trial of a policy passes over what would be refused or asked."""
    put(trial.Answer, "changed", property(lambda self: self.before != self.after and self.after == "allow"))


PLANT: dict[str, Callable[[Put], None]] = {
    "policy-missing-input-allows": missing_input_allows,
    "policy-default-allow": default_allow,
    "risk-loosens": risk_loosens,
    "until-ignored": until_ignored,
    "unproved-passes": unproved_passes,
    "remembers-across-days": remembers_across_days,
    "remembers-across-arguments": remembers_across_arguments,
    "remembers-across-policies": remembers_across_policies,
    "claimed-approval-counts": claimed_approval_counts,
    "claimed-class-loosens": claimed_class_loosens,
    "unsound-rule-loads": unsound_rule_loads,
    "policy-order-matters": order_matters,
    "described-tool-passes": described_tool_passes,
    "purpose-persuades": purpose_persuades,
    "examples-always-pass": examples_always_pass,
    "midnight-passes": midnight_passes,
    "denial-unrecorded": denial_unrecorded,
    "kept-policy-moves": kept_moves,
    "a-trial-that-hears-no-refusal": trial_hears_no_refusal,
}
