"""The ledger that a playback writes: an in-memory store whose time, tokens and inputs come from the tape.

What a commit means is :func:`holdfast.kernel.commit.plan`, as in every store. Promises that a commit which is not what
the record says leaves no trace; that nothing of it is on any disk; and that what is *adopted* (an input, which the code
of today does not decide) goes through the same plan.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.amounts import debit
from holdfast.kernel.authority import meter_of
from holdfast.kernel.commit import Change, Note, Verdict, counted_in
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.guard import Fact
from holdfast.kernel.life import KINDS, Draft
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.kernel.ports import Seen
from holdfast.store.evidence import Entry
from holdfast.store.memory import EMPTY, Books, MemoryStore
from holdfast.store.seen import look

SETS = ("amends", "ends", "facts")
"""What a commit adds to the body of its first note (:mod:`holdfast.kernel.commit`)."""


class Rows:
    """The books as one look reads them."""

    def __init__(self, books: Books) -> None:
        """Over a frozen state."""
        self._books = books

    def effect(self, effect: str) -> Effect | None:
        """One effect."""
        return self._books.effects.get(effect)

    def run(self, run: str) -> Run | None:
        """One run."""
        return self._books.runs.get(run)

    def lease(self, resource: str) -> Lease | None:
        """One lease."""
        return self._books.leases.get(resource)

    def approval(self, approval: str) -> Approval | None:
        """One request."""
        return self._books.approvals.get(approval)

    def fact(self, scope: str) -> Fact | None:
        """One fact."""
        return self._books.facts.get(scope)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        return self._books.documents.get((kind, key))

    def restored(self) -> bool:
        """Never: a playback is of what was done, and a store that was not released did nothing."""
        return False


class Made(NamedTuple):
    """What one commit came to: the store's answer, and the entries of the run that it appended."""

    verdict: Verdict
    entries: tuple[Entry, ...]


class Ledger:
    """The books of a playback."""

    def __init__(self, run: str) -> None:
        """Empty; of this run."""
        self._run = run
        self.at_ms = 0
        self.store = MemoryStore(lambda: self.at_ms, secret=b"a playback", books=EMPTY)
        self.face = self.store.face("playback")
        self.history: list[Books] = []
        self._found: dict[str, dict[str, Fact]] = {}

    @property
    def books(self) -> Books:
        """The books as they are."""
        return self.store.current

    def put(self, books: Books) -> None:
        """Replace the books: put them back, or take in what is nobody's decision here."""
        self.store.current = self.store.durable = books

    def remember(self) -> None:
        """The books as they were after one more entry, for whoever read them then."""
        self.history.append(self.books)

    def opened(self, who: str) -> None:
        """Somebody wrote an entry: what was in force the first time they did is what their process opened with."""
        self._found.setdefault(who, self.books.facts)

    def found_by(self, who: str) -> dict[str, Fact]:
        """What was in force when a process opened the store."""
        return self._found.get(who, self.books.facts)

    def seen(self, effect: str, books: Books, now_ms: int) -> Seen:
        """One consistent read at an instant."""
        return look(effect, Rows(books), now_ms)

    def commit(self, change: Change, at_ms: int, token: int) -> Made:
        """One commit at an instant. ``token`` is the one that the store minted for this entry then (0: none)."""
        before = self.books
        if token > before.token:  # tokens are the whole store's, and other runs take some
            self.put(before._replace(token=token - 1))
        self.at_ms = at_ms
        verdict = self.store.apply("playback", change)
        self.store.flush()
        made = self.books.entries[len(before.entries) :]
        if not made:
            self.put(before)
        return Made(verdict, tuple(entry for entry in made if entry.run == self._run))

    def adopt(self, entry: Entry, body: dict[str, Any]) -> Made:
        """Take in an entry as it was recorded."""
        said = {name: value for name, value in body.items() if name not in SETS}
        facts = msgspec.convert(body["facts"], dict[str, Fact]) if isinstance(body.get("facts"), dict) else {}
        change = Change(run=entry.run)
        if entry.effect and entry.kind in (*KINDS, "proposed"):
            change = _struct(change, drafts=(Draft(effect=entry.effect, kind=entry.kind, by=entry.by, body=said),))
        else:
            change = _struct(change, notes=(Note(kind=entry.kind, by=entry.by, body=said),))
        if isinstance(body.get("ends"), list):
            change = _struct(change, ends=tuple(body["ends"]))
        if isinstance(body.get("amends"), dict):
            amends = {name: tuple(v) if isinstance(v, list) else v for name, v in body["amends"].items()}
            change = _struct(change, amends=tuple(amends.items()))
        if facts:
            change = _struct(change, facts=tuple(facts.values()))
        made = self.commit(change, entry.at_ms, entry.token if body.get("holder") else 0)
        if entry.kind == "dispatched" and made.entries:
            self._debit(self.books.effects[entry.effect])
        self.set_facts(facts)
        return made

    def _debit(self, view: Effect) -> None:
        """Count a dispatch that was taken in as spent, as its own commit did: nothing guards what is adopted. A resend
        was counted with its first attempt.
        """
        if view.attempts[-1].resend:
            return
        run = self.books.runs[view.run]
        spent = msgspec.structs.replace(run, spent=debit(run.spent, view.cost))
        self.put(self.books._replace(runs={**self.books.runs, run.id: spent}))
        meters = [meter_of(Rows(self.books), scope) for scope in counted_in(view)]
        self.set_documents(*(msgspec.structs.replace(one, spent=debit(one.spent, view.cost)) for one in meters))

    def set_facts(self, facts: dict[str, Fact]) -> None:
        """Facts with the epochs that they had."""
        if facts:
            self.put(self.books._replace(facts={**self.books.facts, **facts}))

    def set_documents(self, *documents: AnyDocument) -> None:
        """Documents in a version that is known."""
        if documents:
            new = {(document.kind, document.id): document for document in documents}
            self.put(self.books._replace(documents={**self.books.documents, **new}))

    def set_approval(self, approval: Approval) -> None:
        """A request as it was."""
        self.put(self.books._replace(approvals={**self.books.approvals, approval.id: approval}))


def _struct(change: Change, **parts: Any) -> Change:
    return msgspec.structs.replace(change, **parts)
