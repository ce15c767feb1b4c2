"""The records everything agrees on: contracts, runs, effects, attempts, approvals, leases.

Decides nothing. Every record is frozen plain data: integers for times (milliseconds UTC), integer minor units for
money, strings for ids with their type prefix (``in_ ru_ ef_ at_ ap_``). A record is replaced, never changed in place,
so a snapshot is a reference.

Does not promise that a record is current: a verb reads it, decides, and lets the guard of its commit judge.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from holdfast.kernel.amounts import Budget, Money, Spent

DEFAULT_TENANT = "main"
DAY_MS = 86_400_000


class State(StrEnum):
    """Where an effect stands. The legal moves between these are data in :mod:`holdfast.kernel.life`."""

    PROPOSED = "proposed"  # the planner's call is recorded under a run and an intent
    WAITING = "waiting"  # policy said ask, or admission said schedule: somebody or some time moves next
    ADMITTED = "admitted"  # allowed, or the quorum of valid approvals is there
    CLAIMED = "claimed"  # one worker holds the lease on effect and resource, with a fencing token
    DISPATCHED = "dispatched"  # the durable commit is made; bytes may have left
    PENDING = "pending"  # the outside accepted a long operation and gave an id to ask about
    UNKNOWN = "unknown"  # every doubt; leaves only by evidence or a named human
    COMMITTED = "committed"  # acknowledged outside, found by a probe, or attested
    FAILED = "failed"  # proved absent
    VERIFIED = "verified"  # an independent read holds
    UNCONFIRMED = "unconfirmed"  # the read differs, or could not tell within its bound
    REFUSED = "refused"  # said no before anything left
    SUPERSEDED = "superseded"  # a material argument changed before anything left
    COMPENSATED = "compensated"  # offset by another committed effect
    ABANDONED = "abandoned"  # a named human gave up on an unknown, with a reason


class EffectClass(StrEnum):
    """How bad a second or a wrong change is. A contract declares it; policy reads it."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    COMPENSABLE = "compensable"
    IRREVERSIBLE = "irreversible"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every stored record is: frozen, keyword-only, defaults left out of the bytes."""


class Cost(Record, frozen=True, kw_only=True):
    """Which argument of a call is its cost in minor units, and the currency."""

    argument: str
    currency: str


class Yields(Record, frozen=True, kw_only=True):
    """What a read's result is as an item: its kind, where it comes from, what it is about, how long it stays fresh.

    ``about`` is a pattern over the arguments (empty: the resource). ``fresh_for_ms`` 0: it never goes stale by itself.
    """

    item: str = "observed"
    source: str = ""
    about: str = ""
    fresh_for_ms: int = 0


class Bound(Record, frozen=True, kw_only=True):
    """Where the value of one argument may lead. ``folder``: a relative path that stays in this folder, links followed.

    ``hosts``: an https URL (or one of ``schemes``) whose host, after parsing, is one of these; no user-info, no
    other port than ``ports``.
    """

    folder: str = ""
    hosts: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("https",)
    ports: tuple[int, ...] = ()


class Contract(Record, frozen=True, kw_only=True):
    """What a tool declares, as plain data. ``version`` is the digest of all the rest and never set by hand.

    Spans are milliseconds. ``keyed_ms`` is how long the outside honours an idempotency key (None: it does not);
    ``lands_within_ms`` bounds how long after sending a request can still take effect; ``visible_within_ms`` how long a
    committed change may stay invisible to reads; ``owner`` is who answers for what the runtime cannot find out.
    ``bounds`` says where arguments may lead; ``work`` is the class of work whose queue the call joins (empty: its
    effect class); ``splits`` names the array argument that admission may propose to cut; ``instead`` a
    cheaper tool with the same arguments, and ``not_done`` what it leaves undone; ``reserve_ms`` the time before a
    deadline that is kept for verification (None: the time that one send and one read take).
    """

    name: str
    effect: EffectClass
    resource: str
    version: str = ""
    description: str = ""
    schema: dict[str, Any] = {}
    identity: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    only_from_trusted: tuple[str, ...] = ()
    owner: str = ""
    acts_with: str = ""
    enforced_at: str = ""
    side_effects: tuple[str, ...] = ()
    bounds: dict[str, Bound] = {}
    yields: Yields | None = None
    work: str = ""
    splits: str = ""
    instead: str = ""
    not_done: str = ""
    reserve_ms: int | None = None
    keyed_ms: int | None = None
    fenced: bool = False
    conditional: bool = False
    enforces_send_by: bool = False
    has_probe: bool = False
    has_state: bool = False
    has_verify: bool = False
    has_list: bool = False
    has_undo: bool = False
    has_preview: bool = False
    no_probe: str = ""
    did_not_happen: tuple[str, ...] = ()
    shared: bool = False
    independent: bool = False
    cost: Cost | None = None
    timeout_ms: int = 10_000
    lands_within_ms: int = 120_000
    visible_within_ms: int = 0
    skew_ms: int = 2_000
    attempts: int = 3
    resends: int = 3
    probes: int = 8
    verifies: int = 5
    retry_after_ms: int = 1_000
    answer_within_ms: int = DAY_MS

    @property
    def reconcilable(self) -> bool:
        """Whether anything but a human can ever tell what an unknown attempt did."""
        return self.has_probe or self.keyed_ms is not None

    @property
    def lease_ms(self) -> int:
        """How long one claim holds effect and resource: sending, seeing and checking, with room to spare."""
        return self.timeout_ms + self.visible_within_ms + 5_000

    @property
    def kept_for_verify_ms(self) -> int:
        """How long before a deadline the last dispatch may start, so that there is time to see what it did."""
        if self.reserve_ms is not None:
            return self.reserve_ms
        return self.timeout_ms + self.visible_within_ms if self.has_verify else 0


class Principal(Record, frozen=True, kw_only=True):
    """On whose behalf a run acts, and who says so (``vouched_by``: credential, embedding program, operating system)."""

    name: str
    kind: str = "service"
    groups: tuple[str, ...] = ()
    vouched_by: str = "embedding program"


class Attempt(Record, frozen=True, kw_only=True):
    """One physical dispatch. ``send_by_ms`` is the last instant at which its bytes may leave."""

    id: str
    number: int
    token: int
    holder: str
    at_ms: int
    send_by_ms: int
    resend: bool = False
    deadline_ms: int = 0  # of its run, as it was then; 0: none


class Run(Record, frozen=True, kw_only=True):
    """One pursuit of an intent, with its money, its time and the head of its hash chain."""

    id: str
    tenant: str
    environment: str
    intent: str
    purpose: str
    goal: str
    principal: Principal
    state: str = "open"
    reason: str = ""
    opened_ms: int = 0
    deadline_ms: int | None = None
    scope: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    budget: Budget = Budget()
    spent: Spent = Spent()
    steps: int = 0
    grants: tuple[str, ...] = ()  # the chain, root first: what is allowed is what all of them allow
    assumes: tuple[str, ...] = ()  # items that must hold, and be fresh, for every change that is made under it
    policy: str = ""  # the policy that this run keeps while a newer one is in force; empty: it moves with it
    priority: int = 0
    meters: tuple[str, ...] = ()  # scopes in which it counts while it is open
    late_ms: int = 0
    seq: int = 0
    head: str = ""
    archived: str = ""  # the archive in which its entries lie; what it was about is in there too


class Effect(Record, frozen=True, kw_only=True):
    """The whole present of one effect: a fold of its entries by :func:`holdfast.kernel.life.apply`."""

    id: str
    tenant: str
    environment: str
    run: str
    purpose: str
    tool: str
    contract: str
    effect_class: EffectClass
    key: str
    identity: str
    generation: int
    args: dict[str, Any]
    args_digest: str
    resource: str
    principal: str
    state: State = State.PROPOSED
    version: int = 0
    proposed_ms: int = 0
    moved_ms: int = 0
    deadline_ms: int | None = None
    parent: str = ""
    cites: tuple[str, ...] = ()
    item: str = ""  # as what its value may be cited, for a read whose contract says that it yields something
    cost: Money | None = None
    grants: tuple[str, ...] = ()
    risk: str = ""  # what a model thinks of it: may tighten the decision, never loosen it
    meters: tuple[str, ...] = ()  # scopes in which it counts, beside its run and its grants
    admission: dict[str, Any] = {}  # what admission answered: the answer, its code, the class of work, what instead
    schedulings: int = 0  # how often it was put off because there was no room
    # the decision
    answer: str = ""
    rules: tuple[str, ...] = ()
    reason: str = ""
    policy: str = ""
    approval: str = ""
    quorum_met: bool = False
    declined: bool = False
    reserved: bool = False
    fingerprint: str = ""
    # ownership
    holder: str = ""
    token: int = 0
    lease_until_ms: int = 0
    # attempts and what came of them
    attempts: tuple[Attempt, ...] = ()
    tries: int = 0
    resends: int = 0
    probes: int = 0
    verifies: int = 0
    operation: str = ""
    value: Any = None
    basis: str = ""
    cause: str = ""
    attested_by: str = ""
    late_value: Any = None
    late_seen: bool = False
    dead_since_ms: int = 0
    absent_ms: int = 0
    verified_ms: int = 0
    late_ms: int = 0  # by how much its outcome came after the deadline: a broken promise, whatever the outcome
    differs: str = ""
    # what is still to be done, by whom, when
    unsettled: str = ""
    owner: str = ""
    next: str = ""
    due_ms: int = 0
    escalated: bool = False
    # neighbours
    previous: str = ""
    successor: str = ""
    compensated_by: str = ""
    compensates: str = ""
    archived: str = ""  # the archive in which its entries lie; what is left here has neither arguments nor value

    @property
    def first_dispatch_ms(self) -> int:
        """When the first attempt was committed: the key window is counted from here. 0: never."""
        return self.attempts[0].at_ms if self.attempts else 0


class Decision(Record, frozen=True, kw_only=True):
    """One person's signed answer to a request. ``signature`` (hex) is over the statement that the request gives."""

    who: str
    yes: bool
    at_ms: int
    key_id: str = ""
    signature: str = ""
    reason: str = ""
    break_glass: bool = False


