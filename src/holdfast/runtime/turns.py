"""A planner's turns: show, ask, record, carry out, tell; until it is done or somebody else must move.

Promises: an answer is recorded before it is acted on; a recorded answer is finished before a new one is asked for, in
whatever process and under whatever planner the run goes on; asking once more is bounded by a count, by the run's
budget and by its deadline, and each answer that could not be used is an entry. Whether the run must stop is judged
before asking, after an answer, before each call and after each outcome (:mod:`holdfast.runtime.stops`); then the run is
*blocked*, and nothing is asked or dispatched under it until it is driven on.
Does not promise progress: a planner that cannot be had, or that goes round in circles, ends the drive as *blocked*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import HoldfastError, IntegrityError, RunLost, VersionMissing
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Effect, Run
from holdfast.kernel.outcomes import Deferred, Outcome, Refused, Stopped, Waiting
from holdfast.kernel.ports import Ports
from holdfast.runtime import stops
from holdfast.runtime.ending import Over, Report, Rest, Unfit, agreed, come_to_rest, finished, stopping
from holdfast.runtime.items import Doubted
from holdfast.runtime.planner import Answer, Card, Made, NoAnswer, Planner, Proposed, View, unplanned, usable
from holdfast.runtime.stops import TOLERANCE, Course, Ground, Stop, Tolerance
from holdfast.runtime.view import Effects, Noted, Story, Turn, build, given, reason_of

__all__ = ["PATIENCE", "Desk", "Handle", "Patience", "Report", "Turns", "agreed"]

MICRO = 1_000_000


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often one step asks for an answer, and how long it waits in between: doubling, or as long as it is told."""

    tries: int = 6
    first_wait_ms: int = 500
    longest_wait_ms: int = 120_000


PATIENCE = Patience()


class Desk(Over, Protocol):
    """What a drive needs of the application around it, beside what a run needs."""

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        ...

    def cards(self, *grants: str) -> tuple[Card, ...]:
        """The contracts that a planner may use under these grants, as plain data."""

    async def noted(self, run: str, after: int) -> list[Noted]:
        """The run's own entries after a sequence number, with everything recorded so far on disk."""
        ...


