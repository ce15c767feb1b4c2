"""Sagas on virtual ports: the shipped driver and verbs over an in-memory store, an outside with books of its own.

Every port call is one place at which the process may die: what it had not put on disk is gone, and the next process is
another worker that finds the record and nothing else. Time moves only when somebody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

import holdfast as hf
from holdfast.kernel import sagas
from holdfast.kernel.answers import Absent, Ack, CannotTell, Checked, Differs, Doubt, Found, Happened, Holds, Refusal
from holdfast.kernel.documents import Saga
from holdfast.kernel.errors import BadContract, SagaNotAtHand
from holdfast.kernel.model import Approval, Contract, Effect, EffectClass, Run, State
from holdfast.kernel.ports import Ports, Question, Request, Ruling, Seen
from holdfast.runtime import people
from holdfast.runtime.begin import Intent, begin
from holdfast.runtime.planner import Card
from holdfast.runtime.run import RunHandle
from holdfast.runtime.saga import Step
from holdfast.runtime.saga import people as words
from holdfast.runtime.stops import InTheWay, Stop, in_the_way
from holdfast.runtime.view import Noted
from holdfast.store.memory import MemoryFace, MemoryStore

START_MS = 1_700_000_000_000
LATE_MS = 60_000
STEPS = ("seat", "room", "pay", "mail")
TELL = {"seat": ("airline",), "room": ("hotel",), "pay": ("bank",), "mail": ("clerk", "bank")}
OWNER = "travel desk"

_PLAIN = Contract(
    name="", version="v1", effect=EffectClass.COMPENSABLE, resource="{step}", identity=("step",), owner="operator",
    timeout_ms=1_000, lands_within_ms=120_000, retry_after_ms=100, probes=3, resends=2, attempts=9, has_undo=True,
)  # fmt: skip
KINDS = {
    "keyed": {"keyed_ms": 86_400_000, "no_probe": "its key answers"},
    "probed": {"has_probe": True},
    "bare": {"no_probe": "nobody answers"},
    "checked": {"keyed_ms": 86_400_000, "has_probe": True, "has_verify": True},
}


def contract(name: str, kind: str, effect: EffectClass) -> Contract:
    """One tool: how an unknown of it becomes known, and its class."""
    has_undo = effect is EffectClass.COMPENSABLE
    return msgspec.structs.replace(_PLAIN, name=name, effect=effect, has_undo=has_undo, **KINDS[kind])


class Died(BaseException):
    """The process is gone, in the middle of whatever it did."""


class Change(NamedTuple):
    """A line of the outside's books: what was done for which step, under which key."""

    tool: str
    step: str
    key: str


class Plan(NamedTuple):
    """What goes wrong: per tool and sending, in order; refusals by the gate; deaths, as counts of port calls."""

    kinds: dict[str, str]
    replies: dict[str, tuple[str, ...]] = {}
    refused: dict[str, int] = {}
    differs: frozenset[str] = frozenset()
    deaths: tuple[int, ...] = ()
    person: str = "truth"  # or: abandon
    boundary: int = 2
    retries: int = 0  # how often a person has it tried anew where it needs them


class World:
    """The store, the clock, the outside, and whoever runs now."""

    def __init__(self, plan: Plan) -> None:
        """Nothing has happened."""
        self.plan = plan
        self.ms = START_MS
        self.secret = b"secret"
        self.store = MemoryStore(lambda: self.ms, secret=self.secret)
        self.books: list[Change] = []
        self.flights: list[tuple[int, Change]] = []
        self.sendings: dict[str, int] = {}
        self.refusals = dict(plan.refused)
        self.dead: set[str] = set()
        self.born = 0
        self.calls = 0
        self.deaths = list(plan.deaths)
        self.turns: random.Random | None = None  # two processes at once: who of them goes on is drawn at each wait
        self.retried = 0
        self.waits: dict[str, int] = {}
        self.stuck: dict[str, tuple[int, int]] = {}  # a process, at which of its waits it stops for long, how long
        kinds = plan.kinds
        stays = [EffectClass.COMPENSABLE] * 2 + [EffectClass.IRREVERSIBLE] * 2
        self.contracts = {name: contract(name, kinds[name], stays[at]) for at, name in enumerate(STEPS)}
        undo = contract("cancel", kinds["cancel"], EffectClass.IRREVERSIBLE)
        self.contracts["cancel"] = undo
        self.reports: list[hf.SagaReport] = []

    # -- waits --

    def wait(self, where: str) -> None:
        """One port call: here a process may die."""
        self.calls += 1
        if self.deaths and self.calls >= self.deaths[0]:
            self.deaths.pop(0)
            raise Died(where)

    async def pass_on(self, me: str) -> None:
        """Let another process go first: now and then a little, and once for long."""
        if self.turns is None:
            return
        self.waits[me] = self.waits.get(me, 0) + 1
        at, length = self.stuck.get(me, (0, 0))
        for _ in range(length if self.waits[me] == at else self.turns.randrange(3)):
            await asyncio.sleep(0)

    # -- the outside --

    def apply(self, change: Change) -> None:
        """Do it, once a key."""
        if all(done.key != change.key for done in self.books):
            self.books.append(change)

    def land(self) -> None:
        """What was under way and is due by now takes place."""
        for at_ms, change in sorted(self.flights):
            if at_ms <= self.ms:
                self.apply(change)
        self.flights = [flight for flight in self.flights if flight[0] > self.ms]

    def did(self, key: str) -> bool:
        """Whether the books hold this key."""
        return any(change.key == key for change in self.books)

    # -- one process --

    def process(self) -> Process:
        """A new worker with the same store."""
        self.born += 1
        return Process(self, f"w{self.born}")


