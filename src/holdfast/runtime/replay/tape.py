"""What a record says of everything that was outside of the runtime: the tape that a playback runs on.

Contracts and policies come from the texts that the store kept, never from a module; replies, answers of companions and
of the planner are read back from the entries that recorded them. Where an entry does not say which of several answers
it was, all that it could have been are given, the likeliest first; the code of today has to come to the recorded bytes
with one of them.

Promises that nothing is made up: what the record lacks is :class:`holdfast.kernel.errors.NotReplayable`, by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from holdfast.gate import PolicySet
from holdfast.kernel import canon
from holdfast.kernel.answers import (
    Absent,
    Accepted,
    Ack,
    CannotTell,
    Checked,
    Differs,
    Doubt,
    Found,
    Happened,
    Holds,
    Items,
    NeverLeft,
    Refusal,
    Reply,
)
from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.documents import AnyDocument, Kept, encode
from holdfast.kernel.errors import HoldfastError, NotReplayable
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Contract, Effect
from holdfast.runtime.record import Record
from holdfast.store.evidence import Entry

NOT_DONE = "a no that came late proves nothing: "
UNREADABLE = ("nobody can approve what cannot be read: ", "the state of its target could not be read: ")
ELSE = "!= what was approved"
"""Stands for a state of which the record says only that it was another one."""


class Tape:
    """A record, laid out for playing back."""

    def __init__(self, record: Record) -> None:
        """Of a whole record. Raises NotReplayable where entries are missing."""
        self.record = record
        self.run = record.run.id
        self.entries = record.entries
        if [entry.seq for entry in self.entries] != list(range(1, len(self.entries) + 1)):
            raise self.lacks("its entries are not all in the record")
        self.bodies: list[dict[str, Any]] = []
        for entry in self.entries:
            if entry.body is None:
                raise self.lacks(f"the body of entry {entry.seq} was taken away")
            self.bodies.append(canon.decode(entry.body))
        if not self.entries or self.entries[0].kind != "intent":
            raise self.lacks("it does not begin with an intent")
        self._contracts: dict[str, Contract | None] = {}
        self._by_digest = {canon.digest(encode(doc)).removeprefix("sha256:"): doc for doc in record.documents.values()}

    def lacks(self, why: str) -> NotReplayable:
        """The error that says what is missing."""
        return NotReplayable(run=self.run, why=why)

    def order(self) -> Iterator[tuple[int, Entry]]:
        """Everything in the order of the log: (index among the run's entries, entry); -1 for the store's own."""
        own = ((at, entry) for at, entry in enumerate(self.entries))
        both = [*own, *((-1, entry) for entry in self.record.beside)]
        yield from sorted(both, key=lambda one: one[1].pos)

    def facts(self, body: Mapping[str, Any]) -> dict[str, Fact]:
        """The facts that an entry sets."""
        told = body.get("facts")
        return msgspec.convert(told, dict[str, Fact]) if isinstance(told, dict) else {}

    def document(self, digest: str) -> AnyDocument | None:
        """A document in the version that an entry names by its digest; None where the record has another one."""
        return self._by_digest.get(digest)

    def contract(self, version: str) -> Contract | None:
        """The contract of a version, as the store kept it; None where it did not or somebody changed the text."""
        if version not in self._contracts:
            kept = self.record.documents.get(("kept", version))
            sound = isinstance(kept, Kept) and kept.what == "contract" and canon.digest(kept.text.encode()) == version
            fields = canon.decode(kept.text) if isinstance(kept, Kept) and sound else None
            found = msgspec.convert(fields | {"version": version}, Contract) if fields is not None else None
            self._contracts[version] = found
        return self._contracts[version]

    def policy(self, digest: str, contracts: Mapping[str, Contract]) -> PolicySet:
        """A policy by its digest, over the tools that it was made for. Raises NotReplayable."""
        kept = self.record.documents.get(("kept", digest))
        if not isinstance(kept, Kept) or kept.what != "policy":
            raise self.lacks(f"the text of the policy {digest} is not in the record")
        made_for = json.loads(json.loads(kept.text)["schema"])[""]["actions"]
        try:
            return PolicySet.kept(kept.text, [c for name, c in contracts.items() if name in made_for], digest)
        except HoldfastError as error:
            raise self.lacks(f"the policy {digest} cannot be read: {error}") from error

    def ahead(self, at: int, *kinds: str) -> Iterator[int]:
        """The entries from one on that are of these kinds."""
        return (i for i in range(at, len(self.entries)) if self.entries[i].kind in kinds)

    def planned(self, at: int) -> bool:
        """Whether a planner had answered before an entry: a call of its comes of an answer, and of nothing else."""
        return next(self.ahead(0, "step"), at) < at

    def driver(self, at: int) -> str:
        """Who drives the run at an entry: who wrote the next verb's entry."""
        if self.entries[at].kind == "reopened":
            return self.entries[at].by
        return next(
            (self.entries[i].by for i in self.ahead(at, "claimed", "admitted", "taken", "dispatched")), "driver"
        )

    def narrowed(self, at: int, grants: tuple[str, ...]) -> tuple[str, ...]:
        """The grants beside the run's own under which the drive at an entry asks."""
        for i in self.ahead(at, "step", "done", "blocked", "waiting"):
            if self.entries[i].kind == "step":
                return tuple(self.bodies[i].get("grants", ())[len(grants) :])
        return ()

    def asks_again(self, at: int) -> bool:
        """Whether the planner that gave no answer was to be asked once more."""
        for i in self.ahead(at + 1, "step", "no_answer", "blocked"):
            if not self.entries[i].effect:
                return not str(self.bodies[i].get("reason", "")).startswith("the planner gave no answer:")
        return True


def replies(entry: Entry, body: Mapping[str, Any]) -> list[Reply]:
    """What a body may have answered, by the entry that says what came of it."""
    if isinstance(carried := body.get("reply"), dict):
        return [msgspec.convert(carried, Reply)]
    match entry.kind:
        case "committed" if str(body.get("basis")) == "acknowledged per item":
            return [Items(tuple((str(name), dict(answer)) for name, answer in body.get("value") or ()))]
        case "committed" if not body.get("attested_by"):
            return [Ack(body.get("value"))]
        case "pending":
            return [Accepted(str(body.get("operation", "")))]
        case "failed" if not body.get("attested_by"):
            why = str(body.get("cause", ""))
            return [NeverLeft(why) if body.get("basis") == "never left" else Refusal(why)]
        case "unknown":
            cause, _, why = str(body.get("cause", "")).partition(": ")
            if cause == "rejected_after_resend":
                return [Refusal(why)]
            if cause == "lost_lease" and why.startswith(NOT_DONE):
                return [Refusal(why.removeprefix(NOT_DONE))]
            return [Doubt(cause, why)]
        case _:
            return []


def probes(entry: Entry, body: Mapping[str, Any]) -> list[Found]:
    """What a probe may have answered."""
    carried = body.get("reply")
    if isinstance(carried, dict):
        return [msgspec.convert(carried, Found)]
    match entry.kind:
        case "committed" if body.get("basis") == "probe":
            return [Happened(body.get("value"))]
        case "failed":
            return [Absent(), Absent(final=True)]
        case "dispatched":
            return [Absent(), CannotTell()]
        case "probed" | "escalated":
            note = str(body.get("note", ""))
            return [Absent(why="" if note == "not found yet" else note), CannotTell(note)]
        case _:
            return []


def checks(entry: Entry, body: Mapping[str, Any]) -> list[Checked]:
    """What a verification answered."""
    match entry.kind:
        case "verified":
            return [Holds()]
        case "checked" | "unconfirmed":
            word, _, why = str(body.get("differs", "")).partition(": ")
            return [CannotTell(why) if word == "cannot tell" else Differs(why)]
        case _:
            return []


def states(entry: Entry, body: Mapping[str, Any], view: Effect | None, approved: str) -> list[str]:
    """What a target's state was read as. ``approved`` is the one that the request of the effect shows."""
    if entry.kind in ("waiting", "dispatched"):
        return [str(body.get("fingerprint", ""))]
    reason = str(body.get("reason", ""))
    for words in UNREADABLE:
        if reason.startswith(words):
            return [reason.removeprefix(words)]
    return [approved, ELSE] if view is not None and view.approval else [""]


def owns(entry: Entry) -> bool:
    """Whether an entry is the store's own."""
    return entry.run == STORE_RUN_ID
