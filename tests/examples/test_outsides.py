"""The table examples/outsides.py: every tool in it makes one change that its outside's own books count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import holdfast as hf
from examples.outsides import OUTSIDES, counted
from holdfast.kernel.model import EffectClass

ROOT = Path(__file__).resolve().parents[2]
TOOLS = [(name, tool.name) for name, outside in OUTSIDES.items() for tool in outside.tools]


@pytest.mark.parametrize(("outside", "tool"), TOOLS)
async def test_one_call_of_each_tool_is_one_change_in_the_books(
    outside: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one call, repeated, the outside counts one change more, and the effect is verified."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    entry = OUTSIDES[outside]
    with entry.sandbox(tool) as stage:
        call = hf.Call(tool, stage.arguments(1))
        before = counted(stage.books(call.args))
        store, policy = f"sqlite:{tmp_path / 's.db'}", "permit (principal, action, resource);"
        async with hf.open(store, tools=entry.tools, policy=policy, environment="test") as app:
            run = await app.begin(hf.Intent(goal="g", purpose="p", principal="p"))
            first = await run.call(call)
            assert isinstance(first, hf.Verified), first
            assert await run.call(call) == first
        assert counted(stage.books(call.args)) == before + 1


def test_every_tool_has_what_a_campaign_needs() -> None:
    """Each contract names its owner and how it is found out, and its class says that it changes something."""
    for outside in OUTSIDES.values():
        for tool in outside.tools:
            contract = tool.contract
            assert contract.owner
            assert contract.has_probe
            assert contract.has_verify
            assert contract.effect is not EffectClass.READ


KNOW_NOTHING = (
    "examples.repository.plumbing",
    "examples.repository.service",
    "examples.files.folder",
    "examples.deployment.books",
    "examples.deployment.client",
)


@pytest.mark.parametrize("module", KNOW_NOTHING)
def test_no_outside_knows_holdfast(module: str) -> None:
    """What stands on the other side of the tools imports nothing of holdfast."""
    program = f"import sys, {module}; print([name for name in sys.modules if name.split('.')[0] == 'holdfast'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
