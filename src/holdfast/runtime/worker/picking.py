"""Which of the queued runs that come next a worker claims: those for which it has what they need.

The order is the queue's (:mod:`holdfast.runtime.queue_order`); here stands what one worker makes of it. A job that
needs what this worker lacks holds up none behind it: the look goes deeper. Where the last look met another worker at
the same jobs, the next one takes from a wider window, so that they stop meeting.

Promises nothing about what other workers take meanwhile: a claim that loses its race is a commit that changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.kernel.documents import Job
from holdfast.runtime.queue_order import Order

DEEPEST = 1_000
"""Jobs that are looked at where the first ones are not for this worker."""

WIDER = 4


class Picker:
    """The eyes of one worker."""

    def __init__(self, store: Any, works: Sequence[str], may: Callable[[Job], bool]) -> None:
        """For these classes of work (none: every class); ``may`` says whether this worker may drive a job."""
        self._store, self._may = store, may
        self._works = frozenset(works)
        self._order = Order(works)
        self.lost = 0
        """Claims of the last round that another worker won."""

    def mine(self, lane: str) -> bool:
        """Whether a lane of queued jobs is of a class that this worker works on."""
        kind, _, rest = lane.partition(":")
        return kind == "queued" and (not self._works or rest.partition("/")[0] in self._works)

    def pick(self, most: int) -> list[Job]:
        """At most so many jobs to claim now."""
        if most <= 0:
            return []
        wanted = most * WIDER if self.lost else most
        depth, now_ms = wanted, self._store.now_ms()
        while True:
            found = self._order.next(self._store, now_ms, depth)
            mine = [job for job in found if self._may(job)]
            if len(mine) >= wanted or len(found) < depth or depth >= DEEPEST:
                break
            depth = min(DEEPEST, depth * 8)
        mine = mine[:wanted]
        return mine if len(mine) <= most else self._apart(mine, most)

    def _apart(self, jobs: list[Job], most: int) -> list[Job]:
        """Some of the first ones of one class and rank, and never one of a lower rank before a higher."""
        top = [job for job in jobs if job.priority == jobs[0].priority]
        rest = [job for job in jobs if job.priority != jobs[0].priority]
        return [*random.sample(top, len(top)), *rest][:most]  # only so that workers do not meet again

    def served(self, job: Job) -> None:
        """This one was claimed here."""
        self._order.served(job)
