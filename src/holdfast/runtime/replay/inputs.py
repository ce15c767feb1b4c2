"""What of a record came from outside the runtime, and how it is put into the ledger of a playback.

Decides for each entry whether the runtime decided it (then the code of today has to come to it), or a person, a program
or another run did (then it is taken in as it was recorded). Promises that an entry which the runtime decided and that
cannot be judged again is named with the reason, never taken for the same.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import uuid
from enum import Enum, auto
from typing import Any

import msgspec

from holdfast.gate.grounds import settled, with_new
from holdfast.kernel import canon
from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Approver, Grant, Item, encode
from holdfast.kernel.errors import BadArguments, HoldfastError
from holdfast.kernel.errors.wording import BY_CODE
from holdfast.kernel.life import KINDS
from holdfast.kernel.model import Run
from holdfast.kernel.standin import holds_stand_in
from holdfast.runtime.replay.ledger import Ledger
from holdfast.runtime.replay.tape import Tape
from holdfast.runtime.stops import Ground, Stop
from holdfast.store.evidence import Entry

TURNS = frozenset({"step", "no_answer", "told", "unfit", "reopened"})
RESTS = frozenset({"done", "waiting", "blocked"})
BY_PEOPLE = frozenset({"granted", "declined", "revoked", "abandoned"})
MAYBE = frozenset({"stopped", "item", "precedence"})
DECIDED = frozenset({"refused", "waiting", "admitted", "scheduled", "dispatched", "blocked", "done"})
"""Kinds of entry that say what was allowed, or that a run ended: the decisions that are judged again."""

VERBS_WRITE = frozenset(KINDS) - BY_PEOPLE - {"late"}
"""Kinds of entry about an effect that only a verb writes, but for those of them that a person attested."""

LONGEST_READ_MS = 5_000
"""How long before its entry an instant in a document may have been read."""

SHARED = ("builtin:grant", "builtin:budget", "builtin:quota", "builtin:queue")


SEVERAL_SPELLINGS = (dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID, bytes)
"""What a tool may read a text as and record in the one spelling of its type; any other text is what it is."""


class Sort(Enum):
    """Who came to an entry."""

    INPUT = auto()  # a person, a program, another run
    WRITTEN = auto()  # the runtime, in the commit of the entry before: nothing writes it alone
    MAYBE = auto()  # the planner's turns, or somebody else
    TURN = auto()  # the planner's turns
    PROPOSED = auto()  # a call: of the planner, or of a program
    LATE = auto()
    VERB = auto()


def sort_of(tape: Tape, at: int, *, follows_input: bool) -> Sort:
    """Who came to this entry. ``follows_input``: the one before it was taken in as recorded."""
    entry, body = tape.entries[at], tape.bodies[at]
    if entry.kind in ("document", "sets"):  # named by the store, in the commit of what they belong to
        return Sort.INPUT if follows_input else Sort.WRITTEN
    if not entry.effect or entry.kind == "drift":
        return _of_the_run(tape, at, follows_input=follows_input)
    if entry.kind == "proposed" or (entry.kind == "superseded" and _next_is(tape, at, body)):
        return Sort.PROPOSED
    if entry.kind == "late":
        return Sort.LATE
    if entry.kind not in VERBS_WRITE or body.get("attested_by") or "builtin:restored" in body.get("rules", ()):
        return Sort.INPUT
    if entry.kind == "compensated" and _follows(tape, at, body):
        return Sort.INPUT if follows_input else Sort.WRITTEN
    return Sort.INPUT if entry.kind in ("superseded", "compensated") else Sort.VERB


def _of_the_run(tape: Tape, at: int, *, follows_input: bool) -> Sort:
    entry, body = tape.entries[at], tape.bodies[at]
    after = tape.entries[at - 1].kind if at else ""
    if entry.kind in RESTS and (after == "resumed" or entry.by != "runtime"):
        return Sort.MAYBE  # somebody ended it, or found on going on that it rests on nothing
    if entry.kind in TURNS or entry.kind in RESTS:
        return Sort.TURN
    if entry.kind == "drift":
        return Sort.INPUT if follows_input else Sort.WRITTEN
    if entry.kind == "item" and body.get("effect") and not body.get("must_hold"):
        return Sort.INPUT if follows_input else Sort.WRITTEN  # a read yielded it
    return Sort.MAYBE if entry.kind in MAYBE else Sort.INPUT


def _follows(tape: Tape, at: int, body: dict[str, Any]) -> bool:
    """Whether what offsets an effect was settled just before, in the commit that this entry is of."""
    before = tape.entries[at - 1] if at else None
    return before is not None and before.kind == "settled" and before.effect == body.get("compensated_by")


def _next_is(tape: Tape, at: int, body: dict[str, Any]) -> bool:
    """Whether what superseded an effect is of this run, and so recorded beside it."""
    return at + 1 < len(tape.entries) and tape.entries[at + 1].effect == body.get("successor")


class Inputs:
    """What is put in."""

    def __init__(self, tape: Tape, ledger: Ledger) -> None:
        """For one playback; the kept texts are there from the start."""
        self._tape, self._ledger = tape, ledger
        self.at = 0
        self._spelled: dict[tuple[str, bytes], dict[str, Any]] = {}
        self._later: set[str] = set()  # people of whom the record has only what they became
        self._whole: dict[str, str] = {}
        self._person: tuple[Entry, dict[str, Any]] | None = None
        ledger.set_documents(*(doc for (kind, _), doc in tape.record.documents.items() if kind == "kept"))
        self.sources = _sources(tape)
        self._redacted = {
            entry.effect
            for entry, body in zip(tape.entries, tape.bodies, strict=True)
            if not entry.salt or holds_stand_in(body)
        }

    # -- of the store --

    def beside(self, entry: Entry) -> None:
        """An entry of the store's own run: facts in force, and documents."""
        body = canon.decode(entry.body) if entry.body is not None else {}
        if entry.kind == "approver":
            self._person = (entry, body)
        self._ledger.set_facts(self._tape.facts(body))
        self._named(body.get("documents"))

    def _named(self, named: Any) -> None:
        """Documents in the version that is named; where only another one is known, that one."""
        for name, digest in (named or {}).items():
            kind, _, key = name.partition(":")
            found = self._tape.document(digest) or self._former(kind, key, digest)
            if found is None and (kind, key) not in self._ledger.books.documents and kind != "item":
                found = self._tape.record.documents.get((kind, key))
                self._later.add(key)
            if found is not None:
                self._ledger.set_documents(found)

    def _former(self, kind: str, key: str, digest: str) -> Approver | None:
        """A person as they were registered before something about them changed: told by the entry, and its digest."""
        now = self._tape.record.documents.get((kind, key))
        if not isinstance(now, Approver) or self._person is None or self._person[1].get("approver") != key:
            return None
        entry, body = self._person
        then = {"by": entry.by, "reason": str(body.get("reason", "")), "groups": tuple(body.get("groups", ()))}
        for at_ms in range(entry.at_ms, entry.at_ms - LONGEST_READ_MS, -1):
            one = msgspec.structs.replace(now, revoked_ms=0, at_ms=at_ms, **then)
            if hashlib.sha256(encode(one)).hexdigest() == digest:
                return one
        return None

    # -- of the run --

    def put(self, at: int) -> None:
        """Take one entry in as it was recorded."""
        entry, body = self._tape.entries[at], self._tape.bodies[at]
        if entry.kind == "intent":
            self._open(entry, body)
            return
        if entry.kind == "waiting" and (approval := self._tape.record.approvals.get(str(body.get("approval", "")))):
            self._ledger.set_approval(
                msgspec.structs.replace(approval, state="open", decisions=(), spent_by="", revoked_by="")
            )
        self._ledger.adopt(entry, body)
        if entry.kind == "item":
            self._saw(entry, body)
        elif entry.kind == "precedence":
            self._settle(str(body.get("about", "")))
        elif entry.kind == "document":
            self._named(body.get("documents"))

    def _open(self, entry: Entry, body: dict[str, Any]) -> None:
        fields = {name: value for name, value in body.items() if name != "under"}
        run = msgspec.convert(fields | {"id": entry.run}, Run)
        note = Note(kind="intent", by=entry.by, body=body)
        self._ledger.commit(Change(run=run.id, opens=run, notes=(note,)), entry.at_ms, 0)

    def _saw(self, entry: Entry, body: dict[str, Any]) -> None:
        """An item as its entry describes it, with what it changes for the others about the same thing."""
        seen_ms = int(body.get("seen_ms", entry.at_ms))
        item = Item(
            id=f"{entry.run}/{body['item']}",
            run=entry.run,
            item=str(body["kind"]),
            source=str(body["source"]),
            digest=str(body["digest"]),
            about=str(body.get("about", "")),
            owner=str(body.get("owner", "")),
            rank=int(body.get("rank", 0)),
            seen_ms=seen_ms,
            fresh_until_ms=seen_ms + int(body["fresh_for_ms"]) if body.get("fresh_for_ms") else 0,
            effect=str(body.get("effect", "")),
            must_hold=str(body.get("must_hold", "")),
            says=str(body.get("says", "")),
        )
        self._ledger.set_documents(*with_new(item, self._items()))

    def _settle(self, about: str) -> None:
        self._ledger.set_documents(*settled(item for item in self._items() if item.about == about).values())

    def _items(self) -> list[Item]:
        return [d for d in self._ledger.books.documents.values() if isinstance(d, Item) and d.run == self._tape.run]

    # -- what the tape knows better --

    def names(self, at: int) -> dict[str, tuple[str, ...]]:
        """The names that the entries from here on have, for what is minted under the secret of the store."""
        found: dict[str, tuple[str, ...]] = {}
        for i in range(at, min(at + 3, len(self._tape.entries))):
            body = self._tape.bodies[i]
            if self._tape.entries[i].kind == "proposed" and "key" not in found:
                found |= {"key": (body["key"],), "identity": (body["identity"],), "args": (body["args_digest"],)}
            if self._tape.entries[i].kind == "proposed" and "inputs" in body:
                self._whole[self._tape.entries[i].effect] = body["inputs"]
                found.setdefault("inputs", (body["inputs"],))
            if self._tape.entries[i].kind == "item":
                found["item"] = (*found.get("item", ()), body["digest"])
        if whole := self._whole.get(self._tape.entries[at].effect):
            found.setdefault("inputs", (whole,))
        request = self._tape.record.approvals.get(str(self._tape.bodies[at].get("approval", "")))
        if request is not None:
            found |= {"nonce": (request.nonce,), "approval": (request.digest,)}
        return found

    def spelled(self, tool: str, args: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments as they were recorded: the annotations of a tool may know one value in two spellings."""
        entry, body = self._tape.entries[self.at], self._tape.bodies[self.at]
        if entry.kind == "unfit" and body.get("tool") == tool:
            raise _as_said(str(body.get("code", "")), str(body.get("reason", "")))
        key = (tool, canon.encode(args))
        said = body.get("args") if entry.kind == "proposed" and body.get("tool") == tool else None
        if isinstance(said, dict) and said != args and _respelled(said, args):
            self._spelled[key] = said
        return self._spelled.get(key, args)

    def owed(self) -> Stop | None:
        """The drift or the saga that kept the run from being done where this drive ended; None: none did."""
        for i in self._tape.ahead(self.at, *RESTS):
            if self._tape.entries[i].effect:
                continue
            body = self._tape.bodies[i]
            stop = body.get("stop") or {}
            if stop.get("code") != Ground.OWED:
                break
            about = {name: str(stop.get(name, "")) for name in ("effect", "about")}
            return Stop(code=Ground.OWED, reason=str(body.get("reason", "")), **about)
        return None

    def versions(self, at: int) -> tuple[str, ...]:
        """The contracts under which the drive that goes on here proposes."""
        found: dict[str, str] = {}
        for i in self._tape.ahead(at, "proposed", "done", "blocked"):
            entry, body = self._tape.entries[i], self._tape.bodies[i]
            if entry.kind != "proposed":
                break
            found.setdefault(str(body["tool"]), str(body["contract"]))
        return tuple(found.values())

    def _grants(self, names: tuple[str, ...]) -> list[Grant]:
        found = (self._tape.record.documents.get(("grant", name)) for name in names)
        return [grant for grant in found if isinstance(grant, Grant)]

    def not_comparable(self, at: int) -> str:
        """Why an entry that the code does not come to cannot be judged again; empty if it can, and so diverges."""
        entry, body = self._tape.entries[at], self._tape.bodies[at]
        if entry.effect in self._redacted or (not entry.effect and self._redacted):
            return "values in it, or in what it was decided on, were redacted"
        if body.get("admission") or body.get("meters"):
            return "it rests on how much room other runs left"
        view = self._ledger.books.effects.get(entry.effect)
        if entry.kind == "proposed" and body.get("previous") and body["previous"] not in self._ledger.books.effects:
            return "it follows an effect of another run"
        if entry.kind == "told" and body.get("effect") and body["effect"] not in self._ledger.books.effects:
            return "it is about an effect of another run"
        request = self._ledger.books.approvals.get(view.approval) if view is not None else None
        if request is not None and self._later & {spelled(said.who) for said in request.decisions}:
            return "it rests on somebody's key as it was before they were given another, and only the new one is here"
        runs = {grant.run for grant in self._grants(view.grants if view is not None else ())}
        if runs - {"", self._tape.run}:
            return "it rests on what became of a run above it"
        if view is not None and view.grants and any(rule.startswith(SHARED) for rule in body.get("rules", ())):
            return "it rests on what other runs used of its grants"
        return ""


def _as_said(code: str, reason: str) -> HoldfastError:
    """The error that refused a call then: its class by its code, its words as they were told."""
    kind = BY_CODE.get(code, BadArguments)
    error = kind.__new__(kind)
    Exception.__init__(error, reason)
    return error


def _respelled(said: Any, given: Any) -> bool:
    """Whether what was recorded is what is given now, but for texts that are one value written another way."""
    if isinstance(said, dict) and isinstance(given, dict):
        return said.keys() == given.keys() and all(_respelled(said[name], given[name]) for name in said)
    if isinstance(said, list) and isinstance(given, list):
        return len(said) == len(given) and all(map(_respelled, said, given))
    texts = isinstance(said, str) and isinstance(given, str)
    return said == given or (texts and any(_reads_alike(said, given, kind) for kind in SEVERAL_SPELLINGS))


def _reads_alike(said: str, given: str, kind: Any) -> bool:
    try:
        return bool(msgspec.convert(said, kind, strict=False) == msgspec.convert(given, kind, strict=False))
    except (msgspec.ValidationError, ValueError, ArithmeticError):
        return False


def _sources(tape: Tape) -> tuple[str, ...]:
    """The order of the sources, as the ranks of what reads yielded tell it."""
    ranks = {
        int(body["rank"]): str(body["source"])
        for entry, body in zip(tape.entries, tape.bodies, strict=True)
        if entry.kind == "item" and body.get("rank") and body.get("effect")
    }
    most = max(ranks, default=0)
    return tuple(ranks.get(most - at, f"(source {at})") for at in range(most))
