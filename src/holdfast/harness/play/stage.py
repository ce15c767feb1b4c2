"""The stage of one play: the shipped application over one world, a store in memory, and virtual time.

Decides which concrete parts an application in a play has. Promises that application, verbs, gate, turns and people's
decisions are the shipped code; that a worker which was killed does nothing any more, not even clean up; and that its
successor finds what was on disk and nothing else. Does not drive: :mod:`.play` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.app import App
from holdfast.gate import PolicySet
from holdfast.gate.signing import Key
from holdfast.harness.faults.inject import sent_ms
from holdfast.harness.play.loop import VirtualLoop, process
from holdfast.harness.play.watching import Watch, WatchedStore
from holdfast.kernel.errors import BadValue
from holdfast.kernel.ports import Ports
from holdfast.runtime import approvers
from holdfast.store import Store
from holdfast.store.volatile import VolatileStore
from holdfast.tools.running import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from pathlib import Path

    from holdfast.harness.case.case import Case, Person
    from holdfast.harness.faults.inject import Struck
    from holdfast.kernel.commit import Change, Verdict
    from holdfast.kernel.model import Contract

FLUSH_S = 0.003
"""How long the ledger on its file keeps what was recorded *later* in its open transaction, while its worker waits."""

STOLEN_ROUNDS = 3
"""How often a worker that takes over looks for something to do before the first one goes on."""

SECRET = hashlib.sha256(b"an identity secret for plays").digest()
"""Equal plays must give equal keys."""


MOST_KEPT = 256
_RULES: dict[Any, PolicySet] = {}
_CODE: dict[Any, dict[str, str]] = {}
"""What equal plays would find out again: parsed policies by text and contracts, code by the maker of the tools."""


class Killed(BaseException):
    """A program that was killed came to itself in a place that cannot wait; it goes no further."""


def key_of(person: str) -> Key:
    """The signing key of somebody in a play. It guards nothing: equal plays must give equal bytes."""
    seed = hashlib.sha256(b"holdfast play " + person.encode()).digest()
    return Key(person, Ed25519PrivateKey.from_private_bytes(seed))


class Inline(Threads):
    """Plain functions run at once, where they are asked for: no thread, no order that nobody chose."""

    def __init__(self) -> None:
        """Nothing is started."""

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Run it now."""
        future: Future[Any] = Future()
        if future.set_running_or_notify_cancel():
            future.set_result(work())
        return future

    def close(self) -> None:
        """Nothing to end."""


class Worker(App):
    """One process's application on a stage."""

    def __init__(self, stage: Stage, name: str) -> None:
        """Not open yet."""
        case = stage.case
        super().__init__(
            "sqlite:play.db",
            tools=stage.tools(),
            policy=case.policy,
            environment=case.environment,
            sources=case.sources,
            limits=case.limits,
            recover=False,
            accept_contracts=True,
        )
        self.stage = stage
        self._me = name
        self.down = False
        self.full = False
        self.death = asyncio.Event()

    def _rules(self, policy: str | Path | None, contracts: Iterable[Contract]) -> PolicySet:
        known = tuple(contracts)
        key = (policy, tuple(contract.version for contract in known))
        if key not in _RULES:
            if len(_RULES) >= MOST_KEPT:
                _RULES.clear()
            _RULES[key] = super()._rules(policy, known)
        return _RULES[key]

    def _code(self) -> dict[str, str]:
        """Read once for all plays of a case: its source does not change under them."""
        maker: Any = self.stage.case.tools
        if maker not in _CODE:
            if len(_CODE) >= MOST_KEPT:
                _CODE.clear()
            _CODE[maker] = super()._code()
        return _CODE[maker]

    def _opened(self) -> Store:
        return cast("Store", Mortal(self.stage, self))

    def _around(self, ports: Ports) -> Ports:
        stage = self.stage
        if not stage.world.real:
            for part in (self._bodies, self._looks):
                if part is not None:
                    part.threads = Inline()
        if self._bodies is not None:
            self._bodies.clock_ms = stage.sender_ms
        return stage.wrapped(replace(ports, peers=_Peers(stage), clock=_Clock(stage)), self)

    @property
    def door(self) -> Any:
        """The door out, for whoever stands between it and the verbs."""
        return self._bodies

    @property
    def name(self) -> str:
        """The worker's name in the records."""
        return self._me


