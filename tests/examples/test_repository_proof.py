"""The contract of commit_files, proved: each request of a push is lost, held back and overtaken in turn."""

from __future__ import annotations

import pytest

from examples.repository import tools
from examples.repository.sandbox import Repository
from holdfast.harness.prove import Verdict, prove


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason="lying bodies are tried in tests/harness/test_prove_lies.py")
async def test_the_contract_of_commit_files_holds_in_its_sandbox() -> None:
    """Nothing is broken; open stays a lost reply, which git hides: test_repository.py proves it."""
    proof = await prove("commit_files", Repository("commit_files"), tools.TOOLS)
    left = {f.check: f.evidence for f in proof.findings if f.verdict in (Verdict.BROKEN, Verdict.OPEN)}
    assert set(left) <= {"probe-found"}, left
