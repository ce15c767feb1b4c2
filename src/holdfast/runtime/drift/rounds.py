"""The reconciler: round after round, everything that is due is looked at, and what differs is brought to an end.

One at a time in a store: who looks holds a place with a lease and a token, and a second waits until it is free, or its
holder's lease is over, or its process is proved dead. That is for economy; what two of them found at once would still
be one record, and one repair. Promises bounded memory, bounded concurrency, and a round that goes on where a killed one
came to: the cursor is kept in the store. Does not promise when something is found: :mod:`.pacing` says how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from msgspec.structs import replace

from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.documents import MINT, Drift, Rounds, digest_of
from holdfast.kernel.documents.drift import LIVE
from holdfast.kernel.errors import HoldfastError, IntegrityError
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Contract, State
from holdfast.runtime.drift import classes, records
from holdfast.runtime.drift.looking import Looked, Looker
from holdfast.runtime.drift.pacing import Pace, Turns, falls_due
from holdfast.runtime.drift.repairing import Came, Repairer
from holdfast.runtime.run import Desk as RunDesk
from holdfast.store import Store
from holdfast.store.compared import Stands
from holdfast.tools.look import Looks
from holdfast.tools.registry import Registry

log = logging.getLogger("holdfast.drift")

PLACE = "reconciler"
SAYS_NOTHING = frozenset(
    {
        "proposed", "waiting", "admitted", "claimed", "dispatched", "pending", "unknown", "refused", "superseded",
        "compensated",
    }
)  # fmt: skip
"""States of which no look is worth its read; each verb sees to them in its time."""

MOST_PUT_OFF = 10_000
RACES = 8
STOP_S = 10.0


class Desk(RunDesk, Protocol):
    """What a reconciler needs of the application around it."""

    registry: Registry
    environment: str
    tenant: str

    @property
    def store(self) -> Store:
        """The open store."""
        ...


class Round(NamedTuple):
    """What one round came to: how many looks, by how each came out; what was found, brought to an end, escalated."""

    ran: bool
    counts: dict[str, int]
    holder: str = ""
    why: str = ""


class Reconciler:
    """``async with Reconciler(app): …`` looks beside the work; :meth:`round` looks once."""

    def __init__(self, desk: Desk, pace: Pace = Pace()) -> None:  # noqa: B008  # frozen
        """For one open application; nothing is looked at before :meth:`start` or :meth:`round`."""
        self._desk = desk
        self._store = desk.store
        self._me = desk.ports.me
        self._pace = pace
        self._contracts = desk.registry.contracts
        self._looks = Looks(desk.registry, threads=max(1, pace.at_once))
        self.looker = Looker(self._store, self._looks, self._contracts, desk.environment)
        self.repairer = Repairer(desk, self._store, self.looker, self._contracts, desk.tenant)
        self._turns: dict[str, Turns] = {}
        self._room = asyncio.Semaphore(pace.at_once)
        self._put_off: dict[str, None] = {}
        self._counts: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._end = asyncio.Event()

    # -- as a service --

    async def __aenter__(self) -> Self:
        """Look in the background until the block is left."""
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and give the place back."""
        await self.stop()

    def start(self) -> None:
        """Begin, in the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._service(), name="holdfast-drift")

    async def stop(self, grace_s: float = STOP_S) -> None:
        """End after the looks under way, or after the grace, and give the place back."""
        self._end.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self._task, grace_s)
            self._task = None
        with contextlib.suppress(HoldfastError):
            await self.hand_back()
        self._looks.close()

    async def _service(self) -> None:
        while not self._end.is_set():
            try:
                await self.round()
            except IntegrityError:
                log.exception("the reconciler stopped: the store cannot be trusted")
                return
            except HoldfastError as error:
                log.warning("the reconciler looks again later: %s", error)
            except Exception:
                log.exception("a round of the reconciler ended early")  # ours to mend; the next one goes on
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), self._pause_s())

    def _pause_s(self) -> float:
        """Until the next round, or until a drift is due that is looked at before."""
        live = self._store.documents_due("drift", "open", self._store.now_ms() + int(self._pace.every_s * 1_000), 1)
        due_ms = [drift.due_ms for drift in live if isinstance(drift, Drift)]
        soon_s = min([self._pace.every_s, *((at - self._store.now_ms()) / 1_000 for at in due_ms)])
        return max(min(0.5, self._pace.every_s), soon_s)

    # -- the place --

    @property
    def place(self) -> Rounds:
        """Who looks, and how far they came."""
        found = self._store.document("rounds", PLACE)
        return found if isinstance(found, Rounds) else Rounds(id=PLACE)

    async def take(self) -> bool:
        """Become who looks, or renew that. False: somebody else is."""
        before = self.place
        mine = before.holder == self._me and before.token
        others = not mine and before.holder != "" and self._store.now_ms() <= before.until_ms
        if others and not await self._desk.ports.peers.dead(before.holder):
            return False
        token = before.token if mine else MINT
        return await self._kept(before, replace(before, holder=self._me, token=token, lease_ms=self._pace.lease_ms))

    async def hand_back(self) -> None:
        """Let the next one look."""
        before = self.place
        if before.holder == self._me:
            await self._kept(before, replace(before, holder="", until_ms=0))

    async def _kept(self, before: Rounds, after: Rounds) -> bool:
        was = digest_of(before) if self._store.document("rounds", PLACE) is not None else ""
        change = Change(run=STORE_RUN_ID, guard=Guard(as_read=(("rounds", PLACE, was),)), documents=(after,))
        return not isinstance(await self._store.commit(change), Rejected)

    async def _moved(self, **to: Any) -> bool:
        """Keep how far this round came. False: the place is another's by now, and this round is over."""
        for _ in range(RACES):
            before = self.place
            if before.holder != self._me:
                return False
            if await self._kept(before, replace(before, **to)):
                return True  # else our own heartbeat came between
        return False

    # -- a round --

    async def round(self, *, everything: bool = False) -> Round:
        """Look at everything that is due, or at ``everything`` that says anything of the outside."""
        if not await self.take():
            held = self.place
            return Round(ran=False, counts={}, holder=held.holder, why=f"{held.holder} looks, until {held.until_ms}")
        self._counts = Counter()
        beat = asyncio.get_running_loop().create_task(self._beats())
        try:
            await self._live()
            await self._lists(everything=everything)
            await self._walk(everything=everything)
            await self._live()
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        return Round(ran=True, counts=dict(self._counts), holder=self._me)

    async def _beats(self) -> None:
        """Renew the lease while a round takes its time."""
        while True:
            await asyncio.sleep(self._pace.lease_ms / 3_000)
            with contextlib.suppress(HoldfastError):
                await self._moved()

    async def _walk(self, *, everything: bool) -> None:
        """Every effect that is due, in the order in which they were proposed, page by page."""
        place, now_ms = self.place, self._store.now_ms()
        if everything or not place.after:
            since_ms = place.upto_ms if not everything else 0
            if not await self._moved(since_ms=since_ms, upto_ms=now_ms, after=0):
                return
            place = self.place
        for effect in list(self._put_off):
            del self._put_off[effect]
            await self._looked(effect)
        walk, after = self._store.tally().compared().walk, place.after
        while page := walk(after, self._pace.page):
            due = [row for row in page if everything or self._due(row, place)]
            await asyncio.gather(*(self._one(row) for row in due if row.state not in SAYS_NOTHING))
            after = page[-1].n
            if not await self._moved(after=after) or self._end.is_set():
                return
        counted = dict(Counter(self.place.counts) + self._counts)
        rounds = self.place.rounds + 1
        await self._moved(after=0, rounds=rounds, ended_ms=self._store.now_ms(), counts=counted)

    def _due(self, row: Stands, place: Rounds) -> bool:
        return falls_due(row.moved_ms, place.since_ms, place.upto_ms, self._pace)

    async def _one(self, row: Stands) -> None:
        await self._looked(row.id, row.tool)

    async def _looked(self, effect: str, tool: str = "") -> None:
        """One look at one effect, in its turn, and what follows from it."""
        async with self._room:
            turns = self._turns_of(tool)
            if turns.rests:
                self._later(effect)
                self._counts["put off"] += 1
                return
            await turns.turn()
            try:
                looked = await self.looker.look(effect)
            except IntegrityError:
                raise
            except HoldfastError as error:
                log.warning("%s was not looked at: %s", effect, error)
                self._later(effect)
                self._counts["put off"] += 1
                return
            asked = looked.judged.look != "" or looked.kind in ("same", "drift", "lag", "overtaken")
            if asked:
                turns.told(told=looked.kind != "cannot tell")
            self._counts[looked.kind] += 1
            if looked.kind in ("held", "lag") or (looked.kind == "cannot tell" and asked):
                self._later(effect)
            await self._kept_of(looked)

    async def _kept_of(self, looked: Looked) -> None:
        if looked.drift is not None:
            await self._found(looked.drift)
        elif looked.kind == "same" and looked.view is not None:
            record = records.drift_in(self._store, "dr_" + looked.view.id[3:])
            if record is not None and record.state in LIVE:
                await self._gone(record, looked.judged.look, looked.at_ms)

    async def _found(self, drift: Drift) -> None:
        _, new = await records.opened(self._store, drift, self._me, self._pace)
        self._counts["found"] += int(new)

    async def _gone(self, record: Drift, look: str, at_ms: int) -> None:
        if not classes.closes(record, look, at_ms):
            return
        said = f"{look} at {at_ms} found no difference"
        why = "a later look found what was recorded"
        if await records.ended(self._store, record, by=self._me, reason=why, evidence=said):
            self._counts["ended"] += 1

    def _later(self, effect: str) -> None:
        if len(self._put_off) < MOST_PUT_OFF:
            self._put_off[effect] = None

    def _turns_of(self, tool: str) -> Turns:
        return self._turns.setdefault(tool, Turns(self._pace.per_second))

    # -- what tools list --

    async def _lists(self, *, everything: bool) -> None:
        """Every tool that lists what is there, when its list is due."""
        for name, contract in sorted(self._contracts.items()):
            now_ms, turns = self._store.now_ms(), self._turns_of(name)
            due = contract.has_list and (everything or self.place.lists.get(name, 0) <= now_ms)
            if not due or turns.rests:
                continue
            await turns.turn()
            listed = await self.looker.listed(contract, self._pace.most_orphans)
            turns.told(told=listed.told)
            self._counts["listed" if listed.told else "cannot tell"] += 1
            if not listed.told:
                log.warning("what is there by %s could not be told: %s", name, listed.why)
                continue
            self._counts["cannot tell"] += listed.untold + listed.more
            for drift in listed.drifts:
                await self._found(drift)
            await self._not_listed(contract, listed.shows, listed.at_ms)
            next_ms = now_ms + int(self._pace.lists_every_s * 1_000)
            await self._moved(lists=self.place.lists | {name: next_ms})

    async def _not_listed(self, contract: Contract, shows: frozenset[str], at_ms: int) -> None:
        """What was found by a list and is not on it any more is gone, once a replica that lags would show it too."""
        for record in self._store.tally().live_drifts():
            if record.tool != contract.name or record.look != "list" or record.environment != self._desk.environment:
                continue
            view = (await self._store.read(record.effect)).effect if record.effect else None
            thing = view.key if view is not None else record.thing
            if thing not in shows and at_ms > record.seen_ms + contract.visible_within_ms:
                await self._gone(record, "list", at_ms)

    # -- what is open --

    async def _live(self) -> None:
        """Drifts that are due: looked at again, repaired, followed, or put before a person."""
        due = self._store.documents_due("drift", "open", self._store.now_ms(), self._pace.page)
        for found in due:
            if isinstance(found, Drift) and found.environment == self._desk.environment:
                try:
                    await self.advance(found)
                except IntegrityError:
                    raise
                except HoldfastError as error:
                    log.warning("%s was left as it is: %s", found.id, error)

    async def advance(self, drift: Drift) -> Came:
        """One step of one drift towards its end."""
        if drift.effect and not (drift.repair and drift.next != "look again"):
            looked = await self.looker.look(drift.effect)
            if looked.kind != "drift":
                await self._kept_of(looked)
                now = records.drift_in(self._store, drift.id) or drift
                if looked.kind == "same" and now.state not in LIVE:
                    return Came(now)
                if looked.kind != "same":
                    return await self._answered_for(now, looked) or await self._rests(now, looked.kind)
                drift = now
            elif looked.drift is not None:
                await self._found(looked.drift)
                drift = records.drift_in(self._store, drift.id) or drift
        came = await self.repairer.go_on(drift, automatic=self._pace.repairs, by=self._me)
        self._counts[came.drift.state] += 1
        return came

    async def _answered_for(self, drift: Drift, looked: Looked) -> Came | None:
        """Whether another effect answers for the thing by now: what offset it, or a later one that was verified."""
        view = looked.view
        other = looked.judged.why if looked.kind == "overtaken" else ""
        if view is not None and view.state is State.COMPENSATED:
            other = view.compensated_by
        answers = (await self._store.read(other)).effect if other else None
        if answers is None or answers.state is not State.VERIFIED or answers.verified_ms <= drift.seen_ms:
            return None
        said = f"{answers.id} was verified at {answers.verified_ms}"
        why = "a later effect answers for it"
        await records.ended(self._store, drift, by=self._me, reason=why, evidence=said)
        return Came(records.drift_in(self._store, drift.id) or drift)

    async def _rests(self, drift: Drift, kind: str) -> Came:
        """It could not be looked at now: it is looked at again later, and after often enough a person is asked."""
        contract = self._contracts.get(drift.tool)
        probes = contract.probes if contract is not None else 1
        if drift.looks >= probes:
            owner = (contract.owner if contract is not None else "") or "operator"
            within_ms = contract.answer_within_ms if contract is not None else int(self._pace.longest_s * 1_000)
            why = f"looked at {drift.looks} times, and nobody here can tell any more ({kind})"
            return Came(
                await records.escalated(self._store, drift, owner=owner, why=why, within_ms=within_ms, by=self._me)
            )
        later_ms = self._store.now_ms() + int(self._pace.again_s * 1_000 * 2 ** min(drift.looks, 6))
        rested = replace(drift, looks=drift.looks + 1, next="look again", due_ms=later_ms)
        await records.put(self._store, drift, rested, by=self._me)
        return Came(rested, why=kind)
