"""Planted defects of engines: who spreads an exploration over processes and loses a part of it."""

from __future__ import annotations

from typing import Any

from holdfast.harness.explore.executor import Processes
from tests.harness.planted import Put


def _a_subtree_is_lost(put: Put) -> None:
    """What the last process found out reaches nobody."""
    whole = Processes.map

    def most(self: Any, work: Any, tasks: Any) -> Any:
        return iter(list(whole(self, work, tasks))[:-1])

    put(Processes, "map", most)


PLANT = {"a-subtree-is-lost": _a_subtree_is_lost}
