"""The ports a verb may wait on. A verb awaits nothing else, with plain data out and in.

Every call is one wait with a stable name, ``<port>.<method>``: the label of faults and crash points. Production
answers with asyncio, the harness with a trampoline on virtual time; the verbs are the same code. Timeouts belong to
the ports. The clock is the store's: every read of a record brings the store's time with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.kernel.answers import Checked, Found, Reply
from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.documents import AnyDocument, Approver, Grant, Item
from holdfast.kernel.limits import Limits, Load
from holdfast.kernel.model import Approval, Attempt, Contract, Effect, EffectClass, Record, Run


class Seen(Record, frozen=True, kw_only=True):
    """One consistent read: the effect, its run, its approval, the epochs of its scopes, and the store's time."""

    now_ms: int
    effect: Effect | None = None
    run: Run | None = None
    approval: Approval | None = None
    epochs: tuple[tuple[str, int], ...] = ()
    halted: str = ""
    steady_ms: int = 0  # the clock jumped and is trusted again since then; 0: it never jumped
    documents: tuple[AnyDocument, ...] = ()  # its grants, the items it rests on, those who answered its request

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The grants that it comes under, root first; fewer than the effect names, where one is not recorded."""
        return tuple(d for d in self.documents if isinstance(d, Grant))

    @property
    def items(self) -> tuple[Item, ...]:
        """The items that it cites, yields or assumes, and that are recorded."""
        return tuple(d for d in self.documents if isinstance(d, Item))

    @property
    def rests_on(self) -> tuple[str, ...]:
        """The keys of the items that must carry it: what it cites, and for a change what its run assumes."""
        view, run = self.effect, self.run
        if view is None:
            return ()
        assumed = run.assumes if run is not None and view.effect_class is not EffectClass.READ else ()
        return tuple(f"{view.run}/{name}" for name in dict.fromkeys((*view.cites, *assumed)))

    @property
    def approvers(self) -> tuple[Approver, ...]:
        """The people who answered its request, as they are registered now."""
        return tuple(d for d in self.documents if isinstance(d, Approver))


class Request(Record, frozen=True, kw_only=True):
    """Everything one dispatch hands to a body. The arguments are the recorded ones, never what came in."""

    effect: str
    run: str
    tool: str
    args: dict[str, Any]
    key: str
    token: int
    attempt: int
    send_by_ms: int
    timeout_ms: int
    expect: str = ""
    principal: str = ""
    environment: str = ""
    deadline_ms: int = 0  # of its run; 0: none
    trace: str = ""  # the trace that this attempt is part of, as W3C traceparent; empty: nobody traces


class Question(Record, frozen=True, kw_only=True):
    """What a read-only companion is asked about: the recorded arguments, the key, all attempts."""

    effect: str
    tool: str
    args: dict[str, Any]
    key: str
    token: int
    attempts: tuple[Attempt, ...] = ()
    operation: str = ""
    value: Any = None
    timeout_ms: int = 10_000


class Ruling(Record, frozen=True, kw_only=True):
    """What the gate said: allow, ask or refuse, by which rules, in words, under which policy, on which inputs.

    ``blocked`` is no answer: this process cannot judge by the policy that the run keeps, and another may.
    """

    answer: str
    rules: tuple[str, ...] = ()
    reason: str = ""
    group: str = ""
    quorum: int = 1
    expires_ms: int = 1_800_000
    policy: str = ""
    inputs: str = ""
    until_ms: int = 0  # the first instant at which one of the tool's rules ends; 0: none of them does
    kept: bool = False  # judged under the policy that its run keeps, while another is in force


class Sent(Record, frozen=True, kw_only=True):
    """What a dispatch brings back for observe: the token it was sent under, and the reply."""

    token: int
    attempt: int
    reply: Reply


class Blocked(Record, frozen=True, kw_only=True):
    """A verb that could not move its effect now: the part of the guard in the way, and until when (0: not known)."""

    part: str
    why: str
    until_ms: int = 0


class StorePort(Protocol):
    """The ledger. ``commit`` answers when the change is on disk, ``later`` when it is ordered before all that follows.

    What ``later`` recorded this worker sees at once and others only after it is on disk; it is lost only together
    with every later record of this store's writer.
    """

    async def read(self, effect: str) -> Seen: ...
    async def latest(self, identity: str) -> Effect | None: ...
    async def run_row(self, run: str) -> Run | None: ...
    async def run_effects(self, run: str) -> list[Effect]: ...
    async def run_items(self, run: str) -> list[Item]: ...
    async def time(self) -> int: ...
    async def commit(self, change: Change) -> Verdict: ...
    async def later(self, change: Change) -> Verdict: ...
    async def flush(self) -> None: ...


class GatePort(Protocol):
    """The rules. The same record, run, grants and rules give the same ruling.

    ``renew`` takes up the policy that is in force in the store by now: empty, or in words why it cannot be had.
    """

    async def rule(self, seen: Seen) -> Ruling: ...
    async def renew(self, environment: str) -> str: ...


class BodyPort(Protocol):
    """The one door out. Never raises: whatever happens beyond it comes back as a reply."""

    async def send(self, request: Request) -> Reply: ...


class LookPort(Protocol):
    """The read-only companions. Never raise: what goes wrong is CannotTell (state: a text that begins with ``!``)."""

    async def state(self, question: Question) -> str: ...
    async def preview(self, question: Question) -> str: ...
    async def probe(self, question: Question) -> Found: ...
    async def verify(self, question: Question) -> Checked: ...


class PeersPort(Protocol):
    """Whether a lease holder is proved dead: same host, same boot, and its process is gone."""

    async def dead(self, holder: str) -> bool: ...


class ClockPort(Protocol):
    """Waiting for a store time. How long it really takes is the driver's business."""

    async def until(self, at_ms: int) -> None: ...


class RoomPort(Protocol):
    """How full everything is, and what bounds it. Without one nothing is bounded and nothing is counted."""

    @property
    def limits(self) -> Limits: ...
    async def load(self, work: str, scopes: tuple[str, ...]) -> Load: ...


class TellPort(Protocol):
    """The only way anything reaches planner, caller or console; after the flush."""

    async def tell(self, view: Effect) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a verb is given: the ports, who it works as, what the tools declare, and the store's identity secret."""

    store: StorePort
    gate: GatePort
    body: BodyPort
    look: LookPort
    peers: PeersPort
    clock: ClockPort
    tell: TellPort
    me: str
    contracts: Mapping[str, Contract]
    secret: bytes
    room: RoomPort | None = None
    sources: tuple[str, ...] = ()
    """Where items come from, in order of precedence, the highest first."""
    asking: Callable[[str, Any], Any] | None = None
    """Puts whoever looks on between a run and its planner; None: nobody looks on."""


class WatchPort(Protocol):
    """Whoever looks on at the ports: it changes no answer and holds nothing up. It is handed the door out."""

    def watch(self, ports: Ports, body: BodyPort, ledger: Any) -> Ports: ...
    async def close(self) -> None: ...
