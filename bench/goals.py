"""What must be reached, and whether it was. A goal that could not be measured is not met."""

from __future__ import annotations

from typing import Any

from bench.rounds import Figure

RATIOS = (
    # id, our way, level, peer, at least
    ("langgraph-1", "call", 1, "LangGraph", 1.3),
    ("dbos-1", "call", 1, "DBOS", 2.5),
    ("dbos-16", "call", 16, "DBOS", 10.0),
    ("langgraph-16", "call", 16, "LangGraph", 7.0),
    ("dbos-64", "call", 64, "DBOS", 12.0),
    ("langgraph-64", "call", 64, "LangGraph", 8.0),
    ("dbos-64-computed", "call, decisions computed", 64, "DBOS", 4.0),
    ("langgraph-64-computed", "call, decisions computed", 64, "LangGraph", 4.0),
)
P99_MS = 40.0
RESTART_MS = 50.0
RUN_BYTES = 1_000_000
SCHEDULES_PER_S = 20_000
CPU_US = 170.0


def judged(
    figures: list[Figure], restart: dict[str, Any], storage: dict[str, Any], explorer: dict[str, Any]
) -> list[dict[str, Any]]:
    """Every goal with what was measured: {id, goal, measured, met}."""
    by = {(f.who, f.runs): f for f in figures}
    goals: list[dict[str, Any]] = []

    def goal(id_: str, wanted: str, measured: Any, *, met: bool) -> None:
        goals.append({"id": id_, "goal": wanted, "measured": measured, "met": met})

    for id_, mine, level, peer, least in RATIOS:
        a, b = by.get((mine, level)), by.get((peer, level))
        ratio = a.per_second / b.per_second if a is not None and b is not None else None
        wanted = f"at least {least:g} times the rate of {peer}, {level} runs, {mine}"
        # Judged before it is rounded: 1.296 is shown as 1.3 and is not 1.3.
        shown = round(ratio, 2) if ratio is not None else "not run"
        goal(id_, wanted, shown, met=ratio is not None and ratio >= least)
    for level in (1, 16, 64):
        figure = by.get(("call", level))
        if figure is not None:
            met = figure.p99_ms < P99_MS
            goal(f"p99-{level}", f"p99 under {P99_MS:g} ms, {level} runs", round(figure.p99_ms, 1), met=met)
    busy = by.get(("call", 64))
    if busy is not None:
        goal(
            "cpu-64", f"at most {CPU_US:g} us of CPU per effect, 64 runs", round(busy.cpu_us), met=busy.cpu_us <= CPU_US
        )
    ms = restart["decided_ms"]
    wanted = f"first decision after kill -9 under {RESTART_MS:g} ms, {restart['records']} records"
    goal("restart", wanted, round(ms, 1), met=ms < RESTART_MS)
    goal("storage", "a 400-step run under 1 MB", storage["bytes"], met=storage["bytes"] < RUN_BYTES)
    rate = explorer.get("executed_per_second")
    wanted = f"at least {SCHEDULES_PER_S} schedules executed per second and core"
    goal("explorer", wanted, round(rate) if rate else explorer["reason"], met=bool(rate) and rate >= SCHEDULES_PER_S)
    return goals
