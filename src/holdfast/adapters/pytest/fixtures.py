"""Fixtures for tests that are written by hand: a world, an application over it, a planner.

Each is a maker, because a test says itself what is in its world. What a maker made is closed when the test ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.app import App
from holdfast.harness.planners import NINE, Errand
from holdfast.harness.world.memory import MemoryWorld
from holdfast.runtime.planner import Planner, Proposed


@pytest.fixture
def world() -> Iterator[Callable[..., MemoryWorld]]:
    """``world(tables={…}, files={…}, seed=1)``: a world in memory, with its own books."""
    made: list[MemoryWorld] = []

    def make(seed: int = 1, **parts: Any) -> MemoryWorld:
        made.append(MemoryWorld(seed, **parts))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., App]:
    """A maker of applications over a store of this test's own, opened with ``with`` or ``async with``."""

    def make(tools: Iterable[Any], **more: Any) -> App:
        return hf.open(f"sqlite:{tmp_path / 'app.db'}", tools=tools, **more)

    return make


@pytest.fixture
def planner() -> Callable[..., Planner]:
    """``planner(calls)`` says these calls in order; ``planner(calls, "repeating", seed=7)`` goes wrong in that way."""

    def make(calls: Iterable[Proposed], kind: str = "scripted", *, seed: int = 0, says: str = "") -> Planner:
        return NINE[kind](Errand(calls=tuple(calls), says=says), seed)

    return make
