"""The composition root: the only place that picks concrete parts and puts them behind the ports.

``hf.open(url, tools=…, policy=…)`` gives an application: a store, a gate, a registry, the door out, and a recoverer
that takes up whatever a dead or stopped worker left open. Promises that every part is closed again, that what was
told is on disk, and that a policy or contract that is not the one last in force in this store is recorded as such.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from holdfast import sealing
from holdfast.blocking import BlockingApp
from holdfast.desk import Desk
from holdfast.effect.observe import observe
from holdfast.gate import Judge, PolicySet
from holdfast.gate.granted import Granted
from holdfast.gate.rulings import Rulings
from holdfast.kernel.answers import Reply
from holdfast.kernel.errors import BadConfig, NotOpen
from holdfast.kernel.limits import Limits
from holdfast.kernel.model import DEFAULT_TENANT, Contract, Effect
from holdfast.kernel.ports import Ports, Request, Sent, WatchPort
from holdfast.runtime import review
from holdfast.runtime.announce import Announcer, Silent, hook_of
from holdfast.runtime.begin import Intent, Place, begin
from holdfast.runtime.clock import WallClock
from holdfast.runtime.in_force import put_in_force
from holdfast.runtime.peers import Peers, my_name
from holdfast.runtime.policies import Reloaded, Shelf, reload
from holdfast.runtime.recover import Recoverer
from holdfast.runtime.room import Room
from holdfast.runtime.run import RunHandle
from holdfast.runtime.sealer import Evidence, Sealer
from holdfast.runtime.submit import How, Submitted, submit
from holdfast.runtime.worker.heart import Heart
from holdfast.runtime.worker.holding import Holding
from holdfast.runtime.worker.shift import PlannerFactory, Shift, Terms, Worked, checked, factories
from holdfast.store import Store, open_store
from holdfast.tools.body import Bodies
from holdfast.tools.code import code_of
from holdfast.tools.define import Tool
from holdfast.tools.look import Looks
from holdfast.tools.registry import Registry

CLOSE_GRACE_S = 10.0
"""How long closing waits for attempts under way before it leaves them to recovery."""


class App(Desk):
    """One open application over one store. Use ``async with hf.open(...) as app``; see :func:`open_app`."""

    def __init__(
        self,
        url: str,
        *,
        tools: Iterable[Tool[..., Any]] = (),
        policy: str | Path | None = None,
        environment: str = "dev",
        tenant: str = DEFAULT_TENANT,
        sources: Sequence[str] = (),
        limits: Limits | None = None,
        recover: bool = True,
        handle_signals: bool = False,
        accept_contracts: bool = False,
        announce: str | None = None,
        telemetry: WatchPort | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """Check tools and policy; nothing is opened yet."""
        registry = Registry(tools)
        self._policy_source = policy
        super().__init__(url, registry, self._rules(policy, registry.contracts.values()))
        self.environment = environment
        self.tenant = tenant
        self.sources = tuple(sources)
        self.limits = limits
        self._wants_recovery = recover
        self._wants_signals = handle_signals
        self.accepts_contracts = accept_contracts
        self._recoverer: Recoverer | None = None
        self._bodies: Bodies | None = None
        self._busy: set[asyncio.Task[Any]] = set()
        self._main: asyncio.Task[Any] | None = None
        self._hook = hook_of(announce) if announce is not None else None
        self._announcer: Announcer | None = None
        self._code_at_work: dict[str, str] | None = None
        self._telemetry = telemetry
        self._me = my_name()
        self._sealer = Sealer(self.address, evidence, my_name()) if evidence is not None else None

    # -- opening and closing --

    async def __aenter__(self) -> Self:
        """Open the store, wire the ports, record what is in force, and start recovery."""
        store = self._opened()
        self._store = store
        try:
            await self._wire(store)
        except BaseException:
            await store.close()
            self._store = None
            raise
        return self

    def _rules(self, policy: str | Path | None, contracts: Iterable[Contract]) -> PolicySet:
        return PolicySet.load(policy, contracts) if policy is not None else PolicySet.starter(contracts)

    def _opened(self) -> Store:
        return open_store(self.address)

    def _around(self, ports: Ports) -> Ports:
        """The ports as they are wired; a harness puts its own parts around them."""
        return ports

    async def _wire(self, store: Store) -> None:
        me = self._me
        self._bodies = Bodies(self.registry, clock_ms=store.now_ms, child=self._child, on_late=self._on_late)
        self._looks = Looks(self.registry)
        if self._hook is not None:
            self._announcer = Announcer(store, self._hook, me)
        self._ports = Ports(
            store=store,
            gate=Granted(
                Rulings(
                    Judge(self.policy, self.registry.contracts.values()),
                    self.registry.contracts,
                    store.secret,
                    proved={name: f.value for name in self.registry if (f := store.fact(f"proved:{name}")) is not None},
                    policies=Shelf(store, self.registry.contracts, self._taken_up),
                )
            ),
            body=self._bodies,
            look=self._looks,
            peers=Peers(),
            clock=WallClock(store.now_ms),
            tell=self._announcer or Silent(),
            me=me,
            contracts=self.registry.contracts,
            secret=store.secret,
            sources=self.sources,
            room=Room(store, self.limits) if self.limits is not None else None,
        )
        self._ports = self._around(self._ports)
        await put_in_force(store, self.environment, self.policy, self.limits, me)
        contracts = self.registry.contracts.values()
        unreviewed = review.take_in(store, contracts, by=me, accept=self.accepts_contracts)
        if unreviewed:
            gate = review.Unreviewed(self._ports.gate, store, unreviewed)
            self._ports, self._stays_out = replace(self._ports, gate=gate), gate.stays_out
        if self._telemetry is not None:
            self._ports = self._telemetry.watch(self._ports, self._bodies, store)
        self.holding = Holding(lambda: self.ports, store, Heart(store, me), self._lacks)
        self._recoverer = Recoverer(self._ports, store, self._carried.__contains__, self.holding)
        if self._wants_recovery:
            self._recoverer.start()
        if self._announcer is not None:
            self._announcer.start()
        if self._sealer is not None:
            self._sealer.start()
        if self._wants_signals:
            self._main = asyncio.current_task()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        """Take no new call, let the attempts under way end within a grace, then leave the block with an exit."""
        if not self.winding_down:
            self.winding_down = f"the process was asked to end by {signal.Signals(number).name}"
            self._keep(self._wind_down())

    async def _wind_down(self) -> None:
        end = asyncio.get_running_loop().time() + CLOSE_GRACE_S
        while self._carried and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - bounded, and rare
            await asyncio.sleep(0.01)
        if self._main is not None:
            self._main.cancel()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the callers, and wait for it when closing."""
        task = asyncio.get_running_loop().create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop recovery, let attempts under way end within a grace, flush, and close the store."""
        await self.close()
        if self.winding_down and kind is asyncio.CancelledError:
            raise SystemExit(128 + signal.SIGTERM)

    def __enter__(self) -> BlockingApp:
        """The same application for programs without an event loop: ``with hf.open(...) as app``."""
        self._blocking = BlockingApp(self)
        return self._blocking.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it again."""
        self._blocking.__exit__(kind, error, trace)

    async def close(self) -> None:
        """Close everything; harmless when closed already."""
        if self.holding is not None and self._store is not None:
            await self.holding.close()
        if self._recoverer is not None:
            await self._recoverer.stop(CLOSE_GRACE_S)
        if self._announcer is not None:
            await self._announcer.stop()
        beside = {task for task in self._busy if task is not asyncio.current_task()}
        if beside:
            await asyncio.wait(beside, timeout=CLOSE_GRACE_S)
        if self._wants_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        store, self._store = self._store, None
        self._ports = None
        try:
            if store is not None:
                await store.close()
        finally:
            if self._sealer is not None:
                await self._sealer.stop()  # after it, so that what closing put on disk is sealed
        if store is not None and self._telemetry is not None:
            await self._telemetry.close()
        for part in (self._bodies, self._looks):
            if part is not None:
                part.close()

    # -- what a user calls --

    async def submit(self, intent: Intent, **how: Unpack[How]) -> Submitted:
        """Ask for a run that a worker drives: accept, shape, schedule, degrade or refuse (:mod:`runtime.submit`)."""
        return await submit(self, intent, **how)

    async def begin(self, intent: Intent, *, under: RunHandle | None = None, place: Place | None = None) -> RunHandle:
        """The open run of an intent; a known purpose gives back the recorded one, on any machine.

        With ``under`` it is a unit of that run's work: same purpose, under its grants, no wider in anything.
        """
        grants, check = await self.terms(intent, under)
        run = await begin(
            self.ports.store,
            self.ports.secret,
            intent,
            tenant=self.tenant,
            environment=self.environment,
            by=self.ports.me,
            grants=grants,
            under=under.record if under is not None else None,
            check=check,
            place=place,
            code=self._code(),
        )
        return await self._handed(RunHandle(self, run))

    def _code(self) -> dict[str, str]:
        """Which code is at work here; read once, when the first run is begun."""
        if self._code_at_work is None:
            self._code_at_work = code_of(self.registry)
        return self._code_at_work

    async def resume(self, run: str) -> RunHandle:
        """A recorded run by its id or a unique beginning of it."""
        row = await self.store.run_row(self.store.find(run))
        if row is None:
            raise NotOpen(what=f"Run {run}")
        return await self._handed(RunHandle(self, row), asked=True)

    async def reload_policy(
        self, policy: str | Path | None = None, *, in_flight: str = "move", who: str, reason: str
    ) -> Reloaded:
        """Put a policy in force without a restart: this one, or what was opened with, read again.

        Runs in flight ``"move"`` to it or ``"keep"`` theirs; every process of the store takes it up at its next
        dispatch. Raises BadPolicy for one that does not fit, and then nothing has changed.
        """
        source = self._policy_source if policy is None else policy
        contracts = self.registry.contracts.values()
        rules = PolicySet.load(source, contracts) if source is not None else PolicySet.starter(contracts)
        await self.store.flush()
        done = reload(self.store, rules, environment=self.environment, who=who, reason=reason, in_flight=in_flight)
        self._policy_source = source
        await self.ports.gate.renew(self.environment)
        return done

    def _taken_up(self, policy: PolicySet) -> None:
        self.policy = policy

    async def work(self, planners: Mapping[str, PlannerFactory] | PlannerFactory, **terms: Any) -> Worked:
        """Claim queued runs and drive them, until this task is cancelled or the terms say so.

        ``planners``: one for all jobs, or by the names that jobs have; each is a planner, or makes one of a run.
        ``terms``: ``works``, ``at_once``, ``max_steps``, ``stays`` ("drain", "empty"), ``grace_s``
        (:class:`holdfast.runtime.worker.shift.Terms`). Raises BadValue.
        """
        return await self.shift(planners, **terms).work()

    def shift(self, planners: Mapping[str, PlannerFactory] | PlannerFactory, **terms: Any) -> Shift:
        """As :meth:`work`, in one's own hands: ``await shift.work()``, and ``shift.drain(why)`` from elsewhere."""
        named = factories(planners)
        return Shift(self, named, checked(Terms(**terms), tuple(named)))

    async def recover(self) -> tuple[Effect, ...]:
        """Take up everything that is due here now, once; returns what is still open afterwards."""
        if self._recoverer is None:
            raise NotOpen(what=f"The application on {self.url}")
        return await self._recoverer.round()

    def seal(self, profile: str = "embedded", *, planner_user: str = "") -> tuple[str, ...]:
        """Refuse production with anything incomplete, or in another profile than the one found; record who sealed.

        ``separated`` needs the operating-system user that planners run as. Returns what should be known and does not
        stand in the way. Raises SealRefused naming every problem.
        """
        return sealing.seal(
            sealing.Sealed(
                store=self.store,
                file=self.address.path,
                contracts=self.registry.contracts,
                policy=self.policy,
                policy_from=self._policy_source,
                accepts_contracts=self.accepts_contracts,
                profile=profile,
                planner_user=planner_user,
            ),
            by=self.ports.me,
        )

    def _on_late(self, request: Request, reply: Reply) -> None:
        """A body that had been given up came back after all: a late yes is evidence."""
        if self._store is not None:
            self._keep(self._keep_late(request, reply))

    async def _keep_late(self, request: Request, reply: Reply) -> None:
        await observe(self.ports, request.effect, Sent(token=request.token, attempt=request.attempt, reply=reply))
        await self.store.flush()