class Mortal(VolatileStore):
    """The store as one worker has it open: when the worker is down, nothing comes of any call."""

    def __init__(self, stage: Stage, worker: Worker) -> None:
        """Open."""
        super().__init__(stage.store, worker.name)
        self._owner = worker
        self._timer: asyncio.TimerHandle | None = None

    def __getattribute__(self, name: str) -> Any:
        """Whatever is asked of the store of a worker that is down: it never comes back."""
        if name[0] != "_" and object.__getattribute__(self, "_owner").down:
            raise Killed
        return object.__getattribute__(self, name)

    async def commit(self, change: Change) -> Verdict:
        """On disk, with whatever was recorded before."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return await super().commit(change)

    async def later(self, change: Change) -> Verdict:
        """In the open transaction, which is on disk a moment after its worker begins to wait for something else."""
        verdict = await super().later(change)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._due)
        return verdict

    def _due(self) -> None:
        self._timer = None
        if not self._owner.down:
            self.flush_now()


class _Peers:
    """Who is proved dead: whoever went down on this stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def dead(self, holder: str) -> bool:
        return holder in self._stage.dead


class _Clock:
    """Waiting for a store time, in virtual time: as long as it takes, and no longer."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def until(self, at_ms: int) -> None:
        while (left_ms := at_ms - self._stage.store.now_ms()) > 0:  # noqa: ASYNC110  # a store's clock is no event
            await asyncio.sleep(left_ms / 1000)


class Stage:
    """World, store, clock, workers."""

    def __init__(self, case: Case, strikes: Struck, seed: int) -> None:
        """Make the world anew and stand before the first choice."""
        self.case, self.strikes, self.seed = case, strikes, seed
        if case.moved is None and any(fault.kind == "moved" for fault in strikes.faults):
            why = f"the fault moved strikes nothing: case {case.name!r} does not say what another actor does"
            raise BadValue(path="$.moved", why=why, value_type="Case")
        self.world = case.world(seed)
        self.clock = self.world.clock
        self.offset_ms = 0
        self.loop = VirtualLoop(self.clock, touched=self.world.real)
        boot_ms = self.clock.ms
        self.store = WatchedStore(
            lambda: self.clock.ms + self.offset_ms, secret=SECRET, boot=lambda: self.clock.ms - boot_ms
        )
        self.watch = Watch(self.store, self.world)
        self.born = 0
        self.dead: set[str] = set()
        self.worker: Worker | None = None
        self.flights: set[asyncio.Task[Any]] = set()
        self.before = self.world.snapshot() if strikes.looks_back else None

    def tools(self) -> list[Any]:
        """The case's tools over this world."""
        return list(self.case.tools(self.world))

    def wrapped(self, ports: Ports, worker: Worker) -> Ports:
        """The ports of one worker, with everything that can go wrong at them."""
        return self.strikes.around(ports, self, worker)

    def starts(self) -> Worker:
        """One more process."""
        self.born += 1
        self.worker = Worker(self, f"w{self.born}")
        return self.worker

    def sender_ms(self) -> int:
        """The store's time as the sender of a request saw it: one that arrives late left in time."""
        return sent_ms.get(self.store.now_ms())

    def leaves(self) -> None:
        """A request is about to arrive: what the world is now is what a stale read will show."""
        if self.strikes.looks_back:
            self.before = self.world.snapshot()

    @contextlib.contextmanager
    def as_it_was(self) -> Iterator[None]:
        """While the block lasts reads are answered from the world as it was before the last request, if it can."""
        world: Any = self.world
        with world.as_of(self.before) if "as_of" in getattr(world, "can", ()) else contextlib.nullcontext():
            yield

    async def stolen(self, worker: Worker) -> None:
        """This worker stands still past its lease; another one takes over what it held, as far as it goes."""
        longest_ms = max((lease.until_ms for lease in self.store.current.leases.values()), default=0)
        self.clock.ms = max(self.clock.ms, longest_ms - self.offset_ms + 1)
        other = self.starts()
        self.worker = worker

        async def takes_over() -> None:
            await other.__aenter__()
            for _ in range(STOLEN_ROUNDS):
                await other.recover()
            await other.close()

        await self.until_death(other, takes_over())

    async def until_death(self, worker: Worker, work: Coroutine[Any, Any, None]) -> BaseException | None:
        """Let a worker do something until it is done or the worker is killed; what it raised, if it raised."""
        here = contextvars.copy_context()
        here.run(process.set, worker)
        doing = asyncio.get_running_loop().create_task(work, context=here)
        dying = asyncio.ensure_future(worker.death.wait())
        await asyncio.wait((doing, dying), return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        return doing.exception() if doing.done() else None

    def kill(self, worker: Worker) -> None:
        """A process dies where it stands: what it had not put on disk is gone."""
        worker.down = True
        self.dead.add(worker.name)
        self.store.crash(worker.name)
        worker.death.set()

    def register(self, people: tuple[Person, ...]) -> None:
        """Who can be asked in this play; the first of them vouches for the others."""
        desk = VolatileStore(self.store, "stage")
        first = key_of(people[0].name) if people else None
        for person in people:
            key = key_of(person.name)
            signer = first if person is not people[0] else None
            approvers.add(desk, person.name, key.public_key, groups=person.groups, signer=signer)
