"""The step that is measured: one no-op keyed tool with verification, through the whole engine.

Every effect is proposed, judged by the policy (at admission and again at dispatch), claimed under a lease, committed
with full sync before its body is entered, observed, verified by a companion, and on disk before its outcome is
handed out. The body and the companion only touch a dict, so that what is measured is the engine.

Promises that a rate is of effects that ended as `Verified`; anything else stops the measurement.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

import holdfast as hf
from bench.parts import Parts, Statements
from holdfast.gate.decide import Judge
from holdfast.runtime.planner import View

POLICY = """
@id("small")
@reason("small amounts pass")
permit (principal, action, resource)
when { context.environment == "bench" && context.args.amount < 1000000000 };

@id("frozen")
forbid (principal, action, resource)
when { principal.name == "mallory" };
"""
"""Reads one argument, so that a new amount is a new decision and the same amount is a remembered one."""

DECISIONS = ("remembered", "computed")


class Result(msgspec.Struct, kw_only=True):
    """One measurement. Rates are of wall time; latencies are of `run.call`, or of a turn of `run.drive`."""

    runs: int
    effects: int
    seconds: float
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    syncs: float
    batches: float
    computed: float
    parts_us: dict[str, float] = {}
    statements: float = 0.0


def tools(books: dict[str, int] | None = None) -> list[Any]:
    """The no-op tool over these books, or books of its own."""
    if books is None:
        books = {}

    @hf.tool(
        effect="idempotent", resource="slot:{slot}", identity=("slot",), keyed="24h", lands_within="1s",
        timeout="10s", owner="bench", no_probe="a dict in memory",
    )  # fmt: skip
    async def touch(fx: hf.Fx, *, slot: str, amount: int) -> dict[str, Any]:
        """Write one amount into one slot."""
        books[fx.key] = amount
        return {"slot": slot}

    @touch.verify
    async def _(look: hf.Look, *, amount: int) -> hf.Holds | hf.Differs:
        return hf.Holds() if books.get(look.key) == amount else hf.Differs("not in the books")

    return [touch]


class Turns:
    """A planner that proposes one effect a turn and notes when it was asked."""

    def __init__(self, effects: int, args: Callable[[int], dict[str, Any]]) -> None:
        """So many turns with these arguments."""
        self._effects = effects
        self._args = args
        self.asked_ns: list[int] = []

    async def propose(self, view: View) -> hf.Answer:  # noqa: ARG002  A script reads nothing.
        """The next call, or done."""
        self.asked_ns.append(time.perf_counter_ns())
        number = len(self.asked_ns) - 1
        if number >= self._effects:
            return hf.Answer(done=True)
        return hf.Answer(calls=(hf.Proposed("touch", self._args(number)),))


async def measure(
    folder: Path, *, runs: int, each: int, decisions: str = "remembered", drive: bool = False,
    parts: bool = False, count: bool = False, warm: int = 20, policy: str = POLICY,
) -> Result:  # fmt: skip
    """`runs` runs at once, `each` effects in every one, on a new store in `folder`."""
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    async with hf.open(f"sqlite:{folder}/bench.db", tools=tools(), policy=policy, environment="bench") as app:
        judge = app.ports.gate.inner.judge  # type: ignore[attr-defined]
        if decisions == "computed":
            judge.decide = _forgetful(judge)
        handles = [
            await app.begin(hf.Intent(goal="measure", principal="bench", purpose=f"p{n}")) for n in range(runs + 1)
        ]
        await _calls(handles.pop(), warm, "warm", [])
        latencies_ns: list[int] = []
        work: list[Awaitable[None]] = [
            (_driven if drive else _calls)(handle, each, f"r{n}", latencies_ns) for n, handle in enumerate(handles)
        ]
        meter = Parts() if parts else None
        counter = Statements(app) if count else None
        before, computed = app.store.count(), judge.computed
        cpu_ns, start_ns = time.process_time_ns(), time.perf_counter_ns()
        if meter is not None:
            meter.start()
        if counter is not None:
            counter.start()
        await asyncio.gather(*work)
        spent = meter.stop() if meter is not None else {}
        statements = counter.stop() if counter is not None else 0
        wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
        after, computed = app.store.count(), judge.computed - computed
    effects = runs * each
    latencies_ns.sort()
    return Result(
        runs=runs,
        effects=effects,
        seconds=wall_ns / 1e9,
        per_second=effects / (wall_ns / 1e9),
        cpu_us=cpu_ns / 1e3 / effects,
        p50_ms=latencies_ns[len(latencies_ns) // 2] / 1e6,
        p99_ms=latencies_ns[min(len(latencies_ns) - 1, len(latencies_ns) * 99 // 100)] / 1e6,
        syncs=(after["syncs"] - before["syncs"]) / effects,
        batches=(after["batches"] - before["batches"]) / effects,
        computed=computed / effects,
        parts_us={name: ns / 1e3 / effects for name, ns in spent.items()},
        statements=statements / effects,
    )


async def _calls(handle: hf.RunHandle, each: int, slot: str, latencies_ns: list[int]) -> None:
    """The embedding program drives: propose, wait for the outcome on disk, propose the next."""
    for number in range(each):
        start_ns = time.perf_counter_ns()
        out = await handle.call(hf.Call("touch", {"slot": f"{slot}.{number}", "amount": 100}))
        latencies_ns.append(time.perf_counter_ns() - start_ns)
        if not isinstance(out, hf.Verified):
            raise TypeError(f"a no-op did not end verified: {out}")


async def _driven(handle: hf.RunHandle, each: int, slot: str, latencies_ns: list[int]) -> None:
    """We drive: the planner's next prompt may run ahead of the disk, so told costs nothing of its own."""
    planner = Turns(each, lambda number: {"slot": f"{slot}.{number}", "amount": 100})
    report = await handle.drive(planner, max_steps=each + 1)
    if report.state != "done" or not all(isinstance(out, hf.Verified) for out in report.outcomes):
        raise TypeError(f"a driven run did not end done: {report.reason}")
    asked = planner.asked_ns
    latencies_ns += [later - earlier for earlier, later in itertools.pairwise(asked)]


def _forgetful(judge: Judge) -> Callable[[Any], Any]:
    """The judge's own decide with its memory emptied before every question."""
    decide = judge.decide

    def without_memory(question: Any) -> Any:
        judge.forget()
        return decide(question)

    return without_memory
