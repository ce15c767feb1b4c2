"""What one batch leaves for the next counts only while nobody else has written."""

import pytest

import holdfast as hf
from holdfast.runtime import people
from tests.unit.test_counts import POLICY, no_op


async def opened(tmp_path):
    """One more application on the same file, as another process would have it."""
    return await hf.open(
        f"sqlite:{tmp_path}/shared.db", tools=[no_op()], policy=POLICY, environment="test", recover=False
    ).__aenter__()


@pytest.fixture
async def both(tmp_path, monkeypatch):
    """Two applications over one store."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    one, other = await opened(tmp_path), await opened(tmp_path)
    yield one, other
    await one.close()
    await other.close()


async def call(run, slot):
    """One effect."""
    return await run.call(hf.Call("touch", {"slot": slot, "amount": 100}))


async def test_a_halt_raised_elsewhere_stops_a_writer_that_just_looked(both):
    """A halt of another connection is seen by a writer whose last batch knew of none."""
    one, other = both
    run = await one.begin(hf.Intent(goal="g", principal="tests", purpose="halted"))
    for number in range(3):
        assert isinstance(await call(run, f"before.{number}"), hf.Verified)
    people.halt(other.store, "store", who="ann", reason="stop")
    out = await call(run, "after")
    assert not isinstance(out, hf.Verified | hf.Committed)
    assert "halted" in str(out)


async def test_a_run_ended_elsewhere_is_not_open_here(both):
    """The row of a run is carried from batch to batch, and never past a commit of another connection."""
    one, other = both
    run = await one.begin(hf.Intent(goal="g", principal="tests", purpose="ended"))
    assert isinstance(await call(run, "before"), hf.Verified)
    await (await other.resume(run.id)).stop("enough")
    assert isinstance(await call(run, "after"), hf.Stopped)


async def test_chains_stay_whole_where_two_writers_take_turns(both):
    """Heads and tokens are those on disk at every turn: the chain of a shared run verifies."""
    one, other = both
    mine = await one.begin(hf.Intent(goal="g", principal="tests", purpose="turns"))
    theirs = await other.begin(hf.Intent(goal="g", principal="tests", purpose="turns"))
    assert mine.id == theirs.id
    for number in range(6):
        assert isinstance(await call(mine if number % 2 else theirs, f"turn.{number}"), hf.Verified)
    assert one.store.verify().entries >= 36
