"""Documents about work that waits for a worker: the queued run, who works, and what is begun by the calendar.

Pure data. A job is nothing but the reference to its run, and who may drive that run now: the intent is read again from
the run before anything is done. Promises that a claim carries a fencing token of the store's own rising sequence.

Does not say that a worker is alive: its row says until when it must have said so again, by the store's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from msgspec.structs import replace

from holdfast.kernel.documents.document import MINT, Document, Place

WAITING_STATES = frozenset({"queued", "claimed"})
"""States of a job from which it goes on; done, dead and dropped are ends (a dead one until somebody resolves it)."""


class Job(Document, frozen=True, kw_only=True, tag="job"):
    """A run that waits for a worker or is driven by one. ``id`` and ``run`` are the run's id.

    ``state`` is queued, claimed, done, dead (it needs its ``owner``) or dropped. ``holder`` is the id of the worker
    that drives it under ``token``: what others commit for this run under a lower one is refused. ``tries`` counts
    claims that ended without an end of the run, at most ``most_tries``; ``why`` says what the last one ran into.
    ``accepted_ms`` is when it was submitted, and ``since_ms`` since when it is in its state. ``waits`` says for what a
    queued one waits that no worker can give (an effect's end, or the ground of a stop), ``about`` which effect that is
    of, and ``seen`` after which entry of its run somebody's word for it counts. ``superseded_by`` is a newer run that
    makes it unwanted, ``again`` why its purpose was asked for once more, ``wanted_ms`` the time that was asked for it
    when it was submitted (0: at once). The moves that there are between the states
    are in :mod:`holdfast.runtime.jobs`.
    """

    state: str = "queued"
    work: str = ""
    principal: str = ""
    priority: int = 0
    not_before_ms: int = 0
    holder: str = ""
    token: int = 0
    claimed_ms: int = 0
    tries: int = 0
    most_tries: int = 5
    why: str = ""
    owner: str = ""
    accepted_ms: int = 0
    since_ms: int = 0
    planner: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    waits: str = ""
    about: str = ""
    seen: int = 0
    superseded_by: str = ""
    again: str = ""
    wanted_ms: int = 0

    @property
    def place(self) -> Place | None:
        """Queued: in the lane of its class and principal, by its time. Claimed: in that of who holds it. Or dead.

        What waits for somebody or something else stands in none of the lanes that workers claim from.
        """
        if self.state == "queued" and self.waits:
            return Place("waits", self.priority, self.since_ms)
        waits = f"queued:{self.work}/{self.principal}" if self.principal else f"queued:{self.work}"
        lanes = {"queued": waits, "claimed": f"held:{self.holder}", "dead": "dead"}
        lane = lanes.get(self.state)
        if lane is None:
            return None
        due_ms = {"queued": self.not_before_ms, "claimed": self.claimed_ms}.get(self.state, self.since_ms)
        return Place(lane, self.priority, due_ms)

    @property
    def mints(self) -> bool:
        """A claim draws a token."""
        return self.token == MINT

    def stamped(self, now_ms: int, mint: Callable[[], int]) -> Self:
        """With its times, and with its token where it is a claim."""
        token, claimed_ms = (mint(), now_ms) if self.mints else (self.token, self.claimed_ms)
        accepted_ms, since_ms = self.accepted_ms or now_ms, self.since_ms or now_ms
        return replace(self, token=token, claimed_ms=claimed_ms, accepted_ms=accepted_ms, since_ms=since_ms)

    def over(self, state: str, why: str, driver: tuple[str, int, str]) -> Self | None:
        """The job as the end of its run leaves it, for the very commit; None: it stays as it is.

        What a worker drives stays its own when somebody else ends the run: what it has sent comes back to it.
        """
        driven = self.state == "claimed" and driver[:2] != (self.run, self.token)
        if driven or self.state in ("done", "dropped"):
            return None
        ended = "done" if state == "done" else "dropped"
        return replace(self, state=ended, holder="", claimed_ms=0, why=why, since_ms=0)


class Worker(Document, frozen=True, kw_only=True, tag="worker"):
    """A process that drives runs: where it is, what it can do, and until when it counts as there.

    ``until_ms`` is renewed by each heartbeat, ``lease_ms`` after the store's time of it: past that, what it holds may
    be taken over. ``versions`` are the contract versions it has by tool, and ``policy`` the digest of its rules.
    """

    process: str = ""
    started_ms: int = 0
    lease_ms: int = 30_000
    seen_ms: int = 0
    until_ms: int = 0
    state: str = "working"  # working, draining, left
    works: tuple[str, ...] = ()
    planners: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    policy: str = ""
    release: str = ""
    environment: str = ""
    lacks: tuple[str, ...] = ()

    logged: ClassVar[bool] = False

    @property
    def place(self) -> Place | None:
        """By the end of its lease, while it has not left."""
        return Place("there", 0, self.until_ms) if self.state != "left" else None

    def stamped(self, now_ms: int, mint: Callable[[], int]) -> Self:  # noqa: ARG002  # it draws no token
        """Seen now, and until its lease is over."""
        if self.state == "left":
            return replace(self, seen_ms=now_ms, until_ms=now_ms)
        return replace(self, seen_ms=now_ms, until_ms=now_ms + self.lease_ms)


class Schedule(Document, frozen=True, kw_only=True, tag="schedule"):
    """An intent that is submitted for each slot of a calendar (cron), in a time zone; ``next_ms`` is the next slot.

    ``id`` is ``TENANT/ENVIRONMENT/NAME``. The purpose of each run is the name and its slot, so that no slot is run
    twice whoever submits it. ``template`` is the intent as plain data. ``misses`` says which slots that nobody was
    there for are made up for: the last, all (at most ``most``), none. ``again_ms``: a slot that was due found no room,
    and is submitted again then. ``passed`` counts slots that were not run, ``why`` says why the last of them was not.
    """

    cron: str
    zone: str = "UTC"
    template: dict[str, object] = {}
    next_ms: int = 0
    last_ms: int = 0
    state: str = "on"  # on, paused, ended
    misses: str = "last"
    most: int = 24
    again_ms: int = 0
    passed: int = 0
    why: str = ""
    priority: int = 0
    work: str = ""
    planner: str = ""
    owner: str = ""
    by: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.id.rpartition("/")[2]

    @property
    def place(self) -> Place | None:
        """By its next slot, while it is on."""
        lane = f"on:{self.id.rpartition('/')[0]}"
        return Place(lane, self.priority, max(self.next_ms, self.again_ms)) if self.state == "on" else None
