"""The runtime on virtual ports: an in-memory store, a clock that a test moves, an outside that a test scripts.

The verbs and the driver are the shipped ones. Nothing here waits for real time.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from holdfast.kernel.answers import Absent, Ack, CannotTell, Checked, Found, Holds, Reply
from holdfast.kernel.model import Approval, Contract, Effect, EffectClass, Run
from holdfast.kernel.ports import Ports, Question, Request, Ruling, Seen
from holdfast.runtime.begin import Intent, begin
from holdfast.runtime.owed import owed
from holdfast.runtime.planner import Card
from holdfast.runtime.recover import Recoverer
from holdfast.runtime.run import RunHandle
from holdfast.runtime.stops import InTheWay, Stop, in_the_way
from holdfast.runtime.view import Noted
from holdfast.store.memory import MemoryStore

START_MS = 1_700_000_000_000

REFUND = Contract(
    name="refund",
    version="v1",
    effect=EffectClass.IRREVERSIBLE,
    resource="invoice:{invoice}",
    identity=("invoice",),
    has_probe=True,
    has_verify=True,
    owner="billing",
    timeout_ms=1_000,
    lands_within_ms=2_000,
    retry_after_ms=100,
)
BARE = msgspec.structs.replace(REFUND, name="bare", has_probe=False, has_verify=False, no_probe="nobody answers")
LOOKUP = msgspec.structs.replace(BARE, name="lookup", effect=EffectClass.READ)


class Clock:
    """Time that moves only when somebody waits for it, or a test says so."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now(self) -> int:
        return self.ms

    async def until(self, at_ms: int) -> None:
        self.ms = max(self.ms, at_ms)


class Gate:
    """Says the same to every call."""

    def __init__(self, answer: str = "allow") -> None:
        self.answer = answer
        self.policy = "p1"

    async def rule(self, seen: Seen) -> Ruling:
        reason = f"the rule says {self.answer}"
        return Ruling(answer=self.answer, rules=("rule",), reason=reason, policy=self.policy, group="billing")

    async def renew(self, environment: str) -> str:
        return f"no other policy of {environment} can be had here"


class Outside:
    """Body and companions: replies are taken from the front of a script, the last one for ever."""

    def __init__(self) -> None:
        self.replies: list[Reply | Callable[[Request], Awaitable[Reply]]] = [Ack({"id": 1})]
        self.found: list[Found] = [Absent()]
        self.checked: list[Checked] = [Holds()]
        self.sent: list[Request] = []
        self.asked: list[Question] = []

    async def send(self, request: Request) -> Reply:
        self.sent.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return await reply(request) if callable(reply) else reply

    async def probe(self, question: Question) -> Found:
        self.asked.append(question)
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    async def verify(self, question: Question) -> Checked:
        return self.checked.pop(0) if len(self.checked) > 1 else self.checked[0]

    async def state(self, question: Question) -> str:
        return ""


class Graves:
    """Holders that are proved dead."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def dead(self, holder: str) -> bool:
        return holder in self.names


class Ears:
    """What was told, in order."""

    def __init__(self) -> None:
        self.told: list[Effect] = []

    async def tell(self, view: Effect) -> None:
        self.told.append(view)


class Rig:
    """One store and one outside; any number of workers with their own ports."""

    def __init__(self, *contracts: Contract) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock.now)
        self.outside = Outside()
        self.gate = Gate()
        self.graves = Graves()
        self.ears = Ears()
        self.contracts = {contract.name: contract for contract in contracts or (REFUND, BARE, LOOKUP)}
        self.carried: dict[str, set[str]] = defaultdict(set)
        self.sources: tuple[str, ...] = ()

    def ports(self, me: str = "w1") -> Ports:
        """The ports of one worker."""
        return Ports(
            store=self.store.face(me),
            gate=self.gate,
            body=self.outside,
            look=self.outside,
            peers=self.graves,
            clock=self.clock,
            tell=self.ears,
            me=me,
            contracts=self.contracts,
            secret=self.store.secret,
            sources=self.sources,
        )

    def recoverer(self, me: str = "w1") -> Recoverer:
        """The recovery of one worker."""
        return Recoverer(self.ports(me), self.store.face(me), self.carried[me].__contains__)

    async def run(self, me: str = "w1", purpose: str = "ticket-1", **terms: Any) -> RunHandle:
        """Begin an intent as one worker."""
        ports = self.ports(me)
        intent = Intent(goal="refund", principal="agent", purpose=purpose, **terms)
        record = await begin(ports.store, ports.secret, intent, tenant="main", environment="prod", by=me)
        return RunHandle(Desk(self, ports), record)

    def effects(self) -> list[Effect]:
        """Every effect, as it is on disk."""
        return list(self.store.durable.effects.values())

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of all entries of a kind on disk."""
        return [msgspec.json.decode(e.body or b"{}") for e in self.store.durable.entries if e.kind == kind]


class Desk:
    """What a run needs of an application, without one."""

    def __init__(self, rig: Rig, ports: Ports) -> None:
        self.rig = rig
        self.ports = ports
        self.winding_down = ""
        self.holding = None

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        return args, f"invoice:{args.get('invoice', '')}", None

    def cards(self) -> tuple[Card, ...]:
        cards = sorted(self.rig.contracts.items())
        return tuple(
            Card(name=n, description="", effect=c.effect.value, schema={}, permits=("rule",)) for n, c in cards
        )

    async def noted(self, run: str, after: int) -> list[Noted]:
        await self.ports.store.flush()
        mine = [e for e in self.rig.store.durable.entries if e.run == run and e.seq > after and not e.effect]
        return [Noted(e.seq, e.kind, e.at_ms, e.by, msgspec.json.decode(e.body or b"{}")) for e in mine]

    def in_the_way(self, run: Run) -> InTheWay:
        return in_the_way(self.rig.store.face(self.ports.me), run)

    def owed(self, run: str) -> Stop | None:
        return owed(self.rig.store.face(self.ports.me), run)

    def requests(self, run: str) -> dict[str, Approval]:
        return {a.id: a for a in self.rig.store.durable.approvals.values() if a.run == run and a.state == "open"}

    @contextlib.contextmanager
    def driving(self, effect: str) -> Iterator[None]:
        self.rig.carried[self.ports.me].add(effect)
        try:
            yield
        finally:
            self.rig.carried[self.ports.me].discard(effect)


class Wanted:
    """A call as the tools layer builds it."""

    def __init__(self, tool: str, **args: Any) -> None:
        self.tool = tool
        self.args = args


CANNOT_TELL = CannotTell("the lookup is down")
