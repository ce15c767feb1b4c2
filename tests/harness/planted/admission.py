"""Planted defects of admission: endless queues, free retries, and shares, schedules and ages that are lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.effect import admit
from holdfast.gate import admission
from holdfast.kernel import commit as commits
from holdfast.kernel import due, limits
from holdfast.report import queues
from holdfast.runtime import submit
from holdfast.runtime.begin import Place
from tests.harness.planted import Put


def _blended(put: Put) -> None:
    """Whatever is not accepted is refused, and why is nobody's affair."""
    honest = admission.admission

    def blended(*given: Any) -> Any:
        said = honest(*given)
        if said.answer == "accept":
            return said
        return replace(said, answer="refuse", code="busy", limits=(), proposes={})

    put(admission, "admission", blended)


def _unbounded(put: Put) -> None:
    """As many wait as like to."""
    honest = admission.queues
    put(
        admission,
        "queues",
        lambda *given, **more: tuple(replace(limit, most_open=None) for limit in honest(*given, **more)),
    )


def _share_ignored(put: Put) -> None:
    """One principal may have every place."""
    put(limits.Work, "places", lambda self, percent: self.most)


def _schedule_forgotten(put: Put) -> None:
    """What was put off is looked at by nobody."""
    honest = due.due
    put(due, "due", lambda view, *given: None if queues.put_off(view) else honest(view, *given))


def _age_hidden(put: Put) -> None:
    """How many there are is shown, and not for how long."""
    honest = queues.queues_of
    put(queues, "queues_of", lambda *given: [queue._replace(oldest_ms=0) for queue in honest(*given)])


def _not_carried(put: Put) -> None:
    """There was room when it was looked at, and that has to do."""
    honest = admit.carrying

    def carrying(change: Any, said: Any) -> Any:
        change = honest(change, said)
        return replace(change, guard=replace(change.guard, limits=()))

    put(admit, "carrying", carrying)


def _place_lost(put: Put) -> None:
    """A place is given back by what is known, and kept by what is known to be unknown."""
    honest = limits.holds_place
    put(limits, "holds_place", lambda scope, state: honest(scope, state) or state == "unknown")


def _runs_unbounded(put: Put) -> None:
    """A run that is begun takes nobody's place."""
    put(commits, "runs_place", lambda run, rows, step: None)


def _no_deadline(put: Put) -> None:
    """What is accepted is on the terms it came with, and of no priority."""
    put(submit, "on_terms", lambda intent, limits: intent)
    put(submit, "Place", lambda priority, *given: Place(0, *given))


PLANT: dict[str, Callable[[Put], None]] = {
    "answers-blended": _blended,
    "queue-unbounded": _unbounded,
    "retries-free": lambda put: put(admission, "is_retry", lambda view: False),
    "share-ignored": _share_ignored,
    "schedule-forgotten": _schedule_forgotten,
    "age-hidden": _age_hidden,
    "room-not-carried": _not_carried,
    "place-not-given-back": _place_lost,
    "runs-unbounded": _runs_unbounded,
    "accepted-without-terms": _no_deadline,
}
