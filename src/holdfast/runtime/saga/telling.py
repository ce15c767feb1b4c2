"""Whom a move of a saga is told to, and of what: named in the record, in the commit that makes the move. Pure.

A step that is not there or in doubt is told to those whom it names; a saga that turns back, is held, or ends without
being completed is told to all whose steps were tried, and to its owner; one that completes is told to whom it told
anything before. Each person is told one thing once. Does not say that anybody has read it.
"""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.kernel import sagas
from holdfast.kernel.documents import AnyDocument, Saga
from holdfast.kernel.documents.saga import ENDS
from holdfast.kernel.model import Effect

TOLD_LIMIT = 200
"""What is told that a record keeps; each is in the entry of its move besides."""


def told_of(saga: Saga, number: int, why: str, present: sagas.Present, now_ms: int) -> list[dict[str, Any]]:
    """Who has to be told of the move that led to this saga, by the step it is about (-1: none): each person once."""
    news = [
        (step.tell, step.name, f"step {step.name}: {settled}")
        for step in saga.steps
        if (settled := settled_doubt(present.get(step.effect)))
    ]
    if why and (number >= 0 or saga.state in ENDS) and not _as_wished(saga):
        what = f"{'held' if saga.held else saga.state}: {why}"
        news.append((_people(saga, number), saga.steps[number].name if number >= 0 else "", what))
    known = {(one["who"], one["what"]) for one in saga.told}
    # Tried anew on somebody's word: what it is tried anew for was told before, with the end that it led to.
    if number >= 0 and why and not saga.held and saga.state not in ENDS:
        known |= {(one["who"], f"{saga.state}: {why}") for one in saga.told if why in one["what"]}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for people, name, what in news:
        for who in people:
            if who and (who, what) not in known:
                found[who, what] = {"who": who, "what": what, "at_ms": now_ms} | ({"step": name} if name else {})
    return list(found.values())


def _as_wished(saga: Saga) -> bool:
    """Completed, and nobody was ever told of anything: there is nothing to tell."""
    return saga.state == "completed" and not saga.told


def _people(saga: Saga, number: int) -> tuple[str, ...]:
    if saga.state == "forward" and not saga.held:
        return saga.steps[number].tell
    return (*(who for step in saga.steps if step.tried for who in step.tell), saga.owner)


def settled_doubt(view: Effect | None) -> str:
    """That an effect was in doubt for a while, and what it is known to be now; empty where it was not, or still is."""
    if view is None or not view.attempts or not (view.probes or view.resends or view.attested_by or _found(view)):
        return ""
    stands = sagas.standing(view)
    if stands not in ("there", "not there"):
        return ""
    how = f"attested by {view.attested_by}" if view.attested_by else view.basis or "its record"
    return f"it was unknown, and is known to be {stands} now ({how})"


def _found(view: Effect) -> bool:
    """Whether it was not the answer to an attempt that said what became of it."""
    return view.basis in ("probe", "late reply") or view.cause.startswith("proved absent")


class Papers(Protocol):
    """What is read of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...


def needs_a_person(papers: Papers, saga: Saga) -> dict[str, Any] | None:
    """What a webhook is told of a saga that needs somebody, while it still does; no value of any argument is in it."""
    now = papers.document("saga", saga.id)
    if not isinstance(now, Saga) or now.since_ms != saga.since_ms or now.place is None or now.place.lane != "person":
        return None
    return {
        "type": "saga.needs_a_person",
        "saga": now.id,
        "run": now.run,
        "state": now.state,
        "held": bool(now.held),
        "reached": now.reached,
        "owner": now.owner,
        "told": sorted({str(one["who"]) for one in now.told}),
        "command": f"holdfast saga show {now.id}",
    }
