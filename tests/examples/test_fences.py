"""The four fenced settings, proved in their sandbox; and one that says it is fenced and is not, found there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.fences import tools
from examples.fences.sandbox import Settings
from holdfast.harness.prove import Verdict, prove
from tests.harness.mutants import planted

pytestmark = pytest.mark.slow


@pytest.mark.req("1.4b", mutant=None, reason="a test below plants the defect, and it is found")
@pytest.mark.parametrize("tool", [tool.name for tool in tools.TOOLS])
async def test_a_tool_built_on_a_fence_is_proved_fenced(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every claim of the contract is proved by the outside's own books, the stale token among them."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path))
    proof = await prove(tool, Settings(tool), tools.TOOLS)
    assert {
        finding.check: finding.evidence for finding in proof.findings if finding.verdict is not Verdict.PROVED
    } == {}
    assert "fenced" in {finding.check for finding in proof.findings}


@pytest.mark.parametrize(
    ("tool", "defect"), [("set_row", "fence-sql-without-the-condition"), ("set_file", "fence-lets-stale-in")]
)
async def test_a_tool_that_claims_a_fence_and_has_none_is_found(
    tool: str, defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stale token lands, and the proof says that this claim is broken."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path))
    with planted(defect):
        proof = await prove(tool, Settings(tool), tools.TOOLS)
    found = {finding.check: finding for finding in proof.findings}
    assert found["fenced"].verdict is Verdict.BROKEN, found["fenced"].evidence


def test_the_program_shows_each_old_write_refused_and_only_the_new_one_in_the_books() -> None:
    """Four lines, one for each outside."""
    ended = subprocess.run(
        [sys.executable, "-m", "examples.fences.run"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.splitlines() == [
        f"{tool.name}: the old one was told: stale, 8 was seen; books: new" for tool in tools.TOOLS
    ]
