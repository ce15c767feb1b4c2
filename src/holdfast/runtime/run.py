"""A run as its user holds it: see, call, drive, stop.

Promises: a call is checked before it is recorded, recorded before it is decided, and what comes back is on disk. The
planner's answers are recorded before they are acted on. After a stop nothing is dispatched under this run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from holdfast.effect.admit import Proposal, propose
from holdfast.effect.observe import observe
from holdfast.gate.schema import RISKS
from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.answers import Doubt
from holdfast.kernel.errors import BadValue, NotAllowedNow, ReasonMissing, RunLost, RunStopped
from holdfast.kernel.guard import Rejected
from holdfast.kernel.life import LEGAL
from holdfast.kernel.model import Effect, Run, State
from holdfast.kernel.outcomes import Deferred, Outcome, Stopped, Unknown, Waiting, outcome_of
from holdfast.kernel.ports import Ports, Sent
from holdfast.runtime import deadlines, items
from holdfast.runtime.drive import Rest, pursue
from holdfast.runtime.ending import lost_to, stop_now
from holdfast.runtime.planner import Planner
from holdfast.runtime.resume import Resumption
from holdfast.runtime.saga import Saga, SagaReport, Step, carry_on
from holdfast.runtime.stops import TOLERANCE, Tolerance
from holdfast.runtime.turns import PATIENCE, Patience, Report, Turns
from holdfast.runtime.turns import Desk as TurnsDesk
from holdfast.runtime.view import Noted
from holdfast.runtime.worker.holding import Holding

__all__ = ["Call", "Desk", "Item", "Report", "RunHandle"]

PATIENCE_MS = 10_000
"""How long a call stays with an effect whose outcome is in doubt before it answers Unknown (added to its timeout)."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something the planner saw, as the ledger names it."""

    id: str
    source: str
    kind: str
    digest: str


class Call(Protocol):
    """A tool and its arguments, as the tools layer builds them."""

    @property
    def tool(self) -> str: ...
    @property
    def args(self) -> dict[str, Any]: ...


class Desk(TurnsDesk, Protocol):
    """What a run needs of the application around it."""

    @property
    def ports(self) -> Ports:
        """The wired ports."""
        ...

    @property
    def holding(self) -> Holding | None:
        """The queued runs that this process holds; None where nothing is ever claimed."""
        ...

    async def undo_of(self, view: Effect) -> Call:
        """The call that offsets a committed effect, as its tool says; raises UsageError where it has none."""
        ...

    async def narrow(self, run: Run, above: tuple[str, ...], unit: str, less: dict[str, Any]) -> str:
        """The grant of a unit of work under these, recorded now if it is new."""
        ...

    def driving(self, effect: str) -> contextlib.AbstractContextManager[None]:
        """Held while a call is carried, so that a stop can wait for it."""
        ...

    @property
    def winding_down(self) -> str:
        """Why no new call is taken; empty while calls are taken."""
        ...


