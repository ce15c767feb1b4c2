"""Who is measured, in which order, and how rounds become one figure.

Every measurement is a process of its own on a new store in the same folder, and prints JSON. In each round all
contestants of one level run one after the other, so that a machine that slows down slows all of them; what is
reported is the median over the rounds. A peer that can be set up in two ways is measured in both in the first round,
and the faster way of that level goes on: nobody is beaten at their worst.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

LEVELS = (1, 16, 64)
EACH = {1: 200, 16: 60, 64: 40}
PEER_EACH = {1: 120, 16: 24, 64: 8}
"""Effects in each run. Peers take fewer, since they are slower: a rate is a rate."""

LIMIT_S = 300

PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # name: (what must be importable, module, the ways to set it up)
    "LangGraph": ("langgraph.checkpoint.sqlite", "bench.peers.langgraph_sqlite", ("threads", "async")),
    "DBOS": ("dbos", "bench.peers.dbos_sqlite", ("wal", "as-shipped")),
}

OURS: dict[str, dict[str, Any]] = {
    "call": {},
    "call, decisions computed": {"decisions": "computed"},
    "drive": {"drive": True},
}


class Figure(NamedTuple):
    """One contestant at one level, over all rounds."""

    who: str
    runs: int
    way: str
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    rounds: tuple[float, ...]
    more: dict[str, Any]


def missing(peer: str) -> str:
    """Why a peer cannot be measured; empty if it can."""
    module = PEERS[peer][0]
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    return "" if found else f"{module} is not installed: pip install 'holdfast[bench]'"


def compete(level: int, rounds: int, folder: str | None, say: Callable[[str], None]) -> list[Figure]:
    """All contestants at one level."""
    peers = {name: list(PEERS[name][2]) for name in PEERS if not missing(name)}
    got: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(rounds):
        for name, settings in OURS.items():
            got.setdefault((name, ""), []).append(ours(level, folder, settings))
        for peer, ways in peers.items():
            for way in ways:
                got.setdefault((peer, way), []).append(theirs(peer, way, level, folder))
            if number == 0:
                best = max(ways, key=lambda w, p=peer: got[p, w][0]["per_second"])  # type: ignore[misc]
                peers[peer] = [best]
        say(f"{level} runs: round {number + 1} of {rounds}")
    kept = [(who, way) for who, way in got if who in OURS or way == peers[who][0]]
    return [_figure(who, way, level, got[who, way]) for who, way in kept]


def ours(level: int, folder: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """One process of holdfast."""
    asked = {"runs": level, "each": EACH[level], "folder": folder, **settings}
    return _asked(["bench.one", json.dumps(asked)])


def theirs(peer: str, way: str, level: int, folder: str | None) -> dict[str, Any]:
    """One process of a peer, with the same figures made of what it prints."""
    with tempfile.TemporaryDirectory(prefix="holdfast-peer-", dir=folder) as place:
        said = _asked([PEERS[peer][1], place, str(level), str(PEER_EACH[level]), way])
    took, count = said["took_ns"], level * PEER_EACH[level]
    return {
        "per_second": count / (said["wall_ns"] / 1e9),
        "cpu_us": said["cpu_ns"] / 1e3 / count,
        "p50_ms": took[len(took) // 2] / 1e6,
        "p99_ms": took[min(len(took) - 1, len(took) * 99 // 100)] / 1e6,
        "journal": said["journal"],
        "synchronous": said["synchronous"],
    }


def asked_json(module: str, *arguments: str) -> dict[str, Any]:
    """What a module prints as its last line."""
    return _asked([module, *arguments])


def _asked(arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _figure(who: str, way: str, level: int, got: list[dict[str, Any]]) -> Figure:
    def middle(name: str) -> float:
        return statistics.median(g[name] for g in got)

    rates = tuple(g["per_second"] for g in got)
    names = ("syncs", "batches", "computed")
    more = {name: middle(name) for name in names if name in got[0]}
    more |= {name: got[0][name] for name in ("journal", "synchronous") if name in got[0]}
    return Figure(
        who, level, way, middle("per_second"), middle("cpu_us"), middle("p50_ms"), middle("p99_ms"), rates, more
    )
