"""A wall clock that leaps makes nothing final, neither while it is doubted nor by what it had counted before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.effect import claim, observe, reconcile
from holdfast.kernel.ports import Ports
from holdfast.store.clock import wall_ms

SENT: list[str] = []


@hf.tool(
    effect="irreversible", resource="box:{box}", identity=("box",), owner="ops", timeout="1s", lands_within="10m",
    retry_after="10ms", probes=200,
)  # fmt: skip
async def put(fx: hf.Fx, *, box: str) -> dict[str, str]:
    """Send something, and lose the reply."""
    SENT.append(fx.key)
    raise ConnectionResetError("gone")


@put.probe
def _(look: hf.Look) -> hf.Absent:
    return hf.Absent(why="not there yet")


@pytest.mark.req("1.4d", mutant=None, reason="the defect is the clock; without the leap nothing becomes final either")
async def test_a_leap_of_the_clock_does_not_make_a_pending_landing_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender is dead and ten minutes must pass: twenty that only the clock claims do not count, also not later."""

    async def dead(ports: Ports, view: Any) -> bool:
        return True

    for module in (claim, observe, reconcile):
        monkeypatch.setattr(module, "senders_dead", dead)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    SENT.clear()
    store, policy = f"sqlite:{tmp_path / 'h.db'}", "permit (principal, action, resource);"
    async with hf.open(store, tools=[put], policy=policy, recover=False) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="p", principal="me"))
        assert isinstance(await run.call(put(box="a"), patience="100ms"), hf.Unknown)
        assert (await app.store.run_effects(run.id))[0].dead_since_ms, "the ground must have begun to count"
        shift = [0]
        monkeypatch.setattr(app.store._clock, "_wall", lambda: wall_ms() + shift[0])
        shift[0] = 20 * 60_000
        assert app.store.clock_jumped_ms()
        doubted = await run.call(put(box="a"), patience="200ms")
        app.store.accept_clock("ada", "looked at the clock on the wall")
        accepted = await run.call(put(box="a"), patience="200ms")
    assert not isinstance(doubted, hf.Failed)
    assert isinstance(accepted, hf.Unknown)
    assert len(SENT) == 1


@pytest.mark.req("1.4d", mutant="leaps-do-not-last")
@pytest.mark.parametrize(
    "noticed", ["by the next process", "by the first process", "and accepted, then the process died"]
)
async def test_a_leap_makes_nothing_final_in_the_process_that_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noticed: str
) -> None:
    """Ten minutes must pass; the clock leaps by twenty, and the process dies: the next ones do not count the leap."""

    async def dead(ports: Ports, view: Any) -> bool:
        return True

    for module in (claim, observe, reconcile):
        monkeypatch.setattr(module, "senders_dead", dead)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    SENT.clear()
    real, shift_ns = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + shift_ns[0])
    given: dict[str, Any] = {"tools": [put], "policy": "permit (principal, action, resource);", "recover": False}
    store = f"sqlite:{tmp_path / 'h.db'}"
    intent = hf.Intent(goal="g", purpose="p", principal="me")
    async with hf.open(store, **given) as app:
        run = await app.begin(intent)
        assert isinstance(await run.call(put(box="a"), patience="100ms"), hf.Unknown)
        if noticed != "by the next process":
            shift_ns[0] = 20 * 60_000_000_000
            assert isinstance(await run.call(put(box="a"), patience="100ms"), hf.Unknown)
        if noticed.startswith("and accepted"):
            assert app.store.accept_clock("ada", "looked at the clock on the wall")
    shift_ns[0] = 20 * 60_000_000_000
    for opened in range(2):
        async with hf.open(store, **given) as app:
            doubted = not noticed.startswith("and accepted") and not opened
            assert bool(app.store.clock_jumped_ms()) is doubted
            run = await app.begin(intent)
            assert isinstance(await run.call(put(box="a"), patience="300ms"), hf.Unknown)
            if doubted:
                assert app.store.accept_clock("ada", "looked at the clock on the wall")
    assert len(SENT) == 1
