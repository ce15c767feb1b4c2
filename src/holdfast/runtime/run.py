"""A run as its user holds it: see, call, drive, stop.

Promises: a call is checked before it is recorded, recorded before it is decided, and what comes back is on disk. The
planner's answers are recorded before they are acted on. After a stop nothing is dispatched under this run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from holdfast.effect.admit import Proposal, propose
from holdfast.effect.observe import observe
from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.answers import Doubt
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import HoldfastError, NotAllowedNow, ReasonMissing, RunStopped
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.life import LEGAL
from holdfast.kernel.model import Effect, Run, State
from holdfast.kernel.outcomes import Deferred, Outcome, Refused, Stopped, Unknown, Waiting, outcome_of
from holdfast.kernel.ports import Ports, Sent
from holdfast.runtime.drive import Rest, pursue
from holdfast.runtime.planner import Answer, Planner, Proposed, Told, View

PATIENCE_MS = 10_000
"""How long a call stays with an effect whose outcome is in doubt before it answers Unknown (added to its timeout)."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something the planner saw, as the ledger names it."""

    id: str
    source: str
    kind: str
    digest: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a driven run came to rest: done, waiting or blocked, why, and every outcome in order.

    ``says`` is the planner's own last message and nobody has checked it.
    """

    run: str
    state: str
    reason: str
    says: str = ""
    steps: int = 0
    outcomes: tuple[Outcome, ...] = ()


class Call(Protocol):
    """A tool and its arguments, as the tools layer builds them."""

    @property
    def tool(self) -> str: ...
    @property
    def args(self) -> dict[str, Any]: ...


class Desk(Protocol):
    """What a run needs of the application around it."""

    @property
    def ports(self) -> Ports:
        """The wired ports."""
        ...

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        ...

    def tool_names(self) -> tuple[str, ...]:
        """The tools that a planner may name."""
        ...

    async def undo_of(self, view: Effect) -> Call:
        """The call that offsets a committed effect, as its tool says; raises UsageError where it has none."""
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

    def __init__(self, desk: Desk, run: Run) -> None:
        """Bind a recorded run to the application that drives it."""
        self._desk = desk
        self._ports = desk.ports
        self.record = run
        self._untold: list[Effect] = []  # what a driven planner has seen and nobody else may see yet

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.id

    async def saw(self, source: str, content: Any, *, kind: str = "observed", fresh_for: str | None = None) -> Item:
        """Record an item that the planner sees: its source, kind and digest (the content stays outside the log)."""
        data = content if isinstance(content, bytes) else msgspec.json.encode(content)
        digest = hashlib.sha256(data).hexdigest()
        item = Item(id=f"it_{digest[:20]}", source=source, kind=kind, digest=digest)
        body: dict[str, Any] = {"item": item.id, "source": source, "kind": kind, "digest": digest}
        if fresh_for is not None:
            body["fresh_for_ms"] = parse_duration(fresh_for, name="fresh_for")
        await self._ports.store.later(
            Change(run=self.id, notes=(Note(kind="item", by=self.record.principal.name, body=body),))
        )
        return item

    async def call(
        self, call: Call, *, cites: Sequence[Item | str] = (), again: str = "", patience: str | int | None = None
    ) -> Outcome:
        """Propose a call and carry it as far as it goes. Raises UsageError for a call that does not fit its contract.

        ``again`` is your reason for a second identical effect; without it a repeat is answered from the first.
        ``patience`` bounds how long this waits for an outcome in doubt (default: the tool's timeout plus 10 s).
        """
        return await self.propose(call.tool, call.args, cites=cites, again=again, patience=patience)

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
        untold: list[Effect] | None = None,
    ) -> Outcome:
        """:meth:`call` with the tool's name and its arguments as data.

        With ``untold`` the outcome runs ahead of the disk, for our own planner only: the record is added to that list,
        and whoever gave it flushes and tells before anybody else learns of it.
        """
        if self._desk.winding_down:
            await asyncio.sleep(0)  # a caller that goes on regardless must not keep the loop from ending
            return Stopped(self._desk.winding_down, run=self.id)
        checked, resource, cost = self._desk.prepared(tool, args)
        proposal = Proposal(
            run=self.record,
            tool=tool,
            args=checked,
            resource=resource,
            cost=cost,
            cites=tuple(c.id if isinstance(c, Item) else c for c in cites),
            again=again,
            parent=parent,
            compensates=compensates,
            by=by or self.record.principal.name,
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
        call = await self._desk.undo_of(view)
        return await self.propose(call.tool, dict(call.args), again=f"undo {effect}: {reason}", compensates=effect)

    async def carry(self, effect: str, wait_ms: int, untold: list[Effect] | None = None) -> Outcome:
        """Drive an effect that is recorded as far as it goes within ``wait_ms``, and say what it amounts to."""
        ahead = untold is not None
        until_ms = await self._ports.store.time() + wait_ms
        try:
            with self._desk.driving(effect):
                rest = await pursue(self._ports, effect, until_ms=until_ms, ahead=ahead)
                if rest.effect.state is State.REFUSED and rest.effect.successor:
                    await pursue(self._ports, rest.effect.successor, until_ms=until_ms)
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
        if isinstance(outcome, Waiting):
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
        change = Change(
            run=self.id,
            guard=Guard(run_open=self.id),
            notes=(Note(kind=state, by=self.record.principal.name, body={"reason": reason}),),
            ends=(state, reason),
        )
        await self._ports.store.commit(change)

    async def drive(self, planner: Planner, *, max_steps: int = 100) -> Report:
        """Let a planner propose until it is done, somebody else must move, or a limit of the run is reached."""
        outcomes: list[Outcome] = []
        told: list[Told] = []
        for _ in range(max_steps):
            view = await self._view(told)
            if view is None or view.steps_left == 0 or (view.time_left_ms is not None and view.time_left_ms <= 0):
                return await self._rest("blocked", "the run's steps or time are spent, or it is stopped", "", outcomes)
            answer = await planner.propose(view)
            await self._record_answer(answer)
            if answer.done or not answer.calls:
                return await self._finish(answer, outcomes)
            for proposed in answer.calls:
                outcome = await self._try(proposed)
                outcomes.append(outcome)
                told.append(_told(proposed, outcome))
                if isinstance(outcome, Unknown) and not self._ports.contracts[proposed.tool].independent:
                    return await self._rest("blocked", f"{outcome.effect} is unknown: {outcome.cause}", "", outcomes)
                if isinstance(outcome, Waiting):
                    return await self._rest("waiting", f"{outcome.effect} waits for {outcome.for_what}", "", outcomes)
                if isinstance(outcome, Stopped):
                    return await self._rest("blocked", outcome.reason, "", outcomes)
        return await self._rest("blocked", f"{max_steps} steps were taken without an end", "", outcomes)

    async def _view(self, told: list[Told]) -> View | None:
        run = await self._ports.store.run_row(self.id)
        if run is None or run.state != "open":
            return None
        now_ms = await self._ports.store.time()
        limit, used = run.budget, run.spent
        return View(
            goal=run.goal,
            purpose=run.purpose,
            step=run.steps,
            tools=self._desk.tool_names(),
            told=tuple(told),
            steps_left=None if limit.steps is None else max(0, limit.steps - run.steps),
            effects_left=None if limit.effects is None else max(0, limit.effects - used.effects),
            time_left_ms=None if run.deadline_ms is None else run.deadline_ms - now_ms,
        )

    async def _record_answer(self, answer: Answer) -> None:
        body: dict[str, Any] = {"says": answer.says} if answer.says else {}
        if answer.done:
            body["done"] = True
        if answer.calls:
            body["calls"] = [msgspec.to_builtins(c) for c in answer.calls]
        await self._ports.store.later(Change(run=self.id, notes=(Note(kind="step", by="planner", body=body),)))

    async def _try(self, proposed: Proposed) -> Outcome:
        """A planner's call; one that does not fit is refused with the reason, and recorded as such."""
        try:
            return await self.propose(
                proposed.tool, proposed.args, cites=proposed.cites, by="planner", untold=self._untold
            )
        except HoldfastError as error:
            body = {"tool": proposed.tool, "code": error.code, "reason": str(error)}
            await self._ports.store.later(Change(run=self.id, notes=(Note(kind="unfit", by="planner", body=body),)))
            return Refused(str(error), rules=(error.code,))

    async def _finish(self, answer: Answer, outcomes: list[Outcome]) -> Report:
        """Done is said only if every effect of the run ended as its contract agreed."""
        short = [e for e in await self._ports.store.run_effects(self.id) if not _agreed(e)]
        if not short:
            return await self._rest("done", "every effect ended as agreed", answer.says, outcomes, ends=True)
        first = short[0]
        reason = f"{first.id} is {first.state.value}, not what was agreed; {len(short)} effect(s) in all"
        return await self._rest("blocked", reason, answer.says, outcomes)

    async def _rest(self, state: str, reason: str, says: str, outcomes: list[Outcome], *, ends: bool = False) -> Report:
        body = {"reason": reason, "says": says} if says else {"reason": reason}
        note = Note(kind=state, by="runtime", body=body)
        change = Change(run=self.id, notes=(note,), ends=(state, reason) if ends else None)
        verdict = await self._ports.store.commit(change)
        assert not isinstance(verdict, Rejected)
        # The commit above put every outcome before it on disk: now it may be told.
        untold, self._untold = self._untold, []
        for view in untold:
            await self._ports.tell.tell(view)
        run = await self._ports.store.run_row(self.id)
        return Report(
            run=self.id,
            state=state,
            reason=reason,
            says=says,
            steps=run.steps if run is not None else 0,
            outcomes=tuple(outcomes),
        )


def _agreed(view: Effect) -> bool:
    """Whether an effect ended in a way that a run may call done: verified, or committed with no check owed."""
    if view.state is State.COMMITTED:
        return view.next != "verify" and not view.attested_by
    if view.state in (State.REFUSED, State.FAILED, State.SUPERSEDED):
        return True
    return view.state in (State.VERIFIED, State.COMPENSATED)


def _told(proposed: Proposed, outcome: Outcome) -> Told:
    reason = getattr(outcome, "reason", "") or getattr(outcome, "cause", "") or getattr(outcome, "note", "")
    return Told(
        tool=proposed.tool,
        outcome=type(outcome).__name__.lower(),
        effect=getattr(outcome, "effect", ""),
        value=getattr(outcome, "value", None),
        reason=reason,
    )
