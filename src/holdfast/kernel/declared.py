"""A saga as declared: what is wrong with it, what its calls take from earlier results, and in what two of them differ.

Pure. Promises that everything that is wrong is named at once, that no step claims to be milder than the contract of its
tool, and that no step that stays stands before the boundary. Does not promise that what is declared to offset a step
does so: that is seen when it is carried out, and verified as any effect is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.kernel.documents.saga import KINDS, Saga, SagaStep
from holdfast.kernel.model import Contract, EffectClass

RESULT = "$result"
"""``{"$result": "hotel.booking.id"}`` in a declared call stands for that part of the result of the step ``hotel``."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MOST_STEPS = 100


def problems(saga: Saga, contracts: Mapping[str, Contract]) -> tuple[str, ...]:
    """What is wrong with a saga as declared, all at once."""
    found = [] if NAME.fullmatch(saga.name) else [f"{saga.name!r} is no name: letters, digits and _ . -, at most 64"]
    if not 1 <= len(saga.steps) <= MOST_STEPS:
        found.append(f"it has {len(saga.steps)} steps; 1 to {MOST_STEPS} are taken")
    seen: set[str] = set()
    for number, step in enumerate(saga.steps):
        if not NAME.fullmatch(step.name):
            found.append(f"step {step.name!r}: that is no name: letters, digits and _ . -, at most 64")
        if step.name in seen:
            found.append(f"two steps are called {step.name}")
        found += [f"step {step.name}: {why}" for why in _of_step(saga, number, step, contracts)]
        found += [f"step {step.name}: it takes from {name}, which no earlier step is" for name in _unmet(step, seen)]
        seen.add(step.name)
    return tuple(found)


def _of_step(saga: Saga, number: int, step: SagaStep, contracts: Mapping[str, Contract]) -> Iterable[str]:
    if step.kind not in KINDS:
        yield f"its class {step.kind!r} is none of {', '.join(KINDS)}"
        return
    if step.kind == "irreversible" and number < saga.boundary:
        yield f"it is irreversible and stands before the boundary ({saga.steps[saga.boundary].name})"
    if not (1 <= step.tries <= MOST_STEPS and 1 <= step.undo_tries <= MOST_STEPS):
        yield f"tries are between 1 and {MOST_STEPS}"
    if step.declared:
        tool = str(step.declared.get("tool", ""))
        if tool not in contracts:
            yield f"no tool named {tool} is registered"
        else:
            yield from weaker(step, contracts[tool])


def weaker(step: SagaStep, contract: Contract) -> Iterable[str]:
    """Why a step may not be of its class by the contract of its tool: a claim is never milder than the contract."""
    if contract.effect is EffectClass.READ:
        return
    least = {EffectClass.IRREVERSIBLE: "irreversible", EffectClass.COMPENSABLE: "compensable"}.get(contract.effect)
    if least is not None and KINDS.index(step.kind) < KINDS.index(least):
        yield f"it is called {step.kind}, and {contract.name} is {contract.effect.value}"
    if step.kind != "irreversible" and (not step.undo or (step.undo.get("by") == "tool" and not contract.has_undo)):
        yield f"it is {step.kind}, and nothing offsets it: {contract.name} has no undo, and none is declared"


def _unmet(step: SagaStep, seen: set[str]) -> list[str]:
    taken = [path.partition(".")[0] for path in references(step.declared.get("args", {}))]
    own = [path.partition(".")[0] for path in references(step.undo.get("args", {}))]
    return [name for name in dict.fromkeys(taken) if name not in seen] + [
        name for name in dict.fromkeys(own) if name not in seen and name != step.name
    ]


def references(value: Any) -> list[str]:
    """What a declared call takes from earlier results: ``step.part.part``."""
    if isinstance(value, dict):
        if set(value) == {RESULT}:
            return [str(value[RESULT])]
        return [path for part in value.values() for path in references(part)]
    return [path for part in value for path in references(part)] if isinstance(value, list | tuple) else []


def filled(value: Any, results: Mapping[str, Any]) -> Any:
    """A declared call with what it takes from results. Raises KeyError naming what is not in them."""
    if isinstance(value, dict):
        if set(value) == {RESULT}:
            return _part(str(value[RESULT]), results)
        return {name: filled(part, results) for name, part in value.items()}
    return [filled(part, results) for part in value] if isinstance(value, list | tuple) else value


def _part(path: str, results: Mapping[str, Any]) -> Any:
    found: Any = results
    for name in path.split("."):
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise KeyError(f"{path} is not in the results") from None
    return found


DECLARED = ("name", "kind", "declared", "undo", "tell", "cites", "tries", "undo_tries")


def differences(recorded: Saga, offered: Saga) -> tuple[str, ...]:
    """In what a saga offered under a recorded name differs from the recorded one. Empty: it is the same."""
    found = []
    if recorded.owner != offered.owner:
        found.append(f"its owner is {recorded.owner or 'nobody'}, not {offered.owner or 'nobody'}")
    then, now = [s.name for s in recorded.steps], [s.name for s in offered.steps]
    if then != now:
        return (*found, f"its steps are {', '.join(then)}, not {', '.join(now)}")
    for one, other in zip(recorded.steps, offered.steps, strict=True):
        found += [f"step {one.name}: {name}" for name in DECLARED if getattr(one, name) != getattr(other, name)]
    if recorded.boundary != offered.boundary:
        found.append("its boundary")
    if recorded.ends != offered.ends:
        found.append("whether its run ends with it")
    return tuple(found)
