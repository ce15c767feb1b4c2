"""How a saga is said: steps in a program, or the same as plain data and TOML.

Decides what a declaration amounts to: where its boundary is, how often a step is tried, what offsets it. Promises that
what is plain data is recorded as it was said, and that a key which means nothing is refused. A call that a program
makes from earlier results is recorded when it is made, and not made again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel import documents
from holdfast.kernel.declared import problems
from holdfast.kernel.documents import SagaStep
from holdfast.kernel.errors import BadSaga
from holdfast.kernel.model import Contract
from holdfast.tools.call import Call

Results = Mapping[str, Any]
"""What earlier steps gave, by the name of the step."""

Maker = Callable[[Results], Call]
TRIES_BEFORE, TRIES_AFTER, UNDO_TRIES = 1, 3, 3
BY_TOOL, BY_PROGRAM = {"by": "tool"}, {"by": "program"}


class Step(msgspec.Struct, frozen=True):
    """One step: its name, its call (or a function of the earlier results that gives one), and its class.

    ``kind`` is reversible, compensable or irreversible, never milder than the contract of its tool. With ``boundary``
    nothing is taken back once this step is there (default: the first irreversible step). ``undo`` offsets it: a call, a
    function of the results (its own among them), or the undo of its tool where nothing is said. ``tell`` names who is
    told of a failure or a doubt. ``tries``: how often it is proposed in all (default: 1 before the boundary, 3 after).
    """

    name: str
    call: Call | Maker
    kind: str = "compensable"
    boundary: bool = False
    undo: Call | Maker | None = None
    tell: tuple[str, ...] = ()
    tries: int | None = None
    undo_tries: int = UNDO_TRIES
    cites: tuple[str, ...] = ()


class Made(NamedTuple):
    """What a program makes calls with, by step: the call, and what offsets it."""

    calls: dict[str, Maker]
    undos: dict[str, Maker]


NOBODY = Made({}, {})
KEYS = frozenset({"name", "tool", "args", "kind", "boundary", "undo", "tell", "tries", "undo_tries", "cites"})


class Saga(msgspec.Struct, frozen=True):
    """A saga as data: its name within its run, its steps in order, and who owns what nobody else does.

    With ``ends`` its run ends with it: done where it is completed, stopped where it is compensated or a person let what
    was reached stand.
    """

    name: str
    steps: tuple[Step, ...] | list[Step]
    owner: str = ""
    ends: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Saga:
        """From plain data: ``{"name": …, "owner": …, "ends": …, "steps": [{"name": …, "tool": …, "args": {…}}]}``.

        ``{"$result": "hotel.id"}`` in arguments stands for a part of an earlier result. Raises BadSaga.
        """
        name = str(data.get("name", ""))
        found = [f"{key}: that means nothing here" for key in data if key not in ("name", "owner", "ends", "steps")]
        given = data.get("steps", ())
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise BadSaga(saga=name, problems=("steps: a list of tables is taken",))
        if type(ends := data.get("ends", False)) is not bool:
            found.append("ends: true or false is taken")
        steps = []
        for number, one in enumerate(given):
            try:
                steps.append(_step(one))
            except (TypeError, ValueError) as error:
                found.append(f"step {number + 1}: {error}")
        if found:
            raise BadSaga(saga=name, problems=tuple(found))
        return cls(name, tuple(steps), str(data.get("owner", "")), bool(ends))

    @classmethod
    def read(cls, file: str | Path) -> Saga:
        """From a TOML file: ``name``, ``owner``, ``ends``, and ``[[steps]]``. Raises BadSaga."""
        text = Path(file).read_text(encoding="utf-8")
        try:
            return cls.of(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise BadSaga(saga=str(file), problems=(f"it is no TOML: {error}",)) from None


def _step(one: Any) -> Step:
    if not isinstance(one, Mapping):
        raise TypeError("a table is taken")
    if unknown := sorted(set(one) - KEYS):
        raise ValueError(f"{', '.join(unknown)}: that means nothing here")
    given = {key: value for key, value in one.items() if key not in ("tool", "args", "undo")}
    undo = one.get("undo")
    step = {
        **given,
        "tell": _texts(one, "tell"),
        "cites": _texts(one, "cites"),
        "call": _call(one, "it has no tool"),
        "undo": None if undo is None else _call(undo, "undo: it has no tool"),
    }
    for key, kind in (("name", str), ("kind", str), ("boundary", bool), ("tries", int), ("undo_tries", int)):
        if key in step and type(step[key]) is not kind:
            raise TypeError(f"{key}: {kind.__name__} is taken")
    if "name" not in step:
        raise ValueError("it has no name")
    return Step(**step)


def _texts(one: Mapping[str, Any], key: str) -> tuple[str, ...]:
    said = one.get(key, ())
    said = (said,) if isinstance(said, str) else said
    if not all(isinstance(text, str) for text in said):
        raise TypeError(f"{key}: a list of texts is taken")
    return tuple(said)


def _call(one: Any, lacking: str) -> Call:
    tool = one.get("tool") if isinstance(one, Mapping) else None
    args = one.get("args", {}) if isinstance(one, Mapping) else {}
    if not isinstance(tool, str) or not isinstance(args, dict):
        raise ValueError(lacking)  # noqa: TRY004 - what is lacking is said, whatever stands there
    return Call(tool, args)


def recorded(said: Saga, run: str, contracts: Mapping[str, Contract], now_ms: int) -> tuple[documents.Saga, Made]:
    """The record that a saga begins as, and what its program makes. Raises BadSaga naming all that is wrong."""
    marked = [number for number, step in enumerate(said.steps) if step.boundary]
    stays = [number for number, step in enumerate(said.steps) if step.kind == "irreversible"]
    boundary = marked[0] if marked else stays[0] if stays else -1
    wrong = [f"two steps are its boundary: {', '.join(said.steps[n].name for n in marked)}"] if len(marked) > 1 else []
    steps = tuple(_recorded(step, after=-1 < boundary < number) for number, step in enumerate(said.steps))
    saga = documents.Saga(
        id=f"{run}/{said.name}", run=run, name=said.name, steps=steps, boundary=boundary, owner=said.owner,
        since_ms=now_ms, ends=said.ends,
    )  # fmt: skip
    if wrong := [*wrong, *problems(saga, contracts)]:
        raise BadSaga(saga=str(said.name), problems=tuple(wrong))
    made = Made(
        {step.name: step.call for step in said.steps if not isinstance(step.call, Call)},
        {step.name: step.undo for step in said.steps if step.undo is not None and not isinstance(step.undo, Call)},
    )
    return saga, made


def _recorded(step: Step, *, after: bool) -> SagaStep:
    undo: dict[str, Any] = {} if step.kind == "irreversible" else BY_TOOL
    if step.undo is not None:
        undo = _plain(step.undo) if isinstance(step.undo, Call) else BY_PROGRAM
    return SagaStep(
        name=step.name,
        kind=step.kind,
        declared=_plain(step.call) if isinstance(step.call, Call) else {},
        undo=undo,
        tell=tuple(step.tell),
        cites=tuple(step.cites),
        tries=step.tries if step.tries is not None else TRIES_AFTER if after else TRIES_BEFORE,
        undo_tries=step.undo_tries,
    )


def _plain(call: Call) -> dict[str, Any]:
    return {"tool": call.tool, "args": msgspec.to_builtins(call.args)}
