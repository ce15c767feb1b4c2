"""What a machine stands on: everything that may differ between two schedules, by name and type.

Decides nothing. The parts of a machine (replies, moves, the drive) share these fields and the few acts below.
"""

from __future__ import annotations

from typing import Any

from holdfast.harness.explore.outside import Outside
from holdfast.harness.explore.scenario import Scenario
from holdfast.harness.explore.shared import Shared
from holdfast.harness.explore.virtual import Job, Suspended
from holdfast.kernel.laws import States
from holdfast.kernel.model import Contract
from holdfast.store.memory import MemoryFace, MemoryStore


class Ground:
    """The fields of one schedule under way. ``clock_ms`` is true time; ``offset_ms`` is what the wall clock adds.

    ``step_ms`` is what each write, and each answer from outside, takes.
    """

    scenario: Scenario
    contracts: dict[str, Contract]
    step_ms: int
    run_id: str
    shared: Shared | None
    faces: dict[str, MemoryFace]
    store: MemoryStore
    clock_ms: int
    offset_ms: int
    outside: Outside
    running: tuple[str, ...]
    dead: frozenset[str]
    born: int
    jobs: list[Job]
    paused: tuple[Suspended, ...]
    queue: tuple[int, ...]
    told: tuple[tuple[str, int], ...]
    blocked: tuple[tuple[str, int], ...]
    crashes: int
    faults: int
    fresh: bool
    states: States

    def see(self, event: Any, key: tuple[Any, ...] | None = None, kept: Any = None) -> None:
        """Fold one event into the laws. ``key`` tells unequal events apart, by what event or ``kept`` hold."""
        raise NotImplementedError

    def saw(self, key: tuple[Any, ...]) -> bool:
        """Whether the laws folded the event of this key in this very state before; then it is folded."""
        raise NotImplementedError

    def begin(self, name: str, worker: str, subject: Any) -> None:
        """Start a program on top of whatever runs."""
        raise NotImplementedError
