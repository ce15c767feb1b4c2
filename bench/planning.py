"""What a planner costs a run beside the effects: steps, a model's answers over a socket, the view, the recording.

``python -m bench.planning PART [FOLDER]`` prints one JSON object for one of the parts below. *called* is the embedding
program's ``run.call``; *ahead* are the same calls as a drive makes them, whose outcome may run ahead of the disk;
*driven* is a drive by a scripted planner. A step's overhead is driven less ahead: looking at the run, building the
view, asking, recording the answer and what was told. Ways take turns within a round, in one process on one store, and
medians over the rounds are given; each figure of wall time has the process's CPU time beside it.

Does not promise that a difference of two busy medians is exact, or that it cannot come out below nothing.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import holdfast as hf
from bench import mind
from bench.workload import POLICY, Turns, tools
from holdfast.adapters.models import ModelPlanner, ModelSpec
from holdfast.adapters.models.prompt import ask
from holdfast.kernel.model import Effect
from holdfast.runtime.planner import Planner
from holdfast.runtime.view import Effects, Story, build

ROUNDS = 5
EACH = 40
MODEL_ROUNDS = 3
MODEL_EACH = 25
ITEMS = 1_000
CONTENT = "Invoice in_4711 of ACME Ltd over 120.00 EUR was paid twice; the customer asks for one of them back. " * 3
TOLD = 200
BUILDS = 30


class Took(NamedTuple):
    """Wall and CPU time of one step, in microseconds."""

    wall_us: float
    cpu_us: float


class Bench:
    """One open application over the no-op tool, with a new run for every measurement."""

    def __init__(self, app: hf.App) -> None:
        """Nothing is begun yet."""
        self.app = app
        self._runs = 0

    async def run(self) -> hf.RunHandle:
        """A run of its own."""
        self._runs += 1
        return await self.app.begin(hf.Intent(goal="measure", principal="bench", purpose=f"p{self._runs}"))

    async def called(self, each: int) -> None:
        """The program calls."""
        run = await self.run()
        for number in range(each):
            _agreed(await run.call(hf.Call("touch", _args(run, number))))

    async def ahead(self, each: int) -> None:
        """The same calls as a drive makes them, told together at the end."""
        run, untold = await self.run(), list[Effect]()
        for number in range(each):
            _agreed(await run.propose("touch", _args(run, number), by="planner", untold=untold))
        await self.app.store.flush()

    async def driven(self, each: int, planner: Planner | None = None, run: hf.RunHandle | None = None) -> None:
        """A planner proposes them; a scripted one if none is given."""
        run = run or await self.run()
        by = planner or Turns(each, lambda number: _args(run, number))
        report = await run.drive(by, max_steps=each + 1)
        if report.state != "done" or len(report.outcomes) != each:
            raise RuntimeError(f"a driven run did not end done after {each} effects: {report.reason}")
        for out in report.outcomes:
            _agreed(out)


def _args(run: hf.RunHandle, number: int) -> dict[str, Any]:
    return {"slot": f"{run.record.purpose}.{number}", "amount": 100}


def _agreed(out: hf.Outcome) -> None:
    if not isinstance(out, hf.Verified):
        raise TypeError(f"a no-op did not end verified: {out}")


def opened(folder: Path) -> hf.App:
    """The application of a measurement, on a new store."""
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    return hf.open(f"sqlite:{folder}/bench.db", tools=tools(), policy=POLICY, environment="bench")


async def timed(work: Awaitable[None], each: int) -> Took:
    """The time of one of so many steps."""
    cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
    await work
    wall_ns, cpu_ns = time.perf_counter_ns() - wall_ns, time.process_time_ns() - cpu_ns
    return Took(wall_ns / 1e3 / each, cpu_ns / 1e3 / each)


def middle(rounds: list[Took]) -> Took:
    """The median of each time."""
    return Took(statistics.median(t.wall_us for t in rounds), statistics.median(t.cpu_us for t in rounds))


def less(a: Took, b: Took) -> Took:
    """What one took more than the other."""
    return Took(a.wall_us - b.wall_us, a.cpu_us - b.cpu_us)


# ---- steps ---------------------------------------------------------------------------------------


async def steps(folder: Path, each: int = EACH, rounds: int = ROUNDS) -> dict[str, Any]:
    """A step of a scripted planner beside the same calls without one."""
    async with opened(folder) as app:
        bench = Bench(app)
        ways: dict[str, Callable[[int], Awaitable[None]]] = {
            "called": bench.called,
            "ahead": bench.ahead,
            "driven": bench.driven,
        }
        for way in ways.values():
            await way(5)
        got: dict[str, list[Took]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                got[name].append(await timed(way(each), each))
    found = {name: middle(took) for name, took in got.items()}
    return {
        "each": each,
        "rounds": rounds,
        **{name: took._asdict() for name, took in found.items()},
        "overhead": less(found["driven"], found["ahead"])._asdict(),
        "against_called": less(found["driven"], found["called"])._asdict(),
    }


# ---- a model over a socket -----------------------------------------------------------------------


def no_models() -> str:
    """Why no model can be asked; empty if one can."""
    for module in ("pydantic_ai", "openai"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed: pip install 'holdfast[models]'"
    return ""


async def model(folder: Path, each: int = MODEL_EACH, rounds: int = MODEL_ROUNDS) -> dict[str, Any]:
    """A step by a model over a loopback socket, whole and streamed, less the server's own time and a scripted step."""
    got: dict[str, list[Took]] = {"scripted": [], "whole": [], "streamed": []}
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(opened(folder))
        bench, minds, planners = Bench(app), dict[str, mind.Mind](), dict[str, ModelPlanner]()
        servers, opened_ms = stack.enter_context(ExitStack()), list[float]()
        for name in ("whole", "streamed"):
            minds[name] = served = servers.enter_context(mind.running(each))
            spec = ModelSpec(provider="openai-compatible", name="loopback", base_url=served.url, stream=name != "whole")
            opening_ns = time.perf_counter_ns()
            planners[name] = await stack.enter_async_context(ModelPlanner(spec, ""))
            opened_ms.append((time.perf_counter_ns() - opening_ns) / 1e6)
            await bench.driven(each, planners[name])
        for _ in range(rounds):
            for name, took in got.items():
                took.append(await timed(bench.driven(each, planners.get(name)), each))
        servers.close()
    scripted = middle(got.pop("scripted"))
    found: dict[str, Any] = {"each": each, "rounds": rounds, "scripted": scripted._asdict()}
    found["opened_ms"] = opened_ms[0]
    for name, took in got.items():
        # The first drive was for warmth; every drive asks once more than it has effects, to hear that it is done.
        answers, asks = minds[name].answers_ns, each + 1
        if len(answers) != (1 + rounds) * asks:
            raise RuntimeError(f"{(1 + rounds) * asks} questions were to be asked, and {len(answers)} were answered")
        own = [sum(answers[n * asks : (n + 1) * asks]) / 1e3 / each for n in range(1, 1 + rounds)]
        without = middle([Took(t.wall_us - o, t.cpu_us) for t, o in zip(took, own, strict=True)])
        found[name] = {
            "step": middle(took)._asdict(),
            "server_us": statistics.median(own),
            "without_server": without._asdict(),
            "over_scripted": less(without, scripted)._asdict(),
        }
    return found


