"""What a run, a planner and the door out need of an application: calls prepared, cards, entries, undo, children.

Decides nothing about what may happen; it knows the registry, the policy and the store, and answers for them. Promises
that nothing it hands to a planner is a handle: cards and entries are plain data.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from holdfast.effect.admit import question
from holdfast.gate import PolicySet
from holdfast.gate.policy import Rule
from holdfast.kernel.canon import decode
from holdfast.kernel.errors import BadContract, NotOpen
from holdfast.kernel.model import Effect
from holdfast.kernel.outcomes import Refused
from holdfast.kernel.ports import Ports, Request
from holdfast.runtime.planner import Card
from holdfast.runtime.run import RunHandle
from holdfast.runtime.view import Noted
from holdfast.store import SqliteStore as Store
from holdfast.tools.call import Call
from holdfast.tools.look import Looks
from holdfast.tools.registry import Registry


class Desk:
    """The part of an application that a run holds on to (:class:`holdfast.runtime.run.Desk`)."""

    def __init__(self, url: str, registry: Registry, policy: PolicySet) -> None:
        """Over the parts that are there before anything is opened."""
        self.url = url
        self.registry = registry
        self.policy = policy
        self.winding_down = ""
        self._store: Store | None = None
        self._ports: Ports | None = None
        self._looks: Looks | None = None
        self._carried: Counter[str] = Counter()

    @property
    def ports(self) -> Ports:
        """The wired ports. Raises NotOpen outside the block."""
        if self._ports is None:
            raise NotOpen(what=f"The application on {self.url}")
        return self._ports

    @property
    def store(self) -> Store:
        """The open store. Raises NotOpen outside the block."""
        if self._store is None:
            raise NotOpen(what=f"The application on {self.url}")
        return self._store

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        bound = self.registry.bind(Call(tool, args))
        cost = {"minor": bound.cost.minor, "currency": bound.cost.currency} if bound.cost is not None else None
        return bound.args, bound.resource, cost

    def cards(self) -> tuple[Card, ...]:
        """The contracts that a planner may use: those of which some rule permits something. Plain data, no handle."""
        return tuple(
            Card(
                name=name,
                description=contract.description,
                effect=contract.effect.value,
                schema=contract.schema,
                permits=permits,
            )
            for name, contract in sorted(self.registry.contracts.items())
            if (permits := _permits(self.policy.rules_for(name)))
        )

    async def noted(self, run: str, after: int) -> list[Noted]:
        """A run's own entries after a sequence number, with everything recorded so far on disk."""
        await self.store.flush()
        entries = (e for e in self.store.entries(run, after=after) if not e.effect)
        return [Noted(e.seq, e.kind, e.at_ms, e.by, decode(e.body) if e.body else {}) for e in entries]

    async def undo_of(self, view: Effect) -> Call:
        """The call that offsets a committed effect, as its tool says. Raises BadContract where it has none."""
        contract = self.registry.tool(view.tool).contract
        looks = self._looks
        call = await looks.undo(question(view, contract)) if contract.has_undo and looks is not None else None
        if not isinstance(call, Call):
            why = f"its undo gave no call: {call}" if contract.has_undo else "it declares no undo"
            raise BadContract(tool=view.tool, missing=("undo",), problems=(why,))
        return call

    @contextlib.contextmanager
    def driving(self, effect: str) -> Iterator[None]:
        """Held while a call is carried, so that a stop can wait for it."""
        self._carried[effect] += 1
        try:
            yield
        finally:
            self._carried[effect] -= 1
            if not self._carried[effect]:
                del self._carried[effect]

    # -- what the door out needs --

    async def _child(self, request: Request, call: Call) -> Any:
        """A body's call of another tool: a linked effect of the same run, under the same gate."""
        row = await self.store.run_row(request.run)
        if row is None:
            raise NotOpen(what=f"Run {request.run}")
        if reason := await self._in_its_own_way(request.effect, call):
            return Refused(reason, rules=("builtin:own-resource",))
        return await RunHandle(self, row).propose(call.tool, dict(call.args), parent=request.effect)

    async def _in_its_own_way(self, parent: str, call: Call) -> str:
        """Why a child would wait for its own ancestor, which waits for it; empty if it would not."""
        bound = self.registry.bind(call)
        while parent and not bound.contract.shared:
            view = (await self.store.read(parent)).effect
            if view is None:
                return ""
            if view.resource == bound.resource:
                return f"{view.id}, which called it, holds {bound.resource} until this call is over"
            parent = view.parent
        return ""

    async def look(self, effect: str, kind: str) -> Any:
        """Ask a tool's read-only companion about a recorded effect, by hand: ``probe``, ``verify`` or ``state``."""
        view = (await self.store.read(self.store.find(effect))).effect
        if view is None:
            raise NotOpen(what=f"Effect {effect}")
        contract = self.registry.tool(view.tool).contract
        return await getattr(self.ports.look, kind)(question(view, contract))


def _permits(rules: Iterable[Rule]) -> tuple[str, ...]:
    """What the rules of a tool permit, in the words of their authors."""
    asked = "; a person is asked"
    return tuple(f"{rule}{asked if rule.asks else ''}" for rule in rules if not rule.forbids)