class Process:
    """One process: its ports, and what of the application around a run it needs."""

    winding_down = ""
    holding = None

    def __init__(self, world: World, me: str) -> None:
        """Alive."""
        self.world, self.me = world, me
        self.face = world.store.face(me)
        any_port: Any = self
        self.ports = Ports(
            store=_Watched(world, self.face), gate=any_port, body=any_port, look=any_port, peers=any_port,
            clock=any_port, tell=any_port, me=me, contracts=world.contracts, secret=world.secret,
        )  # fmt: skip

    # the gate
    async def rule(self, seen: Seen) -> Ruling:
        """Allow, but for as many refusals as the plan has for the tool."""
        self.world.wait("gate.rule")
        assert seen.effect is not None
        left = self.world.refusals.get(seen.effect.tool, 0)
        if left and seen.effect.state is State.PROPOSED:
            self.world.refusals[seen.effect.tool] = left - 1
            return Ruling(answer="refuse", rules=("rule",), reason="the rule says no", policy="p1")
        return Ruling(answer="allow", rules=("rule",), policy="p1")

    async def renew(self, environment: str) -> str:
        """There is one policy."""
        return f"no other policy of {environment}"

    # the door out
    async def send(self, request: Request) -> Any:
        """What the plan has for this sending; a death may come before and after."""
        world = self.world
        world.wait("body.send")
        await world.pass_on(self.me)
        number = world.sendings.get(request.tool, 0)
        world.sendings[request.tool] = number + 1
        said = world.plan.replies.get(request.tool, ())
        reply = said[number] if number < len(said) else "ok"
        change = Change(request.tool, request.args["step"], request.key)
        known = world.did(request.key)
        answer: Any = Ack({"of": request.args["step"], "tool": request.tool})
        if reply == "no" and not known:
            answer = Refusal("the outside says no")
        elif reply == "nothing":
            answer = Doubt("timeout", "no answer")
        elif reply == "late":
            world.flights.append((world.ms + LATE_MS, change))
            answer = Doubt("timeout", "no answer")
        elif reply == "lost":
            world.apply(change)
            answer = Doubt("lost_reply", "it broke off")
        else:
            world.apply(change)
        world.wait("body.sent")
        return answer

    # the read-only companions
    async def state(self, question: Question) -> str:
        """Nothing is asked about."""
        raise AssertionError(question)

    preview = state

    async def probe(self, question: Question) -> Found:
        """What the books say."""
        self.world.wait("look.probe")
        self.world.land()
        return Happened({"of": question.args["step"]}) if self.world.did(question.key) else Absent()

    async def verify(self, question: Question) -> Checked:
        """What the books say, unless the plan has it differ."""
        self.world.wait("look.verify")
        self.world.land()
        if question.tool in self.world.plan.differs:
            return Differs("it reads otherwise")
        return Holds() if self.world.did(question.key) else CannotTell("not to be seen")

    async def undo_of(self, view: Effect) -> hf.Call:
        """The call that offsets a step."""
        self.world.wait("look.undo")
        if not self.world.contracts[view.tool].has_undo:
            raise BadContract(tool=view.tool, missing=("undo",), problems=())
        return hf.Call("cancel", {"step": view.args["step"]})

    # peers, clock, tell
    async def dead(self, holder: str) -> bool:
        """Whether that worker died."""
        return holder in self.world.dead

    async def until(self, at_ms: int) -> None:
        """Time goes there."""
        self.world.wait("clock.until")
        self.world.ms = max(self.world.ms, at_ms)
        self.world.land()

    async def tell(self, view: Effect) -> None:
        """Somebody is told."""
        self.world.wait(f"tell {view.state.value}")

    # the application around a run
    @property
    def papers(self) -> MemoryFace:
        """The store's documents."""
        return self.face

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """The arguments as they are; one resource a step."""
        return dict(args), f"{tool}:{args['step']}", None

    def cards(self, *grants: str) -> tuple[Card, ...]:
        """No planner is here."""
        raise AssertionError(grants)

    async def noted(self, run: str, after: int) -> list[Noted]:
        """No planner is here."""
        raise AssertionError((run, after))

    def in_the_way(self, run: Run) -> InTheWay:
        """A halt."""
        return in_the_way(self.face, run)

    def owed(self, run: str) -> Stop | None:
        """No planner is here."""
        raise AssertionError(run)

    def requests(self, run: str) -> dict[str, Approval]:
        """Nobody is asked."""
        return {a.id: a for a in self.face.books.approvals.values() if a.run == run}

    async def narrow(self, run: Run, above: tuple[str, ...], unit: str, less: dict[str, Any]) -> str:
        """No grants are here."""
        raise AssertionError((run, above, unit, less))

    @contextlib.contextmanager
    def driving(self, effect: str) -> Iterator[None]:
        """Nobody waits for it."""
        yield

    # what a program does

    async def run(self) -> RunHandle:
        """The open run of the one purpose; the recorded one where it has ended."""
        intent = Intent(goal="a trip", purpose="trip-1", principal="agent")
        store: Any = self.ports.store
        known = [run for run in self.face.books.runs.values() if run.purpose == "trip-1"]
        row = (
            known[0]
            if known
            else await begin(store, self.world.secret, intent, tenant="main", environment="prod", by=self.me)
        )
        return RunHandle(self, row)  # type: ignore[arg-type]

    async def saga(self) -> hf.SagaReport:
        """Begin the saga, or go on with it."""
        run = await self.run()
        return await run.saga("trip", steps(self.world.plan), owner=OWNER, patience="2h")


