"""What a worker does of a run that has sagas: first those, from where they were left, then its planner, then the end.

A planner that is a saga (or makes one of a run) is carried as one, and its run ends with it. Promises that a saga which
somebody's program began is gone on with whoever drives its run, and that no planner is asked while one is unfinished.
Does not make the calls of a program that is not here: such a job is for workers that have it, by its planner's name.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import EVERY, Saga
from holdfast.kernel.documents.saga import ENDS
from holdfast.kernel.guard import Guard
from holdfast.kernel.ports import Ports
from holdfast.runtime.ending import Over, Report, Stopping
from holdfast.runtime.planner import Planner
from holdfast.runtime.run import RunHandle
from holdfast.runtime.saga import Saga as Said
from holdfast.runtime.saga.driving import CARRIED, PLANNER, end_run, rest_of
from holdfast.runtime.stops import Ground
from holdfast.runtime.worker.holding import Holding


class Desk(Over, Protocol):
    """What is needed of an application."""

    @property
    def ports(self) -> Ports:
        """The wired ports."""
        ...

    @property
    def store(self) -> Any:
        """The open store."""
        ...

    @property
    def holding(self) -> Holding | None:
        """What this process holds."""
        ...


async def driven(desk: Desk, run: RunHandle, planner: Planner | Said | None, max_steps: int) -> Report:
    """One drive of a run that this process holds: its sagas, then its planner (None: it has none but sagas)."""
    said = planner if isinstance(planner, Said) else None
    rested = await _sagas(desk, run, said)
    if rested is not None:
        return rested
    if planner is not None and said is None:
        return await run.drive(cast("Planner", planner), max_steps=max_steps)
    return await _ended(desk, run, said)


async def _sagas(desk: Desk, run: RunHandle, said: Said | None) -> Report | None:
    """Every saga of the run as far as it goes; None where all have come to their ends."""
    known = [one for one in desk.store.documents("saga", run.id, EVERY) if isinstance(one, Saga)]
    names = [one.name for one in known if one.state not in ENDS]
    if said is not None and said.name not in {one.name for one in known}:
        names.append(said.name)
    if names:
        await _reopen(desk, run)
    for name in names:
        report = await run.saga(said if said is not None and said.name == name else name)
        if not report.ended:
            return await rest_of(report, desk.ports, desk.store)
    short = [one for one in desk.store.documents("saga", run.id, EVERY) if isinstance(one, Saga) and one.place]
    if not short:
        return None
    why = f"the saga {short[0].id} is {short[0].state}: {short[0].why}"
    stop = Stopping(code=PLANNER, reason=why, effect=short[0].id)
    return Report(run=run.id, state="blocked", reason=why, stop=stop)


def _ports(desk: Desk, run: RunHandle) -> Ports:
    """The ports that carry the claim."""
    return (desk.holding.ports_of(run.id) if desk.holding is not None else None) or desk.ports


async def _reopen(desk: Desk, run: RunHandle) -> None:
    """A run that was blocked is open again from here on, unless a halt stands over it."""
    row = await desk.ports.store.run_row(run.id)
    if row is None or row.state != "blocked" or desk.in_the_way(row).halted:
        return
    ports = _ports(desk, run)
    note = Note(kind="reopened", by=ports.me, body={"reason": "its saga is driven on", "was": row.reason})
    guard = Guard(run_open=run.id, run_state="blocked")
    await ports.store.commit(Change(run=run.id, guard=guard, notes=(note,), ends=("open", "")))


async def _ended(desk: Desk, run: RunHandle, said: Said | None) -> Report:
    """A run that has nothing but sagas, and they are over: it ends with them, or its program goes on with it."""
    known = [one for one in desk.store.documents("saga", run.id, EVERY) if isinstance(one, Saga)]
    if said is not None or any(one.ends for one in known):
        rest = await end_run(_ports(desk, run), desk, desk.store, run.id)
        if rest is not None:
            code = rest.stop.code.value if rest.stop is not None else Ground.OWED.value
            about = rest.stop.effect if rest.stop is not None else ""
            stop = Stopping(code=code, reason=rest.reason, effect=about)
            return Report(run=run.id, state="blocked", reason=rest.reason, stop=stop)
    row = await desk.ports.store.run_row(run.id)
    if row is not None and row.state not in ("open", "blocked"):
        return Report(run=run.id, state="done" if row.state == "done" else "blocked", reason=row.reason)
    return Report(run=run.id, state=CARRIED, reason="its sagas are over" if known else "no saga of it was begun")
