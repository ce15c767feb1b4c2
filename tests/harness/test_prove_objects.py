"""`tool prove` against a store that we did not write, through a client library that asks before it sends."""

from __future__ import annotations

import pytest

from examples.objects import tools
from examples.objects.sandbox import Objects
from holdfast.harness.prove import Proof, Verdict, prove
from holdfast.tools import Registry


async def proof_of(tool: str) -> Proof:
    """Prove one of the object store's tools."""
    return await prove(tool, Objects(tool), Registry(tools.TOOLS))


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason="a body that breaks the claim is in test_prove_lies")
@pytest.mark.parametrize("tool", ["put_object", "delete_object", "restore_object"])
async def test_conditional_writes_of_an_object_store_are_proved_whole(tool: str) -> None:
    """The condition travels with the request, so that no change before any of its requests is written over."""
    proof = await proof_of(tool)
    left = {f.check: f.evidence for f in proof.findings if f.verdict is not Verdict.PROVED}
    assert proof.verdict is Verdict.PROVED, left


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason="a body that looks and then writes is among the lies of test_prove_lies")
async def test_copy_claims_no_condition_and_what_it_claims_is_proved() -> None:
    """A copy has no condition on its target in this store, and its contract claims none."""
    proof = await proof_of("copy_object")
    left = {f.check: f.evidence for f in proof.findings if f.verdict is Verdict.BROKEN}
    assert left == {}
    assert "conditional" not in {f.check for f in proof.findings if f.verdict is Verdict.PROVED}