class _Watched:
    """A store port each of whose calls is a wait."""

    def __init__(self, world: World, face: MemoryFace) -> None:
        self._world, self._face = world, face

    def __getattr__(self, name: str) -> Any:
        """The face's own, after and before a wait."""
        method: Callable[..., Any] = getattr(self._face, name)
        world = self._world

        async def call(*given: Any) -> Any:
            world.wait(f"store.{name}")
            await world.pass_on(self._face.worker)
            answer = await method(*given)
            if name in ("commit", "flush"):
                world.wait(f"store.{name} done")
            return answer

        return call


def steps(plan: Plan) -> list[Step]:
    """A seat, a room made from it, a payment, a mail: the boundary is the payment unless the plan says otherwise."""
    made = {
        "seat": hf.Call("seat", {"step": "seat"}),
        "room": lambda done: hf.Call("room", {"step": "room", "after": done["seat"]["of"]}),
        "pay": hf.Call("pay", {"step": "pay", "of": {"$result": "room.of"}}),
        "mail": hf.Call("mail", {"step": "mail"}),
    }
    undo = {"seat": hf.Call("cancel", {"step": {"$result": "seat.of"}})}
    return [
        Step(
            name,
            made[name],
            kind="compensable" if name in STEPS[:2] else "irreversible",
            undo=undo.get(name),
            tell=TELL[name],
            boundary=at == plan.boundary,
            undo_tries=2,
        )
        for at, name in enumerate(STEPS)
    ]


class Word(NamedTuple):
    """What a person says, and who they are."""

    who: str = "ann"
    vouched_by: str = "test"
    reason: str = "looked at it"


ROUNDS = 40


def play(plan: Plan, *, before: Callable[[World], None] = lambda _: None) -> World:
    """Start the program until its saga has ended, as a person starts it again after each death and each held rest."""
    world = World(plan)
    before(world)
    for _ in range(ROUNDS):
        process = world.process()
        try:
            report = asyncio.run(process.saga())
        except Died:
            world.store.crash(process.me)
            world.dead.add(process.me)
            continue
        world.reports.append(report)
        if report.ended and not _tried_anew(world, process):
            return world
        _somebody_moves(world, process, report)
        world.store.flush()
        world.dead.add(process.me)  # the program ends here; another process goes on
    raise AssertionError(f"it never ends: {world.reports[-1:]}")


def _tried_anew(world: World, process: Process) -> bool:
    """Whether a person had what needs them tried anew."""
    saga = saga_of(world)
    if saga.state != "partly compensated" or world.retried >= world.plan.retries:
        return False
    world.retried += 1
    try:
        words.retry(process.face, saga.id, Word())
    except SagaNotAtHand:
        return False
    return True


def play_at_once(plan: Plan, seed: int) -> World:
    """Two processes carry the saga at the same time, then one after the other until it has ended."""
    world = World(plan)
    world.turns = random.Random(seed)
    world.stuck = {"w2": (world.turns.randrange(1, 90), world.turns.randrange(20, 400))}

    async def both() -> None:
        first, second = world.process(), world.process()
        await first.run()
        world.store.flush()
        await asyncio.gather(first.saga(), second.saga())

    asyncio.run(both())
    world.store.flush()
    world.turns = None
    for _ in range(ROUNDS):
        process = world.process()
        report = asyncio.run(process.saga())
        if report.ended:
            return world
        _somebody_moves(world, process, report)
        world.store.flush()
    raise AssertionError("it never ends")


