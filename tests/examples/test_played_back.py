"""Every run of an example is played back, called by a program and by a planner, beside an outside that keeps books."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import holdfast as hf
from examples.outsides import OUTSIDES, counted
from holdfast.runtime.record import record_of
from holdfast.runtime.replay.play import play
from holdfast.store import open_store

TOOLS = [(name, tool.name) for name, outside in OUTSIDES.items() for tool in outside.tools]
POLICY = "permit (principal, action, resource);"


def replayed(path: Path) -> list[str]:
    """What does not come out the same of all runs in a store; how many entries did is not for this list to say."""
    store = open_store(path, read_only=True)
    try:
        records = [record_of(store, run.id) for run in store.runs()]
    finally:
        store.close_now()
    assert records
    found = [play(record) for record in records]
    assert all(one.entries for one in found)
    return [f"{one.run}: {one.divergence} {one.how} {one.aside}" for one in found if not one.same or one.aside]


@pytest.mark.req("1.8b", mutant=None, reason="the player's defects are planted beside its own tests")
@pytest.mark.parametrize(("outside", "tool"), TOOLS)
def test_a_run_of_each_example_comes_out_the_same_and_its_books_do_not_move(
    outside: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called by a program, then by a planner: played back with the outside still there, it hears of nothing."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    entry = OUTSIDES[outside]
    path = tmp_path / "s.db"

    async def worked(args: dict[str, object], more: dict[str, object]) -> None:
        async with hf.open(f"sqlite:{path}", tools=entry.tools, policy=POLICY, environment="test") as app:
            called = await app.begin(hf.Intent(goal="g", purpose="called", principal="p"))
            assert isinstance(await called.call(hf.Call(tool, args)), hf.Verified)
            driven = await app.begin(hf.Intent(goal="g", purpose="driven", principal="p"))
            report = await driven.drive(hf.Scripted([hf.Proposed(tool, more)]))
            assert report.state in ("done", "blocked")

    with entry.sandbox(tool) as stage:
        args = stage.arguments(1)
        asyncio.run(worked(args, stage.arguments(2)))
        before = counted(stage.books(args))
        assert replayed(path) == []
        assert counted(stage.books(args)) == before
