"""Planted defects of stores and peers that only a process which really dies brings to light, and of who compares."""

from __future__ import annotations

from typing import Any

from holdfast.harness.death import differ, life
from holdfast.harness.play import stage
from holdfast.runtime.peers import Peers
from holdfast.store.sqlite import SqliteStore
from tests.harness.planted import Put


def _yes_before_the_disk(put: Put) -> None:
    """The ledger on its file says yes before anything is on disk."""

    async def commit(self: Any, change: Any) -> Any:
        return await self.later(change)

    put(SqliteStore, "commit", commit)


def _nobody_is_dead(put: Put) -> None:
    """A process that is gone is not proved dead: what it held waits for its lease to run out."""
    put(Peers, "dead_now", lambda self, holder: False)


def _polite(put: Put) -> None:
    """A life closes its ledger before it is killed, as no process does that is killed."""
    kill = life.FileStage.kill

    def closes(self: Any, worker: Any) -> None:
        self.store._open.close_now()
        kill(self, worker)

    put(life.FileStage, "kill", closes)


def _same_to_all(put: Put) -> None:
    """Whoever compares two plays finds them equal."""
    put(differ, "parted", lambda virtual, real: ())


def _keeps_later(put: Put) -> None:
    """In a play what was recorded *later* stays off the disk for as long as nothing is committed."""
    put(stage, "FLUSH_S", 1e7)


PLANT = {
    "play-keeps-later-from-the-disk": _keeps_later,
    "death-store-says-yes-early": _yes_before_the_disk,
    "death-peer-never-dead": _nobody_is_dead,
    "death-polite": _polite,
    "death-all-the-same": _same_to_all,
}
