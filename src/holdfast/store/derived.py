"""What the entries of a store say of the rows that are not one effect's: runs, meters, facts, documents.

Fed run by run, each in its order. Promises to reckon with the very code that moved those rows when they were
recorded (:func:`holdfast.kernel.commit.retell`), so that the two cannot drift apart. What a redacted entry would
have said is not guessed: what rests on it is then not compared.

Does not derive windows (``used`` and ``since_ms`` of a meter): the limits that a commit was judged by are not in the
log.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from holdfast.kernel.amounts import Spent
from holdfast.kernel.canon import decode, encode
from holdfast.kernel.commit import Line, Note, asked, retell, runs_place
from holdfast.kernel.documents import AnyDocument, Meter
from holdfast.kernel.guard import Fact
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.evidence import Entry

OWN = frozenset({"id", "seq", "head", "state", "reason", "opened_ms", "spent", "steps", "late_ms"})
"""What of a run is not one of its terms: the entries say it in other ways."""

BESIDE = ("code", "facts", "trace", "under")
"""What the first entry of a run says besides its terms."""


class Named(NamedTuple):
    """The last digest that an entry named for a document, and that entry."""

    digest: str
    run: str
    seq: int


class Derived:
    """What all runs together say: meters, facts, and the digests of documents."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.meters: dict[str, Meter] = {}
        self.facts: dict[str, Fact] = {}
        self.documents: dict[str, Named] = {}
        self.redacted = False  # an entry of an effect: meters are not known
        self.silent = False  # an entry of a run: facts and documents are not known

    def note(self, entry: Entry, body: dict[str, Any]) -> None:
        """What an entry that is no effect's says of facts and documents."""
        facts = body.get("facts")
        for scope, said in facts.items() if isinstance(facts, dict) else ():
            fact = _fact(scope, said)
            known = self.facts.get(scope)
            if fact is not None and (known is None or known.epoch < fact.epoch):
                self.facts[scope] = fact
        if entry.kind == "document":
            for key, digest in body.get("documents", {}).items():
                self.documents[key] = Named(digest, entry.run, entry.seq)


def _fact(scope: str, said: Any) -> Fact | None:
    try:
        fact = msgspec.convert(said, Fact)
    except msgspec.ValidationError:
        return None  # a note of the caller's own that happens to have this name
    return fact if fact.scope == scope and fact.epoch else None


def usual(name: str) -> Any:
    """What a run's term is where nobody says it, as plain data."""
    return USUAL.get(name)


USUAL: dict[str, Any] = {
    field.name: msgspec.to_builtins(field.default)
    for field in msgspec.structs.fields(Run)
    if field.default is not msgspec.NODEFAULT
}


class Retold:
    """One run as its entries tell it. It is the rows (kernel.commit.Tables) that those entries are done to again."""

    def __init__(self, run: Run, derived: Derived) -> None:
        """Begin before the first entry of ``run``, whose own terms stand in where no whole intent is recorded."""
        self.terms: dict[str, Any] = {}
        self.told = replace(run, spent=Spent(), steps=0, state="open", reason="", late_ms=0)
        self.whole = True
        self._derived = derived

    def entry(self, entry: Entry, before: Effect | None, after: Effect | None) -> None:
        """One entry more, with its effect before and after it; None where that is not known."""
        if entry.body is None or (entry.effect and after is None):
            self.whole = False
            self._derived.redacted |= bool(entry.effect)
            self._derived.silent |= not entry.effect
            return
        body: dict[str, Any] = decode(entry.body)
        if entry.effect and after is not None:
            draft = Draft(effect=entry.effect, kind=entry.kind, by=entry.by, body=body)
            retell(before, after, draft, self, entry.at_ms)
            return
        self._derived.note(entry, body)
        if entry.kind == "intent" and entry.seq == 1:
            self._begun(entry, body)
        if entry.kind in ("step", "no_answer"):
            self.told = asked(self.told, Note(kind=entry.kind, by=entry.by, body=body))
        if "amends" in body and self.terms:
            self.terms |= body["amends"]
        if "ends" in body:
            self._ended(entry, *body["ends"])

    def _begun(self, entry: Entry, body: dict[str, Any]) -> None:
        if "principal" in body:  # a whole intent; defaults are left out of it
            self.terms = {name: value for name, value in body.items() if name not in (*OWN, *BESIDE)}
        self.told = replace(self.told, opened_ms=entry.at_ms)
        runs_place(self.told, self, 1)

    def _ended(self, entry: Entry, state: str, reason: str) -> None:
        deadline_ms = self.terms.get("deadline_ms", self.told.deadline_ms)
        late_ms = max(0, entry.at_ms - deadline_ms) if deadline_ms is not None else 0
        step = int(state == "open") - int(self.told.state == "open")
        self.told = replace(self.told, state=state, reason=reason, late_ms=late_ms)
        runs_place(self.told, self, step)

    def differences(self, run: Run) -> list[tuple[str, object, object]]:
        """Field, what the entries say, what the row says."""
        there: dict[str, Any] = msgspec.to_builtins(run)
        terms = sorted((there.keys() | self.terms.keys()) - OWN) if self.terms else ()
        # A term that is at its default is left out of a row and of an intent, and an amendment may name it.
        pairs = [(name, self.terms.get(name, usual(name)), there.get(name, usual(name))) for name in terms]
        differ = [pair for pair in pairs if encode(pair[1]) != encode(pair[2])]
        moved = ("state", "reason", "opened_ms", "late_ms", "steps", "spent") if self.whole and run.seq else ()
        told = [(name, getattr(self.told, name), getattr(run, name)) for name in moved]
        return [*differ, *(pair for pair in told if pair[1] != pair[2])]

    # -- the rows that entries are done to again --

    def run(self, run: str) -> Run | None:
        """This run; an entry moves no other."""
        return self.told if run == self.told.id else None

    def put_run(self, run: Run) -> None:
        """This run as it is after an entry."""
        self.told = run

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """A meter as all runs have left it until now."""
        return self._derived.meters.get(key) if kind == "meter" else None

    def put_document(self, document: AnyDocument) -> None:
        """A meter after an entry."""
        if isinstance(document, Meter):
            self._derived.meters[document.id] = document

    def effect(self, effect: str) -> Effect | None:
        """Effects are folded elsewhere."""

    def lease(self, resource: str) -> Lease | None:
        """Leases are compared with their effects."""

    def approval(self, approval: str) -> Approval | None:
        """Requests are compared with their answers."""

    def fact(self, scope: str) -> Fact | None:
        """Facts are named whole."""

    def restored(self) -> bool:
        """No part of what entries move."""
        return False

    def put_effect(self, effect: Effect, before: Effect | None) -> None:
        """Not kept."""

    def put_lease(self, lease: Lease) -> None:
        """Not kept."""

    def drop_lease(self, resource: str) -> None:
        """Not kept."""

    def put_approval(self, approval: Approval) -> None:
        """Not kept."""

    def put_fact(self, fact: Fact) -> None:
        """Not kept."""

    def mint(self) -> int:
        """Tokens are in the entries."""
        return 0

    def append(self, line: Line) -> None:
        """The entries are there already."""
