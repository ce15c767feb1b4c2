"""The guard of a commit: preconditions as plain data, judged by the store with its own clock in the same transaction.

A verb's earlier checks only serve to give a good reason; what holds is what :func:`judge` says at the commit. A pause
between check and commit can therefore never let an expired lease, a spent approval or a halt slip through.

Promises: one broken part rejects the whole commit and is named. Does not promise anything about the outside.
"""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.kernel.amounts import room, unreserve
from holdfast.kernel.authority import No, counted, enough, no_room, not_granted, not_to_rely_on
from holdfast.kernel.documents import AnyDocument, Limit, Worker, digest_of
from holdfast.kernel.model import Approval, Effect, Lease, Record, Run, State

KEPT = "policy-kept:"
"""Begins the scope under which a policy may still be kept by runs: ``policy-kept:ENVIRONMENT:DIGEST``, value *kept*."""


class Fact(Record, frozen=True, kw_only=True):
    """A store-wide fact that guards look at: a halt or revocation epoch, or what is in force (policy, contract)."""

    scope: str
    epoch: int = 0
    raised: bool = False
    value: str = ""
    by: str = ""
    reason: str = ""

    @property
    def sentence(self) -> str:
        """A raised halt, or a revocation, in words."""
        if self.scope.startswith("revoke:"):
            kind, _, name = self.scope.removeprefix("revoke:").partition(":")
            return f"the {kind} {name} was revoked by {self.by}: {self.reason}"
        return f"{self.scope.removeprefix('halt:')} is halted by {self.by}: {self.reason}"


def scopes(view: Effect) -> tuple[str, ...]:
    """The scopes whose halts and revocations stop this effect."""
    return (
        "halt:store",
        f"halt:tenant:{view.tenant}",
        f"halt:tool:{view.tool}",
        f"halt:run:{view.run}",
        f"halt:principal:{view.principal}",
        f"revoke:principal:{view.principal}",
        *(f"revoke:grant:{grant}" for grant in view.grants),
    )


class Rows(Protocol):
    """The rows a commit may look at, all read inside the transaction that will write."""

    def effect(self, effect: str) -> Effect | None: ...
    def run(self, run: str) -> Run | None: ...
    def lease(self, resource: str) -> Lease | None: ...
    def approval(self, approval: str) -> Approval | None: ...
    def fact(self, scope: str) -> Fact | None: ...
    def document(self, kind: str, key: str) -> AnyDocument | None: ...
    def restored(self) -> bool: ...


class Guard(Record, frozen=True, kw_only=True):
    """What must still be true when the store commits. Every part left at its default is not looked at."""

    effect: str = ""
    states: tuple[State, ...] = ()
    version: int | None = None
    generation: int | None = None
    token: int | None = None
    holder: str = ""  # the lease is this holder's and has not run out
    lease_over: bool = False  # nobody holds the lease: it ran out, or its holder ``yields``
    yields: str = ""  # a holder whose lease on the effect counts as over: ourselves, or one that was proved dead
    not_after: tuple[tuple[str, int], ...] = ()  # (what, last instant in ms)
    resource: str = ""  # free, or already held for this effect
    approval: str = ""  # granted, unspent, for ``digest``
    digest: str = ""
    budget: bool = False  # room in the run's budget, and in that of every grant, for this effect's cost
    granted: bool = False  # every grant stands, and the runs above were not stopped, whatever room there is
    terms: tuple[tuple[str, Any], ...] = ()  # (field, value) of the effect's run: as it was read
    limits: tuple[Limit, ...] = ()  # room under these scopes
    items: tuple[str, ...] = ()  # what the effect rests on: there, fresh, and not outranked
    epochs: tuple[tuple[str, int], ...] = ()  # (scope, epoch seen): unchanged, and not raised
    in_force: tuple[tuple[str, str], ...] = ()  # (scope, value): policy digest, contract version
    released: bool = False  # the store is not in restored mode
    run_open: str = ""  # this run is open
    run_state: str = "open"  # or in this state, for what ends or reopens one that was stopped
    absent: tuple[str, ...] = ()  # effects that must not exist yet
    as_read: tuple[tuple[str, str, str], ...] = ()  # (kind, id, digest): documents as they were read; "": not there
    driver: tuple[str, int, str] = ("", 0, "")  # (run, token, worker): it drives the run still, and its lease lasts
    gone: tuple[str, ...] = ()  # workers that left, or whose lease is over


