"""Queues as they are: per class of work how much is under way, what waits, and how old the oldest accepted item is.

Counted from the records of the open effects and never from a meter, so that what is shown stays true as delay grows:
an age is measured at the moment it is asked for, against the promise that is in force. Does not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.limits import UNDER_WAY, Limits
from holdfast.kernel.model import Effect, State
from holdfast.report.page import Page
from holdfast.report.text import escaped, span


class Queue(NamedTuple):
    """One class of work in one environment. ``oldest_ms`` is an age; ``promise_ms`` 0: nothing is promised."""

    environment: str
    work: str
    under_way: int
    waiting: int
    asked: int
    oldest_ms: int
    oldest: str
    promise_ms: int
    most: int | None
    most_waiting: int

    @property
    def broken(self) -> bool:
        """Whether the promise of the class is broken now."""
        return bool(self.promise_ms) and self.oldest_ms > self.promise_ms


def queues_of(views: Iterable[Effect], limits: Mapping[str, Limits], now_ms: int) -> list[Queue]:
    """The queues that these open effects stand in, and those that are limited by name. By environment and class."""
    by: dict[tuple[str, str], list[Effect]] = {
        (environment, name): [] for environment, known in limits.items() for name in known.work if name != "*"
    }
    for view in views:
        if work := view.admission.get("work"):
            by.setdefault((view.environment, work), []).append(view)
    return [_queue(at, by[at], limits.get(at[0], Limits()), now_ms) for at in sorted(by)]


def put_off(view: Effect) -> bool:
    """Whether it waits for room, and for nobody."""
    return view.state is State.WAITING and view.schedulings > 0


def _queue(at: tuple[str, str], views: list[Effect], limits: Limits, now_ms: int) -> Queue:
    work = limits.of(at[1])
    accepted = [v for v in views if put_off(v) or v.state in UNDER_WAY]
    oldest = min(accepted, key=lambda v: v.proposed_ms, default=None)
    return Queue(
        environment=at[0],
        work=at[1],
        under_way=sum(v.state in UNDER_WAY for v in views),
        waiting=sum(put_off(v) for v in views),
        asked=sum(v.state is State.WAITING and not put_off(v) for v in views),
        oldest_ms=now_ms - oldest.proposed_ms if oldest is not None else 0,
        oldest=oldest.id if oldest is not None else "",
        promise_ms=work.within_ms,
        most=work.most,
        most_waiting=work.most_waiting,
    )


def queue_lines(page: Page, queues: Iterable[Queue]) -> None:
    """One line a queue; a promise that is broken is said first."""
    for queue in sorted(queues, key=lambda q: not q.broken):
        of = f" of {queue.most}" if queue.most is not None else ""
        said = [f"{queue.under_way}{of} under way", f"{queue.waiting} of {queue.most_waiting} waiting"]
        if queue.asked:
            said.append(f"{queue.asked} asked about")
        if queue.oldest:
            promise = f", {span(queue.promise_ms)} promised" if queue.promise_ms else ""
            said.append(f"the oldest is {span(queue.oldest_ms)} old{promise}: {queue.oldest}")
        label = "✗ promise broken " if queue.broken else "queue"
        page.fact(label, f"{escaped(queue.work)} in {escaped(queue.environment)}: {', '.join(said)}")


def queue_data(queues: Iterable[Queue]) -> list[dict[str, Any]]:
    """The queues for programs; spans in milliseconds."""
    return [msgspec.to_builtins(queue._asdict()) | {"promise_broken": queue.broken} for queue in queues]
