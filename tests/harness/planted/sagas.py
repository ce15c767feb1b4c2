"""Planted defects of sagas: blind offsets, a lost order, silence, repeats, a boundary that gives way, mild claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.kernel import declared, sagas
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.model import State
from holdfast.kernel.sagas import Act
from holdfast.runtime.saga import carrying, driving, telling
from holdfast.runtime.worker import holding, rests
from holdfast.runtime.worker import sagas as shifts
from tests.harness.planted import Put


def _offsets_an_unknown(put: Put) -> None:
    """A doubt turns the saga back, and what is in doubt is offset like anything else."""
    forward, offsetting = sagas._forward, sagas._offsetting

    def hasty(saga: Any, present: Any) -> Act:
        act = forward(saga, present)
        view = present.get(saga.steps[act.step].effect) if act.step >= 0 else None
        doubt = view is not None and (view.state is State.ABANDONED or (view.state is State.UNKNOWN and view.escalated))
        return Act(sagas.TURN, act.step, "it is not known to be there") if doubt else act

    def blind(number: int, step: Any, present: Any) -> Any:
        view = present.get(step.effect)
        if view is not None and view.state in (State.UNKNOWN, State.ABANDONED):
            present = {**present, step.effect: replace(view, state=State.COMMITTED, next="")}
        return offsetting(number, step, present)

    put(sagas, "_forward", hasty)
    put(sagas, "_offsetting", blind)


def _forgets_order(put: Put) -> None:
    """Steps are offset in the order in which they were made."""
    honest = sagas._back

    def forgetful(saga: Any, present: Any) -> Act:
        for number, step in enumerate(saga.steps):
            act = sagas._offsetting(number, step, present)
            if act is not None:
                return act
        return honest(saga, present)

    put(sagas, "_back", forgetful)


def _tells_nobody(put: Put) -> None:
    """What happened is recorded, and nobody is named as told."""
    put(telling, "told_of", lambda *_: [])


def _repeats_on_resume(put: Put) -> None:
    """Each process makes the steps of its own: what an earlier one did is forgotten."""
    honest = driving.opened

    async def anew(run: Any, papers: Any, ports: Any, found: Any) -> Any:
        saga = await honest(run, papers, ports, found)
        bare = tuple(replace(step, tried=0, effect="", call={}) for step in saga.steps)
        if saga.state == "forward" and bare != saga.steps:
            saga = replace(saga, steps=bare)
            note = Note(kind="saga", by="runtime", body={"saga": saga.name, "did": "forgotten"})
            await ports.store.commit(Change(run=run.id, notes=(note,), documents=(saga,)))
        return saga

    put(driving, "opened", anew)
    put(
        carrying.Carrying,
        "_purpose",
        lambda self, step: f"{self._run.record.purpose}\n{self._ports.me}\nstep {step.name}",
    )


def _proposals_unbound(put: Put) -> None:
    """A try is proposed whatever became of its saga, and as whatever generation."""
    honest = carrying.propose

    async def loose(ports: Any, proposal: Any) -> str:
        return await honest(ports, replace(proposal, only="", as_read=()))

    put(carrying, "propose", loose)


def _turns_back_past_its_boundary(put: Put) -> None:
    """A failure after the boundary is offset like one before it."""
    honest = sagas._forward
    put(sagas, "_forward", lambda saga, present: honest(replace(saga, boundary=-1), present))


def _claims_less(put: Put) -> None:
    """A step is of whatever class it says."""
    put(declared, "weaker", lambda step, contract: ())


def _differs_unseen(put: Put) -> None:
    """Other steps under a recorded name are taken for the recorded ones."""
    put(declared, "differences", lambda recorded, offered: ())


def _without_a_job(put: Put) -> None:
    """A run whose saga is under way has no job: when its program dies, nobody finds it."""

    class Nothing:
        report = None

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

    put(holding.Holding, "carrying", lambda *_, **__: Nothing())


def _run_stays_open(put: Put) -> None:
    """A run that was declared to end with its saga stays as it is."""

    async def never(*_: Any) -> None:
        return None

    put(driving, "end_run", never)
    put(shifts, "end_run", never)


def _asleep_after_a_word(put: Put) -> None:
    """What a person said of a saga wakes nobody."""
    put(rests, "_saga_over", lambda job, ledger: "")


def _told_twice(put: Put) -> None:
    """What is tried anew on somebody's word is told as a failure that has just been."""

    class Forgetful(str):
        __slots__ = ()

        def __contains__(self, part: object) -> bool:
            return False

    honest = telling.told_of

    def retold(saga: Any, *more: Any) -> Any:
        return honest(replace(saga, told=tuple(one | {"what": Forgetful(one["what"])} for one in saga.told)), *more)

    put(carrying, "told_of", retold)


PLANT: dict[str, Callable[[Put], None]] = {
    "saga-without-a-job": _without_a_job,
    "saga-leaves-its-run-open": _run_stays_open,
    "saga-word-wakes-nobody": _asleep_after_a_word,
    "saga-tells-the-old-failure": _told_twice,
    "saga-offsets-an-unknown": _offsets_an_unknown,
    "saga-forgets-order": _forgets_order,
    "saga-tells-nobody": _tells_nobody,
    "saga-repeats-on-resume": _repeats_on_resume,
    "saga-proposals-unbound": _proposals_unbound,
    "saga-turns-back-past-its-boundary": _turns_back_past_its_boundary,
    "saga-claims-less": _claims_less,
    "saga-differs-unseen": _differs_unseen,
}