class Rejected(Record, frozen=True, kw_only=True):
    """The store's no: the part of the guard that no longer holds, in one word, then in a sentence."""

    part: str
    why: str
    until_ms: int = 0
    effect: Effect | None = None


def judge(guard: Guard, rows: Rows, now_ms: int) -> Rejected | None:
    """The first part of the guard that does not hold now, or None. Pure over the rows given."""
    if guard.driver[0] and (stale := _driver(guard.driver, rows, now_ms)) is not None:
        return stale
    view = rows.effect(guard.effect) if guard.effect else None
    for effect in guard.absent:
        if (other := rows.effect(effect)) is not None:
            return Rejected(part="exists", why=f"{effect} is already recorded", effect=other)
    if guard.effect and view is None:
        return Rejected(part="missing", why=f"{guard.effect} is not recorded")
    no = _ownership(guard, view, now_ms) if view is not None else None
    if no is None and (guard.as_read or guard.gone):
        no = _documents(guard, rows, now_ms)
    if no is None:
        no = _world(guard, view, rows, now_ms)
    return no


def _driver(driver: tuple[str, int, str], rows: Rows, now_ms: int) -> Rejected | None:
    """Whether a run is still driven under this token, by a worker whose lease has not run out."""
    run, token, worker = driver
    job: Any = rows.document("job", run)
    if job is None or job.token != token or job.state != "claimed":
        who = f"{job.holder} under {job.token}" if job is not None and job.state == "claimed" else "nobody"
        return Rejected(part="driver", why=f"token {token} for run {run} is stale; {who} drives it now")
    if over := _over(rows, worker, now_ms):
        return Rejected(part="driver", why=f"the lease of {worker}, which drives run {run}, ran out {over}")
    return None


def _over(rows: Rows, worker: str, now_ms: int) -> str:
    """That a worker is not there any more, in words; empty: it is."""
    known = rows.document("worker", worker)
    if not isinstance(known, Worker):
        return "before it was recorded"
    return f"{now_ms - known.until_ms} ms ago" if known.state == "left" or now_ms > known.until_ms else ""


def _documents(guard: Guard, rows: Rows, now_ms: int) -> Rejected | None:
    """Documents are as they were read, and who has to be gone is."""
    for kind, key, digest in guard.as_read:
        there = rows.document(kind, key)
        if (digest_of(there) if there is not None else "") != digest:
            return Rejected(part="document", why=f"{kind}:{key} moved since it was read")
    for worker in guard.gone:
        known = rows.document("worker", worker)
        if isinstance(known, Worker) and not _over(rows, worker, now_ms):
            return Rejected(part="held", why=f"{worker} is there", until_ms=known.until_ms)
    return None


def _ownership(guard: Guard, view: Effect, now_ms: int) -> Rejected | None:
    """Token first: a stale owner is told so, whatever else moved since."""
    if guard.token is not None and view.token != guard.token:
        return Rejected(part="token", why=f"token {guard.token} is stale; {view.token} is current", effect=view)
    if guard.states and view.state not in guard.states:
        return Rejected(part="state", why=f"it is {view.state.value} now", effect=view)
    if guard.version is not None and view.version != guard.version:
        return Rejected(part="version", why="its record moved since it was read", effect=view)
    if guard.generation is not None and view.generation != guard.generation:
        return Rejected(part="generation", why=f"generation {view.generation} is current", effect=view)
    if guard.holder and (view.holder != guard.holder or now_ms > view.lease_until_ms):
        return Rejected(part="lease", why="the lease ran out or is another's", effect=view)
    if guard.lease_over and view.holder and now_ms <= view.lease_until_ms and view.holder != guard.yields:
        return Rejected(part="held", why=f"{view.holder} holds it", until_ms=view.lease_until_ms, effect=view)
    return None


