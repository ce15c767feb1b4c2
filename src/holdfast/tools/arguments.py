"""Arguments against their schema: what a planner proposed becomes what is recorded, or is refused.

Decides which arguments are taken in. Promises: plain JSON data that shares nothing with what came in, every
argument known to the schema, defaults of the top level filled in, at most 256 KiB; a schema never makes us
call out (remote references are refused) nor hang (a pattern's search is bounded). Does NOT fill in defaults
inside nested objects, and does NOT accept an argument the schema does not list, even where the schema
itself would allow more.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jsonschema_rs

from holdfast.kernel import canon
from holdfast.kernel.errors import BadArguments, BadValue, TooLarge

MAX_ARGUMENT_BYTES: Final = 256 << 10
SHOWN_PROBLEMS: Final = 20
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)


def listed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments a schema lists, by name."""
    properties = schema.get("properties")
    return dict(properties) if isinstance(properties, Mapping) else {}


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The default of every argument that declares one."""
    return {
        name: node["default"]
        for name, node in listed(schema).items()
        if isinstance(node, Mapping) and "default" in node
    }


def always_there(schema: Mapping[str, Any]) -> frozenset[str]:
    """The arguments that every accepted call has: required, or with a default."""
    return frozenset(schema.get("required", ())) | frozenset(defaults(schema))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a wrong one was probably meant to be."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def schema_problems(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Why this schema cannot judge a call, in words; empty if it can."""
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), Mapping):
        return ('the schema must be {"type": "object", "properties": {...}}',)
    try:
        canon.encode(dict(schema))
        validator = _compiled(schema)
    except (BadValue, TooLarge) as error:
        return (f"the schema has no canonical form: {error}",)
    except ValueError as error:
        return (f"the schema was not accepted: {str(error).splitlines()[0]}",)
    if required := [name for name in schema.get("required", ()) if name not in listed(schema)]:
        return (f"the schema requires what it does not list: {', '.join(required)}",)
    wrong = (_said(error) for error in validator.iter_errors(defaults(schema)) if error.instance_path)
    return tuple(f"a default does not fit: {said}" for said in wrong)


def _compiled(schema: Mapping[str, Any]) -> Any:
    return jsonschema_rs.validator_for(dict(schema), offline=True, validate_formats=True, pattern_options=_PATTERNS)


class Arguments:
    """The compiled check of one tool's arguments. Safe to share; compiled once."""

    __slots__ = ("_defaults", "_known", "_tool", "_validator")

    def __init__(self, tool: str, schema: Mapping[str, Any]) -> None:
        self._tool = tool
        self._known = frozenset(listed(schema))
        self._defaults = canon.freeze(defaults(schema))
        self._validator = _compiled(schema)

    def check(self, args: Mapping[str, Any], *, max_bytes: int = MAX_ARGUMENT_BYTES) -> dict[str, Any]:
        """The arguments as they are to be recorded.

        Raises BadArguments naming every problem at once, BadValue with the path of what has no exact JSON
        form (NaN, integers beyond 2^53-1, lone surrogates, keys that are not text), TooLarge past
        `max_bytes`.
        """
        offered: object = args  # What a framework hands over is whatever its model wrote.
        if not isinstance(offered, Mapping):
            raise BadArguments(tool=self._tool, problems=(f"arguments are an object, not {type(args).__name__}",))
        try:
            taken = canon.freeze({**self._defaults, **args}, max_bytes=max_bytes)
        except TooLarge as error:
            fields = {**error.values, "what": f"object of arguments for {self._tool}"}
            raise TooLarge(**fields) from None
        if not (self._known.issuperset(taken) and self._validator.is_valid(taken)):
            raise BadArguments(tool=self._tool, problems=self._problems(taken))
        return taken  # type: ignore[no-any-return] # A frozen object is a dict with text as keys.

    def _problems(self, args: dict[str, Any]) -> tuple[str, ...]:
        found = []
        for name in sorted(args.keys() - self._known):
            guess = nearest(name, self._known)
            found.append(f"unknown argument {json.dumps(name)}" + (f" (did you mean {guess}?)" if guess else ""))
        known = {name: value for name, value in args.items() if name in self._known}
        found += [_said(error) for error in self._validator.iter_errors(known)]
        rest = len(found) - SHOWN_PROBLEMS
        return (*found[:SHOWN_PROBLEMS], f"and {rest} more") if rest > 0 else tuple(found)


def _said(error: Any) -> str:
    """One problem with its place as a JSONPath; the offered value is shown only in part."""
    if not error.instance_path and error.kind.name == "required":
        return f"missing argument {json.dumps(error.kind.property)}"
    path = "$"
    for step in error.instance_path:
        plain = isinstance(step, str) and step.isidentifier()
        path += f".{step}" if plain else f"[{json.dumps(step)}]"
    message = str(error.message)
    return f"{path}: {message if len(message) <= 200 else message[:200] + '…'}"
