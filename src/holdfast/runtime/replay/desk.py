"""What a planner's turns and a run's handle are given in a playback: contracts from their texts, and no door out.

Calls are checked by their contract alone: the Python side of a tool is not here, so a spelling that only its
annotations know is taken from the tape. How long a drive stayed with an effect is the tape's too; what it then says of
it is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from holdfast.kernel.canon import decode
from holdfast.kernel.errors import BadArguments, UnknownTool
from holdfast.kernel.model import Approval, Contract, Effect, Run
from holdfast.kernel.outcomes import Outcome
from holdfast.kernel.ports import Ports
from holdfast.runtime.planner import Answer, Card, View
from holdfast.runtime.replay.ports import Job, Wait
from holdfast.runtime.run import Call, RunHandle
from holdfast.runtime.stops import InTheWay, Stop, in_the_way
from holdfast.runtime.view import Noted
from holdfast.store.memory import MemoryFace
from holdfast.tools.arguments import Arguments, nearest
from holdfast.tools.bounds import not_within
from holdfast.tools.contract import bind_resource, cost_of

Prepared = tuple[dict[str, Any], str, dict[str, Any] | None]


class Spelled(Protocol):
    """How the tape says that a call was taken in, where that is more than its contract says."""

    def __call__(self, tool: str, args: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they were recorded; raises what refused them."""
        ...


class TapeDesk:
    """Implements :class:`holdfast.runtime.run.Desk` over a playback's ledger, for one job."""

    winding_down = ""

    def __init__(
        self,
        ports: Ports,
        face: MemoryFace,
        job: Job,
        spelled: Spelled,
        cards: Callable[[], Any],
        owed: Callable[[], Stop | None],
    ) -> None:
        """For one job; what it is told without a wait is kept with the job."""
        self._ports, self._face, self._job, self._spelled, self._cards = ports, face, job, spelled, cards
        self._owed = owed
        self._arguments: dict[str, Arguments] = {}

    @property
    def ports(self) -> Ports:
        """The ports of the tape."""
        return self._ports

    def prepared(self, tool: str, args: dict[str, Any]) -> Prepared:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        contract = self._ports.contracts.get(tool)
        if contract is None:
            known = tuple(sorted(self._ports.contracts))
            raise UnknownTool(tool=tool, nearest=nearest(tool, known), known=known)
        if tool not in self._arguments:
            self._arguments[tool] = Arguments(tool, contract.schema)
        taken = bounded(contract, self._arguments[tool].check(args))
        taken = self._job.at_once(lambda: self._spelled(tool, taken))
        return (taken, *of(contract, taken))

    def cards(self, *grants: str) -> tuple[Card, ...]:  # noqa: ARG002 - as called
        """The contracts that a planner may use."""
        found: tuple[Card, ...] = self._job.at_once(self._cards)
        return found

    async def noted(self, run: str, after: int) -> list[Noted]:
        """The run's own entries, as they were played back so far."""
        found: list[Noted] = self._job.at_once(
            lambda: [
                Noted(e.seq, e.kind, e.at_ms, e.by, decode(e.body) if e.body else {})
                for e in self._face.entries(run)
                if not e.effect and e.seq > after
            ]
        )
        return found

    def in_the_way(self, run: Run) -> InTheWay:
        """What stands over a run now."""
        found: InTheWay = self._job.at_once(lambda: in_the_way(self._face, run))
        return found

    def requests(self, run: str) -> dict[str, Approval]:
        """The requests to humans that are open under a run, by id."""
        found: dict[str, Approval] = self._job.at_once(
            lambda: {a.id: a for a in self._face.books.approvals.values() if a.run == run and a.state == "open"}
        )
        return found

    def owed(self, run: str) -> Stop | None:  # noqa: ARG002 - as called
        """What kept the run from being done then: drifts are found by others, and the record says what was found."""
        found: Stop | None = self._job.at_once(self._owed)
        return found

    async def undo_of(self, view: Effect) -> Call:
        """No tool is here that could say it."""
        raise UnknownTool(tool=view.tool, nearest=None, known=())

    async def narrow(self, run: Run, above: tuple[str, ...], unit: str, less: dict[str, Any]) -> str:  # noqa: ARG002 - as called
        """Grants are recorded; a playback makes none."""
        raise UnknownTool(tool=unit, nearest=None, known=())

    @property
    def holding(self) -> None:
        """Nothing is claimed."""

    def driving(self, effect: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002 - as called
        """Nobody else drives here."""
        return contextlib.nullcontext()


class TapeHandle(RunHandle):
    """A run as its drive holds it. How far an effect goes while it is carried is what the tape says."""

    async def carry(self, effect: str, wait_ms: int, untold: list[Effect] | None = None) -> Outcome:  # noqa: ARG002 - as called
        """Stay with an effect until the drive that is played back said something of it."""
        rest = await Wait("handle", "carry", (effect,))
        if untold is not None:
            untold.append(rest.effect)
        return await self._said(rest)


class TapePlanner:
    """A planner that is asked, and whose answer is the tape's."""

    async def propose(self, view: View) -> Answer:
        """The answer that was recorded."""
        answer: Answer = await Wait("planner", "propose", (view,))
        return answer


def bounded(contract: Contract, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments, if none leads out of its bounds; raises BadArguments."""
    if contract.bounds and (out := not_within(contract.bounds, args)):
        raise BadArguments(tool=contract.name, problems=out)
    return args


def of(contract: Contract, args: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The resource and the cost of a call, as a proposal records them."""
    cost = cost_of(contract, args)
    return bind_resource(contract, args), {"minor": cost.minor, "currency": cost.currency} if cost is not None else None
