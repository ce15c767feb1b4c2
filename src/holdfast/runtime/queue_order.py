"""Which queued runs come next: fair between classes of work, then by priority, then fair between principals.

A look takes the classes in turn. Within one the highest priority comes first, of one priority the principal that this
order was asked for least, of one principal the earliest due. Whoever floods the queue waits behind itself: a principal
with one run is not behind another's thousand, and what is not due, or halted, is behind nobody.

Promises: a list of jobs as they were read, which whoever claims one guards by its digest. What is served is remembered
in this process and forgotten slowly; every process is fair by itself, and so all of them together are. Does not claim
anything, and does not judge whether a run is still wanted (:mod:`holdfast.runtime.queue_wanted`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple, Protocol

from holdfast.kernel.documents import AnyDocument, Job
from holdfast.kernel.guard import Fact

LANES_KEPT_MS = 250
"""How long the list of lanes is good for; a class or principal that is new to the queue may wait that much longer."""

MOST_LANES = 256
"""Lanes that one look reads at most; those of whoever was served least come first."""

FORGOTTEN_AT = 1_024
"""So many runs served, and all counts are halved: who was served long ago is served like anybody."""


class Facts(Protocol):
    """What is read of a store about halts."""

    def fact(self, scope: str) -> Fact | None:
        """A store-wide fact."""
        ...


class Books(Facts, Protocol):
    """What is read of a store."""

    def lanes(self, kind: str) -> dict[str, tuple[int, int]]:
        """The lanes of a kind: how many stand in each, and the earliest due."""
        ...

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]:
        """Documents of a lane that are due."""
        ...


class Lane(NamedTuple):
    """The queued runs of one principal in one class."""

    name: str
    work: str
    principal: str


class Order:
    """The order of one worker process. Give it every class it may take, or none for all of them."""

    def __init__(self, works: Collection[str] = ()) -> None:
        """Nobody was served yet."""
        self._works = frozenset(works)
        self._served: Counter[tuple[str, ...]] = Counter()
        self._lanes: list[Lane] = []
        self._read_ms = -LANES_KEPT_MS

    def next(self, books: Books, now_ms: int, limit: int) -> list[Job]:
        """So many jobs that are due, the first one first; fewer where there are not more."""
        found = self._pick(books, now_ms, limit)
        if not found and self._read_ms != now_ms:
            self._read_ms = -LANES_KEPT_MS
            found = self._pick(books, now_ms, limit)
        return found

    def _pick(self, books: Books, now_ms: int, limit: int) -> list[Job]:
        heads = {lane: jobs for lane in self._open(books, now_ms) if (jobs := _due(books, lane, now_ms, limit))}
        turns = Counter(self._served)
        picked: list[Job] = []
        while heads and len(picked) < limit:
            work = min({lane.work for lane in heads}, key=lambda work: (turns[work,], work))
            lane = min(
                (lane for lane in heads if lane.work == work),
                key=lambda lane: (-heads[lane][0].priority, turns[lane[1:]], heads[lane][0].not_before_ms, lane),
            )
            picked.append(heads[lane].pop(0))
            turns[work,] += 1
            turns[lane[1:]] += 1
            if not heads[lane]:
                del heads[lane]
        return picked

    def served(self, job: Job) -> None:
        """This one was claimed: whoever else waits comes before the next of its class and principal."""
        self._served[job.work,] += 1
        self._served[job.work, job.principal] += 1
        if self._served.total() > 2 * FORGOTTEN_AT:
            self._served = Counter({who: count // 2 for who, count in self._served.items() if count > 1})

    def _open(self, books: Books, now_ms: int) -> list[Lane]:
        """The lanes that something may stand in that is due, without those that are halted."""
        if not 0 <= now_ms - self._read_ms < LANES_KEPT_MS:
            self._lanes = [lane for lane in _lanes(books, now_ms) if not self._works or lane.work in self._works]
            self._read_ms = now_ms
        free = [lane for lane in self._lanes if not halted(books, lane.work, lane.principal)]
        free.sort(key=lambda lane: (self._served[lane[1:]], lane))
        return free[:MOST_LANES]


def _lanes(books: Books, now_ms: int) -> Iterator[Lane]:
    for name, (_, due_ms) in books.lanes("job").items():
        if name.startswith("queued:") and due_ms <= now_ms:
            work, _, principal = name.removeprefix("queued:").partition("/")
            yield Lane(name, work, principal)


def _due(books: Books, lane: Lane, now_ms: int, limit: int) -> list[Job]:
    return [job for job in books.documents_due("job", lane.name, now_ms, limit) if isinstance(job, Job)]


def halted(books: Facts, work: str, principal: str) -> str:
    """The raised halt over a class of queued work, or over a principal, in words; empty: there is none."""
    for scope in ("halt:store", f"halt:queue:{work}", f"halt:principal:{principal}"):
        fact = books.fact(scope)
        if fact is not None and fact.raised:
            return fact.sentence
    return ""