# ---- the view ------------------------------------------------------------------------------------


async def view(folder: Path, items: int = ITEMS, told: int = TOLD, builds: int = BUILDS) -> dict[str, Any]:
    """Items seen, read back from the store, folded, and built into a view and a model's document."""
    async with opened(folder) as app:
        bench = Bench(app)
        run = await bench.run()
        seen = await timed(_see(run, items), items)
        bare = await _built(app, run, builds)
        driven = await timed(bench.driven(EACH, run=run), EACH)
        plain = await timed(bench.driven(EACH), EACH)
        # A run that was driven to its end takes no more effects: what is told comes from another one, with items too.
        full_run = await bench.run()
        await _see(full_run, items)
        report = await full_run.drive(Turns(told + 1, lambda number: _args(full_run, number)), max_steps=told)
        full = await _built(app, full_run, builds)
    if len(report.outcomes) != told or full["told"] != min(told, TOLD):
        raise RuntimeError(f"{full['told']} of {told} outcomes are in the view")
    return {
        "items": items,
        "item_recorded": seen._asdict(),
        "nothing_told": bare,
        "with_told": full,
        "step_with_items": driven._asdict(),
        "step_without_items": plain._asdict(),
        "items_cost": less(driven, plain)._asdict(),
    }


async def _see(run: hf.RunHandle, items: int) -> None:
    for number in range(items):
        await run.saw(f"mailbox:{number}", f"{number} {CONTENT}", kind="untrusted", fresh_for="10m", keep=True)


async def _built(app: hf.App, run: hf.RunHandle, builds: int) -> dict[str, Any]:
    """Reading back in a new process's way, and building: the first time, and again where nothing has moved."""
    effects, now_ms, cards = Effects(await app.store.run_effects(run.id)), await app.store.time(), app.cards()
    began_ns = time.perf_counter_ns()
    entries = await app.noted(run.id, 0)
    read_ns = time.perf_counter_ns()
    story = Story().fold(entries)
    folded_ns = time.perf_counter_ns()
    built = build(run.record, effects, story, cards, now_ms)
    first_ns = time.perf_counter_ns() - folded_ns
    asked = ask(built)
    return {
        "first_ms": first_ns / 1e6,
        "build_ms": _median_ms(lambda: build(run.record, effects, story, cards, now_ms), builds),
        "document_ms": _median_ms(lambda: ask(built), builds),
        "read_ms": (read_ns - began_ns) / 1e6,
        "fold_ms": (folded_ns - read_ns) / 1e6,
        "document_characters": len(asked.document),
        "items_not_shown": json.loads(asked.document).get("items_not_shown", 0),
        "told": len(built.told),
    }


def _median_ms(work: Callable[[], Any], times: int) -> float:
    took_ms = []
    for _ in range(times):
        start_ns = time.perf_counter_ns()
        work()
        took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return statistics.median(took_ms)


if __name__ == "__main__":
    from bench.recording import recording

    parts: dict[str, Callable[[Path], Awaitable[dict[str, Any]]]] = {
        "steps": steps,
        "model": model,
        "view": view,
        "recording": recording,
    }

    async def _main(place: Path) -> dict[str, Any]:
        return await parts[sys.argv[1]](place)

    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=sys.argv[2] if sys.argv[2:] else None) as here:
        print(json.dumps(asyncio.run(_main(Path(here)))))
