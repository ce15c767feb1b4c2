"""The calls of a saga: made once from what is recorded, checked, and named before they are proposed.

Promises that a call is made from recorded results alone, and that the effect which a proposal will be is known before
it is: the next generation of its identity, or the effect that is there already. Whatever keeps a call from being made
is a reason in words, never a silent skip. Does not decide which call is due: :mod:`holdfast.kernel.sagas` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from holdfast.effect.admit import Proposal
from holdfast.kernel import identity as names
from holdfast.kernel import sagas
from holdfast.kernel.declared import filled, weaker
from holdfast.kernel.documents import Saga, SagaStep
from holdfast.kernel.errors import HoldfastError, IntegrityError, KeyReused
from holdfast.kernel.model import Contract, Effect, Run
from holdfast.kernel.ports import Ports
from holdfast.runtime.saga.declare import Made, Maker
from holdfast.tools.call import Call


class CannotMake(Exception):  # noqa: N818  # it says what is the case, and leaves this package as a record
    """A call could not be made or proposed."""

    def __init__(self, why: str) -> None:
        """In words."""
        super().__init__(why)
        self.why = why


class Desk(Protocol):
    """What making a call needs of an application."""

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        ...

    async def undo_of(self, view: Effect) -> Call:
        """The call that offsets an effect, as its tool says."""
        ...


class Handle(Protocol):
    """The run, as a proposal needs it."""

    record: Run

    @property
    def grants(self) -> tuple[str, ...]:
        """The grants that its calls come under."""
        ...


async def last(ports: Ports, effect: str) -> Effect | None:
    """The last generation of what was proposed under this id: where the world moved, the next one was proposed."""
    view = (await ports.store.read(effect)).effect
    while view is not None and view.successor and view.state in sagas.NOT_SENT:
        view = (await ports.store.read(view.successor)).effect
    return view


def results(saga: Saga, present: sagas.Present) -> dict[str, Any]:
    """What the steps gave that are there, by name, as plain data."""
    views = ((step.name, present.get(step.effect)) for step in saga.steps if step.tried)
    return {name: msgspec.to_builtins(view.value) for name, view in views if view is not None}


def called(step: SagaStep, made: Made, found: Mapping[str, Any]) -> dict[str, Any]:
    """The call of a step: as declared, with what it takes from results, or as its program makes it."""
    if step.declared:
        return _filled(step, step.declared, found)
    return _by_program(step, made.calls.get(step.name), found, "its call")


async def offsetting(step: SagaStep, made: Made, found: Mapping[str, Any], desk: Desk, view: Effect) -> dict[str, Any]:
    """The call that offsets a step, from what is recorded of it."""
    by = step.undo.get("by")
    if by == "program":
        return _by_program(step, made.undos.get(step.name), found, "what offsets it")
    if by != "tool":
        if not step.undo:
            raise CannotMake(f"step {step.name}: nothing is declared that offsets it")
        return _filled(step, step.undo, found)
    try:
        return _plain(await desk.undo_of(view))
    except IntegrityError:
        raise
    except HoldfastError as error:
        raise CannotMake(f"step {step.name}: what offsets it could not be made: {error}") from error


def _filled(step: SagaStep, call: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"tool": str(call["tool"]), "args": filled(call.get("args", {}), found)}
    except KeyError as error:
        raise CannotMake(f"step {step.name}: {error.args[0]}") from error


def _by_program(step: SagaStep, maker: Maker | None, found: Mapping[str, Any], what: str) -> dict[str, Any]:
    if maker is None:
        raise CannotMake(f"step {step.name}: {what} is made by the program of the saga; start that again")
    try:
        call = maker(dict(found))
    except HoldfastError:
        raise
    except Exception as error:
        raise CannotMake(f"step {step.name}: {what} could not be made: {type(error).__name__}: {error}") from error
    if not isinstance(call, Call):
        raise CannotMake(f"step {step.name}: {what} is no call but {type(call).__name__}")
    return _plain(call)


def _plain(call: Call) -> dict[str, Any]:
    return {"tool": call.tool, "args": msgspec.to_builtins(call.args)}


def fits(step: SagaStep, call: Mapping[str, Any], contracts: Mapping[str, Contract]) -> None:
    """A step whose call is known only now is judged by the contract of its tool now. Raises CannotMake."""
    contract = contracts.get(str(call["tool"]))
    if contract is None:
        raise CannotMake(f"step {step.name}: no tool named {call['tool']} is registered here")
    if wrong := list(weaker(step, contract)):
        raise CannotMake(f"step {step.name}: {'; '.join(wrong)}")


def prepared(desk: Desk, call: Mapping[str, Any]) -> dict[str, Any]:
    """The checked arguments of a call. Raises CannotMake."""
    try:
        return desk.prepared(str(call["tool"]), dict(call["args"]))[0]
    except IntegrityError:
        raise
    except HoldfastError as error:
        raise CannotMake(str(error)) from error


async def expected(ports: Ports, run: Run, purpose: str, tool: str, args: dict[str, Any], again: str) -> str:
    """The effect that this call is, or will be: what is there under its identity, or the next generation of it.

    Raises CannotMake where other arguments are recorded under that identity.
    """
    contract = ports.contracts[tool]
    same = names.identity(ports.secret, run.tenant, run.environment, purpose, contract, args, again)
    latest = await ports.store.latest(same)
    if latest is None:
        return names.effect_id(names.key(ports.secret, same, 1))
    if latest.state in sagas.NOT_SENT and not latest.successor and not latest.unsettled:
        return names.effect_id(names.key(ports.secret, same, latest.generation + 1))
    digest = names.args_digest(ports.secret, contract, args)
    if latest.args_digest != digest:
        reused = KeyReused(
            effect=latest.id, tool=tool, recorded_digest=latest.args_digest[:12], offered_digest=digest[:12],
            state=latest.state.value,
        )  # fmt: skip
        raise CannotMake(str(reused))
    return latest.id


def proposal(
    run: Handle, desk: Desk, call: Mapping[str, Any], args: dict[str, Any], *, cites: tuple[str, ...]
) -> Proposal:
    """A call of a saga as it is proposed, but for what it is for."""
    _, resource, cost = desk.prepared(str(call["tool"]), dict(call["args"]))
    narrowed = run.grants[len(run.record.grants) :]
    return Proposal(
        run=run.record, tool=str(call["tool"]), args=args, resource=resource, cost=cost, cites=cites, grants=narrowed,
        by=run.record.principal.name,
    )  # fmt: skip


def begun(effects: Iterable[Effect], effect: str) -> Effect | None:
    """What somebody has begun to offset an effect with, if it was not refused or proved absent."""
    found = [view for view in effects if view.compensates == effect and view.state not in sagas.NOT_SENT]
    return found[-1] if found else None


async def pause(ports: Ports, tool: str, tried: int) -> None:
    """Before it is tried once more: what the contract waits before it looks again, doubling."""
    contract = ports.contracts.get(tool)
    if contract is not None:
        wait_ms = contract.retry_after_ms * 2 ** min(tried - 1, 6)
        await ports.clock.until(await ports.store.time() + wait_ms)
