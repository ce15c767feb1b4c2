"""A repair: a new effect of its own, linked to the drift, admitted, sent and verified like any other.

Its run has the drift's own purpose, so that whoever begins it, after whatever kill, begins the same run, proposes the
same call and meets in the same effect: nothing is sent twice for it. It is made on behalf of whoever made the first
effect, under their grants; what they may not do, no reconciler does for them. Promises that a repair which comes to
nothing is not tried again by itself: it goes to a person, with an owner and a due time.

Does not promise that there is a repair: what the contract or the gate does not allow is somebody's to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.kernel import identity as names
from holdfast.kernel.answers import CannotTell, Found
from holdfast.kernel.documents import Drift
from holdfast.kernel.errors import HoldfastError, KeyReused
from holdfast.kernel.model import DAY_MS, Contract, Effect, Principal, Run, State
from holdfast.kernel.outcomes import Stopped
from holdfast.runtime.begin import OwnIntent, begin
from holdfast.runtime.drift import classes, records
from holdfast.runtime.drift.looking import Looker
from holdfast.runtime.run import Desk, RunHandle
from holdfast.store import Store
from holdfast.tools.call import Call

RECONCILER = Principal(name="reconciler", vouched_by="holdfast")
"""On whose behalf an orphan is taken away: nobody asked for it here."""

SETTLED = frozenset({State.REFUSED, State.FAILED, State.ABANDONED, State.SUPERSEDED, State.UNCONFIRMED})
UNDER_WAY_MS = 2_000
ASKED = "repair as asked"
"""What is next on a drift for which a person asked for a repair."""

ROUTES = 8
"""How many generations of a repair are followed."""


class Came(NamedTuple):
    """What a repair came to, for who asked for it."""

    drift: Drift
    effect: str = ""
    why: str = ""


class Repairer:
    """Mends drifts for one application."""

    def __init__(
        self, desk: Desk, store: Store, looker: Looker, contracts: Mapping[str, Contract], tenant: str
    ) -> None:
        """``desk`` makes calls and carries them; everything else only looks."""
        self._desk = desk
        self._store = store
        self._looker = looker
        self._contracts = contracts
        self._tenant = tenant

    async def go_on(self, drift: Drift, *, automatic: bool, by: str) -> Came:
        """The next thing that is to be done about a drift: follow its repair, begin one, or ask a person."""
        if drift.repair and drift.state == "open" and await self._newest(drift.repair) is not None:
            return await self._followed(drift, by)
        view = (await self._store.read(drift.effect)).effect if drift.effect else None
        contract = self._contracts.get(drift.tool)
        found = await self._looker.probed(view, contract) if view is not None and contract is not None else None
        may = classes.remedy(drift, contract, found)
        if drift.next == ASKED:  # somebody asked for it, and whoever did was stopped before it was begun
            may, automatic = classes.Remedy(classes.forced(drift), drift.reason), True
        elif may.act and view is not None and (why := await self._stopped(view.run)):
            may = classes.Remedy("", f"{why}, and a repair does what that run did")
        if not may.act or not automatic or contract is None:
            why = may.why if not may.act else "repairs by itself are switched off"
            return Came(await self._asked(drift, contract, why, by), why=why)
        return await self._begun(drift, view, contract, found, may.act, by)

    async def _stopped(self, run: str) -> str:
        """Why nothing is done by itself for what a run did: the repair has another run, which its stop does not stop.

        Empty for one that goes on, or is done.
        """
        halt, row = self._store.fact(f"halt:run:{run}"), await self._store.run_row(run)
        if halt is not None and halt.raised:
            return halt.sentence
        if row is None or row.state in ("open", "done"):
            return ""
        return f"run {run} is {row.state}: {row.reason}"

    async def wanted(self, drift: Drift, *, who: str, reason: str) -> Came:
        """A repair that a person asks for, whatever the contract allows by itself; the gate still decides."""
        contract = self._contracts.get(drift.tool)
        if contract is None:
            return Came(drift, why=f"{drift.tool} is not among the tools here")
        if drift.state == "open" and drift.repair and await self._newest(drift.repair) is not None:
            return await self._followed(drift, who)
        view = (await self._store.read(drift.effect)).effect if drift.effect else None
        found = await self._looker.probed(view, contract) if view is not None else None
        open_again = replace(drift, state="open", repair="", owner="runtime", next=ASKED, by=who, reason=reason)
        open_again = replace(open_again, due_ms=self._store.now_ms())
        if not await records.put(self._store, drift, open_again, by=who, says="repair asked for"):
            return Came(records.drift_in(self._store, drift.id) or drift, why="its record moved meanwhile")
        return await self._begun(open_again, view, contract, found, classes.forced(drift), who)

    async def _begun(
        self, drift: Drift, view: Effect | None, contract: Contract, found: Found | None, act: str, by: str
    ) -> Came:
        call: Call | CannotTell
        if act == "undo":
            call = await self._looker.undo_of(drift, view, contract, found)
        elif view is not None:
            call = Call(view.tool, view.args)
        else:
            call = CannotTell("there is no call to make again: nothing of it is recorded")
        if isinstance(call, CannotTell):
            why = f"no repair could be made: {call.why}"
            return Came(await self._asked(drift, contract, why, by), why=why)
        try:
            handle, args = (
                await self._run_for(drift, view, contract),
                self._desk.prepared(call.tool, dict(call.args))[0],
            )
            linked = await self._linked(drift, handle.record, call.tool, args, by)
            if linked is None:
                return Came(records.drift_in(self._store, drift.id) or drift, why="its record moved meanwhile")
            why = await self._sent(linked, handle, call.tool, args)
        except HoldfastError as error:
            why = f"no repair could be made: {error.message}"
            now = records.drift_in(self._store, drift.id) or drift
            return Came(await self._asked(now, contract, why, by), why=why)
        return Came(linked, why=why) if why else await self._followed(linked, by)

    async def _run_for(self, drift: Drift, view: Effect | None, contract: Contract) -> RunHandle:
        """The run of the repair: the same one, however often it is begun."""
        run = await self._store.run_row(view.run) if view is not None else None
        intent = OwnIntent(
            goal=f"Repair {drift.id}: {drift.what} of {drift.tool}",
            purpose=drift.purpose,
            principal=run.principal if run is not None else RECONCILER,
            deadline=contract.answer_within_ms or DAY_MS,
        )
        row = await begin(
            self._desk.ports.store,
            self._desk.ports.secret,
            intent,
            tenant=self._tenant,
            environment=drift.environment,
            by=self._desk.ports.me,
            grants=run.grants if run is not None else (),
        )
        return RunHandle(self._desk, row)

    async def _linked(self, drift: Drift, run: Run, tool: str, args: dict[str, Any], by: str) -> Drift | None:
        """The record with its repair's effect, on disk before that effect is: no kill loses which one it is."""
        secret, contract = self._desk.ports.secret, self._contracts[tool]
        same = names.identity(secret, run.tenant, run.environment, run.purpose, contract, args, _again(drift))
        latest = await self._store.latest(same)
        effect = latest.id if latest is not None else names.effect_id(names.key(secret, same, 1))
        if drift.repair == effect:
            return drift
        due_ms = self._store.now_ms() + UNDER_WAY_MS
        linked = replace(drift, repair=effect, owner="runtime", next="wait for the repair", due_ms=due_ms)
        return linked if await records.put(self._store, drift, linked, by=by, says="repair begun") else None

    async def _sent(self, drift: Drift, handle: RunHandle, tool: str, args: dict[str, Any]) -> str:
        """Propose the repair and carry it as far as it goes at once. Why nothing is taken now; empty: it was."""
        try:
            outcome = await handle.propose(
                tool,
                args,
                patience=0,
                again=_again(drift),
                compensates=drift.effect if drift.what == "lingering" and tool != drift.tool else "",
                note=f"{drift.id}: {drift.what}",
            )
        except KeyReused:
            return ""  # it was sent before a kill, from what was there then
        return outcome.reason if isinstance(outcome, Stopped) and not outcome.effect else ""

    async def _followed(self, drift: Drift, by: str) -> Came:
        """How the repair stands, and what follows from it for the drift."""
        view = await self._newest(drift.repair)
        contract = self._contracts.get(drift.tool)
        if view is None:
            return Came(drift, drift.repair, "its repair is not recorded")
        if view.state is State.VERIFIED:
            said = f"{view.id} was verified at {view.verified_ms}"
            if await records.ended(self._store, drift, by=by, reason="a repair was made", evidence=said):
                await self._closed(view, said, "done")
            return Came(records.drift_in(self._store, drift.id) or drift, view.id)
        if view.state in SETTLED:
            why = f"its repair {view.id} is {view.state.value}: {view.reason or view.differs or view.cause}"
            await self._closed(view, why, "stopped")
            return Came(await self._asked(drift, contract, why, by), view.id, why)
        waits = replace(drift, repair=view.id, next="wait for the repair", due_ms=self._store.now_ms() + UNDER_WAY_MS)
        if view.state is State.WAITING:
            owner = view.owner if view.owner not in ("", "runtime") else "approvers"
            waits = replace(waits, next="decide about the repair", owner=owner, due_ms=view.due_ms or waits.due_ms)
        elif view.state is State.COMMITTED and view.next != "verify":
            waits = replace(waits, next="look again", due_ms=self._store.now_ms())  # only a look can end it
        elif view.escalated:
            waits = replace(waits, next=view.next, owner=view.owner, due_ms=view.due_ms)
        if (waits.next, waits.owner, waits.repair) != (drift.next, drift.owner, drift.repair) or drift.due_ms <= (
            self._store.now_ms()
        ):
            await records.put(self._store, drift, waits, by=by)
            drift = waits
        return Came(drift, view.id, f"its repair is {view.state.value}")

    async def _newest(self, effect: str) -> Effect | None:
        """The newest generation of a repair."""
        view = (await self._store.read(effect)).effect
        for _ in range(ROUTES):
            if view is None or not view.successor:
                break
            view = (await self._store.read(view.successor)).effect
        return view

    async def _closed(self, view: Effect, why: str, state: str) -> None:
        """The repair's run has nothing more to do."""
        row = await self._store.run_row(view.run)
        if row is not None and row.state == "open":
            await RunHandle(self._desk, row).stop(why, state=state)

    async def _asked(self, drift: Drift, contract: Contract | None, why: str, by: str) -> Drift:
        owner = (contract.owner if contract is not None else "") or "operator"
        within_ms = contract.answer_within_ms if contract is not None else DAY_MS
        return await records.escalated(self._store, drift, owner=owner, why=why, within_ms=within_ms, by=by)


def _again(drift: Drift) -> str:
    """What tells a second repair of one opening from the first, which came to nothing."""
    return f"repair {drift.repairs + 1}" if drift.repairs else ""