class Approval(Record, frozen=True, kw_only=True):
    """A request to a human, bound to exactly these bytes on exactly this state. Spent at most once.

    ``content`` is the salted digest of everything the approver is shown, which their signature covers.
    """

    id: str
    effect: str
    run: str
    digest: str
    nonce: str
    environment: str
    generation: int
    policy: str
    contract: str
    fingerprint: str = ""
    fingerprint_ms: int = 0
    expects: str = ""
    group: str = ""
    quorum: int = 1
    asked_ms: int = 0
    expires_ms: int = 0
    proposer: str = ""
    reason: str = ""
    state: str = "open"  # open, granted, refused, spent, revoked, void
    content: str = ""
    decisions: tuple[Decision, ...] = ()
    spent_by: str = ""
    revoked_by: str = ""
    reviewed_by: str = ""  # who looked at a break-glass yes afterwards

    @property
    def yes(self) -> tuple[str, ...]:
        """Who said yes, in order."""
        return tuple(d.who for d in self.decisions if d.yes)

    @property
    def no(self) -> tuple[str, ...]:
        """Who said no, in order."""
        return tuple(d.who for d in self.decisions if not d.yes)

    @property
    def broken_glass(self) -> bool:
        """Whether somebody said yes alone, in an emergency, where more were needed."""
        return any(d.yes and d.break_glass for d in self.decisions)


class Lease(Record, frozen=True, kw_only=True):
    """Who may touch a resource now. One row a resource; expiry is judged by the store's clock."""

    resource: str
    effect: str
    holder: str
    token: int
    until_ms: int


ENDS = frozenset(
    {
        State.REFUSED,
        State.SUPERSEDED,
        State.FAILED,
        State.VERIFIED,
        State.UNCONFIRMED,
        State.COMPENSATED,
        State.ABANDONED,
    }
)
"""States that end an effect whatever its contract says; COMMITTED ends it only where nothing more is agreed."""

BEFORE_DISPATCH = frozenset({State.PROPOSED, State.WAITING, State.ADMITTED, State.CLAIMED})
AFTER_COMMIT = frozenset({State.COMMITTED, State.VERIFIED, State.UNCONFIRMED, State.COMPENSATED})
