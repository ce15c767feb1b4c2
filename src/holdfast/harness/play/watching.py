"""What the laws are shown of a play: every entry that is recorded, and every change that the world's books show.

Decides nothing. Promises that what is shown comes from the books of both sides and not from who changed them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast.harness.world.face import World
from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.documents import Drift
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.guard import scopes
from holdfast.kernel.laws import Verdict as Judged
from holdfast.kernel.laws import judge
from holdfast.kernel.laws.events import AtRest, Changed, Event, Evidence, Recorded
from holdfast.kernel.model import Approval, Contract, Effect
from holdfast.store.evidence import Entry, check_chain
from holdfast.store.memory import Books, MemoryStore

UNSEEN: Final = {
    "L6": "tokens that the outside turned away, or had seen before, are not shown in a play; owners in the ledger are",
    "L13": "a verb that is due and changes nothing is not shown in a play; what is left open at its end is",
    "L14": "what each call of a planner was answered with is not shown in a play; the explorer shows it",
}
"""What a law would have to be shown to tell everything that it states, and is not shown in a play: by law."""


def around(books: Books, view: Effect, approval: Approval | None, change: Change) -> tuple[Any, ...]:
    """What stood around a dispatch just before it, read from the books and not from what its guard says of them."""
    facts = (books.facts.get(scope) for scope in scopes(view))
    halted = next((f.sentence for f in facts if f is not None and f.raised), "")
    people = {spelled(decision.who) for decision in approval.decisions} if approval is not None else ()
    force = f"policy:{view.environment}"
    fact = books.facts.get(force)
    return (
        halted,
        tuple(books.documents.get(("grant", grant)) for grant in view.grants),
        tuple(found for who in sorted(people) if (found := books.documents.get(("approver", who))) is not None),
        fact.value if fact is not None else "",
        dict(change.guard.in_force).get(force, ""),
    )


def recorded(before: Books, after: Books, change: Change) -> Iterator[Recorded]:
    """Every entry about an effect that one book has and the other has not."""
    for entry in after.entries[len(before.entries) :]:
        if not entry.effect:
            continue
        view = after.effects[entry.effect]
        approval = after.approvals.get(view.approval) if view.approval else None
        more = around(before, view, approval, change) if entry.kind == "dispatched" else ()
        was, run = before.effects.get(entry.effect), after.runs.get(view.run)
        yield Recorded(entry.kind, entry.at_ms, entry.by, was, view, run, approval, *more)


class WatchedStore(MemoryStore):
    """A store in memory that shows each transition to whoever watches."""

    events: list[Event]

    def apply(self, worker: str, change: Change) -> Verdict:
        """As the store does it."""
        before = self.current
        verdict = super().apply(worker, change)
        if self.current is not before:
            self.events.extend(recorded(before, self.current, change))
        return verdict


class Watch:
    """What happened in one play, in the order of its happening."""

    def __init__(self, store: WatchedStore, world: World) -> None:
        """Nothing yet."""
        self.events: list[Event] = []
        self._store, self._world = store, world
        self.seen = 0
        store.events = self.events

    def look_outside(self) -> None:
        """Show what the world's own books have gained since the last look."""
        log = self._world.log()
        for done in log[self.seen :]:
            if done.key and done.by == "tool":
                effects = self._store.current.effects.values()
                view = next((e for e in effects if e.key == done.key), None)
                where = view.resource if view is not None else done.places[0] if done.places else done.service
                self.events.append(Changed(done.key, done.token, where, done.at_ms, view, 0))
        self.seen = len(log)

    def judged(self, contracts: Mapping[str, Contract]) -> tuple[Judged, ...]:
        """The answer of each law over the whole play. Everything rests by now."""
        self.look_outside()
        books = self._store.durable
        for run in books.runs:
            entries = [entry for entry in books.entries if entry.run == run]
            self.events.append(Evidence(run, why_broken(run, entries)))
        drifts = tuple(d for d in books.documents.values() if isinstance(d, Drift))
        open_ = tuple(e for e in books.effects.values() if is_open(e))
        self.events.append(AtRest(open_, drifts))
        found = judge(self.events, contracts, self._store.secret)
        return tuple(
            law._replace(answer="cannot tell", why=UNSEEN[law.law])
            if law.answer == "holds" and law.law in UNSEEN
            else law
            for law in found
        )


def why_broken(run: str, entries: list[Entry]) -> str:
    """Why the chain of a run does not hold; empty if it does."""
    try:
        check_chain(run, entries, None)
    except ChainBroken as error:
        return str(error)
    return ""
