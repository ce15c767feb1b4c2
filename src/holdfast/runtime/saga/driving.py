"""Driving a saga: whose run it is while it is carried, and what becomes of the run when it has come to its end.

Decides who may carry. Where an application holds claims, a run whose saga is under way has a job, and the process that
carries has claimed it: from the first commit of the saga on there is something that others find when that process dies,
on any machine, without anybody calling it again. What the record cannot give, the calls that a program makes, is named
by the job: it waits for a worker that has them.

Promises that a run which was declared to end with its saga ends as that did: *done* only where it is completed and
every effect ended as its contract agreed; else *stopped*, with the state that was reached in words. While anything of
the run is in doubt, a drift of it is open, or a person moves next, it stays open. Carrying is in :mod:`.carrying`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from holdfast.kernel import sagas
from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import EVERY, Saga
from holdfast.kernel.documents.saga import ENDS
from holdfast.kernel.errors import RunLost
from holdfast.kernel.guard import Guard
from holdfast.kernel.model import Contract
from holdfast.kernel.outcomes import Deferred, Waiting
from holdfast.kernel.ports import Ports
from holdfast.runtime.ending import Over, Report, Rest, Stopping, come_to_rest, finished
from holdfast.runtime.saga.carrying import Carrying, Handle
from holdfast.runtime.saga.carrying import Desk as Carries
from holdfast.runtime.saga.declare import Made
from holdfast.runtime.saga.declare import Saga as Said
from holdfast.runtime.saga.opening import Met, Papers, SagaReport, met, opened
from holdfast.runtime.stops import Ground

if TYPE_CHECKING:
    from holdfast.runtime.worker.holding import Holding

PLANNER = "saga"
"""Who drives the job of a run that has a saga and nothing else to do: any worker with its tools."""

CARRIED = "carried"
"""The state of a report: its saga came to an end, and the run goes on with its program."""


class Desk(Carries, Over, Protocol):
    """What driving needs of the application around it."""

    @property
    def holding(self) -> Holding | None:
        """The runs that this process holds; None where nothing is ever claimed."""
        ...


async def carry_on(
    run: Handle, around: object, ports: Ports, said: Said | str, patience: str | int | None = None
) -> SagaReport:
    """Begin a saga of this run, or go on with the recorded one of its name, as far as it goes.

    ``said`` as a name goes on with what is recorded, where no call of it is made by a program.
    Raises BadSaga, SagaDiffers, SagaNotAtHand, RunStopped; RunHeld while another process that is there drives the run.
    """
    desk = cast("Desk", around)
    wait_ms = None if patience is None else parse_duration(patience, name="patience")
    found = await met(run.record, desk.papers, ports, said)
    over = found.there is not None and found.there.state in ENDS
    holding: Holding | None = getattr(desk, "holding", None)
    row = None if holding is None or over else await ports.store.run_row(run.id)
    if holding is None or row is None or row.state not in ("open", "blocked"):
        return await _carried(run, desk, ports, found, wait_ms)
    planner, needs = planner_of(found.offered, found.made), needs_of(found.offered, ports.contracts)
    async with holding.carrying(row, planner, owner=found.offered.owner, needs=needs) as claimed:
        held = holding.ports_of(run.id) or ports
        try:
            report = await _carried(run, desk, held, found, wait_ms)
        except RunLost as lost:
            report = _lost(found, lost)
        claimed.report = await rest_of(report, held, desk.papers)
    return report


async def _carried(run: Handle, desk: Desk, ports: Ports, found: Met, wait_ms: int | None) -> SagaReport:
    saga = await opened(run.record, desk.papers, ports, found)
    report = await Carrying(run, desk, ports, saga, found.made, wait_ms).go()
    if saga.ends:
        await end_run(ports, desk, desk.papers, run.id)
    return report


def _lost(found: Met, lost: RunLost) -> SagaReport:
    """Another goes on with it: what was known when it was met, and why it is not carried here any more."""
    saga = found.there or found.offered
    return SagaReport(saga=saga.id, state="waiting", reached=saga.reached, why=str(lost), told=saga.told)


def planner_of(saga: Saga, made: Made) -> str:
    """Under which name a worker knows how to go on: any that has the tools, or one that has the program's calls."""
    return f"{PLANNER}:{saga.name}" if made.calls or made.undos else PLANNER


def needs_of(saga: Saga, contracts: Mapping[str, Contract]) -> tuple[tuple[str, str], ...]:
    """The tools that its recorded and declared calls name, with their versions."""
    calls = (call for step in saga.steps for call in (step.declared, step.call, step.undo, step.offset))
    named = {str(call.get("tool", "")) for call in calls} & set(contracts)
    return tuple((name, contracts[name].version) for name in sorted(named))


# -- what is reported of it --


async def rest_of(report: SagaReport, ports: Ports, papers: Papers) -> Report:
    """What a carried saga amounts to for its run's job."""
    run = report.saga.partition("/")[0]
    saga = papers.document("saga", report.saga)
    if report.ended and not (isinstance(saga, Saga) and saga.place is not None):
        return Report(run=run, state=CARRIED, reason=f"the saga {report.saga} is {report.state}")
    if report.state == "waiting":
        waits = [
            one for one in (*report.offsets.values(), *report.outcomes.values()) if isinstance(one, Waiting | Deferred)
        ]
        return Report(run=run, state="waiting", reason=report.why, outcomes=tuple(waits[:1]))
    code, about = PLANNER, report.saga
    if report.state == "stopped":
        code, about = Ground.HALT.value, ""
    elif isinstance(saga, Saga):
        about = await _in_doubt(saga, ports) or about
    return Report(
        run=run, state="blocked", reason=report.why, stop=Stopping(code=code, reason=report.why, effect=about)
    )


async def _in_doubt(saga: Saga, ports: Ports) -> str:
    """The effect whose doubt a saga is held for; empty where it is held for something else."""
    for step in saga.steps:
        for effect in (step.offset_effect, step.effect):
            view = (await ports.store.read(effect)).effect if effect else None
            if sagas.standing(view) in ("in doubt", "unconfirmed"):
                return effect
    return ""


# -- the end of its run --


class Documents(Protocol):
    """Where the sagas of a run are read."""

    def documents(self, kind: str, run: str = "", limit: int = ...) -> Any:
        """Every document of a kind, of one run."""
        ...


async def end_run(ports: Ports, over: Over, papers: object, run: str) -> Rest | None:
    """End an open run whose sagas have all come to an end that may stand; why it stays open where it does.

    None: it has ended, now or before.
    """
    row = await ports.store.run_row(run)
    if row is None or row.state != "open":
        return None
    all_of_it = [one for one in cast("Documents", papers).documents("saga", run, EVERY) if isinstance(one, Saga)]
    for one in all_of_it:
        if one.place is not None:
            return Rest("blocked", f"the saga {one.id} is {'held' if one.held else one.state}")
    views = await ports.store.run_effects(run)
    rest = finished(views, "", over.owed(run))
    open_ones = [view for view in views if sagas.standing(view) in ("in doubt", "under way", "waiting")]
    if rest.state != "done" and (open_ones or (rest.stop is not None and rest.stop.code is Ground.OWED)):
        return rest
    reason = "; ".join(f"saga {one.name} is {one.state}: {one.reached}" for one in all_of_it)
    if rest.state == "done" and all(one.state == "completed" for one in all_of_it):
        await come_to_rest(ports, over, run, Rest("done", reason))
        return None
    note = Note(kind="stopped", by="runtime", body={"reason": reason})
    await ports.store.commit(Change(run=run, guard=Guard(run_open=run), notes=(note,), ends=("stopped", reason)))
    return None