def open_app(
    url: str,
    *,
    tools: Iterable[Tool[..., Any]] = (),
    policy: str | Path | None = None,
    environment: str = "dev",
    tenant: str = DEFAULT_TENANT,
    sources: Sequence[str] = (),
    limits: Limits | None = None,
    recover: bool = True,
    handle_signals: bool = False,
    accept_contracts: bool = False,
    announce: str | None = None,
    telemetry: WatchPort | None = None,
    evidence: Evidence | None = None,
) -> App:
    """An application over a store: ``async with hf.open("sqlite:holdfast.db", tools=[refund]) as app``.

    ``url`` is ``sqlite:PATH`` or ``postgresql://…`` (:mod:`holdfast.store.address`); ``policy`` a Cedar file, a
    directory of them, or policy text (default: the starter policy: reads pass, changes ask). ``environment`` is
    part of every key. ``sources`` are where items come from, the one that counts most first; ``limits`` bound how much
    there may be at a time. With ``handle_signals`` SIGTERM and SIGINT let the calls under way end within a grace and
    then leave the block with exit code 143.
    ``announce`` is a webhook that is told of requests (:mod:`holdfast.runtime.announce`); ``telemetry`` looks on and
    exports spans (:class:`holdfast.Telemetry`). ``evidence`` says how the log is sealed beside the work, and who is
    told (:class:`holdfast.Evidence`).
    ``accept_contracts`` puts changed contracts in force without a review: for tests and notebooks, never sealed.
    Raises BadContract, BadPolicy or an IntegrityError.
    """
    place: object = url
    if not isinstance(place, str) or ":" not in place:
        raise BadConfig(
            file="hf.open", key="url", nearest="sqlite:holdfast.db", why="a store needs a scheme and a place"
        )
    return App(
        url,
        tools=tools,
        policy=policy,
        environment=environment,
        tenant=tenant,
        sources=sources,
        limits=limits,
        recover=recover,
        handle_signals=handle_signals,
        accept_contracts=accept_contracts,
        announce=announce,
        telemetry=telemetry,
        evidence=evidence,
    )
