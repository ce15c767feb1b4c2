"""What becomes a span, and where in the trace it stands: told of every change, attempt, look and turn when it is over.

A run is one trace; below its span stand its turns and its effects, below an effect its attempts, probes, verifications
and the wait for its approval. Long spans are made when they end, with their start from the record, so that none needs
its process to stay alive. Promises that nothing it does, or fails to do, reaches those that are watched: its own faults
are logged by their type and counted in ``faults``. Does NOT tell what nobody recorded through a watched port, such as a
person's attestation from a process without telemetry.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, Protocol, TypeVar

from msgspec.structs import replace

from holdfast.adapters.telemetry import facts
from holdfast.adapters.telemetry import names as n
from holdfast.adapters.telemetry.facts import Facts
from holdfast.adapters.telemetry.spans import Spans, here
from holdfast.adapters.telemetry.trace import CARRIED, Place, read, span_of, trace_of
from holdfast.kernel.answers import Reply
from holdfast.kernel.canon import decode
from holdfast.kernel.commit import Applied, Change, Verdict
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Approval, Contract, Effect, Run, State
from holdfast.kernel.ports import Seen
from holdfast.runtime.planner import Answer, NoAnswer
from holdfast.store.evidence import Entry

log = logging.getLogger("holdfast.telemetry")

MOST_KNOWN: Final = 4_096
"""Runs and effects that are kept in mind; others are looked up in the record again."""
MOST_SCANNED: Final = 5_000
"""Entries at the end of a run that are looked through for whether it was stopped before."""
FIRST_ENDS: Final = frozenset({"refused", "superseded", "failed", "abandoned", "committed", "verified", "unconfirmed"})
ANSWERED: Final = frozenset({"admitted", "refused", "superseded"})

P = ParamSpec("P")
R = TypeVar("R")


class Ledger(Protocol):
    """What is looked up in the store."""

    def entries(self, of: str, limit: int = -1, after: int = 0) -> list[Entry]:
        """The entries of a run."""
        ...

    def read_now(self, effect: str) -> Seen:
        """One effect."""
        ...

    def approval(self, approval: str) -> Approval | None:
        """One request."""
        ...

    def run(self, run: str) -> Run | None:
        """One run."""
        ...


class Begun(NamedTuple):
    """Where a run stands: its own place, and what it was begun under."""

    place: Place
    above: Place | None


def quiet(
    method: Callable[Concatenate[Watcher, P], R],
) -> Callable[Concatenate[Watcher, P], R | None]:
    """What goes wrong in here stays in here: those that are watched get None."""

    @wraps(method)
    def guarded(self: Watcher, /, *given: P.args, **named: P.kwargs) -> R | None:
        try:
            return method(self, *given, **named)
        except Exception as error:  # noqa: BLE001 - telemetry never changes what it watches.
            self.faults += 1
            log.warning("a span was not made: %s in %s", type(error).__name__, method.__name__)
            return None

    return guarded


class Watcher:
    """Makes the spans of one application."""

    def __init__(
        self, spans: Spans, ledger: Ledger, contracts: Mapping[str, Contract], *, agent: str, content: bool
    ) -> None:
        """With ``content`` arguments, values, goals and words are told too, bounded in size."""
        self._spans, self._ledger, self._contracts = spans, ledger, contracts
        self._agent, self._whole = agent, content
        self._runs: OrderedDict[str, Begun] = OrderedDict()
        self._effects: OrderedDict[str, Effect] = OrderedDict()
        self._reopened: OrderedDict[str, int] = OrderedDict()
        self._opened: OrderedDict[str, None] = OrderedDict()
        self.faults = 0

    # -- where things stand --

    def _run(self, run: str) -> Begun:
        known = self._runs.get(run)
        if known is None:
            entries = self._ledger.entries(run, 1)
            body = decode(entries[0].body) if entries and entries[0].body else {}
            known = self._begun(run, read(body.get(CARRIED)))
        return known

    def _begun(self, run: str, above: Place | None) -> Begun:
        trace = above.trace if above is not None else trace_of(run)
        sampled = above.sampled if above is not None else self._spans.sampled(trace)
        begun = Begun(Place(trace, span_of("run", run), sampled), above)
        _keep(self._runs, run, begun)
        return begun

    def _effect(self, effect: str) -> Effect | None:
        view = self._effects.get(effect) or self._ledger.read_now(effect).effect
        if view is not None:
            _keep(self._effects, effect, view)
        return view

    def _below_effect(self, view: Effect, *parts: str | int) -> Place:
        return self._run(view.run).place._replace(span=span_of(*parts))

    def _of_effect(self, view: Effect) -> Place:
        return self._below_effect(view, "effect", view.id)

    @quiet
    def attempt(self, effect: str, number: int) -> Place:
        """Where an attempt stands."""
        view = self._effect(effect)
        assert view is not None, "it was dispatched a moment ago"
        return self._below_effect(view, "attempt", effect, number)

    @quiet
    def look(self, effect: str, kind: str, at_ns: int) -> Place | None:
        """Where a look at the world stands."""
        view = self._effect(effect) if effect else None
        return self._below_effect(view, kind, effect, at_ns) if view is not None else None

    @quiet
    def turn(self, run: str, step: int, at_ns: int) -> Place:
        """Where one turn of a planner stands."""
        return self._run(run).place._replace(span=span_of("step", run, step, at_ns))

    # -- what is over --

    @quiet
    def carrying(self, change: Change) -> Change:
        """A change that begins a run carries the context that it is begun under, as data in its intent's entry."""
        if change.opens is None:
            return change
        above = here()
        for number, note in enumerate(change.notes):
            if note.kind != "intent":
                continue
            if above is None and note.body.get("under"):
                above = self._run(note.body["under"]).place
            if above is not None:
                told = replace(note, body=note.body | {CARRIED: above.traceparent})
                return replace(change, notes=(*change.notes[:number], told, *change.notes[number + 1 :]))
        return change

    def saw(self, view: Effect | None) -> None:
        """An effect as it was just read."""
        if view is not None:
            _keep(self._effects, view.id, view)

    @quiet
    def wrote(self, change: Change, verdict: Verdict) -> None:
        """What one change ended, if it was accepted."""
        if not isinstance(verdict, Applied):
            return
        if change.opens is not None:
            _keep(self._opened, change.run, None)
        self.saw(verdict.effect)
        for draft in change.drafts:
            if draft.kind in FIRST_ENDS or draft.kind in ANSWERED or draft.kind == "unknown":
                view = verdict.effect
                if view is None or view.id != draft.effect:
                    view = self._ledger.read_now(draft.effect).effect
                    self.saw(view)
                if view is not None:
                    self._moved(change, draft, view, verdict.at_ms)
        if change.ends is not None:
            self._rested(change, change.ends[0], verdict.at_ms)

    def _moved(self, change: Change, draft: Draft, view: Effect, at_ms: int) -> None:
        states = change.guard.states
        waited = State.WAITING in states if draft.kind != "superseded" else not view.quorum_met
        if draft.kind in ANSWERED and view.approval and waited:
            self._waited(view, at_ms)
        if draft.kind == "unknown" and change.guard.lease_over and view.attempts:
            last = view.attempts[-1]
            place, told = self._below_effect(view, "attempt", view.id, last.number), facts.of_lost(view, last)
            self._tell(f"attempt {view.tool}", place, self._of_effect(view), told, last.at_ms, at_ms)
        if draft.kind in FIRST_ENDS and facts.ended(view) and State.UNCONFIRMED not in states:
            self._ended(view, at_ms)

    def _ended(self, view: Effect, at_ms: int) -> None:
        run = self._run(view.run).place
        above = run._replace(span=span_of("effect", view.parent)) if view.parent else run
        told = facts.of_effect(view, self._contracts.get(view.tool), whole=self._whole)
        offset = self._effect(view.compensates) if view.compensates else None
        link = self._of_effect(offset) if offset is not None else None
        self._tell(
            f"{n.EXECUTE_TOOL} {view.tool}", self._of_effect(view), above, told, view.proposed_ms, at_ms, link=link
        )

    def _waited(self, view: Effect, at_ms: int) -> None:
        approval = self._ledger.approval(view.approval)
        if approval is not None:
            until_ms = approval.decisions[-1].at_ms if approval.decisions else at_ms
            place = self._below_effect(view, "approval", approval.id)
            told = facts.of_wait(view, approval)
            self._tell(f"approval {view.tool}", place, self._of_effect(view), told, approval.asked_ms, until_ms)

    def _rested(self, change: Change, state: str, at_ms: int) -> None:
        if state == "open":
            _keep(self._reopened, change.run, at_ms)
            return
        run, begun = self._ledger.run(change.run), self._run(change.run)
        assert run is not None, "it was changed a moment ago"
        code = next((str(note.body["stop"].get("code", "")) for note in change.notes if "stop" in note.body), "")
        told = facts.of_run(run, state, code, self._agent, whole=self._whole)
        name = f"{n.INVOKE_AGENT} {self._agent}".strip()
        since_ms = self._went_on(run)
        if since_ms:  # its own span was told when it stopped; this is what came after
            again = begun.place._replace(span=span_of("run", run.id, since_ms))
            self._tell(name, again, begun.place, told, since_ms, at_ms)
        else:
            self._tell(name, begun.place, begun.above, told, run.opened_ms, at_ms)

    def _went_on(self, run: Run) -> int:
        """Since when a run goes on that had come to its end before; 0: it had not."""
        if run.id in self._reopened:
            return self._reopened.pop(run.id)
        if run.id in self._opened:
            del self._opened[run.id]
            return 0
        entries = self._ledger.entries(run.id, after=max(0, run.seq - MOST_SCANNED))
        return max((entry.at_ms for entry in entries if entry.kind == "reopened"), default=0)

    @quiet
    def sent(self, effect: str, place: Place, reply: Reply, start_ns: int) -> None:
        """An attempt came back."""
        view = self._effect(effect)
        assert view is not None, "it was dispatched a moment ago"
        last, told = view.attempts[-1], facts.of_reply(reply)
        said = facts.of_attempt(view, last.number, last.token, resend=last.resend) | told.attributes
        self._live(f"attempt {view.tool}", place, self._of_effect(view), told._replace(attributes=said), start_ns)

    @quiet
    def looked(self, kind: str, effect: str, place: Place, answer: Any, start_ns: int) -> None:
        """A read-only companion answered."""
        view = self._effect(effect)
        assert view is not None, "its place is known"
        self._live(f"{kind} {view.tool}", place, self._of_effect(view), facts.of_look(view, answer), start_ns)

    @quiet
    def turned(self, run: str, step: int, place: Place, came: Answer | NoAnswer | None, start_ns: int) -> None:
        """A planner answered, or did not."""
        told = facts.of_turn(run, step, came, whole=self._whole)
        model = told.attributes.get(n.REQUEST_MODEL)
        name = f"{n.CHAT} {model}" if model else "step"
        self._live(name, place, self._run(run).place, told, start_ns, client=model is not None)

    # -- telling --

    def _live(
        self, name: str, place: Place, parent: Place, told: Facts, start_ns: int, *, client: bool = False
    ) -> None:
        self._spans.tell(name, place, parent, told, start_ns=start_ns, end_ns=time.time_ns(), client=client)

    def _tell(
        self,
        name: str,
        place: Place,
        parent: Place | None,
        told: Facts,
        start_ms: int,
        end_ms: int,
        link: Place | None = None,
    ) -> None:
        """A span from the record, whose times are whole milliseconds: it ends with the end of its last one."""
        end_ns = (end_ms + 1) * 1_000_000 - 1
        self._spans.tell(name, place, parent, told, start_ns=start_ms * 1_000_000, end_ns=end_ns, link=link)


def _keep(known: OrderedDict[str, R], name: str, value: R) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > MOST_KNOWN:
        known.popitem(last=False)
