"""`tool prove` against bodies that lie: each lie is found, by the checks that speak of it, and honest tools pass."""

from __future__ import annotations

import pytest

from examples.payments import tools as honest
from examples.payments.sandbox import Payments
from holdfast.harness.prove import Proof, Verdict, prove
from holdfast.tools import Registry
from tests.harness.lying import bodies, folder

WHY = "the planted defects are the lying bodies themselves"
TEN = [
    "ignores_the_key",
    "swallows_an_error",
    "returns_before_acting",
    "probes_a_cache",
    "verifies_its_own_reply",
    "lists_one_page",
    "acts_twice",
    "denies_what_it_did",
    "forgets_the_token",
]
"""The tenth is the side file, further down."""


class TwoToAPage(Payments):
    """The list that lies asks for two items at a time."""

    page = 2


def broken(proof: Proof) -> set[str]:
    """The checks that found a contradiction."""
    return {finding.check for finding in proof.findings if finding.verdict is Verdict.BROKEN}


def not_proved(proof: Proof) -> dict[str, str]:
    """Every finding that is not a proof, with its evidence."""
    return {f.check: f.evidence for f in proof.findings if f.verdict is not Verdict.PROVED}


async def proof_of(tool: str) -> Proof:
    """Prove one of the lying tools against a payment service of its own."""
    return await prove(tool, TwoToAPage(tool), Registry(bodies.TOOLS))


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason=WHY)
@pytest.mark.parametrize("lie", TEN)
async def test_each_lie_is_found_by_the_checks_that_speak_of_it(lie: str) -> None:
    """A body that lies in one way breaks the claims that it lies about, and no others."""
    proof = await proof_of(lie)
    assert broken(proof) == bodies.LIES[lie], not_proved(proof)
    assert proof.verdict is Verdict.BROKEN


@pytest.mark.req("2.2d", mutant=None, reason=WHY)
async def test_side_file_that_is_not_declared_is_found() -> None:
    """A hidden file beside the target breaks the claim that nothing else changes, and is named."""
    proof = await prove("hides_a_file", folder.Notes(), Registry(folder.TOOLS))
    assert broken(proof) == {"side-effects"}
    assert ".recent" in not_proved(proof)["side-effects"]


async def test_side_file_that_is_declared_is_proved() -> None:
    """The same file, named in the contract, is a proved side effect; a tool over files can be proved whole."""
    proof = await prove("tells_of_its_file", folder.Notes(), Registry(folder.TOOLS))
    assert proof.verdict is Verdict.PROVED, not_proved(proof)


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason=WHY)
@pytest.mark.parametrize("lie", sorted(set(bodies.LIES) - set(TEN)))
async def test_more_lies_of_the_kind_are_found(lie: str) -> None:
    """Optimistic probes, conditions that are not sent, states that stand still, windows that are too wide."""
    proof = await proof_of(lie)
    assert broken(proof) == bodies.LIES[lie], not_proved(proof)


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason=WHY)
@pytest.mark.parametrize("tool", [tool.name for tool in honest.TOOLS])
async def test_honest_tools_of_the_payments_example_are_proved_whole(tool: str) -> None:
    """Each contract of the example, over the relay and by the service's own books, is proved in every claim."""
    proof = await prove(tool, Payments(tool), Registry(honest.TOOLS))
    assert proof.verdict is Verdict.PROVED, not_proved(proof)
    assert proof.counted_by == "books"


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["writes_on_condition", "reads_only"])
async def test_honest_twins_of_the_lying_tools_are_proved_whole(tool: str) -> None:
    """A condition that travels with the request holds between any two requests; a read that reads changes nothing."""
    proof = await proof_of(tool)
    assert proof.verdict is Verdict.PROVED, not_proved(proof)


async def test_every_lying_tool_is_listed_with_what_it_breaks() -> None:
    """No planted lie is left out of the expectations."""
    assert len(TEN) == len({*TEN}) == 9
    assert {tool.name for tool in bodies.TOOLS} - set(bodies.LIES) == {"writes_on_condition", "reads_only"}
    assert set(TEN) <= set(bodies.LIES)