def _world(guard: Guard, view: Effect | None, rows: Rows, now_ms: int) -> Rejected | None:
    if guard.released and rows.restored():
        return Rejected(part="restored", why="the store was restored or cloned and is not released", effect=view)
    for scope, epoch in guard.epochs:
        fact = rows.fact(scope)
        if fact is not None and fact.raised:
            return Rejected(part="halt", why=fact.sentence, effect=view)
        if (fact.epoch if fact is not None else 0) != epoch:
            return Rejected(part="epoch", why=f"{scope} moved since it was checked", effect=view)
    for what, last_ms in guard.not_after:
        if now_ms > last_ms:
            return Rejected(part=what, why=_past(what, now_ms - last_ms), effect=view)
    for scope, value in guard.in_force:
        fact = rows.fact(scope)
        if scope.startswith(KEPT) and (fact is None or fact.value != value):
            return Rejected(part="policy", why="the policy that its run keeps may not be kept any more", effect=view)
        if fact is not None and fact.value != value:
            return Rejected(part=scope.partition(":")[0], why=f"{scope} changed since it was checked", effect=view)
    if guard.approval:
        no = _approval(guard, rows.approval(guard.approval), rows, now_ms)
        if no is not None:
            return Rejected(part="approval", why=no, effect=view)
    if guard.resource:
        lease = rows.lease(guard.resource)
        if lease is not None and lease.effect != guard.effect and now_ms <= lease.until_ms:
            why = f"{guard.resource} is held for {lease.effect}"
            return Rejected(part="resource", why=why, until_ms=lease.until_ms, effect=view)
    return _room(guard, view, rows, now_ms)


def _past(what: str, by_ms: int) -> str:
    if what == "reserve":
        return f"it is {by_ms} ms inside the time kept for verification before the deadline"
    return f"the {what} passed {by_ms} ms ago"


def _room(guard: Guard, view: Effect | None, rows: Rows, now_ms: int) -> Rejected | None:
    """The run is open, and there is room in it, in its grants and under every limit; what it rests on still holds."""
    run_id = guard.run_open or (view.run if view is not None and guard.budget else "")
    run = rows.run(run_id) if run_id else None
    if guard.run_open and (run is None or run.state != guard.run_state):
        return Rejected(part="run", why=f"the run is {run.state if run else 'not recorded'}", effect=view)
    own = rows.run(view.run) if guard.terms and view is not None else None
    for name, value in guard.terms if own is not None else ():
        if getattr(own, name) != value:
            return Rejected(part="epoch", why=f"the {name} of its run moved since it was checked", effect=view)
    if guard.budget and run is not None and view is not None:
        spent = unreserve(run.spent, view.cost) if view.reserved else run.spent
        full = room(run.budget, spent, view.cost)
        if full is not None:
            return Rejected(part="budget", why=f"no room left in the run's budget: {full}", effect=view)
    for item in guard.items:
        if stale := not_to_rely_on(rows.document("item", item), item, now_ms):
            return Rejected(part="item", why=stale, effect=view)
    more: No | None = None
    if view is not None and (guard.budget or guard.granted) and view.grants:
        more = not_granted(view, rows, now_ms, debits=guard.budget)
    if more is None and guard.limits:
        more = no_room(guard.limits, view, rows, now_ms)
    return Rejected(part=more.part, why=more.why, until_ms=more.until_ms, effect=view) if more is not None else None


def _approval(guard: Guard, approval: Approval | None, rows: Rows, now_ms: int) -> str | None:
    if approval is None:
        return "the approval is not recorded"
    if approval.state != "granted":
        return f"the approval is {approval.state}"
    if approval.digest != guard.digest:
        return "the approval is for other bytes"
    if now_ms > approval.expires_ms:
        return f"the approval expired {now_ms - approval.expires_ms} ms ago"
    if not enough(approval, counted(approval, rows, now_ms)):
        return "of those who said yes, too few still may: a key was revoked or has expired, or somebody left the group"
    return None