class RunHandle:
    """One open run. Made by ``app.begin``."""

    def __init__(self, desk: Desk, run: Run, narrowed: tuple[str, ...] = ()) -> None:
        """Bind a recorded run to the application that drives it; ``narrowed`` are grants beside the run's own."""
        self._desk = desk
        self.record = run
        self._narrowed = narrowed
        self.shown: dict[str, tuple[Noted, Any]] = {}
        self.resumption: Resumption | None = None
        """What was found when this run was gone on with, if it was; None for a run that was begun here."""

    @property
    def _ports(self) -> Ports:
        """The ports that this run is driven through now: under its claim, where this process holds its job."""
        holding = self._desk.holding
        return (holding.ports_of(self.record.id) if holding is not None else None) or self._desk.ports

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.id

    @property
    def grants(self) -> tuple[str, ...]:
        """The grants that calls through this handle come under, root first."""
        return (*self.record.grants, *self._narrowed)

    async def narrowed(self, unit: str, **less: Any) -> RunHandle:
        """This run for one unit of work or sub-agent: every call through it comes under one grant more.

        ``less`` are the facets that it gets (``tools``, ``resources``, ``environments``, ``classes``, ``budget``,
        ``expires``, ``asks``, ``quorum``, ``group``); the others stay as they are here. The same unit of the same run
        is the same grant, with what it has spent. Raises BadValue for more than there is here, NotGranted where what
        is here was revoked or has ended.
        """
        grant = await self._desk.narrow(self.record, self.grants, unit, less)
        return RunHandle(self._desk, self.record, (*self._narrowed, grant))

    async def saw(
        self,
        source: str,
        content: Any,
        *,
        kind: str = "observed",
        fresh_for: str | int | None = None,
        about: str = "",
        rank: int | None = None,
        owner: str = "",
        as_of_ms: int | None = None,
        keep: bool = False,
    ) -> Item:
        """Record an item that the planner sees: its source, kind and digest. The content stays outside the log.

        ``kind``: authoritative, observed, user claim, cached summary, memory (needs ``owner`` and ``fresh_for``) or
        untrusted. ``about`` names what it speaks of: of two items about one thing the higher source counts (``rank``,
        or the order given to ``hf.open``), of one source the newest. ``as_of_ms``: when it was true (default: now).
        With ``keep`` the content is recorded too, so that a run which goes on in another process can still show it.
        Raises BadItem.
        """
        sight = items.Sight(source, content, kind, fresh_for, about, rank, owner, as_of_ms)
        item = items.item_of(self._ports.secret, self.id, sight, self._ports.sources, await self._ports.store.time())
        kept = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
        item, note = await items.record(
            self._ports, item, by=self.record.principal.name, content=kept if keep else None
        )
        name = items.named(item)
        self.shown[name] = (Noted(0, note.kind, item.seen_ms, note.by, note.body), content)
        return Item(id=name, source=source, kind=kind, digest=item.digest)

    async def assume(
        self, says: str, call: Call, *, equals: Any = None, fresh_for: str | int = items.ASSUMED_FOR
    ) -> Item:
        """Read what this run assumes; no change leaves under it unless that is fresh and still so.

        It is read again when it went stale, and when the run is gone on with elsewhere; where it then differs from
        ``equals`` (default: from what it is now) the run stops. Raises RunStopped where it is not so now, and the error
        of the read's outcome where there was nothing to read.
        """
        tool, args = call.tool, self._desk.prepared(call.tool, call.args)[0]
        item = await items.assume(self, self._ports, says, tool, args, equals, fresh_for)
        return Item(id=items.named(item), source=item.source, kind=item.item, digest=item.digest)

    async def broken_assumption(self) -> items.Doubted | None:
        """Read again what is assumed and went stale; the first that does not hold."""
        return await items.broken_assumption(self, self._ports)

    async def call(
        self,
        call: Call,
        *,
        cites: Sequence[Item | str] = (),
        again: str = "",
        patience: str | int | None = None,
        risk: str = "",
    ) -> Outcome:
        """Propose a call and carry it as far as it goes. Raises UsageError for a call that does not fit its contract.

        ``again`` is your reason for a second identical effect; without it a repeat is answered from the first.
        ``patience`` bounds how long this waits for an outcome in doubt (default: the tool's timeout plus 10 s).
        ``risk`` (low, medium, high) is somebody's opinion of the call: rules may be stricter by it, never milder.
        """
        return await self.propose(call.tool, call.args, cites=cites, again=again, patience=patience, risk=risk)

    async def propose(
        self,
        tool: str,
        args: dict[str, Any],
        *,
        cites: Sequence[Item | str] = (),
        again: str = "",
        patience: str | int | None = None,
        parent: str = "",
        by: str = "",
        compensates: str = "",
        purpose: str = "",
        note: str = "",
        risk: str = "",
        untold: list[Effect] | None = None,
    ) -> Outcome:
        """:meth:`call` with the tool's name and its arguments as data.

        With ``untold`` the outcome runs ahead of the disk, for our own planner only: the record is added to that list,
        and whoever gave it flushes and tells before anybody else learns of it.
        """
        if self._desk.winding_down:
            await asyncio.sleep(0)  # a caller that goes on regardless must not keep the loop from ending
            return Stopped(self._desk.winding_down, run=self.id)
        if risk not in ("", *RISKS):
            raise BadValue(path="$.risk", why="it is one of " + ", ".join(RISKS), value_type=type(risk).__name__)
        checked, resource, cost = self._desk.prepared(tool, args)
        names = (c.id if isinstance(c, Item) else c for c in cites)
        rests_on = await items.cited(self._ports.store, self.id, tool, names)
        proposal = Proposal(
            run=self.record,
            tool=tool,
            args=checked,
            resource=resource,
            cost=cost,
            cites=rests_on,
            grants=self._narrowed,
            again=again,
            parent=parent,
            compensates=compensates,
            purpose=purpose,
            note=note,
            by=by or self.record.principal.name,
            risk=risk,
        )
        try:
            effect = await propose(self._ports, proposal)
        except RunStopped as stopped:
            return Stopped(stopped.reason, run=self.id)
        wait_ms = self._ports.contracts[tool].timeout_ms + PATIENCE_MS
        if patience is not None:
            wait_ms = parse_duration(patience, name="patience")
        return await self.carry(effect, wait_ms, untold)

    async def undo(self, effect: str, *, reason: str) -> Outcome:
        """Offset a committed effect with the call its tool names: a new effect of its own, decided and verified.

        When it is committed the first one is *compensated*; nothing is ever called rolled back.
        """
        view = (await self._ports.store.read(effect)).effect
        if view is None or (view.state, State.COMPENSATED) not in LEGAL:
            state = view.state.value if view is not None else "not recorded"
            raise NotAllowedNow(
                effect=effect, state=state, asked="undo", allowed=("committed", "verified", "unconfirmed")
            )
        if not reason.strip():
            raise ReasonMissing(effect=effect, asked="undo")
        if view.archived:
            why = f"its run is archived and takes nothing more; what was done is in {view.archived}"
            raise RunStopped(effect=effect, run=view.run, reason=why)
        call = await self._desk.undo_of(view)
        # Neither the reason nor the asking run is part of what it is: while one undo is in doubt there is no second.
        return await self.propose(
            call.tool,
            dict(call.args),
            again=f"undo {effect}",
            compensates=effect,
            purpose=view.purpose,
            note=reason,
        )

    async def saga(
        self,
        saga: Saga | str,
        steps: Sequence[Step] = (),
        *,
        owner: str = "",
        ends: bool = False,
        patience: str | int | None = None,
    ) -> SagaReport:
        """Carry work in several steps as far as it goes, or on from where it was left, on any machine.

        A name with ``steps``, a :class:`holdfast.Saga`, or the bare name of a recorded one. ``owner`` moves where
        nobody else does; with ``ends`` the run ends with it. While it is carried this process holds the run: raises
        RunHeld where another one does. Raises BadSaga, SagaDiffers, SagaNotAtHand, RunStopped.
        """
        said = Saga(saga, tuple(steps), owner, ends) if isinstance(saga, str) and steps else saga
        return await carry_on(self, self._desk, self._ports, said, patience)

    async def carry(self, effect: str, wait_ms: int, untold: list[Effect] | None = None) -> Outcome:
        """Drive an effect that is recorded as far as it goes within ``wait_ms``, and say what it amounts to."""
        ahead = untold is not None
        until_ms = await self._ports.store.time() + wait_ms
        try:
            with self._desk.driving(effect):
                rest = await pursue(self._ports, effect, until_ms=until_ms, ahead=ahead)
                if rest.effect.state is State.REFUSED and rest.effect.successor:
                    after = await pursue(self._ports, rest.effect.successor, until_ms=until_ms, ahead=ahead)
                    if untold is not None:  # a planner's call is what it came to: it would not ask for it once more
                        untold.append(rest.effect)
                        rest = after
        except asyncio.CancelledError:
            await asyncio.shield(self._gone(effect))
            raise
        if untold is not None:
            untold.append(rest.effect)
        return await self._said(rest)

    async def _gone(self, effect: str) -> None:
        """The caller stopped listening: whether the tool still works is not known, and the record says so."""
        view = (await self._ports.store.read(effect)).effect
        if view is not None and view.state is State.DISPATCHED and view.holder == self._ports.me:
            last = view.attempts[-1]
            reply = Doubt("caller_timeout", "the caller stopped waiting while the tool was at work")
            await observe(self._ports, effect, Sent(token=last.token, attempt=last.number, reply=reply))
            await self._ports.store.flush()

    async def _said(self, rest: Rest) -> Outcome:
        view = rest.effect
        if rest.blocked is not None and view.state in (State.PROPOSED, State.ADMITTED, State.CLAIMED):
            if rest.blocked.until_ms:
                return outcome_of(view)
            return Stopped(rest.blocked.why, view.id, self.id)
        approval = rest.approval if view.state is State.WAITING else None
        outcome = outcome_of(view, approval)
        if isinstance(outcome, Waiting | Deferred):
            return msgspec.structs.replace(outcome, _settle=lambda: self._settled(view.id))
        return outcome

    async def _settled(self, effect: str, look_every_ms: int = 100) -> Outcome:
        """Wait for whoever moves next, looking at the ledger now and then; somebody else may be another process."""
        while True:
            outcome = await self.carry(effect, 0)
            in_flight = isinstance(outcome, Unknown) and outcome.next == "observe"
            if not in_flight and not isinstance(outcome, Waiting | Deferred):
                return outcome
            await self._ports.clock.until(await self._ports.store.time() + look_every_ms)

    async def stop(self, reason: str, *, state: str = "stopped") -> None:
        """End the run: nothing is dispatched under it from here on; what had left is still reconciled."""
        await stop_now(self._ports, self._desk, self.id, reason, by=self.record.principal.name, state=state)

    async def extend(self, deadline: str | int, *, who: str, reason: str) -> int:
        """Set the deadline anew, later or earlier: a span from now ("15m") or milliseconds UTC. Returns it.

        Raises BadValue for an instant that has passed, ReasonMissing, RunStopped for a run that has ended.
        """
        store = self._ports.store
        row, now_ms = await store.run_row(self.id), await store.time()
        change = deadlines.extending(row, self.id, deadline, who, "embedding program", reason, now_ms)
        if isinstance(verdict := await store.commit(change), Rejected):
            raise RunStopped(run=self.id, reason=verdict.why)
        self.record = await store.run_row(self.id) or self.record
        return self.record.deadline_ms or 0

    async def unblock(self, *, who: str, reason: str, effect: str = "") -> None:
        """Say that a stopped run may go on; driving it reopens it. Raises ReasonMissing, RunStopped."""
        row = await self._ports.store.run_row(self.id)
        change = deadlines.unblocking(row, self.id, who, "embedding program", reason, effect)
        if isinstance(verdict := await self._ports.store.commit(change), Rejected):
            raise RunStopped(run=self.id, reason=verdict.why)

    async def resumed(self, effect: str, untold: list[Effect]) -> Outcome:
        """Take up an effect that an earlier process left, as far as it goes within its patience."""
        view = (await self._ports.store.read(effect)).effect
        assert view is not None
        return await self.carry(effect, self._ports.contracts[view.tool].timeout_ms + PATIENCE_MS, untold)

    async def drive(
        self,
        planner: Planner,
        *,
        max_steps: int = 100,
        patience: Patience = PATIENCE,
        tolerance: Tolerance = TOLERANCE,
    ) -> Report:
        """Let a planner propose until it is done, somebody else must move, or a limit of the run is reached.

        A recorded answer that was not carried out to its end is finished first. ``patience`` bounds how often one step
        asks for an answer; ``tolerance`` how often something may repeat, come to nothing or leave the scope before the
        run is stopped for it. ``report.stop`` says on which ground it was stopped, and what it left. Where the run is
        queued its job is claimed for this drive: raises RunHeld while another worker that is there has it.
        """
        holding = self._desk.holding
        if holding is None:
            return await Turns(self, self._desk, self._ports, planner, patience, tolerance).drive(max_steps)
        async with holding.driving(self.id) as claimed:
            turns = Turns(self, self._desk, self._ports, planner, patience, tolerance)
            try:
                claimed.report = await turns.drive(max_steps)
            except RunLost as lost:  # nothing of it is recorded or asked any more
                claimed.report = await lost_to(self._ports, lost, turns.outcomes)
        return claimed.report
