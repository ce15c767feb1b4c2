"""Workers as they are: who is there until when, what each holds under which token, what it lacks, what was refused it.

Reads only, and judges a lease by the store's clock at the moment of the question. Decides nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.kernel.documents import EVERY, Job, Worker
from holdfast.runtime.peers import Peers
from holdfast.store import Store
from holdfast.store.lates import Late, lates

FAR_MS = 1 << 52
LATES = 1_000
"""Refused writes that are looked through, the newest first."""


class Standing(NamedTuple):
    """One worker. ``word``: working, draining, left, or gone: its lease is over, or its process is proved dead."""

    row: Worker
    word: str
    held: tuple[Job, ...]
    refused: tuple[Late, ...]


def workers(store: Store, *, gone: bool = True, most: int = 1_000) -> list[Standing]:
    """Workers, those first that hold something, then those that are there; without ``gone`` none that has left."""
    now_ms, late = store.now_ms(), lates(store, LATES)
    rows = [row for row in store.documents("worker", limit=EVERY) if isinstance(row, Worker)]
    found = [_standing(store, row, late, now_ms) for row in rows]
    shown = [one for one in found if gone or one.word != "left" or one.held]
    shown.sort(key=lambda one: (not one.held, one.word in ("gone", "left"), -one.row.seen_ms, one.row.id))
    return shown[:most]


def _standing(store: Store, row: Worker, late: list[Late], now_ms: int) -> Standing:
    over = now_ms > row.until_ms or Peers().dead_now(row.process)
    word = "gone" if over and row.state != "left" else row.state
    held = store.documents_due("job", f"held:{row.id}", FAR_MS, EVERY)
    mine = tuple(one for one in late if _whose(one, row))
    return Standing(row, word, tuple(job for job in held if isinstance(job, Job)), mine)


def _whose(late: Late, row: Worker) -> bool:
    """Whether a refused write was this worker's."""
    return late.said.get("offered_by") == row.id
