"""What the gate costs: one decision under 60 rules, its share of an effect, and reloads while 64 runs are at work.

``python -m bench.gate decisions|share|reload`` prints one JSON object. Decisions are timed one by one, so that their
spread is seen; *computed* empties the memory before each, *remembered* asks what was asked before. A retry is a
dispatch commit that the store refused because another policy came into force since the effect was judged.

Promises that every answer that is timed is an allow, and that every call under reloads ends verified, once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import holdfast as hf
from bench.workload import POLICY, measure, tools
from holdfast.gate import Judge, PolicySet, Principal, Question
from holdfast.kernel.guard import Rejected
from holdfast.runtime.policies import reload as put
from holdfast.store import open_store
from holdfast.tools.registry import Registry

RULES = 60
COMPUTED, REMEMBERED = 2_000, 50_000
RUNS, RELOAD_EVERY_S, SECONDS = 64, 1.0, 6.0
PARTS = ("decisions", "share", "reload")

APART = """
@id("pass") permit (principal, action == Action::"touch", resource)
when { context.environment == "bench" && context.args.amount < 1000000000 };
@id("frozen") forbid (principal, action, resource) when { principal.name == "mallory" };
"""


def sixty(spread: int) -> str:
    """A policy of 60 rules over ``spread`` tools; each rule reads an argument, an input and who asks."""
    rules = [APART]
    for number in range(RULES - 2):
        tool = "touch" if number % spread == 0 else f"other{number % spread}"
        rules.append(
            f'@id("r{number}") forbid (principal, action == Action::"{tool}", resource)\n'
            f'when {{ context.args.amount == {1_000_000_000 + number} && context.tenant == "t{number}" '
            f'&& principal.groups.contains("g{number}") }};'
        )
    return "\n".join(rules)


def _others(count: int) -> list[Any]:
    """Tools beside the one that is asked about."""

    def made(name: str) -> Any:
        def other(fx: hf.Fx, *, slot: str, amount: int) -> str:  # noqa: ARG001  It is never called.
            """Another tool."""
            return slot

        return hf.tool(name=name, effect="read", resource="slot:{slot}", owner="bench")(other)

    return [made(f"other{number}") for number in range(1, count)]


def decisions() -> dict[str, Any]:
    """The time of one decision, in microseconds: 60 rules that all speak of the tool, and 60 of which ten do."""
    found = {}
    for name, spread in (("all apply", 1), ("ten apply", 6)):
        registry = Registry([*tools({}), *_others(spread)])
        contracts = registry.contracts.values()
        started_ns = time.perf_counter_ns()
        policy = PolicySet.load(sixty(spread), contracts)
        loaded_ms = (time.perf_counter_ns() - started_ns) / 1e6
        judge, version = Judge(policy, contracts), registry.contracts["touch"].version
        asked = [_question(version, amount) for amount in range(COMPUTED)]
        judge.decide(asked[0])
        found[name] = {
            "rules": len(policy.rules),
            "apply": len(policy.rules_for("touch")),
            "load_ms": loaded_ms,
            "computed": _timed(judge, asked, forget=True),
            "remembered": _timed(judge, [asked[0]] * REMEMBERED, forget=False),
        }
    return found


def _question(version: str, amount: int) -> Question:
    return Question(
        tool="touch", contract_version=version, args={"slot": "s", "amount": amount}, resource="slot:s",
        principal=Principal("bench", "service", ("a", "b")), environment="bench", tenant="main", purpose="p",
        now_ms=1_700_000_000_000, args_digest="sha256:given",
    )  # fmt: skip


def _timed(judge: Judge, asked: list[Question], *, forget: bool) -> dict[str, float]:
    took_ns, clock = [], time.perf_counter_ns
    for question in asked:
        if forget:
            judge.forget()
        start_ns = clock()
        said = judge.decide(question)
        took_ns.append(clock() - start_ns)
        if said.answer != "allow":
            raise AssertionError(said)
    whole_s = sum(took_ns) / 1e9
    took_ns.sort()
    p50, p99 = (took_ns[len(took_ns) * part // 100] / 1e3 for part in (50, 99))
    return {"p50_us": p50, "p99_us": p99, "per_second": len(asked) / whole_s}


async def share(folder: Path) -> dict[str, Any]:
    """The gate's share of the CPU of one effect, 16 runs at once: two rules and sixty, remembered and computed."""
    found = {}
    for name, policy in (("2 rules", POLICY), ("60 rules", sixty(1))):
        for way in ("remembered", "computed"):
            place = folder / f"{name} {way}"
            place.mkdir()
            got = await measure(place, runs=16, each=40, decisions=way, parts=True, policy=policy)
            whole_us = sum(got.parts_us.values())
            gate_us = got.parts_us["policy"]
            figures = {"policy_us": gate_us, "effect_us": whole_us, "share": gate_us / whole_us}
            found[f"{name}, {way}"] = figures | {"computed": got.computed}
    return found


