"""Carrying a saga: look, decide one act, record it, do it; until it ends, is held, or somebody else moves first.

Promises: what is to be tried is recorded before it is proposed, under the effect that it will be, and a proposal is
recorded only while its saga stands as it was read: whoever goes on, on any machine, meets the same effect and makes no
second one. A move of a saga and the entry that explains it are one commit, and both name the valid state reached and
who was told of it. Nothing that is needed lives in memory, but for the functions of a program that makes calls.

Does not promise an end: what nobody knows yet, or a person has to decide, is held; the same call goes on with it later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.effect.admit import propose
from holdfast.kernel import sagas
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Saga, SagaStep, digest_of
from holdfast.kernel.documents.saga import ENDS
from holdfast.kernel.errors import HoldfastError, IntegrityError, RunStopped
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import BEFORE_DISPATCH, Effect, Run
from holdfast.kernel.outcomes import Outcome, outcome_of
from holdfast.kernel.ports import Ports
from holdfast.kernel.sagas import Act, next_act
from holdfast.runtime.saga import making
from holdfast.runtime.saga.declare import Made
from holdfast.runtime.saga.opening import Papers, SagaReport
from holdfast.runtime.saga.telling import TOLD_LIMIT, told_of
from holdfast.runtime.stops import InTheWay
from holdfast.tools.call import Call

PATIENCE_MS = 10_000
"""How long a step stays with an effect in doubt, beside the timeout of its tool."""


class Handle(Protocol):
    """The run that a saga is of; :class:`holdfast.RunHandle` is one."""

    record: Run

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def grants(self) -> tuple[str, ...]:
        """The grants that its calls come under."""
        ...

    async def carry(self, effect: str, wait_ms: int) -> Outcome:
        """Drive a recorded effect as far as it goes."""
        ...


class Desk(Protocol):
    """What a saga needs of the application around it; :class:`holdfast.desk.Desk` is one."""

    @property
    def papers(self) -> Papers:
        """The store's documents."""
        ...

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        ...

    async def undo_of(self, view: Effect) -> Call:
        """The call that offsets an effect, as its tool says."""
        ...

    def in_the_way(self, run: Run) -> InTheWay:
        """A halt over the run."""
        ...


