"""Counting a store's entries: at once or bit by bit it comes to the same, and a repaired drift is not an open one."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast as hf
from holdfast.store import SqliteStore, open_store
from holdfast.store.tally import NOTHING, Drift

ALL = "permit (principal, action, resource);"


@hf.tool(effect="idempotent", resource="x:{a}", identity=("a",), keyed="24h", owner="ops", no_probe="no outside")
async def put(fx: hf.Fx, *, a: str) -> str:
    """Do nothing outside."""
    return a


@put.verify
async def there(look: hf.Look) -> hf.Holds:
    return hf.Holds()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are remembered in the test's own folder."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))


async def test_counting_on_comes_to_what_counting_anew_does(tmp_path: Path) -> None:
    """After each call the counts gone on with are those of the whole log, and what they say is what was done."""
    async with hf.open(f"sqlite:{tmp_path / 'a.db'}", tools=[put], policy=ALL) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="p", principal="x"))
        counts = NOTHING
        for number in range(1, 4):
            await run.call(put(a=str(number)))
            tally = app.store.tally()
            counts = tally.since(counts)
            assert counts == tally.since()
            assert counts.moves["put", "verified"] == counts.moves["put", "dispatched"] == number
            assert tally.standing() == {("put", "verified"): number}
        assert app.store.tally().since(counts) is counts
        assert counts.pos == app.store.tree().size()


async def test_a_drift_is_open_until_its_effect_is_so_outside(tmp_path: Path) -> None:
    """A drift of an effect that a later read verified is repaired; one of an effect that nobody knows is open."""
    async with hf.open(f"sqlite:{tmp_path / 'a.db'}", tools=[put], policy=ALL) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="p", principal="x"))
        out = await run.call(put(a="1"))
        assert isinstance(out, hf.Verified)
        tally = app.store.tally()
        counts = tally.since()._replace(drifts=(Drift("a", out.effect), Drift("b", "ef_nobody")))
        assert tally.open_drifts(counts) == {"b": 1}


def test_an_empty_store_counts_nothing_of_anybody(tmp_path: Path) -> None:
    """Nothing was moved, stopped or admitted, and there is no first entry after the last."""
    store: SqliteStore = open_store(f"sqlite:{tmp_path / 'a.db'}")
    try:
        counts = store.tally().since()
        assert not counts.moves
        assert not counts.stops
        assert store.tally().runs() == {}
        assert store.tally().first_after_ms(counts.pos) == 0
    finally:
        store.close_now()