async def reload(folder: Path) -> dict[str, Any]:
    """64 runs at work for some seconds, without and with another policy in force every second."""
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    said = (
        ("none", 0.0, False),
        ("every second, by the process at work", RELOAD_EVERY_S, False),
        ("every second, by another process", RELOAD_EVERY_S, True),
        ("every 50 ms, by another process", 0.05, True),
    )
    return {
        name: await _under_reloads(folder / f"{number}.db", every_s, elsewhere=elsewhere)
        for number, (name, every_s, elsewhere) in enumerate(said)
    }


def reloader(url: str, every_s: float) -> dict[str, Any]:
    """Another process: it puts a new version in force every so often, as the command line does."""
    contracts, version, took_ms = Registry(tools({})).contracts, 0, []
    ends = time.perf_counter() + SECONDS
    store = open_store(url)
    while time.perf_counter() + every_s < ends:
        time.sleep(every_s)
        version += 1
        start = time.perf_counter()
        policy = PolicySet.load(f"// version {version}\n{POLICY}", contracts.values())
        put(store, policy, environment="bench", who="bench", reason="measured")
        took_ms.append((time.perf_counter() - start) * 1e3)
    store.close_now()
    return {"reload_ms": took_ms}


async def _under_reloads(place: Path, every_s: float, *, elsewhere: bool) -> dict[str, Any]:
    books: dict[str, int] = {}
    async with hf.open(f"sqlite:{place}", tools=tools(books), policy=POLICY, environment="bench") as app:
        retries, commits, honest = 0, 0, app.store.commit

        async def counting(change: Any) -> Any:
            nonlocal retries, commits
            verdict = await honest(change)
            if any(draft.kind == "dispatched" for draft in change.drafts):
                commits += 1
                retries += isinstance(verdict, Rejected) and verdict.part == "policy"
            return verdict

        app.store.commit = counting  # type: ignore[method-assign]
        latencies_ms: list[float] = []
        reload_ms: list[float] = []
        ends, count = time.perf_counter() + SECONDS, 0
        handles = [await app.begin(hf.Intent(goal="measure", principal="bench", purpose=f"p{n}")) for n in range(RUNS)]

        async def work(number: int) -> None:
            nonlocal count
            step = 0
            while time.perf_counter() < ends:
                start = time.perf_counter()
                out = await handles[number].call(hf.Call("touch", {"slot": f"{number}.{step}", "amount": 100}))
                latencies_ms.append((time.perf_counter() - start) * 1e3)
                if not isinstance(out, hf.Verified):
                    raise TypeError(f"a call under reloads did not end verified: {out}")
                step, count = step + 1, count + 1

        async def change() -> None:
            version = 0
            if elsewhere:
                command = ("-m", "bench.gate", "reloader", f"sqlite:{place}", str(every_s))
                other = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
                told, _ = await other.communicate()
                reload_ms.extend(json.loads(told)["reload_ms"])
                return
            while every_s and time.perf_counter() < ends:
                await asyncio.sleep(every_s)
                version += 1
                start = time.perf_counter()
                await app.reload_policy(f"// version {version}\n{POLICY}", who="bench", reason="measured")
                reload_ms.append((time.perf_counter() - start) * 1e3)

        began = time.perf_counter()
        changing = asyncio.create_task(change())
        await asyncio.gather(*(work(number) for number in range(RUNS)))
        took_s = time.perf_counter() - began
        await changing
        if len(books) != count:
            raise TypeError(f"{count} calls, {len(books)} changes")
    latencies_ms.sort()
    reload_ms.sort()
    return {
        "runs": RUNS, "seconds": took_s, "reloads": len(reload_ms), "effects": count, "per_second": count / took_s,
        "commits": commits, "retries": retries, "retries_per_1000": 1_000 * retries / max(1, commits),
        "p50_ms": latencies_ms[len(latencies_ms) // 2], "p99_ms": latencies_ms[len(latencies_ms) * 99 // 100],
        "reload_ms": reload_ms[len(reload_ms) // 2] if reload_ms else None,
    }  # fmt: skip


def main(part: str, *more: str) -> dict[str, Any]:
    """Measure one part."""
    if part == "decisions":
        return decisions()
    if part == "reloader":
        return reloader(more[0], float(more[1]))
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=more[0] if more else None) as made:
        return asyncio.run((share if part == "share" else reload)(Path(made)))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
