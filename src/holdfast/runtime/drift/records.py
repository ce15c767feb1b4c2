"""The records of drifts: opened, seen again, put into a person's queue, accepted, closed with evidence.

Promises one record for one thing, whoever finds it and however many look at once: each replacing is judged against the
record as it was read. Every opening and every end is an entry of the store's own run, with an actor. No record is ended
by a weaker look than the one that found it, nor by one from before it was seen. Decides nothing about repairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Drift, digest_of
from holdfast.kernel.documents.drift import LIVE, drift_id, seen_again
from holdfast.kernel.errors import AmbiguousId, NotAllowedNow, ReasonMissing, UnknownId
from holdfast.kernel.guard import Guard, Rejected
from holdfast.runtime.drift import classes
from holdfast.runtime.drift.pacing import Pace, again_ms

ENOUGH_OF_ID = 3
TRIES = 8
"""How often a record that moved under our hands is read again before it is left to who moved it."""


class Papers(Protocol):
    """Where documents are read."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...


class Store(Papers, Protocol):
    """What records need of a store."""

    async def commit(self, change: Change) -> Verdict:
        """One durable commit."""
        ...

    def commit_now(self, change: Change) -> Verdict:
        """The same without an event loop."""
        ...

    def documents(self, kind: str, run: str = "", limit: int = ...) -> list[AnyDocument]:
        """Every document of a kind."""
        ...

    def now_ms(self) -> int:
        """Store time."""
        ...


def drift_in(store: Store, key: str) -> Drift | None:
    """The record of this id."""
    found = store.document("drift", key)
    return found if isinstance(found, Drift) else None


def every(store: Store, limit: int = 1_000_000) -> list[Drift]:
    """All records, by id."""
    return [found for found in store.documents("drift", limit=limit) if isinstance(found, Drift)]


def live_of(store: Papers, effects: Iterable[str]) -> list[Drift]:
    """The drifts of these effects that have not come to an end."""
    found = (store.document("drift", drift_id(effect)) for effect in effects)
    return [drift for drift in found if isinstance(drift, Drift) and drift.state in LIVE]


def find(store: Store, given: str) -> Drift:
    """The record of an id or a unique beginning of it. Raises UnknownId, AmbiguousId."""
    exact = drift_in(store, given)
    if exact is not None:
        return exact
    found = [drift for drift in every(store) if drift.id.startswith(given)] if len(given) >= ENOUGH_OF_ID else []
    if not found:
        raise UnknownId(given=given, kind="drift")
    if len(found) > 1:
        raise AmbiguousId(given=given, matches=tuple(drift.id for drift in found))
    return found[0]


async def opened(store: Store, found: Drift, by: str, pace: Pace) -> tuple[Drift | None, bool]:
    """The record of what was found, and whether it was opened just now. None: it is accepted, or made good, so."""
    for _ in range(TRIES):
        before, now_ms = drift_in(store, found.id), store.now_ms()
        if before is not None and before.state not in LIVE and classes.same_as_before(before, found):
            return None, False
        if before is not None and before.state in LIVE:
            again = seen_again(before, found, now_ms)
            if before.state == "open" and not before.repair:
                again = replace(again, due_ms=now_ms + again_ms(again.looks, pace))
            if await put(store, before, again, by=by):
                return again, False
            continue
        new = seen_again(before, replace(found, due_ms=now_ms), now_ms)
        if await put(store, before, new, by=by, says="found"):
            return new, True
    return drift_in(store, found.id), False


async def put(store: Store, before: Drift | None, after: Drift, *, by: str, says: str = "") -> bool:
    """Replace a record as it was read; with ``says`` an entry tells what became of it. False: it moved meanwhile."""
    return not isinstance(await store.commit(changing(before, after, by=by, says=says)), Rejected)


def changing(before: Drift | None, after: Drift, *, by: str, says: str = "") -> Change:
    """The change that replaces a record as it was read. Pure."""
    was = digest_of(before) if before is not None else ""
    told: dict[str, Any] = {"record": after.id, "class": after.what, "says": says, "state": after.state}
    for name in ("effect", "thing", "tool", "why", "repair", "owner", "reason", "evidence"):
        if value := getattr(after, name):
            told[name] = value
    notes = (Note(kind="drifting", by=by, body=told),) if says else ()
    return Change(
        run=STORE_RUN_ID,
        guard=Guard(as_read=(("drift", after.id, was),)),
        notes=notes,
        documents=(after,),
    )


async def escalated(store: Store, drift: Drift, *, owner: str, why: str, within_ms: int, by: str) -> Drift:
    """Put it into a person's queue: an owner, what they may do, and until when. It stays where it is if it moved."""
    queued = replace(
        drift,
        state="escalated",
        owner=owner,
        next="repair or accept",
        due_ms=store.now_ms() + within_ms,
        reason=why,
        repairs=drift.repairs + (1 if drift.repair else 0),
    )
    done = await put(store, drift, queued, by=by, says="escalated")
    return queued if done else drift_in(store, drift.id) or drift


async def ended(store: Store, drift: Drift, *, by: str, reason: str, evidence: str) -> bool:
    """Close it as repaired, on the evidence of a look that found no difference."""
    done = replace(
        drift,
        state="repaired",
        owner="",
        next="",
        due_ms=0,
        by=by,
        reason=reason,
        evidence=evidence,
        closed_ms=store.now_ms(),
    )
    return await put(store, drift, done, by=by, says="repaired")


def accept(store: Store, given: str, *, who: str, reason: str) -> Drift:
    """A person says that the difference may stay. Raises UnknownId, ReasonMissing, NotAllowedNow.

    What was accepted is what was observed then: where something else is found later, the record is open again.
    """
    drift = find(store, given)
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect=drift.id, asked="accept")
    if drift.state not in LIVE:
        raise NotAllowedNow(effect=drift.id, state=drift.state, asked="accept", allowed=LIVE)
    for _ in range(TRIES):
        now_ms = store.now_ms()
        seen = f"as it was seen at {drift.seen_ms}, {drift.looks} look(s)"
        done = replace(
            drift,
            state="accepted",
            owner="",
            next="",
            due_ms=0,
            by=who,
            reason=reason,
            evidence=seen,
            closed_ms=now_ms,
        )
        if not isinstance(store.commit_now(changing(drift, done, by=who, says="accepted")), Rejected):
            return done
        drift = drift_in(store, drift.id) or drift
        if drift.state not in LIVE:
            break
    raise NotAllowedNow(effect=drift.id, state=drift.state, asked="accept", allowed=LIVE)


def plain(drift: Drift) -> dict[str, Any]:
    """A record as a machine gets it, every field written out."""
    return {name: to_builtins(getattr(drift, name)) for name in drift.__struct_fields__}
