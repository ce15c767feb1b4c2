"""Arguments as rules can read them: JSON Schema to Cedar types, and values to match.

Decides how an argument appears to a rule:

    string -> String      integer -> Long         boolean -> Bool
    array  -> Set         object with named properties -> record
    everything else (number, union, free object, tuple) -> String holding its canonical JSON

Cedar has no floats and no null: a nullable argument is an optional attribute that is absent when null.

Promises: what `typed` accepts fits the Cedar type exactly, so no rule is skipped because a value had another
type; names are data in a JSON document and never Cedar text.

Does not promise full validation against the JSON Schema (that happens when the call is built); nor that an
argument whose name cannot be written safely is judged. Such an argument is left out, and a call that supplies
it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Annotated, Any

import msgspec

from holdfast.kernel import canon

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_REF = re.compile(r"#/(\$defs|definitions)/([\w.\-]+)\Z")
_UNSAFE_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_OTHER_KEYWORDS = ("allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas")
_MAX_DEPTH = 12


class Text(str):
    """Canonical JSON of a value that Cedar has no type for."""

    __slots__ = ()


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One value that rules can read, seen by Cedar and by Python at once."""

    cedar: dict[str, Any]
    python: Any
    words: tuple[str, ...] = ()
    """The closed vocabulary of a string, if it has one."""
    fields: dict[str, Field] = {}
    """The attributes of a record, empty for everything else."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute of a record."""

    shape: Shape
    slot: str
    """The Python attribute that holds it in a typed value."""
    optional: bool
    """True where the attribute may be absent, so that a rule must ask `has` first."""


STRING = Shape(cedar={"type": "String"}, python=str)
LONG = Shape(cedar={"type": "Long"}, python=Annotated[int, msgspec.Meta(ge=_LONG_MIN, le=_LONG_MAX)])
BOOL = Shape(cedar={"type": "Boolean"}, python=bool)
_TEXT = Shape(cedar={"type": "String"}, python=Text)
_SCALARS = {"integer": LONG, "boolean": BOOL}
WORDS = Shape(cedar={"type": "Set", "element": {"type": "String"}}, python=tuple[str, ...])


def word_of(words: tuple[str, ...]) -> Shape:
    """A string from a closed vocabulary; from an open one if `words` is empty."""
    return Shape(cedar={"type": "String"}, python=str, words=words)


def record(attributes: Mapping[str, tuple[Shape, bool]]) -> Shape:
    """A record that exists only for Cedar, of shapes by name and whether each may be absent."""
    return Shape(
        cedar={
            "type": "Record",
            "attributes": {n: {**s.cedar, "required": not optional} for n, (s, optional) in attributes.items()},
        },
        python=None,
        fields={n: Field(shape=s, slot=n, optional=o) for n, (s, o) in attributes.items()},
    )


def narrowed(shape: Shape, names: Container[str], instead: Mapping[str, Shape] | None = None) -> Shape:
    """A record with only the attributes in `names`, those in `instead` having another shape."""
    other = instead or {}
    kept = ((n, f) for n, f in shape.fields.items() if n in names)
    return record({n: (other.get(n, f.shape), f.optional) for n, f in kept})


def object_shape(schema: Mapping[str, Any]) -> Shape:
    """The shape of one tool's arguments; always a record, possibly an empty one."""
    return _object(schema, schema, ())


def typed(shape: Shape, args: Mapping[str, Any]) -> Any:
    """The arguments as a frozen, hashable record of exactly the declared types.

    Raises `msgspec.ValidationError` when one is missing, unknown or of another type, and whatever
    `canon.encode` raises for a value that has no canonical form.
    """
    return msgspec.convert(args, shape.python, dec_hook=_as_text)


def _as_text(_type: type, value: Any) -> Text:
    return Text(canon.encode(value).decode("utf-8"))


