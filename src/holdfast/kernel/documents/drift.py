"""Documents about what differs outside from what was recorded: drifts, and the rounds of who looks for them.

Pure data. A drift is no state of an effect: it may have none, and may appear long after its effect was verified.
Promises one record for one thing, however often and by whomever it is found: the id is made of what it is about.

Does not say that a drift is still there: ``seen_ms`` is when somebody last looked and found it so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from holdfast.kernel.documents.document import MINT, OWN, Document, Place

CLASSES = ("orphan", "missing", "lingering", "partial")
"""The four drifts, in the order in which they are shown."""

LIVE = ("open", "escalated")
"""States from which a drift still has to come to an end; repaired and accepted are its ends."""


class Drift(Document, frozen=True, kw_only=True, tag="drift"):
    """Something observed that differs from what is desired. ``id`` is ``dr_…``; ``state`` open, escalated, repaired or
    accepted (the last two are its ends), each with an actor, a reason and evidence.

    ``what`` is one of the four: orphan (outside, and no record owns it), missing (recorded as done, absent outside),
    lingering (recorded as removed or never done, and live), partial (shown complete while only a part happened).
    ``look`` is what found it (list, late, parts, probe or verify), and no weaker look closes it. ``thing`` is what an
    orphan is known by outside, and ``effect`` whose drift it is otherwise. ``times`` counts how often it was opened,
    ``repairs`` how often a repair was begun since, and ``repair`` is the newest one's effect. ``next`` says what is to
    be done by ``due_ms``, by ``owner``.
    """

    what: str
    tool: str
    environment: str = ""
    resource: str = ""
    effect: str = ""
    of_run: str = ""
    thing: str = ""
    look: str = ""
    state: str = "open"
    found_ms: int = 0
    seen_ms: int = 0
    looks: int = 0
    times: int = 1
    desired: Any = None
    observed: Any = None
    why: str = ""
    repair: str = ""
    repairs: int = 0
    owner: str = ""
    next: str = ""
    due_ms: int = 0
    by: str = ""
    reason: str = ""
    closed_ms: int = 0
    evidence: str = ""

    @property
    def place(self) -> Place | None:
        """By its next look, while it is open or escalated."""
        return Place(self.state, 0, self.due_ms) if self.state in LIVE else None

    @property
    def purpose(self) -> str:
        """The purpose of its repair: whoever begins it, however often, begins one run; no other intent may have it."""
        name = f"{OWN}drift/{self.id}"
        return name if self.times == 1 else f"{name}/{self.times}"


class Rounds(Document, frozen=True, kw_only=True, tag="rounds"):
    """Who looks for drifts in this store, until when they may, and how far they came. ``id`` is ``reconciler``.

    A round looks at every effect that has an instant at which it is to be looked at after ``since_ms`` and not after
    ``upto_ms``; ``after`` is the number of the effect that it came to. ``lists`` says when each tool's list is due.
    ``counts`` are of everything that was looked at, by how it came out; what cannot be told is one of them.
    """

    holder: str = ""
    token: int = 0
    lease_ms: int = 30_000
    until_ms: int = 0
    since_ms: int = 0
    upto_ms: int = 0
    after: int = 0
    rounds: int = 0
    ended_ms: int = 0
    lists: dict[str, int] = {}
    counts: dict[str, int] = {}

    logged: ClassVar[bool] = False

    @property
    def mints(self) -> bool:
        """Taking the place draws a token."""
        return self.token == MINT

    def stamped(self, now_ms: int, mint: Callable[[], int]) -> Self:
        """With its token where it is taken, and its lease counted from the commit, where somebody holds it."""
        token = mint() if self.mints else self.token
        return replace(self, token=token, until_ms=now_ms + self.lease_ms if self.holder else 0)


def drift_id(effect: str = "", *, tool: str = "", environment: str = "", thing: str = "") -> str:
    """The id of the one drift that there can be of an effect, or of a thing that a tool lists outside."""
    if effect:
        return "dr_" + effect[3:]
    return "dr_" + hashlib.sha256(f"{environment}\n{tool}\n{thing}".encode()).hexdigest()[:26]


def seen_again(before: Drift | None, found: Drift, now_ms: int) -> Drift:
    """The one record of a thing after it was found (again): what is known of it is kept, what was seen is new.

    What was repaired or accepted and is found again is open again; whether it is, is said by who found it.
    """
    if before is None:
        return replace(found, found_ms=now_ms, seen_ms=now_ms, looks=1)
    if before.state in LIVE:
        return replace(
            before,
            what=found.what,
            look=found.look if RANKS[found.look] > RANKS[before.look] else before.look,
            desired=found.desired,
            observed=found.observed,
            why=found.why,
            seen_ms=now_ms,
            looks=before.looks + 1,
            owner=before.owner or found.owner,
            due_ms=max(before.due_ms, found.due_ms) if before.state == "open" else before.due_ms,
        )
    return replace(found, found_ms=now_ms, seen_ms=now_ms, looks=before.looks + 1, times=before.times + 1)


RANKS = {"": 0, "list": 1, "late": 1, "parts": 1, "probe": 2, "verify": 3}
"""How much a look is worth: a drift is closed by one that is worth as much as what found it, or more."""


def noted(body: Mapping[str, Any], before: Drift | None, now_ms: int) -> Drift | None:
    """The record that a ``drift`` entry opens in its own commit; None for an entry that names none."""
    name = body.get("drift")
    if not isinstance(name, dict):
        return None
    return seen_again(before, Drift(why=str(body.get("why", "")), effect=body["effect"], **name), now_ms)
