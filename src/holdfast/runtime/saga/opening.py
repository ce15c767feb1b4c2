"""Opening a saga: recorded now if it is new, met if it is known, refused where another is known by its name.

Promises that two processes which begin one saga at once meet in one record, and that what is recorded stands: steps
that differ are refused with the difference, and nothing of them is sent. Says what is reported where one rests.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

from holdfast.kernel import declared
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import AnyDocument, Saga
from holdfast.kernel.documents.saga import ENDS
from holdfast.kernel.errors import RunStopped, SagaDiffers, SagaNotAtHand
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Run
from holdfast.kernel.outcomes import Outcome
from holdfast.kernel.ports import Ports
from holdfast.runtime.saga.declare import NOBODY, Made, recorded
from holdfast.runtime.saga.declare import Saga as Said


class SagaReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where a saga came to rest: completed, compensated, partly compensated, or held, waiting, stopped before that.

    ``reached`` names the valid state reached, ``told`` who was told of what; ``owner`` moves next where it is held or
    partly compensated. ``outcomes`` are those of the steps that became effects, ``offsets`` of what offsets them.
    """

    saga: str
    state: str
    reached: str
    why: str = ""
    owner: str = ""
    told: tuple[dict[str, Any], ...] = ()
    outcomes: dict[str, Outcome] = {}
    offsets: dict[str, Outcome] = {}
    record: Saga | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is done by itself."""
        return self.state in ENDS


class Papers(Protocol):
    """What is read of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...


class Met(NamedTuple):
    """A saga as it was met: as recorded (None: it is new), as it is offered, and what its program makes."""

    there: Saga | None
    offered: Saga
    made: Made


async def met(run: Run, papers: Papers, ports: Ports, said: Said | str) -> Met:
    """What is known of the saga of this name; nothing is recorded. Raises BadSaga, SagaDiffers, SagaNotAtHand."""
    name = said if isinstance(said, str) else said.name
    there = papers.document("saga", f"{run.id}/{name}")
    if isinstance(said, str):
        if not isinstance(there, Saga):
            raise SagaNotAtHand(saga=f"{run.id}/{name}", why="it is not recorded")
        return Met(there, there, NOBODY)
    offered, made = recorded(said, run.id, ports.contracts, await ports.store.time())
    if not isinstance(there, Saga):
        return Met(None, offered, made)
    if differs := declared.differences(there, offered):
        raise SagaDiffers(saga=name, run=run.id, differences=differs)
    return Met(there, offered, made)


async def opened(run: Run, papers: Papers, ports: Ports, found: Met) -> Saga:
    """The recorded saga, recorded now if it is new. Raises SagaDiffers where another began one, RunStopped."""
    there, offered, name = found.there, found.offered, found.offered.name
    if there is None:
        body = {"saga": name, "did": "begun", "state": "forward", "steps": [step.name for step in offered.steps]}
        change = Change(
            run=run.id,
            guard=Guard(run_open=run.id, as_read=(("saga", offered.id, ""),)),
            notes=(Note(kind="saga", by=run.principal.name, body=body),),
            documents=(offered,),
        )
        verdict = await ports.store.commit(change)
        known = papers.document("saga", offered.id)
        if isinstance(verdict, Rejected) and not isinstance(known, Saga):
            raise RunStopped(run=run.id, reason=verdict.why)
        assert isinstance(known, Saga)
        there = known
    if differs := declared.differences(there, offered):
        raise SagaDiffers(saga=name, run=run.id, differences=differs)
    return there