def _somebody_moves(world: World, process: Process, report: hf.SagaReport) -> None:
    """A person attests what the books say or gives it up; what is unconfirmed is taken for done, or turned back."""
    face = process.face
    saga = report.record
    assert saga is not None
    for view in face.books.effects.values():
        if view.state is State.UNKNOWN and view.escalated:
            if world.plan.person == "abandon":
                people.abandon(face, view.id, who="ann", reason="nobody can say")
            else:
                world.ms += LATE_MS  # they wait until it must have landed, and look
                world.land()
                value = {"of": view.args["step"]} if world.did(view.key) else None
                people.attest(
                    face, view.id, who="ann", happened=world.did(view.key), reason="asked the outside", value=value
                )
            return
    back = saga.turned >= 0
    for view in face.books.effects.values():
        if view.state is State.UNCONFIRMED:
            step = next(s for s in saga.steps if view.id in (s.effect, s.offset_effect))
            if world.plan.person == "abandon" and not back and step.name in STEPS[: world.plan.boundary]:
                words.turn_back(face, saga.id, Word())
            elif not (step.taken or step.let_be) and not (back and view.id == step.effect):
                words.accept(face, saga.id, Word(), step.name)
    world.ms += 1_000


# ------------------------------------------------------------------------------------------------------ the judge


def saga_of(world: World) -> Saga:
    """The saga as it is on disk."""
    (found,) = [d for d in world.store.durable.documents.values() if isinstance(d, Saga)]
    return found


def standing(world: World) -> list[str]:
    """What stands outside by its own books: done and not cancelled."""
    world.ms += 10 * LATE_MS
    world.land()
    done = [change.step for change in world.books if change.tool != "cancel"]
    gone = [change.step for change in world.books if change.tool == "cancel"]
    return [step for step in done if step not in gone]


def judge(world: World) -> None:
    """The books and the record agree, whatever happened."""
    saga, stands = saga_of(world), standing(world)
    changes = [(change.tool, change.step) for change in world.books]
    assert len(changes) == len(set(changes)), f"done twice: {changes}"
    done = [step for tool, step in changes if tool != "cancel"]
    gone = [step for tool, step in changes if tool == "cancel"]
    assert done == [step for step in STEPS if step in done], f"out of order: {changes}"
    for at, (tool, step) in enumerate(changes):
        assert tool != "cancel" or step in {s for t, s in changes[:at] if t != "cancel"}, f"offset blindly: {changes}"
    assert gone == [step for step in reversed(done) if step in gone], f"offset out of order: {changes}"
    kept = {step.name for step in saga.steps if step.let_be}
    last = saga.turned if saga.turned >= 0 else len(STEPS)
    if saga.state == "completed":
        by_hand = {step.name for step in saga.steps if step.taken}
        assert set(STEPS) - set(stands) <= by_hand
    elif saga.state == "compensated":
        assert stands == []
    else:
        assert saga.state == "partly compensated"
        assert saga.owner
        named = _named_rest(world, saga)
        given_up = {s.name for s in saga.steps if _state(world, s.effect) == "abandoned"}
        offset_up = {s.name for s in saga.steps if _state(world, s.offset_effect) == "abandoned"}
        assert set(stands) <= named, f"{stands} stand outside, {named} are named"
        assert named - set(stands) <= given_up | offset_up | kept
    _told(saga, last)
    assert saga.reached
    entries = [e for e in world.store.durable.entries if e.kind == "saga"]
    assert b'"reached"' in (entries[-1].body or b"")


def _named_rest(world: World, saga: Saga) -> set[str]:
    present = {e: v for s in saga.steps for e in (s.effect, s.offset_effect) if e and (v := _last(world, e))}
    return set(sagas.left(saga, present))


def _last(world: World, effect: str) -> Effect | None:
    view = world.store.durable.effects.get(effect)
    while view is not None and view.successor:
        view = world.store.durable.effects.get(view.successor)
    return view


def _state(world: World, effect: str) -> str:
    view = _last(world, effect)
    return view.state.value if view is not None else ""


def _told(saga: Saga, last: int) -> None:
    """After a failure the owner and everybody of the steps that were tried know how it ended; of a doubt, who must."""
    told = {str(one["who"]) for one in saga.told}
    if saga.state != "completed":
        tried: Sequence[str] = [step.name for step in saga.steps if step.tried]
        assert {OWNER, *(who for name in tried for who in TELL[name])} <= told
    for step in saga.steps:
        if step.tried > 1:
            assert set(step.tell) <= told
