"""Where a drive comes to rest, and what is reported of it: done, waiting or blocked, why, and the record of a stop.

Promises that *done* is said only where every effect of the run ended as its contract agreed, no drift of it is open and
no saga of it unfinished: a weaker check never stands in for the agreed one. Does not decide when a drive rests:
:mod:`holdfast.runtime.stops` and the planner's turns do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import RunLost
from holdfast.kernel.guard import Guard
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.kernel.outcomes import Outcome
from holdfast.kernel.ports import Ports
from holdfast.runtime.stopped import StopRecord, as_body, record_of
from holdfast.runtime.stops import ELSEWHERE, Ground, InTheWay, Stop

NOTHING_CAME = frozenset({State.REFUSED, State.FAILED, State.SUPERSEDED})
"""Ends in which nothing changed outside: one of them does not keep a run from being done, all of them do."""


class Unfit(NamedTuple):
    """A planner's call that is none: the code of the error, and the reason in words."""

    code: str
    reason: str


class Over(Protocol):
    """What stands over a run, as the application around it knows."""

    def in_the_way(self, run: Run) -> InTheWay:
        """A halt, and an assumption that no longer holds."""
        ...

    def requests(self, run: str) -> dict[str, Approval]:
        """The requests to humans that are open under a run, by id."""
        ...

    def owed(self, run: str) -> Stop | None:
        """What is not as it is to be although every effect of the run ended as agreed."""
        ...


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """Why a drive was stopped: the code of the ground, the reason in words, and the record of what is open."""

    code: str
    reason: str
    effect: str = ""
    record: StopRecord = StopRecord()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a driven run came to rest: done, waiting or blocked, why, and every outcome in order.

    ``says`` is the planner's own last message and nobody has checked it. ``stop`` says on which ground a blocked run
    was stopped and what would let it go on; ``late_ms`` by how much it ended after its deadline: a broken promise,
    whatever came of it.
    """

    run: str
    state: str
    reason: str
    says: str = ""
    steps: int = 0
    outcomes: tuple[Outcome, ...] = ()
    stop: Stopping | None = None
    late_ms: int = 0


class Rest(Exception):  # noqa: N818  # it is where a drive comes to rest, not an error
    """The drive ends here."""

    def __init__(self, state: str, reason: str, says: str = "", *, stop: Stop | None = None) -> None:
        """At rest in this state; ``stop`` is the ground of a block."""
        super().__init__(reason)
        self.state, self.reason, self.says, self.stop = state, reason, says, stop


def stopping(code: Ground, reason: str, says: str = "", effect: str = "") -> Rest:
    """A rest on a ground."""
    return Rest("blocked", reason, says, stop=Stop(code=code, reason=reason, effect=effect))


def agreed(view: Effect) -> bool:
    """Whether an effect ended in a way that a run may call done: verified, or committed with no check owed."""
    if view.state is State.COMMITTED:
        return view.next != "verify" and not view.attested_by
    return view.state in NOTHING_CAME or view.state in (State.VERIFIED, State.COMPENSATED)


def finished(effects: Iterable[Effect], says: str, owed: Stop | None) -> Rest:
    """What the claim that a run is done amounts to: every effect ended as agreed and nothing else is owed
    (:mod:`holdfast.runtime.owed`), or the run is blocked.
    """
    views = list(effects)
    short = [view for view in views if not agreed(view)]
    if not short and owed is not None:
        return Rest("blocked", owed.reason, says, stop=owed)
    if not short and views and all(view.state in NOTHING_CAME for view in views):
        return stopping(
            Ground.NOTHING, "nothing that was asked for took place: every effect was refused or failed", says
        )
    if not short:
        return Rest("done", "every effect ended as agreed" if views else "the planner asked for no effect", says)
    first = short[0]
    why = first.differs or first.cause or "it is not what was agreed"
    reason = f"{first.id} is {first.state.value}: {why}; {len(short)} effect(s) in all"
    seen = first.state in (State.COMMITTED, State.UNCONFIRMED)
    return stopping(Ground.VERIFICATION if seen else Ground.AMBIGUOUS, reason, says, first.id)


async def come_to_rest(ports: Ports, over: Over, run_id: str, rest: Rest) -> tuple[Run, Stopping | None]:
    """Record the rest, durably, unless the run had ended already; the run as it is then, and what is told of a stop.

    A run that is done or blocked takes no dispatch commit from here on: every guard looks at its state.
    """
    store = ports.store
    run = await store.run_row(run_id)
    assert run is not None
    stop, stopping_now = rest.stop, None
    if stop is not None:
        way = over.in_the_way(run)
        record = record_of(
            run,
            await store.run_effects(run.id),
            stop,
            await store.time(),
            contracts=ports.contracts,
            approvals=over.requests(run.id),
            halt=way.scope,
        )
        stopping_now = Stopping(code=stop.code.value, reason=stop.reason, effect=stop.effect, record=record)
    if run.state == "open":
        body: dict[str, Any] = {"reason": rest.reason} | ({"says": rest.says} if rest.says else {})
        if stop is not None and stopping_now is not None:
            body["stop"] = as_body(stop, stopping_now.record)
        ends = rest.state == "done" or (stop is not None and stop.code not in ELSEWHERE)
        change = Change(
            run=run.id,
            guard=Guard(run_open=run.id),
            notes=(Note(kind=rest.state, by="runtime", body=body),),
            ends=(rest.state, rest.reason) if ends else None,
        )
        await store.commit(change)
    await store.flush()
    return await store.run_row(run.id) or run, stopping_now


async def lost_to(ports: Ports, lost: RunLost, outcomes: Iterable[Outcome]) -> Report:
    """What is reported of a drive whose run is another's by now: what it saw. Nothing is recorded of its end."""
    await ports.store.flush()
    run = await ports.store.run_row(lost.run)
    stop = Stopping(code=Ground.LEASE.value, reason=str(lost))
    steps = run.steps if run is not None else 0
    return Report(run=lost.run, state="blocked", reason=lost.why, steps=steps, outcomes=tuple(outcomes), stop=stop)


async def stop_now(ports: Ports, over: Over, run_id: str, reason: str, *, by: str, state: str = "stopped") -> None:
    """End an open run on somebody's word, with the record of what is open. Harmless where it has ended."""
    run = await ports.store.run_row(run_id)
    if run is None or run.state != "open":
        return
    stop = Stop(code=Ground.HALT, reason=reason)
    record = record_of(
        run,
        await ports.store.run_effects(run_id),
        stop,
        await ports.store.time(),
        contracts=ports.contracts,
        approvals=over.requests(run_id),
    )
    record = msgspec.structs.replace(record, unblocks=())  # it is over: what goes on is a run of its own
    note = Note(kind=state, by=by, body={"reason": reason, "stop": as_body(stop, record)})
    change = Change(run=run_id, guard=Guard(run_open=run_id), notes=(note,), ends=(state, reason))
    await ports.store.commit(change)