class Handle(Protocol):
    """The run that is driven; :class:`holdfast.RunHandle` is one."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def grants(self) -> tuple[str, ...]:
        """The grants that its calls come under."""

    @property
    def shown(self) -> Mapping[str, tuple[Noted, Any]]:
        """Items that were recorded through this handle, with the contents that it still has."""
        ...

    async def propose(
        self,
        tool: str,
        args: dict[str, Any],
        *,
        cites: tuple[str, ...] = (),
        by: str = "",
        risk: str = "",
        untold: list[Effect] | None = None,
    ) -> Outcome:
        """Propose a call and carry it as far as it goes."""
        ...

    async def resumed(self, effect: str, untold: list[Effect]) -> Outcome:
        """Carry an effect that is already recorded as far as it goes."""
        ...

    async def broken_assumption(self) -> Doubted | None:
        """Read again what is assumed and went stale; the first that does not hold."""
        ...


class Turns:
    """One drive of one run by one planner."""

    def __init__(
        self,
        handle: Handle,
        desk: Desk,
        ports: Ports,
        planner: Planner,
        patience: Patience,
        tolerance: Tolerance = TOLERANCE,
    ) -> None:
        """Nothing is asked yet."""
        self._handle, self._desk, self._ports = handle, desk, ports
        self._planner: Planner = planner if ports.asking is None else ports.asking(handle.id, planner)
        self._patience, self._tolerance = patience, tolerance
        self._story = Story()
        self._course = Course()
        self._cards = desk.cards(*handle.grants)
        self._seen: Effects | None = None
        self._carried: list[Effect] = []  # what this drive carried since it looked last
        self.outcomes: list[Outcome] = []  # of every call, in order
        self._own: set[int] = set()  # numbers of the turns that this drive recorded itself
        self._untold: list[Effect] = []  # what our own planner has been shown and nobody else may see yet

    async def drive(self, max_steps: int) -> Report:
        """Turn after turn until it comes to rest; never raises for what a planner or its provider does."""
        # Read once. From here on what this drive records itself is folded as it is recorded: the planner's next prompt
        # may run ahead of the disk, and nobody else is told before (DESIGN §1.5).
        self._fold(await self._desk.noted(self._handle.id, 0))
        try:
            await self._reopen()
            if self._story.unfinished is not None:
                if wider := self._story.unfinished.wider_under(self._handle.grants):
                    raise stopping(Ground.SCOPE, wider)
                await self._carry_out(self._story.unfinished)
            for _ in range(max_steps):
                await self._ask()
                turn = self._story.turn
                assert turn is not None
                await self._carry_out(turn)
        except Rest as rest:
            return await self._rested(rest)
        return await self._rested(stopping(Ground.TURNS, f"{max_steps} steps were taken without an end"))

    def _fold(self, entries: Iterable[Noted]) -> None:
        """Take in entries: into what the planner is shown, and into what may stop the run."""
        entries = list(entries)
        self._story.fold(entries)
        self._course.fold(entries)

    # -- looking --

    async def _reopen(self) -> None:
        """A run that was blocked is open again from here on, unless what stopped it still holds."""
        run = await self._ports.store.run_row(self._handle.id)
        if run is None or run.state != "blocked":
            return
        await self._point(run, asks=self._story.unfinished is None)
        note = Note(kind="reopened", by=self._ports.me, body={"reason": "it is driven on", "was": run.reason})
        guard = Guard(run_open=run.id, run_state="blocked")
        await self._ports.store.commit(Change(run=run.id, guard=guard, notes=(note,), ends=("open", "")))

    async def _look(self) -> Run:
        """The run as it is now; comes to rest where it has ended."""
        run = await self._ports.store.run_row(self._handle.id)
        assert run is not None
        if run.state != "open":
            reason = run.reason or f"the run is {run.state}"
            stop = Stop(code=Ground.HALT, reason=reason) if run.state == "stopped" else None
            raise Rest(run.state, reason, stop=stop)
        return run

    async def _point(self, run: Run | None = None, *, asks: bool = False) -> tuple[Run, int]:
        """A fixed point: the run and the time, or a rest on the ground that stops it here."""
        run = run or await self._look()
        now_ms = await self._ports.store.time()
        over = self._desk.in_the_way(run)
        unheld = over.unheld
        if run.assumes and run.state == "open" and not unheld:
            doubted = await self._handle.broken_assumption()
            unheld = doubted.why if doubted is not None else ""
        costs = bool(self._story.price_micro)
        seen = stops.Seen(run=run, now_ms=now_ms, halted=over.halted, unheld=unheld, asks=asks, asking_costs=costs)
        stop = stops.stop_of(seen, self._course, self._tolerance)
        if stop is not None:
            raise Rest("blocked", stop.reason, stop=stop)
        return run, now_ms

    async def _view(self) -> View:
        """What the planner is shown now; comes to rest where something stops the run."""
        run, now_ms = await self._point(asks=True)
        effects = await self._effects()
        self._fold(noted for noted, _ in self._handle.shown.values())
        contents = {name: content for name, (_, content) in self._handle.shown.items()}
        items = await self._ports.store.run_items(run.id)
        return build(run, effects, self._story, self._cards, now_ms, contents, items)

    async def _effects(self) -> Effects:
        """The run's effects: all of them once, and afterwards those that were carried here or that others may move."""
        if self._seen is None:
            self._seen = Effects(await self._ports.store.run_effects(self._handle.id))
        for carried in self._carried:
            self._seen.take(carried)
        # A call that was refused and proposed anew by itself is told as what that came to.
        todo = [*self._seen.open, *(view.successor for view in self._carried if view.successor)]
        self._carried.clear()
        while todo:
            view = (await self._ports.store.read(todo.pop())).effect
            if view is not None:
                self._seen.take(view)
                todo += [view.successor] if view.successor and view.successor not in self._seen.known else []
        return self._seen

    # -- asking --

    async def _ask(self) -> None:
        """One recorded answer, asked for as often as the patience allows."""
        wait_ms, last = self._patience.first_wait_ms, ""
        for number in range(1, self._patience.tries + 1):
            view = await self._view()
            try:
                answer = await self._answer(view)
            except NoAnswer as no:
                last = f"{no.cause}: {no.why}"
                await self._record(Note(kind="no_answer", by="planner", body=self._missing(no, number)), no.made)
                if not no.again:
                    raise stopping(Ground.NO_ANSWER, f"the planner gave no answer: {last}") from no
                if number < self._patience.tries:
                    await self._pause(max(wait_ms, no.retry_after_ms), view, last)
                wait_ms *= 2
                continue
            await self._record(Note(kind="step", by="planner", body=given(answer, self._handle.grants)), answer.made)
            self._own.add(self._story.steps - 1)
            return
        tries = self._patience.tries
        raise stopping(Ground.NO_ANSWER, f"the planner gave no answer {tries} times in a row; the last: {last}")

    async def _answer(self, view: View) -> Answer:
        """Ask once, no longer than the run has time."""
        bound = asyncio.timeout(None if view.time_left_ms is None else max(0.001, view.time_left_ms / 1000))
        try:
            async with bound:
                answer = await self._planner.propose(view)
        except TimeoutError:
            if bound.expired():
                raise NoAnswer("timeout", "no answer came before the run's deadline", again=False) from None
            raise NoAnswer("timeout", "the planner itself gave up waiting") from None
        except Exception as error:
            raise unplanned(error) from error
        return usable(answer)

    def _missing(self, no: NoAnswer, number: int) -> dict[str, Any]:
        body: dict[str, Any] = {"try": number, "cause": no.cause, "why": no.why}
        if no.retry_after_ms:
            body["retry_after_ms"] = no.retry_after_ms
        return body

    async def _pause(self, wait_ms: int, view: View, last: str) -> None:
        """Wait before asking once more, unless that is longer than anybody should wait or the run has time."""
        if wait_ms > self._patience.longest_wait_ms:
            raise stopping(Ground.NO_ANSWER, f"the planner is to be asked again only in {wait_ms} ms: {last}")
        if view.time_left_ms is not None and wait_ms >= view.time_left_ms:
            why = f"the run's deadline comes before the planner may be asked again: {last}"
            raise stopping(Ground.NO_ANSWER, why)
        await self._ports.clock.until(await self._ports.store.time() + wait_ms)

    async def _record(self, note: Note, made: Made | None) -> None:
        """Record what came of asking, with what it used up. It is ordered before everything that follows from it."""
        if made is not None:
            note.body["made"] = msgspec.to_builtins(made)
            if made.tokens:
                note.body["tokens"] = made.tokens
            before = self._story.price_micro
            # Whole minor units are debited as the sum of all answers passes them, so that cents do not pile up.
            minor = -(-(before + made.price_micro) // MICRO) - -(-before // MICRO)
            if minor and made.currency:
                note.body["cost"] = {"minor": minor, "currency": made.currency}
        await self._note(note, Guard(run_open=self._handle.id))

    async def _note(self, note: Note, guard: Guard | None = None) -> None:
        """Record an entry about the run, and fold it into the story as it was recorded."""
        change = Change(run=self._handle.id, guard=guard or Guard(), notes=(note,))
        verdict = await self._ports.store.later(change)
        if isinstance(verdict, Rejected):
            await self._look()  # comes to rest: only an ended run rejects it
            raise stopping(Ground.STORE, verdict.why)
        self._fold([Noted(0, note.kind, verdict.at_ms, note.by, note.body)])

    # -- carrying out --

    async def _carry_out(self, turn: Turn) -> None:
        """Every call of an answer that was not carried out yet, in order; then the end that the answer claims."""
        for number, call in enumerate(turn.calls):
            if number in turn.carried:
                continue
            await self._point()
            told_before = len(self._untold)
            outcome = await self._try(turn, call)
            carried = self._untold[told_before:]
            self._carried += carried
            if isinstance(outcome, Unfit):
                body = {"tool": call.tool, "code": outcome.code, "reason": outcome.reason, "call": number}
                await self._note(Note(kind="unfit", by="planner", body=body))
                self.outcomes.append(Refused(outcome.reason, rules=(outcome.code,)))
                continue
            self.outcomes.append(outcome)
            if isinstance(outcome, Refused):  # It is over, whatever it means for the run: nobody takes it up again.
                await self._tell(number, outcome)
            await self._stands_in_the_way(outcome, carried, turn)
            if not isinstance(outcome, Refused):
                await self._tell(number, outcome)
        if turn.done:
            await self._point()
            views = await self._ports.store.run_effects(self._handle.id)
            raise finished(views, turn.says, self._desk.owed(self._handle.id))

    async def _try(self, turn: Turn, call: Proposed) -> Outcome | Unfit:
        """A planner's call as far as it goes, or why it is none."""
        if call.unfit:
            return Unfit("unreadable", call.unfit)
        try:
            known = await self._already(turn, call) if turn.number not in self._own else ""
            if known:
                return await self._handle.resumed(known, self._untold)
            return await self._handle.propose(
                call.tool, call.args, cites=call.cites, by="planner", risk=call.risk, untold=self._untold
            )
        except (IntegrityError, RunLost, VersionMissing):
            raise  # a store that cannot be trusted, or a run that is another's, is no fault of a call
        except HoldfastError as error:
            return Unfit(error.code, str(error))

    async def _already(self, turn: Turn, call: Proposed) -> str:
        """The effect that a call of an earlier process's answer became, if it got that far.

        Proposing it anew would find the same effect, except where it was refused or proved absent: there it would be
        decided once more, which nobody asked for.
        """
        args = self._desk.prepared(call.tool, call.args)[0]
        found = ""
        for effect in await self._ports.store.run_effects(self._handle.id):
            if effect.tool == call.tool and effect.proposed_ms >= turn.at_ms and effect.args == args:
                found = effect.id
        return found

    async def _stands_in_the_way(self, outcome: Outcome, carried: list[Effect], turn: Turn) -> None:
        """What somebody else must move first ends the drive; the call stays open and is taken up where it stands."""
        if isinstance(outcome, Waiting):
            raise Rest("waiting", f"{outcome.effect} waits for {outcome.for_what}")
        if isinstance(outcome, Deferred):
            raise Rest("waiting", f"{outcome.effect} waits: {outcome.why}")
        if isinstance(outcome, Stopped):
            await self._look()  # comes to rest, if it is the run that was stopped
        effect = getattr(outcome, "effect", "")
        view = carried[-1] if carried and carried[-1].id == effect else None
        if view is None and effect:
            view = (await self._ports.store.read(effect)).effect
        if view is None:
            if isinstance(outcome, Stopped):
                raise stopping(Ground.STORE, outcome.reason)
            return
        run = await self._ports.store.run_row(self._handle.id)
        assert run is not None
        contract = self._ports.contracts.get(view.tool)
        stop = stops.stop_after(outcome, view, run, self._ports.me, contract)
        if stop is not None and not (stop.effect in self._course.let_be and stop.code in stops.PASSABLE):
            raise Rest("blocked", stop.reason, turn.says if turn.done else "", stop=stop)

    async def _tell(self, number: int, outcome: Outcome) -> None:
        """Record what is told of a call: from here on it is carried out, and not taken up again."""
        body = {
            "call": number,
            "outcome": type(outcome).__name__.lower(),
            "effect": getattr(outcome, "effect", ""),
            "reason": reason_of(outcome),
            "rules": list(outcome.rules) if isinstance(outcome, Refused) else [],
        }
        await self._note(Note(kind="told", by="runtime", body={k: v for k, v in body.items() if v or k == "call"}))

    # -- ending --

    async def _rested(self, rest: Rest) -> Report:
        """Record where the drive came to rest, durably; then tell, and report it."""
        run, stop = await come_to_rest(self._ports, self._desk, self._handle.id, rest)
        # Every outcome is on disk now: it may be told.
        untold, self._untold = self._untold, []
        for view in untold:
            await self._ports.tell.tell(view)
        return Report(
            run=run.id,
            state=rest.state if rest.state in ("done", "waiting") else "blocked",
            reason=rest.reason,
            says=rest.says,
            steps=run.steps,
            outcomes=tuple(self.outcomes),
            stop=stop,
            late_ms=run.late_ms,
        )
