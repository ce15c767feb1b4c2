"""What telemetry costs an effect: CPU of the thread that drives it, and of the whole process, without and with it.

The same effects, one after another under one run: keyed, verified, on disk. With telemetry each makes three spans that
go to a real OTLP receiver in another process. Rounds take turns, and the least of each way is told, which a busy
machine disturbed least. What the thread of the event loop spends is what an effect waits for; the rest is encoding and
sending, in a thread of its own. Run it alone with ``python -m bench.telemetry``. Promises that nothing was dropped on
the way. Does not measure the receiver.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import holdfast as hf

EFFECTS = 400
ROUNDS = 5
SPANS = 3
ROOT = Path(__file__).resolve().parents[1]
RECEIVES = """
import sys
from examples.telemetry.receiver import receiving
with receiving() as receiver:
    print(receiver.url, flush=True)
    sys.stdin.readline()
    print(len(receiver.spans), flush=True)
"""


class Spent(NamedTuple):
    """Microseconds of CPU per effect: of the event loop's thread, and of the process."""

    loop_us: float
    process_us: float


def put() -> Any:
    """A tool that does nothing outside and can be looked for."""

    @hf.tool(
        effect="idempotent", resource="x:{name}", identity=("name",), keyed="24h", owner="bench", no_probe="no outside"
    )
    async def put(fx: hf.Fx, *, name: str) -> str:  # noqa: ARG001 - nothing is done.
        """Say that it is done."""
        return name

    @put.verify
    async def there(look: hf.Look) -> hf.Holds:  # noqa: ARG001 - nothing is looked at.
        """It always is."""
        return hf.Holds()

    return put


@contextmanager
def receiver() -> Iterator[tuple[str, Any]]:
    """A receiver in a process of its own: its address, and how many spans it had in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECEIVES], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told: dict[str, int] = {}
    try:
        yield process.stdout.readline().strip(), told
        process.stdin.write("\n")
        process.stdin.flush()
        told["spans"] = int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


async def _round(folder: str, telemetry: hf.Telemetry | None, effects: int) -> Spent:
    tool = put()
    rules = "permit (principal, action, resource);"
    async with hf.open(f"sqlite:{folder}/h.db", tools=[tool], policy=rules, telemetry=telemetry) as app:
        run = await app.begin(hf.Intent(goal="measure", purpose="bench", principal="bench"))
        await run.call(tool(name="first"))
        loop, process = time.thread_time_ns(), time.process_time_ns()
        for number in range(effects):
            await run.call(tool(name=str(number)))
        loop, process = time.thread_time_ns() - loop, time.process_time_ns() - process
    return Spent(loop / 1000 / effects, process / 1000 / effects)


def telemetry(effects: int = EFFECTS, rounds: int = ROUNDS, folder: str | None = None) -> dict[str, Any]:
    """CPU per effect without and with telemetry, and what the difference is per span."""
    got: dict[str, list[Spent]] = {"off": [], "on": []}
    with receiver() as (url, told):
        for _ in range(rounds):
            for way, spent in got.items():
                with tempfile.TemporaryDirectory(prefix="holdfast-telemetry-", dir=folder) as place:
                    looks_on = hf.Telemetry(endpoint=url) if way == "on" else None
                    spent.append(asyncio.run(_round(place, looks_on, effects)))
    wanted = rounds * (effects + 1) * SPANS
    if told["spans"] != wanted:
        raise RuntimeError(f"{told['spans']} of {wanted} spans arrived: what was dropped is not in the figure")
    loop = {way: min(spent.loop_us for spent in all_) for way, all_ in got.items()}
    process = {way: min(spent.process_us for spent in all_) for way, all_ in got.items()}
    return {
        "effects": effects,
        "rounds": rounds,
        "spans": told["spans"],
        "off": {"loop_us": loop["off"], "process_us": process["off"]},
        "on": {"loop_us": loop["on"], "process_us": process["on"]},
        "added_loop_us": loop["on"] - loop["off"],
        "added_process_us": process["on"] - process["off"],
        "added_loop_us_per_span": (loop["on"] - loop["off"]) / SPANS,
    }


def lines(figures: dict[str, Any]) -> list[str]:
    """The figures as text."""
    off, on, a_span = figures["off"], figures["on"], figures["added_loop_us_per_span"]
    return [
        f"telemetry: CPU per effect, least of {figures['rounds']} rounds of {figures['effects']} effects",
        f"  off  {off['loop_us']:7.0f} us in the loop   {off['process_us']:7.0f} us in the process",
        f"  on   {on['loop_us']:7.0f} us in the loop   {on['process_us']:7.0f} us in the process",
        f"  more {figures['added_loop_us']:7.0f} us in the loop   {figures['added_process_us']:7.0f} us in the process",
        f"  which is {a_span:.0f} us of the loop for each of {SPANS} spans",
    ]


if __name__ == "__main__":
    print(*lines(telemetry()), sep="\n")
