"""Rules that end, permits that want a proof, a model's opinion of the risk, and what a refusal says is permitted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.gate import Decision, Judge, PolicySet, Question
from holdfast.gate.question import REQUEST_OPEN_MS
from holdfast.kernel.errors import BadPolicy
from tests.unit.gate.contracts import CONTRACTS, decide, judge, question
from tests.unit.gate.test_decide import ANNOTATED, DAY_MS, FIT, LAST_MS, QUESTIONS, TIGHT, Planned

LEVEL = {"allow": 0, "ask": 1, "refuse": 2}
PROVED = '@id("proved-only") @proved("true") permit (principal, action, resource);'
SMALL = (
    '@id("small") @reason("small ones pass") permit (principal, action, resource) when { context.args.amount <= 1000 };'
)


@pytest.mark.req("2.8a", mutant="until-ignored")
@pytest.mark.parametrize("word", ["permit", "forbid"])
def test_rule_holds_through_its_last_day_and_not_an_instant_longer(word: str) -> None:
    """The day is UTC and inclusive; afterwards the rule is as if it were not there, permit and forbid alike."""
    other = "" if word == "permit" else "permit (principal, action, resource);"
    one = judge(f'@id("old") @until("2024-10-03") {word} (principal, action, resource); {other}')
    holds, over = (one.decide(question(now_ms=at_ms)) for at_ms in (LAST_MS - 1, LAST_MS))
    assert (holds.answer, over.answer) == (("allow", "refuse") if word == "permit" else ("refuse", "allow"))
    assert (holds.until_ms, over.until_ms) == (LAST_MS, 0)
    assert holds.inputs_digest != over.inputs_digest


@pytest.mark.req("2.8a", mutant="policy-missing-input-allows")
def test_rules_that_end_are_not_judged_without_the_time() -> None:
    """A question that does not say when it is asked is refused where it could matter, and only there."""
    one = judge('@until("2024-10-03") permit (principal, action == Action::"refund", resource);'
                'permit (principal, action == Action::"look", resource);')  # fmt: skip
    said = one.decide(question())
    assert (said.answer, said.rules) == ("refuse", ("builtin:unfit-input",))
    assert one.decide(question("look")).answer == "allow"


@pytest.mark.req("2.8a", mutant="unproved-passes")
def test_permit_that_wants_a_proof_counts_only_when_the_contract_is_proved() -> None:
    """Without a proof the call is refused, and the reason names the rule and the command that proves it."""
    said = decide(PROVED)
    assert (said.answer, said.rules) == ("refuse", ("proved-only", "builtin:unproved"))
    assert "holdfast tool prove refund" in said.reason
    assert decide(PROVED, question(proved=True)).answer == "allow"


def test_other_rules_are_not_touched_by_a_missing_proof() -> None:
    """A call that another rule permits or asks for needs no proof; a forbid is still the reason of a refusal."""
    assert decide(PROVED + SMALL, question(args={"invoice_id": "i", "amount": 1})).rules == ("small",)
    asks = "permit (principal, action, resource) when { context.approved };"
    assert decide(PROVED + asks).answer == "ask"
    never = '@id("never") forbid (principal, action, resource);'
    assert decide(PROVED + never).rules == ("never",)


@pytest.mark.req("2.8b", mutant="risk-loosens")
@pytest.mark.parametrize("risk", ["low", "medium", "high"])
def test_risk_that_a_rule_would_reward_changes_nothing(risk: str) -> None:
    """A rule that permits what a model calls low, medium or high permits nothing that it did not permit before."""
    bought = f'permit (principal, action, resource) when {{ context has risk && context.risk == "{risk}" }};'
    assert decide(bought, question(risk=risk)).answer == "refuse"


def test_risk_tightens_an_answer_and_a_request() -> None:
    """High risk turns an allow into an ask; of two requests the one with more people and less time counts."""
    rules = """
        permit (principal, action, resource) when { if context has risk then context.risk != "high" else true };
        @quorum("2") @expires("4h") permit (principal, action, resource)
        when { context has risk && context.risk == "high" && context.approved };"""
    assert decide(rules).answer == "allow"
    assert decide(rules, question(risk="low")).answer == "allow"
    said = decide(rules, question(risk="high"))
    assert (said.answer, said.quorum, said.expires_ms) == ("ask", 2, 14_400_000)
    asked = "permit (principal, action, resource) when { !(context has risk) && context.approved };" + rules[rules.index("@quorum"):]  # fmt: skip # noqa: E501
    assert decide(asked, question(risk="high")).expires_ms == REQUEST_OPEN_MS


def test_risk_that_is_no_word_of_ours_is_refused() -> None:
    """An opinion that nobody can read is not taken for a low one."""
    assert decide(SMALL, question(args={"invoice_id": "i", "amount": 1}, risk="lowest")).answer == "refuse"


def strictness(said: Decision) -> tuple[int, int, int]:
    """How much a decision wants: refuse before ask before allow, more people, less time."""
    if said.answer != "ask":
        return LEVEL[said.answer], 0, 0
    open_ms = said.expires_ms if said.expires_ms is not None else REQUEST_OPEN_MS
    return LEVEL["ask"], said.quorum, -open_ms


@pytest.mark.req("2.8b", mutant="risk-loosens")
@settings(deadline=None, max_examples=300)
@given(TIGHT, st.one_of(FIT, FIT, QUESTIONS), st.sampled_from(["low", "medium", "high", "grave", ""]))
def test_no_risk_ever_loosens_a_decision(policy: Planned, asked: Question, risk: str) -> None:
    """Whatever the rules are, what a model thinks of the risk leaves the answer as strict as it was or stricter."""
    one = Judge(PolicySet.load(policy.text, CONTRACTS), CONTRACTS)
    plain, told = (one.decide(replace(asked, risk=opinion)) for opinion in (None, risk))
    assert strictness(told) >= strictness(plain)
    if told.answer == plain.answer == "ask" and plain.approver_group:
        assert told.approver_group == plain.approver_group


@pytest.mark.req("2.8a", mutant="remembers-across-days")
@settings(deadline=None, max_examples=100)
@given(
    ANNOTATED,
    st.one_of(FIT, QUESTIONS),
    st.permutations([LAST_MS - DAY_MS - 1, LAST_MS - 1, LAST_MS, LAST_MS + DAY_MS]),
)
def test_a_day_that_ends_rules_is_not_answered_from_the_day_before(
    policy: Planned, asked: Question, days: list[int]
) -> None:
    """Across the end of rules the remembered answer is the computed one, in whatever order the days are asked."""
    loaded = PolicySet.load(policy.text, CONTRACTS)
    remembering = Judge(loaded, CONTRACTS)
    for now_ms in days * 2:
        at = replace(asked, now_ms=now_ms)
        assert remembering.decide(at) == Judge(loaded, CONTRACTS).decide(at)


@pytest.mark.req("2.8a", mutant="policy-order-matters")
@settings(deadline=None, max_examples=200)
@given(TIGHT, FIT, st.randoms(use_true_random=False))
def test_order_of_the_rules_does_not_matter(policy: Planned, asked: Question, chance: random.Random) -> None:
    """The same rules in another order give the same answer, by the same rules, to the same people."""
    rules = [f'@id("r{n}") {rule};' for n, rule in enumerate(filter(str.strip, policy.text.split(";\n")))]
    mixed = chance.sample(rules, len(rules))
    one, other = (judge("\n".join(text)).decide(asked) for text in (rules, mixed))
    assert (one.answer, set(one.rules), one.approver_group, one.quorum, one.expires_ms, one.until_ms) == (
        (other.answer, set(other.rules), other.approver_group, other.quorum, other.expires_ms, other.until_ms)
    )


def test_refusal_says_what_is_permitted_instead() -> None:
    """The conditions that the call does not meet, in the words of their authors, the nearest rule first."""
    policy = (
        SMALL
        + """
        @id("test-only") permit (principal, action, resource)
        when { context.environment == "test" && context.args.amount < 10 };"""
    )
    assert decide(policy).reason == (
        "no rule permits it (default deny); permitted is: small (small ones pass) when context.args.amount <= 1000; "
        'test-only when context.environment == "test" and context.args.amount < 10'
    )
    forbidden = decide(SMALL + '@id("cap") forbid (principal, action, resource) when { context.args.amount > 1100 };')
    assert forbidden.reason == (
        "forbidden by cap, which holds when context.args.amount > 1100; an approval does not lift it; "
        "permitted is: small (small ones pass) when context.args.amount <= 1000"
    )


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ('@until("2024-13-01") permit (principal, action, resource);', "is not a day"),
        ('@until("2024-2-1") permit (principal, action, resource);', "is not a day"),
        ('@until("tomorrow") permit (principal, action, resource);', "is not a day"),
        ('@until("") permit (principal, action, resource);', "is not a day"),
        ('@proved("yes") permit (principal, action, resource);', 'can only be "true"'),
        ('@proved("true") forbid (principal, action, resource);', "stands on a forbid"),
        ('@untill("2024-01-01") permit (principal, action, resource);', "no annotation @untill"),
        ('permit (principal, action, resource) when { context has risk && context.risk == "hihg" };', "never 'hihg'"),
        ('permit (principal, action, resource) when { context.risk == "high" };', "risk"),
    ],
)
def test_annotation_that_means_nothing_is_refused(rule: str, why: str) -> None:
    """A day that is none, a proof that is not asked for, a risk without `has`: refused with file and line."""
    with pytest.raises(BadPolicy) as caught:
        PolicySet.load("// one line\n" + rule, CONTRACTS)
    assert why in caught.value.why
    assert caught.value.line == 2