def _shape(node: Any, root: Mapping[str, Any], seen: tuple[str, ...]) -> tuple[Shape, bool]:
    """The shape of one JSON Schema node, and whether null is allowed in its place."""
    if not isinstance(node, Mapping) or len(seen) > _MAX_DEPTH:
        return _TEXT, False
    if "$ref" in node:
        return _referred(str(node["$ref"]), root, seen)
    node, nullable = _without_null(node)
    if "anyOf" in node and len(node["anyOf"]) == 1:  # what remains of "X or null"
        return _shape(node["anyOf"][0], root, (*seen, ""))[0], nullable
    shape = _plain(node, root, seen)
    return shape, nullable and shape is not _TEXT


def _plain(node: Mapping[str, Any], root: Mapping[str, Any], seen: tuple[str, ...]) -> Shape:
    """The shape of a node that is neither a reference nor nullable."""
    kind = node.get("type") or _kind_of_words(node.get("enum", ()))
    if kind == "string":
        words = tuple(node.get("enum", ()))
        closed = words if all(isinstance(word, str) for word in words) else ()
        return word_of(closed)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "array" and isinstance(node.get("items"), Mapping) and "prefixItems" not in node:
        element, with_gaps = _shape(node["items"], root, (*seen, ""))
        if not with_gaps:
            items: Any = tuple[element.python, ...]  # type: ignore[name-defined]  # a type made at run time
            return Shape(cedar={"type": "Set", "element": element.cedar}, python=items)
    if kind == "object" and _is_closedrecord(node):
        return _object(node, root, (*seen, ""))
    return _TEXT


def _without_null(node: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The node with "or null" taken out, and whether it was there."""
    rest, nullable = dict(node), False
    if isinstance(rest.get("type"), list):
        kinds = [k for k in rest["type"] if k != "null"]
        nullable = len(kinds) < len(rest["type"])
        rest["type"] = kinds[0] if len(kinds) == 1 else "mixed"
    if isinstance(rest.get("enum"), list) and None in rest["enum"]:
        rest["enum"] = [w for w in rest["enum"] if w is not None]
        nullable = True
    for keyword in ("anyOf", "oneOf"):
        if isinstance(rest.get(keyword), list) and "type" not in rest:
            options = [o for o in rest.pop(keyword) if o != {"type": "null"}]
            nullable = nullable or len(options) < len(node[keyword])
            rest["anyOf" if len(options) == 1 else "several"] = options
    return rest, nullable


def _kind_of_words(words: Any) -> str:
    kinds = {type(word) for word in words}
    return "string" if kinds == {str} else "integer" if kinds == {int} else "mixed"


def _is_closedrecord(node: Mapping[str, Any]) -> bool:
    if any(keyword in node for keyword in _OTHER_KEYWORDS):
        return False
    extra = node.get("additionalProperties")
    return extra is False or (bool(node.get("properties")) and extra is None)


def _referred(ref: str, root: Mapping[str, Any], seen: tuple[str, ...]) -> tuple[Shape, bool]:
    found = _REF.match(ref)
    if found is None or ref in seen:  # remote, unusual, or a type that contains itself
        return _TEXT, False
    target = root.get(found[1], {})
    return _shape(target.get(found[2]) if isinstance(target, Mapping) else None, root, (*seen, ref))


def _object(node: Mapping[str, Any], root: Mapping[str, Any], seen: tuple[str, ...]) -> Shape:
    required = set(node.get("required", ()))
    fields: dict[str, Field] = {}
    members: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for position, (name, child) in enumerate(node.get("properties", {}).items()):
        if not name or name.startswith("__") or _UNSAFE_NAME.search(name):
            continue  # `__entity` and its kin mean something to Cedar's JSON; the others are hard to match.
        shape, nullable = _shape(child, root, seen)
        slot, optional = f"f{position}", nullable or name not in required
        fields[name] = Field(shape=shape, slot=slot, optional=optional)
        if nullable:
            members.append((slot, shape.python | None, None))
        elif optional:
            members.append((slot, shape.python | msgspec.UnsetType, msgspec.UNSET))
        else:
            members.append((slot, shape.python))
    python = msgspec.defstruct(
        "Arguments",
        members,
        rename={field.slot: name for name, field in fields.items()},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )
    attributes = {n: {**f.shape.cedar, "required": not f.optional} for n, f in fields.items()}
    return Shape(cedar={"type": "Record", "attributes": attributes}, python=python, fields=fields)
