"""Everything that is recorded of one run, as plain data: what a bundle carries, and what explaining and replaying read.

A record comes from a store (:func:`record_of`) or from a bundle on another machine; whoever reads one does not know
which. Promises that nothing is in it that the evidence does not bind: entries with their bodies, the entries of the
store's own run that these rest on, and the documents whose digests those name. Decides nothing, and asks nobody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from holdfast.kernel.canon import decode
from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.documents import AnyDocument, Approver, key_of
from holdfast.kernel.errors import HoldfastError, NotReplayable
from holdfast.kernel.guard import KEPT, scopes
from holdfast.kernel.model import Approval, Effect, Run
from holdfast.store.evidence import Entry
from holdfast.store.folding import fold

MOST_CHARS = 200


class Books(Protocol):
    """What this needs of a store; :class:`holdfast.store.Store` is one."""

    def run(self, run: str) -> Run | None:
        """One run by its full id."""

    def entries(self, of: str) -> list[Entry]:
        """Entries of a run, in order."""
        ...

    def approval(self, approval: str) -> Approval | None:
        """One request."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Documents of a kind."""
        ...

    def status(self) -> dict[str, Any]:
        """The store's name, under ``store``."""
        ...


class Record(NamedTuple):
    """One run as recorded. ``beside`` are the entries of the store's own run that it rests on, in order."""

    store: str
    run: Run
    entries: tuple[Entry, ...]
    beside: tuple[Entry, ...]
    documents: Mapping[tuple[str, str], AnyDocument]
    approvals: Mapping[str, Approval]


class Moved(NamedTuple):
    """One entry with its body, and the effect that it is about, before and after it (None: not about one).

    ``body`` is None where it was taken away; ``stands_in`` says that values in it were redacted.
    """

    entry: Entry
    body: dict[str, Any] | None
    before: Effect | None
    after: Effect | None

    @property
    def stands_in(self) -> bool:
        """Whether stand-ins are where values were: such a body has no salt any more (an empty one, in a store)."""
        return self.body is not None and not self.entry.salt


def moves(record: Record) -> Iterator[Moved]:
    """The entries of a run in order, each with what it did to its effect."""
    views: dict[str, Effect | None] = {}
    for entry in record.entries:
        body = None if entry.body is None else decode(entry.body)
        before = views.get(entry.effect)
        after = None
        if entry.effect and entry.body is not None and (before is not None or entry.kind == "proposed"):
            after = fold(
                before,
                record.run,
                entry.effect,
                kind=entry.kind,
                at_ms=entry.at_ms,
                by=entry.by,
                token=entry.token,
                body=entry.body,
            )
        if entry.effect:
            views[entry.effect] = after
        yield Moved(entry, body, before, after)


def effects(record: Record) -> dict[str, Effect]:
    """Each effect of the run as its entries leave it, in the order of their proposals."""
    found: dict[str, Effect] = {}
    for moved in moves(record):
        if moved.after is not None:
            found[moved.entry.effect] = moved.after
    return found


UNLIKE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


@contextlib.contextmanager
def sound(run: str) -> Iterator[None]:
    """Whoever reads a record reads it inside: one that no runtime of ours wrote is refused, and is no fault of ours.

    A bundle comes from anywhere, and that its digests hold says nothing of what it holds. Raises NotReplayable.
    """
    try:
        yield
    except HoldfastError:
        raise
    except UNLIKE as error:
        what = f"{type(error).__name__}: {error}"[:MOST_CHARS]
        raise NotReplayable(run=run, why=f"what stands in it is not what a runtime writes ({what})") from error


def record_of(books: Books, run: str) -> Record:
    """The record of a run that is in this store. Raises NotReplayable where its entries are not here any more."""
    row = books.run(run)
    entries = tuple(books.entries(run)) if row is not None else ()
    if row is None or len(entries) != row.seq:
        raise NotReplayable(run=run, why="its entries are not all in this store; they may be in an archive")
    bare = Record(str(books.status()["store"]), row, entries, (), {}, {})
    approvals: dict[str, Approval] = {}
    documents: dict[tuple[str, str], AnyDocument] = {}
    wanted: set[tuple[str, str]] = {("kept", row.policy)} if row.policy else set()
    facts = {f"policy:{row.environment}"}
    for moved in moves(bare):
        view = moved.after
        if view is not None:
            wanted |= {("kept", view.contract), ("kept", view.policy), *(("grant", grant) for grant in view.grants)}
            facts |= {*scopes(view), f"contract:{view.tool}", f"proved:{view.tool}", f"reviewed:{view.tool}"}
            if view.policy:
                facts.add(f"{KEPT}{row.environment}:{view.policy}")
            request = books.approval(view.approval) if view.approval else None
            if request is not None:
                approvals[request.id] = request
        if moved.entry.kind == "in_force" and moved.body is not None:
            wanted |= {("kept", str(value)) for value in moved.body.get("evidence", {}).values()}
    wanted |= {("grant", grant) for grant in row.grants}
    said = {given.who.casefold() for request in approvals.values() for given in request.decisions}
    for kind, run_id in (("item", run), ("saga", run), ("grant", run), ("approver", ""), ("log_key", "")):
        for document in books.documents(kind, run_id):
            if not isinstance(document, Approver) or document.name.casefold() in said:
                wanted.add((kind, document.id))
    own = books.entries(STORE_RUN_ID)
    # A policy speaks of every tool of its store: without their contracts it could not be read again.
    wanted |= {("kept", version) for entry in own for version in _contracts_set(entry)}
    for kind, key in wanted:
        found = books.document(kind, key) if key else None
        if found is not None:
            documents[kind, key] = found
    named = {key_of(document) for document in documents.values()}
    beside = tuple(entry for entry in own if _speaks_of(entry, facts, named, set(approvals)))
    return bare._replace(beside=beside, documents=documents, approvals=approvals)


def _contracts_set(entry: Entry) -> list[str]:
    """The versions of contracts that an entry of the store's own run puts in force."""
    told = decode(entry.body).get("facts") if entry.body is not None else None
    found = told.items() if isinstance(told, dict) else ()
    return [str(fact.get("value", "")) for scope, fact in found if scope.startswith("contract:")]


def _speaks_of(entry: Entry, facts: set[str], named: set[str], approvals: set[str]) -> bool:
    """Whether an entry of the store's own run sets one of these facts, or names one of these documents."""
    if entry.body is None or _contracts_set(entry):
        return True  # what it said is not known, or what the policy could speak of changed
    body = decode(entry.body)
    told, documents = body.get("facts"), body.get("documents")
    sets = isinstance(told, dict) and not facts.isdisjoint(told)
    names = isinstance(documents, dict) and not named.isdisjoint(documents)
    names = names or (entry.kind == "approver" and f"approver:{body.get('approver')}" in named)
    return sets or names or body.get("request") in approvals or entry.kind in ("log_key", "redacted")
