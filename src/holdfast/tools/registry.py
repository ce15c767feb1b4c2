"""The registry: the tools of one application, frozen, each with a complete contract.

Decides which calls exist. Promises unique names; that every contract was complete and free of
contradictions when the registry was made (all tools are judged, and everything wrong is named at once); and
that what it holds no longer changes. Does NOT decide whether a call may happen: the gate does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from holdfast.kernel import canon
from holdfast.kernel.amounts import Money
from holdfast.kernel.errors import BadArguments, BadContract, UnknownTool
from holdfast.kernel.model import Contract
from holdfast.tools import signature
from holdfast.tools.arguments import Arguments, listed, nearest
from holdfast.tools.bounds import not_within
from holdfast.tools.call import Call
from holdfast.tools.contract import bind_resource, complete, cost_of, gaps, stand_in_problems
from holdfast.tools.define import COMPANIONS, Tool
from holdfast.tools.folders import leads_out
from holdfast.tools.plain import as_plain, to_builtins

_ONE_SPELLING: Final = (str, int, bool, float, Any, str | None, int | None, bool | None, list[str], list[int])
"""Types whose values the canonical form already writes in one way only; the commonest, since the others cost time."""
_PROVES_NOTHING: Final = (TimeoutError, ConnectionResetError, BrokenPipeError, EOFError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One tool as the engine uses it."""

    contract: Contract
    body: Callable[..., Any]
    companions: Mapping[str, Callable[..., Any]]
    takes: Mapping[str, signature.Takes]
    arguments: Arguments
    types: Mapping[str, Any]
    spelled: tuple[str, ...]
    did_not_happen: tuple[type[Exception], ...]
    may_return_none: bool

    def for_body(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The recorded arguments as the types the body is annotated with; copies, so that a record stays as
        it is.

        Raises BadArguments where a recorded value no longer fits the annotation.
        """
        own = canon.freeze(dict(args))
        try:
            return {
                name: msgspec.convert(value, self.types[name]) if name in self.types else value
                for name, value in own.items()
            }
        except msgspec.ValidationError as error:
            raise BadArguments(tool=self.contract.name, problems=(str(error),)) from None

    def leads_out(self, args: Mapping[str, Any]) -> str:
        """Why nothing may be entered with these arguments now, links followed; empty if all stay in their bounds."""
        return leads_out(self.contract.bounds, args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A call that fits its tool: what will be recorded, what it touches, what it costs."""

    contract: Contract
    args: dict[str, Any]
    resource: str
    cost: Money | None


class Registry:
    """`Registry([refund, ship])`. Raises BadContract for incomplete contracts and names taken twice."""

    __slots__ = ("_tools", "contracts")

    def __init__(self, tools: Iterable[Tool[..., Any]] = ()) -> None:
        found: dict[str, Registered] = {}
        refused: list[BadContract] = []
        for tool in tools:
            try:
                registered = _registered(tool)
            except BadContract as error:
                refused.append(error)
                continue
            if tool.name in found:
                twice = ("another tool has this name",)
                refused.append(BadContract(tool=tool.name, missing=(), problems=twice))
            found.setdefault(tool.name, registered)
        for name, registered in found.items():
            if registered.contract.instead:
                other = found.get(registered.contract.instead)
                unlike = tuple(stand_in_problems(registered.contract, other.contract if other else None))
                refused += [BadContract(tool=name, missing=(), problems=unlike)] if unlike else []
        _raise_together(refused)
        self._tools: Mapping[str, Registered] = MappingProxyType(found)
        self.contracts: Mapping[str, Contract] = MappingProxyType({name: tool.contract for name, tool in found.items()})

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def tool(self, name: str) -> Registered:
        """The tool of that name. Raises UnknownTool with the nearest name."""
        try:
            return self._tools[name]
        except (KeyError, TypeError):
            known = tuple(sorted(self._tools))
            raise UnknownTool(tool=str(name), nearest=nearest(str(name), known), known=known) from None

    def bind(self, call: Call) -> Bound:
        """The call with its arguments checked, its resource and its cost.

        Raises UnknownTool, BadArguments, BadValue or TooLarge; nothing is recorded then.
        """
        tool = self.tool(call.tool)
        args = tool.arguments.check(call.args)
        if tool.contract.bounds and (out := not_within(tool.contract.bounds, args)):
            raise BadArguments(tool=call.tool, problems=out)
        # What the annotations refuse is refused now, not after the dispatch commit.
        taken = tool.for_body(args)
        if tool.spelled:
            # One value that has several spellings is recorded in one: else each would be an effect of its own.
            args |= {name: as_plain(to_builtins(taken[name])) for name in tool.spelled if name in taken}
        return Bound(
            contract=tool.contract,
            args=args,
            resource=bind_resource(tool.contract, args),
            cost=cost_of(tool.contract, args),
        )


def _registered(tool: Tool[..., Any]) -> Registered:
    missing, problems = gaps(tool.contract)
    mine = tuple(_problems(tool))
    if missing or problems or mine:
        raise BadContract(tool=tool.name or "(unnamed)", missing=missing, problems=(*problems, *mine))
    contract = complete(tool.contract)
    tool.take_in()
    reading = tool.reading
    return Registered(
        contract=contract,
        body=tool.body,
        companions=MappingProxyType(dict(tool.companions)),
        takes=MappingProxyType({kind: signature.takes(c) for kind, c in tool.companions.items()}),
        arguments=Arguments(contract.name, contract.schema),
        types=MappingProxyType(dict(reading.types) if reading else {}),
        spelled=tuple(name for name, kind in (reading.types if reading else {}).items() if kind not in _ONE_SPELLING),
        did_not_happen=tool.did_not_happen,
        may_return_none=reading.may_return_none if reading else signature.may_return_none(tool.body),
    )


def _problems(tool: Tool[..., Any]) -> Iterator[str]:
    """What is wrong with the Python side of a definition."""
    schema: object = tool.contract.schema  # Whatever a caller of from_contract gave.
    known = set(listed(schema)) if isinstance(schema, Mapping) else set()
    if tool.reading is not None:
        yield from tool.reading.problems
    elif not tool.takes.has_first or not (tool.takes.everything or known <= tool.takes.names):
        rest = ", ".join(sorted(known - tool.takes.names)) or "none"
        yield f"the body takes fx and then every argument by name; it does not take: {rest}"
    elif unfilled := sorted(tool.takes.required - known):
        yield f"the body needs what the schema does not list: {', '.join(unfilled)}"
    if tool.takes.first in known:
        yield f"an argument has the name of the body's first parameter: {tool.takes.first}"
    yield from _companion_problems(tool, known)
    declared: tuple[object, ...] = tool.did_not_happen
    for error in declared:
        if not (isinstance(error, type) and issubclass(error, Exception)):
            yield f"did_not_happen: {error!r} is no exception class"
        elif any(issubclass(doubt, error) for doubt in _PROVES_NOTHING):
            yield f"did_not_happen: {error.__name__} also covers lost replies, which prove nothing"


def _companion_problems(tool: Tool[..., Any], known: set[str]) -> Iterator[str]:
    for kind in COMPANIONS:
        if getattr(tool.contract, f"has_{kind}") is True and kind not in tool.companions:
            yield f"{kind} is declared and none is attached"
    for kind, companion in tool.companions.items():
        wants = signature.takes(companion)
        if not wants.has_first:
            yield f"{kind} takes the look as its first parameter"
        if wants.first in known and (wants.everything or wants.first in wants.names):
            yield f"an argument has the name of {kind}'s first parameter: {wants.first}"
        if unfilled := sorted(wants.required - known):
            yield f"{kind} asks for what the tool does not have: {', '.join(unfilled)}"


def _raise_together(refused: list[BadContract]) -> None:
    """One error for all tools, so that a developer mends them in one go."""
    if not refused:
        return
    if len(refused) == 1:
        raise refused[0]
    raise BadContract(
        tool=", ".join(error.tool for error in refused),
        missing=tuple(f"{error.tool}: {gap}" for error in refused for gap in error.missing),
        problems=tuple(f"{error.tool}: {gap}" for error in refused for gap in error.problems),
    )
