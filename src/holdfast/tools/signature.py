"""Reading a Python function: which arguments it takes, their JSON Schema, and what it returns.

Decides how annotations become a schema (by msgspec: text, numbers, lists, objects, Literal, Enum, Optional,
TypedDict, msgspec structs, dataclasses, dates). Promises closed objects: a key that the type does not know
is refused, since the body would never see it. Does NOT guess: an argument without an annotation, or with
one that has no JSON form, is named as a problem and keeps the tool from being registered.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from holdfast.tools.plain import to_builtins

_REF: Final = "#/$defs/{name}"
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_FIRST: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a body declares. `types` are the Python types that recorded arguments are turned into for it."""

    signature: inspect.Signature
    types: Mapping[str, Any]
    schema: dict[str, Any]
    description: str
    may_return_none: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """Which keyword arguments a function takes after its first parameter."""

    names: frozenset[str]
    required: frozenset[str]
    everything: bool
    has_first: bool
    first: str = ""
    """The name of the first parameter, where an argument of that name would collide with it."""

    def choose(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Only those arguments the function names, or all of them for one with `**kw`."""
        return {name: value for name, value in args.items() if self.everything or name in self.names}


def takes(function: Callable[..., Any]) -> Takes:
    """What a companion, or the body of a tool made from plain data, can be handed."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # Some callables written in C do not say.
        return Takes(names=frozenset(), required=frozenset(), everything=True, has_first=True)
    has_first = bool(parameters) and parameters[0].kind in (*_FIRST, inspect.Parameter.VAR_POSITIONAL)
    first = parameters[0].name if parameters and parameters[0].kind is _FIRST[1] else ""
    rest = [p for p in (parameters[1:] if has_first else parameters) if p.kind in _NAMED]
    return Takes(
        names=frozenset(p.name for p in rest),
        required=frozenset(p.name for p in rest if p.default is p.empty),
        everything=any(p.kind is p.VAR_KEYWORD for p in parameters),
        has_first=has_first,
        first=first,
    )


def read(function: Callable[..., Any], local_names: Mapping[str, Any]) -> Reading:
    """Read a body `(fx, *, a: int, b: str = "")`; `local_names` resolve types made in a function."""
    parameters = list(inspect.signature(function).parameters.values())
    problems = []
    if not parameters or parameters[0].kind not in _FIRST:
        problems.append("the body takes fx as its first parameter")
    problems += [
        f"the body's {p} cannot be named in a call; write plain keyword arguments"
        for p in parameters[1:]
        if p.kind not in _NAMED
    ]
    named = [p for p in parameters[1:] if p.kind in _NAMED]
    hints, unresolved = _hints(function, {*(p.name for p in named), "return"}, local_names)
    problems += unresolved
    schema, unusable = _schema(named, hints)
    return Reading(
        signature=inspect.Signature(named),
        types={p.name: hints[p.name] for p in named if p.name in hints},
        schema=schema,
        description=inspect.getdoc(function) or "",
        may_return_none=_allows_none(hints.get("return", Any)),
        problems=(*problems, *unusable),
    )


def may_return_none(function: Callable[..., Any]) -> bool:
    """Whether None is an answer of this function. Without an annotation that can be read, it is."""
    return _allows_none(_hints(function, {"return"}, {})[0].get("return", Any))


def _hints(
    function: Callable[..., Any], wanted: set[str], local_names: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The wanted annotations, resolved one by one so that each that cannot be is named."""
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = inspect.unwrap(plain)
    if not hasattr(plain, "__annotations__"):
        plain = type(plain).__call__
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, annotation in getattr(plain, "__annotations__", {}).items():
        if name not in wanted:
            continue
        stand_in = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            scope = {**getattr(plain, "__globals__", {}), **local_names}
            found |= typing.get_type_hints(stand_in, scope, include_extras=True)
        except Exception as error:  # noqa: BLE001 - evaluating a stranger's annotation can raise anything.
            problems.append(f"the annotation of {name} cannot be read: {error}")
    return found, problems


def _schema(named: list[inspect.Parameter], hints: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    problems = []
    usable: dict[str, Any] = {}
    for parameter in named:
        name = parameter.name
        if name not in hints:
            if parameter.annotation is parameter.empty:
                problems.append(f"argument {name} has no annotation")
            continue
        try:
            msgspec.json.schema_components([hints[name]], ref_template=_REF)
        except (TypeError, RuntimeError) as error:
            problems.append(f"argument {name} has no JSON form: {str(error).splitlines()[0]}")
        else:
            usable[name] = hints[name]
    nodes, components = msgspec.json.schema_components(usable.values(), ref_template=_REF)
    properties = dict(zip(usable, nodes, strict=True))
    for parameter in named:
        if parameter.name in properties and parameter.default is not parameter.empty:
            try:
                default = to_builtins(parameter.default)
            except TypeError as error:
                problems.append(f"the default of {parameter.name} has no JSON form: {error}")
            else:
                properties[parameter.name] = {**properties[parameter.name], "default": default}
    required = [p.name for p in named if p.default is p.empty and p.name in properties]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if components:
        schema["$defs"] = {name: _closed(node) for name, node in components.items()}
    return schema, problems


def _closed(node: Mapping[str, Any]) -> dict[str, Any]:
    """An object type takes no key it does not know: the body would not see it, but the record would."""
    return {**node, "additionalProperties": False} if "properties" in node else dict(node)


def _allows_none(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (Awaitable, Coroutine):
        return _allows_none(typing.get_args(hint)[-1])
    if origin is typing.Annotated:
        return _allows_none(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return any(_allows_none(choice) for choice in typing.get_args(hint))
    return hint in (None, type(None), Any, object)
