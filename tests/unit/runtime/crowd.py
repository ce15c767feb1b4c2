"""Many principals at one outside: the rig with limits, on virtual time, and everything due done in turn."""

from __future__ import annotations

from dataclasses import replace

import msgspec

import holdfast as hf
from holdfast.effect.admit import Proposal, propose
from holdfast.kernel.answers import Ack
from holdfast.kernel.documents import Meter
from holdfast.kernel.due import due
from holdfast.kernel.limits import UNDER_WAY
from holdfast.kernel.model import Contract, Effect, Run, State
from holdfast.kernel.ports import Ports
from holdfast.runtime.begin import Intent, begin
from holdfast.runtime.drive import step
from holdfast.runtime.room import Room
from tests.unit.runtime.rig import BARE, Rig

PAY = msgspec.structs.replace(BARE, name="pay", work="payments", shared=True, splits="bills", did_not_happen=())
LATER = msgspec.structs.replace(PAY, name="pay_later", work="slips", splits="")
CHEAP = msgspec.structs.replace(PAY, name="pay_or_later", instead="pay_later", not_done="nothing is paid today")


class Crowd(Rig):
    """One store, workers under limits, and principals each with a run."""

    def __init__(self, limits: hf.Limits, *contracts: Contract) -> None:
        super().__init__(*(contracts or (PAY, LATER, CHEAP)))
        self.limits = limits
        self.runs: dict[str, Run] = {}

    def ports(self, me: str = "w1") -> Ports:
        """The ports of one worker, with room."""
        return replace(super().ports(me), room=Room(self.store.face(me), self.limits))

    async def who(self, name: str, priority: int = 0, **terms: object) -> Run:
        """The run of a principal."""
        if name not in self.runs:
            ports = self.ports()
            intent = Intent(goal="pay", principal=name, purpose=f"of {name}", **terms)
            self.runs[name] = await begin(ports.store, ports.secret, intent, tenant="main", environment="prod", by="w1")
            if priority:
                self.store.durable.runs[self.runs[name].id] = msgspec.structs.replace(
                    self.runs[name], priority=priority
                )
        return self.runs[name]

    async def asks(self, name: str, bill: str, *, tool: str = "pay", me: str = "w1", **args: object) -> Effect:
        """A principal proposes to pay a bill, and it is decided."""
        effect = await self.proposes(name, bill, tool=tool, me=me, **args)
        await self.go(effect, me, "admit")
        return self.view(effect)

    async def proposes(self, name: str, bill: str, *, tool: str = "pay", me: str = "w1", **args: object) -> str:
        """A principal proposes to pay a bill."""
        ports = self.ports(me)
        proposal = Proposal(run=await self.who(name), tool=tool, args={"invoice": bill, **args}, resource=bill, by=name)
        return await propose(ports, proposal)

    async def go(self, effect: str, me: str = "w1", *verbs: str) -> str:
        """One verb that is due, if it is one of these (or any, without)."""
        ports = self.ports(me)
        seen = await ports.store.read(effect)
        assert seen.effect is not None
        verb = due(seen.effect, me, seen.now_ms)
        if verb is None or (verbs and verb not in verbs):
            return ""
        await step(ports, effect)
        return verb

    def view(self, effect: str) -> Effect:
        """The record as the first worker sees it."""
        return self.store.current.effects[effect]

    def under_way(self) -> list[Effect]:
        """What takes a place."""
        return [e for e in self.store.current.effects.values() if e.state in UNDER_WAY]

    async def round(self, me: str = "w1", most: int = 1_000) -> int:
        """Everything that is due once, in the order in which recovery finds it; returns how often something was."""
        moved = 0
        for view in sorted(self.store.current.effects.values(), key=lambda v: v.due_ms):
            moved += bool(await self.go(view.id, me))
            if moved >= most:
                break
        return moved

    async def until_rest(self, me: str = "w1", rounds: int = 10_000) -> None:
        """Let everything happen that will: time moves to whatever is due next."""
        for _ in range(rounds):
            if await self.round(me):
                continue
            later = [v.due_ms for v in self.store.current.effects.values() if v.state is State.WAITING]
            if not later:
                return
            self.clock.ms = max(self.clock.ms + 1, min(later))
        raise AssertionError("it does not come to rest")

    def paid(self) -> list[str]:
        """The outside's own books: what it was sent, in order."""
        return [str(request.args["invoice"]) for request in self.outside.sent]

    def meters(self) -> dict[str, Meter]:
        """Every meter."""
        return {d.id: d for d in self.store.current.documents.values() if isinstance(d, Meter)}


DONE = Ack({"paid": True})
