"""What `make explore` measures of worlds and plays: going back to an instant, virtual time, kept failures."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from holdfast.harness.case.load import load
from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.loop import VirtualLoop
from holdfast.harness.play.play import play
from holdfast.harness.regress.add import add
from holdfast.harness.regress.run import replayed
from holdfast.harness.world.face import Clock
from holdfast.harness.world.memory import MemoryWorld
from tests.harness.measures import goal
from tests.unit.harness.regress.project import project

ROWS = 1_000
RESTORES = 20_000
MONTH_S = 30 * 86_400
KEPT, SAMPLE = 10_000, 300


def restores() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A world of 200 kB and more, gone back to an instant after a change, again and again."""
    world = MemoryWorld(
        tables={"t": {f"row_{n}": {"text": "x" * 200, "n": n} for n in range(ROWS)}}, services={"s": ("t",)}
    )
    service, at = world.service("s"), world.snapshot()
    service.merge("t", "row_1", {"n": -1}, by="somebody")
    began = time.process_time()
    for _ in range(RESTORES):
        world.restore(at)
    rate = round(RESTORES / max(time.process_time() - began, 1e-9))
    return {"restores_per_second": rate}, [
        goal("restores of a 200 kB world a second", 20_000, rate, met=rate >= 20_000)
    ]


def month() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Thirty days of virtual time in one sleep."""
    loop = VirtualLoop(Clock(), touched=False)

    async def sleeps() -> float:
        began = time.process_time()
        await asyncio.sleep(MONTH_S)
        return (time.process_time() - began) * 1000

    took_ms = round(loop.play(sleeps()), 3)
    return {"thirty_days_ms": took_ms}, [goal("thirty days of virtual time, ms", 1.0, took_ms, met=took_ms < 1.0)]


def kept_failures() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Kept failures played one after the other on one core; ten thousand on two are reckoned from it."""
    with tempfile.TemporaryDirectory(prefix="holdfast-kept-") as folder:
        (case,) = load(project(Path(folder) / "cases"))
        played = play(case, (Fault(kind="lost reply", tool="refund"),))
        how = {"owner": "a", "reason": "b", "origin": "c", "today": "2026-01-01"}
        kept, _ = add(case, played, Path(folder) / "kept", **how)
        began = time.process_time()
        for _ in range(SAMPLE):
            assert replayed(kept).standing == "back"
        each_s = (time.process_time() - began) / SAMPLE
    reckoned_s = round(each_s * KEPT / 2, 1)
    row = {"each_ms": round(each_s * 1000, 2), "played": SAMPLE, "ten_thousand_on_two_cores_s": reckoned_s}
    return row, [goal("10,000 kept failures on two cores, s, reckoned", 60, reckoned_s, met=reckoned_s <= 60)]