class Carrying:
    """One carrying of one saga."""

    def __init__(self, run: Handle, desk: Desk, ports: Ports, saga: Saga, made: Made, wait_ms: int | None) -> None:
        """Nothing is done yet."""
        self._run, self._desk, self._ports = run, desk, ports
        self._saga, self._made, self._wait_ms = saga, made, wait_ms
        self._present: dict[str, Effect] = {}

    async def go(self) -> SagaReport:
        """One act after the other, until it ends or rests."""
        before: tuple[Any, ...] = ()
        while True:
            over, stopped = await self._look()
            act = next_act(self._saga, self._present, over=over)
            if act is None:
                return await self._report(self._saga.state, self._saga.why)
            now = (act, self._saga, tuple(view.version for view in self._present.values()))
            if now == before:
                return await self._rests(act)
            before = now
            if stopped and self._sends(act):
                return await self._report("stopped", stopped)
            if act.what == sagas.HOLD:
                await self._hold(act.step, act.why, act.who)
                return await self._report("held", act.why)
            try:
                await self._do(act)
            except making.CannotMake as cannot:
                await self._hold(act.step, cannot.why, "")
                return await self._report("held", cannot.why)

    async def _look(self) -> tuple[str, str]:
        """Read it all again; why its run takes nothing more, and why nothing may be sent now (both empty: it may)."""
        there = self._desk.papers.document("saga", self._saga.id)
        assert isinstance(there, Saga)
        self._saga, self._present = there, {}
        for step in there.steps:
            for effect in (step.effect, step.offset_effect):
                view = await making.last(self._ports, effect) if effect else None
                if view is not None:
                    self._present[effect] = view
        run = await self._ports.store.run_row(self._run.id)
        assert run is not None
        if run.state == "open":
            return "", self._desk.in_the_way(run).halted
        why = f"the run is {run.state}: {run.reason}" if run.reason else f"the run is {run.state}"
        return ("", why) if run.state == "blocked" else (why, "")

    def _sends(self, act: Act) -> bool:
        """Whether an act would put something new on its way."""
        if act.what not in (sagas.CARRY, sagas.CARRY_OFFSET):
            return act.what in (sagas.MAKE, sagas.OFFSET, sagas.TURN)
        view = self._present.get(self._effect(act))
        return view is None or view.state in BEFORE_DISPATCH

    def _effect(self, act: Act) -> str:
        step = self._saga.steps[act.step]
        return step.effect if act.what == sagas.CARRY else step.offset_effect

    async def _do(self, act: Act) -> None:
        """Carry out one act."""
        match act.what:
            case sagas.MAKE:
                await self._make(act)
            case sagas.OFFSET:
                await self._make_offset(act)
            case sagas.CARRY | sagas.CARRY_OFFSET:
                await self._carry(act)
            case sagas.TURN:
                await self._move("turned back", act.step, act.why, state="compensating", turned=act.step, why=act.why)
            case _:
                now_ms = await self._ports.store.time()
                owner = self._owner(act.step) if act.end == "partly compensated" else self._saga.owner
                changes: dict[str, Any] = {"state": act.end, "why": act.why, "since_ms": now_ms, "owner": owner}
                await self._move(act.end, act.step, act.why, **changes)

    # -- what is recorded --

    async def _move(
        self, did: str, number: int, because: str, *, more: Mapping[str, Any] | None = None, **to: Any
    ) -> bool:
        """Replace the saga as it was read, in one commit with the entry that explains it. False: it had moved."""
        before = self._saga
        after = replace(before, held="", **to) if "held" not in to else replace(before, **to)
        told = told_of(after, number, because, self._present, await self._ports.store.time())
        reached = sagas.reached(after, self._present)
        after = replace(after, told=(*after.told, *told)[-TOLD_LIMIT:], reached=reached)
        body: dict[str, Any] = {
            "saga": before.name, "did": did, "state": after.state, "reached": reached, "why": because,
            "step": after.steps[number].name if number >= 0 else "", "held": after.held,
            "owner": after.owner if after.held or after.state == "partly compensated" else "",
            "told": [f"{one['who']}: {one['what']}" for one in told],
        }  # fmt: skip
        body = {name: value for name, value in body.items() if value} | dict(more or {})
        change = Change(
            run=self._run.id,
            guard=Guard(as_read=(("saga", before.id, digest_of(before)),)),
            notes=(Note(kind="saga", by="runtime", body=body),),
            documents=(after,),
        )
        store = self._ports.store
        verdict = await (store.commit(change) if told or after.state in ENDS else store.later(change))
        if isinstance(verdict, Rejected):
            if verdict.part != "document":
                raise RunStopped(run=self._run.id, reason=verdict.why)
            return False
        return True

    def _owner(self, number: int) -> str:
        """Who moves next where no effect says it: the saga's owner, else the first who is told of the step."""
        tell = self._saga.steps[number].tell if number >= 0 else ()
        return self._saga.owner or next(iter(tell), "operator")

    async def _hold(self, number: int, why: str, who: str) -> None:
        """It does not go on by itself. Said once."""
        owner = who or self._owner(number)
        if self._saga.held != why:
            now_ms = await self._ports.store.time()
            await self._move("held", number, why, held=why, since_ms=now_ms, more={"owner": owner})

    # -- what is done --

    async def _make(self, act: Act) -> None:
        """Make the call of a step and record the try, under the effect that it will be."""
        step = self._saga.steps[act.step]
        if step.tried:
            await making.pause(self._ports, step.call["tool"], step.tried)
        call = step.call or making.called(step, self._made, making.results(self._saga, self._present))
        making.fits(step, call, self._ports.contracts)
        args = making.prepared(self._desk, call)
        effect = await making.expected(
            self._ports, self._run.record, self._purpose(step), call["tool"], args, _again(step.rounds)
        )
        tried = replace(step, call=call, effect=effect, tried=step.tried + 1)
        body = {"calls": [call], "effect": effect, "try": tried.tried}
        await self._move("tried", act.step, act.why, more=body, steps=self._with(act.step, tried))

    async def _make_offset(self, act: Act) -> None:
        """Make the call that offsets a step, from what is recorded of it, and record the try. What somebody else has
        begun to offset it with already is met and not doubled.
        """
        step = self._saga.steps[act.step]
        if step.offset_tried:
            await making.pause(self._ports, step.offset["tool"], step.offset_tried)
        view = self._present[step.effect]
        known = making.begun(await self._ports.store.run_effects(self._run.id), view.id)
        if known is not None:
            call, effect = dict[str, Any](tool=known.tool, args=known.args), known.id
        else:
            found = making.results(self._saga, self._present)
            call = step.offset or await making.offsetting(step, self._made, found, self._desk, view)
            args = making.prepared(self._desk, call)
            again = f"undo {view.id}{_again(step.offset_rounds)}"
            effect = await making.expected(self._ports, self._run.record, view.purpose, call["tool"], args, again)
        tried = replace(step, offset=call, offset_effect=effect, offset_tried=step.offset_tried + 1)
        body = {"calls": [call], "effect": effect, "offsets": view.id, "try": tried.offset_tried}
        await self._move("offset tried", act.step, act.why, more=body, steps=self._with(act.step, tried))

    async def _carry(self, act: Act) -> None:
        """Propose what was recorded, if it is not there yet, and carry it as far as it goes."""
        step, effect = self._saga.steps[act.step], self._effect(act)
        forward = act.what == sagas.CARRY
        call = step.call if forward else step.offset
        view = self._present.get(effect)
        if view is None:
            args = making.prepared(self._desk, call)
            proposal = making.proposal(self._run, self._desk, call, args, cites=step.cites if forward else ())
            proposal = replace(proposal, only=effect, as_read=(("saga", self._saga.id, digest_of(self._saga)),))
            if forward:
                again, note = _again(step.rounds), f"saga {self._saga.name}: {step.name}"
                proposal = replace(proposal, purpose=self._purpose(step), again=again, note=note)
            else:
                offset = self._present[step.effect]
                why = f"saga {self._saga.name}: {self._saga.why}"
                proposal = replace(
                    proposal,
                    purpose=offset.purpose,
                    again=f"undo {offset.id}{_again(step.offset_rounds)}",
                    compensates=offset.id,
                    note=why,
                )
            try:
                await propose(self._ports, proposal)
            except RunStopped:
                return  # it is looked at again: the run takes nothing more
            except IntegrityError:
                raise
            except HoldfastError as error:
                raise making.CannotMake(f"step {step.name}: {error}") from error
            view = (await self._ports.store.read(effect)).effect
            if view is None:
                return  # the saga moved in between
        contract = self._ports.contracts.get(view.tool)
        timeout_ms = contract.timeout_ms if contract is not None else 0
        await self._run.carry(view.id, self._wait_ms if self._wait_ms is not None else timeout_ms + PATIENCE_MS)

    def _purpose(self, step: SagaStep) -> str:
        """What a step is for, on any machine: no purpose of an intent holds a line break, and no name does."""
        return f"{self._run.record.purpose}\nsaga {self._saga.name}\nstep {step.name}"

    def _with(self, number: int, step: SagaStep) -> tuple[SagaStep, ...]:
        steps = self._saga.steps
        return (*steps[:number], step, *steps[number + 1 :])

    # -- where it rests --

    async def _rests(self, act: Act) -> SagaReport:
        """Nothing moved: somebody else does next, or some later time."""
        effect = self._effect(act) if act.what in (sagas.CARRY, sagas.CARRY_OFFSET) else ""
        view = self._present.get(effect)
        why = sagas.why_not(view)
        if sagas.standing(view) == "in doubt" and view is not None:
            await self._hold(act.step, act.why or why, view.owner)
            return await self._report("held", act.why or why)
        return await self._report("waiting", why)

    async def _report(self, state: str, why: str) -> SagaReport:
        await self._ports.store.flush()
        await self._look()
        saga, present = self._saga, self._present
        return SagaReport(
            saga=saga.id,
            state=state,
            reached=sagas.reached(saga, present),
            why=why,
            owner=self._next(),
            told=saga.told,
            outcomes={s.name: outcome_of(present[s.effect]) for s in saga.steps if s.effect in present},
            offsets={s.name: outcome_of(present[s.offset_effect]) for s in saga.steps if s.offset_effect in present},
            record=saga,
        )

    def _next(self) -> str:
        """Who moves next; empty where nobody has to."""
        saga = self._saga
        if saga.state == "partly compensated":
            return saga.owner
        owners = [view.owner for view in self._present.values() if sagas.standing(view) in ("in doubt", "unconfirmed")]
        return (next(iter(owners), "") or self._owner(-1)) if saga.held else ""


def _again(rounds: int) -> str:
    """A person's reason for one identical effect more: what was proved absent as often as its contract allows is tried
    anew only on somebody's word.
    """
    return f" round {rounds}" if rounds else ""
