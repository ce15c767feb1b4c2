"""The life of a queued run's job, as data and as pure moves: queued, claimed, done, dead, dropped.

Each move takes the job as it was read and gives the job as it is to be written; whoever commits it guards it by the
digest that was read (``Guard.as_read``), so that of two moves one happens. A job says who may drive a run, and nothing
of what the run is for: that is read again from the run (:mod:`holdfast.runtime.queue_wanted`).

Promises: a move that :data:`MOVES` does not have raises JobNotMovable; a job that cannot be finished becomes a dead
letter with an owner after a bounded number of tries, and tries are spread ever further apart; only a named person's
decision takes a dead letter anywhere. Does not promise that a move is committed.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from holdfast.kernel.documents import MINT, Job
from holdfast.kernel.errors import JobNotMovable, ReasonMissing

BACK_OFF_MS = 1_000
"""The first pause after a try that came to nothing; each further one is twice as long."""

LONGEST_BACK_OFF_MS = 300_000

NOBODY = "operators"
"""Who a dead letter belongs to where neither its submission nor the configuration names anybody."""


class Move(NamedTuple):
    """One legal move of a job: from (empty: there is none yet), to, its name, and its condition in words."""

    before: str
    after: str
    name: str
    only_if: str


MOVES: tuple[Move, ...] = (
    Move("", "queued", "submit", "in the commit that records its run"),
    Move("", "claimed", "begin", "the program that begins its saga drives it itself"),
    Move("done", "claimed", "begin", "its program drives one more saga of an open run"),
    Move("queued", "claimed", "claim", "its time has come and its run is still wanted"),
    Move("claimed", "claimed", "take over", "its worker is gone by the store's clock; that was a try"),
    Move("claimed", "queued", "take over", "its worker is gone, and nobody drives it on at once"),
    Move("claimed", "queued", "give back", "a try came to nothing, and there is another"),
    Move("claimed", "queued", "let go", "its worker drains; that was no try"),
    Move("claimed", "queued", "wait for a person", "the run goes on only after somebody decided; that was no try"),
    Move("queued", "queued", "wake", "what it waited for is there"),
    Move("queued", "done", "finish", "the run ended while nobody drove it"),
    Move("claimed", "done", "finish", "the run ended, in the same commit"),
    Move("dead", "done", "finish", "the run ended in another way"),
    Move("queued", "dropped", "drop", "it is not wanted any more"),
    Move("claimed", "dropped", "drop", "it is not wanted any more"),
    Move("dead", "dropped", "drop", "a named person, with a reason; or it was cancelled or superseded"),
    Move("claimed", "dead", "bury", "its tries are used up, or only a person can let it go on"),
    Move("queued", "dead", "bury", "its deadline passed before anybody could drive it"),
    Move("dead", "queued", "requeue", "a named person, with a reason"),
)

STATES = ("queued", "claimed", "done", "dead", "dropped")


def queued(
    run: str,
    *,
    principal: str,
    work: str = "",
    priority: int = 0,
    not_before_ms: int = 0,
    owner: str = "",
    planner: str = "",
    needs: tuple[tuple[str, str], ...] = (),
    most_tries: int = 5,
    again: str = "",
) -> Job:
    """The job of a run that is recorded with it."""
    return Job(
        id=run,
        run=run,
        principal=principal,
        work=work,
        priority=priority,
        not_before_ms=not_before_ms,
        wanted_ms=not_before_ms,
        owner=owner or NOBODY,
        planner=planner,
        needs=needs,
        most_tries=most_tries,
        again=again,
    )


def begun(
    run: str, worker: str, *, principal: str, planner: str, owner: str = "", needs: tuple[tuple[str, str], ...] = ()
) -> Job:
    """The job of a run that no one submitted, claimed by the process that drives a saga of it from its first commit."""
    job = queued(run, principal=principal, owner=owner, planner=planner, needs=needs)
    return replace(job, state="claimed", holder=worker, token=MINT)


def claimed(job: Job, worker: str, planner: str = "") -> Job:
    """Claimed by a worker; the commit draws the token. ``planner``: who drives it from here on, if that is another."""
    _may(job, "claim", "queued")
    planner = planner or job.planner
    return replace(job, state="claimed", holder=worker, token=MINT, since_ms=0, why="", planner=planner)


def taken_over(job: Job, why: str, now_ms: int, worker: str = "") -> Job:
    """Taken from a worker that is gone: claimed by ``worker``, or dead where that try was the last.

    Without a ``worker`` it goes back into the queue, due now.
    """
    _may(job, "take over", "claimed")
    tries = job.tries + 1
    if tries >= job.most_tries:
        return _dead(replace(job, tries=tries), why)
    if not worker:
        return _queued(job, why, now_ms, tries)
    return replace(job, holder=worker, token=MINT, tries=tries, since_ms=0, why=why)


def given_back(job: Job, why: str, now_ms: int, *, not_before_ms: int = 0) -> Job:
    """Back in the queue after a try that came to nothing, after a pause; dead where that try was the last.

    ``not_before_ms``: a later time than the pause gives, where somebody named one.
    """
    _may(job, "give back", "claimed")
    tries = job.tries + 1
    if tries >= job.most_tries:
        return _dead(replace(job, tries=tries), why)
    return _queued(job, why, max(not_before_ms, now_ms + back_off_ms(tries)), tries)


def let_go(job: Job, why: str, now_ms: int) -> Job:
    """Back in the queue at once: its worker drains. That was no try."""
    _may(job, "let go", "claimed")
    return _queued(job, why, now_ms, job.tries)


def waits_for_a_person(
    job: Job, why: str, now_ms: int, *, waits: str = "person", about: str = "", seen: int = 0, look_again_ms: int = 0
) -> Job:
    """Out of the lanes that workers claim from until it is woken. That was no try, and takes no worker's place.

    ``waits`` is what for, ``about`` the effect that is of, ``seen`` after which entry of its run a word for it counts.
    With ``look_again_ms`` it stays in its lane, due then, and waits for nobody but the time.
    """
    _may(job, "wait for a person", "claimed")
    if look_again_ms:
        return _queued(job, why, max(now_ms, look_again_ms), job.tries)
    return replace(_queued(job, why, now_ms, job.tries), waits=waits, about=about, seen=seen)


def woken(job: Job, now_ms: int) -> Job:
    """Due now: what it waited for is there. A job that is driven, or over, stays as it is."""
    if job.state != "queued" or not (job.waits or job.not_before_ms > now_ms):
        return job
    return replace(job, not_before_ms=now_ms, waits="", about="", seen=0)


def done(job: Job, why: str = "") -> Job:
    """Its run has ended. A job that had come to an end stays as it is."""
    return _ended(job, "done", why) if job.state in ("queued", "claimed", "dead") else job


def dropped(job: Job, why: str) -> Job:
    """Nobody wants it any more. A job that had come to an end stays as it is."""
    return _ended(job, "dropped", why) if job.state in ("queued", "claimed", "dead") else job


def buried(job: Job, why: str, owner: str = "") -> Job:
    """A dead letter at once: only a person can let it go on, or its deadline passed before anybody could drive it."""
    _may(job, "bury", "queued", "claimed")
    return _dead(replace(job, owner=owner or job.owner), why)


def resolved(job: Job, action: str, *, by: str, reason: str, now_ms: int, owner: str = "") -> Job:
    """What a named person decided of a dead letter: ``requeue`` (all its tries again), ``drop``, or ``hand`` to another
    ``owner``.

    Raises ReasonMissing without a name or a reason, JobNotMovable for one that is not dead.
    """
    if not by.strip() or not reason.strip():
        raise ReasonMissing(effect=job.id, asked=action)
    _may(job, action, "dead")
    if action == "requeue":
        return _queued(job, f"requeued by {by}: {reason}", now_ms, 0)
    if action == "drop":
        return _ended(job, "dropped", f"dropped by {by}: {reason}")
    if action == "hand" and owner.strip():
        return replace(job, owner=owner.strip())
    raise JobNotMovable(run=job.id, state=job.state, asked=action)


RESOLVES = ("requeue", "drop", "hand")


def back_off_ms(tries: int) -> int:
    """How long the next try waits after so many that came to nothing (ms)."""
    return min(LONGEST_BACK_OFF_MS, BACK_OFF_MS << min(max(0, tries - 1), 20))


def legal(before: Job | None, after: Job) -> bool:
    """Whether the table has a move between these states; a document that keeps its state has only its fields moved."""
    was = before.state if before is not None else ""
    if before is not None and was == after.state and was != "claimed":
        return True
    return any((move.before, move.after) == (was, after.state) for move in MOVES)


def _queued(job: Job, why: str, not_before_ms: int, tries: int) -> Job:
    job = replace(job, state="queued", holder="", claimed_ms=0, since_ms=0, waits="", about="", seen=0)
    return replace(job, not_before_ms=not_before_ms, tries=tries, why=why)


def _dead(job: Job, why: str) -> Job:
    return replace(job, state="dead", holder="", claimed_ms=0, why=why, since_ms=0, owner=job.owner or NOBODY)


def _ended(job: Job, state: str, why: str) -> Job:
    return replace(job, state=state, holder="", claimed_ms=0, why=why or job.why, since_ms=0)


def _may(job: Job, asked: str, *states: str) -> None:
    if job.state not in states:
        raise JobNotMovable(run=job.id, state=job.state, asked=asked)
