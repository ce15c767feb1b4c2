"""Planted defects of plays: faults that do nothing, coverage that hides, shrinking and regressions that look away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from holdfast.harness.faults import inject
from holdfast.harness.play import loop, shrink, stage

Put = Callable[[Any, str, Any], None]


def a_fault_does_not_strike(put: Put) -> None:
    """A lost reply is told as struck, and the reply comes all the same."""
    honest = inject._Body._sent

    async def sent(self: Any, request: Any, kinds: set[str]) -> Any:
        return await honest(self, request, kinds - {"lost reply"})

    put(inject._Body, "_sent", sent)


def a_duplicate_arrives_once(put: Put) -> None:
    """A duplicated request arrives once."""
    honest = inject._Body._sent

    async def sent(self: Any, request: Any, kinds: set[str]) -> Any:
        return await honest(self, request, kinds - {"duplicated"})

    put(inject._Body, "_sent", sent)


def partial_is_whole(put: Put) -> None:
    """All of the work is done before the connection ends."""

    async def partly(self: Any, request: Any) -> Any:
        await self._enter(request)
        return inject.Doubt("lost_reply", "the connection ended in the middle")

    put(inject._Body, "_partly", partly)


def a_stale_read_is_fresh(put: Put) -> None:
    """A read that is to show the past shows what is."""
    put(stage.Stage, "as_it_was", lambda self: contextlib.nullcontext())


def a_full_disk_takes_writes(put: Put) -> None:
    """A full disk refuses nothing."""

    async def write(self: Any, change: Any, at: str, write: Any) -> Any:
        await self._at.reach(change.guard.effect, at)
        return await write(change)

    put(inject._Store, "_write", write)


def a_stolen_lease_is_kept(put: Put) -> None:
    """Nobody takes over from a worker that stands still."""

    async def stolen(self: Any, worker: Any) -> None:
        self.born += 1

    put(stage.Stage, "stolen", stolen)


def the_killed_go_on(put: Put) -> None:
    """What a killed process had begun goes on by itself."""

    async def lived(work: Any, of: Any) -> Any:
        return await work

    put(loop, "_lived", lived)


def any_failure_will_do(put: Put) -> None:
    """A smaller play counts if it fails in whatever way."""
    honest = shrink.failure
    put(shrink, "failure", lambda played: ("forbidden", "") if honest(played) != ("", "") else ("", ""))


PLANT = {
    "a-fault-does-not-strike": a_fault_does_not_strike,
    "a-duplicate-arrives-once": a_duplicate_arrives_once,
    "partial-is-whole": partial_is_whole,
    "a-stale-read-is-fresh": a_stale_read_is_fresh,
    "a-full-disk-takes-writes": a_full_disk_takes_writes,
    "a-stolen-lease-is-kept": a_stolen_lease_is_kept,
    "the-killed-go-on": the_killed_go_on,
    "any-failure-will-do": any_failure_will_do,
}
