"""What a rule can read: the Cedar schema of all contracts, and typed arguments to match.

Decides which facts about a call exist for the policy, under which names and with which types.
The argument schema of each contract becomes a record `context.args`:

    string -> String      integer -> Long         boolean -> Bool
    array  -> Set         object with named properties -> record
    everything else (number, union, free object, tuple) -> String holding its canonical JSON

Cedar has no floats and no null: a nullable argument is an optional attribute that is absent when null.

Promises: every call that `typed` accepts fits the schema exactly, so no rule is skipped because a value
had another type; names of tools and arguments are data in a JSON document and never Cedar text.

Does not promise: full validation against the JSON Schema (that happens when the call is built); nor that
an argument whose name cannot be written safely is judged. Such an argument is left out of the schema, and
a call that supplies it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Protocol

import msgspec

from holdfast.kernel import canon

EFFECT_CLASSES = ("read", "idempotent", "compensable", "irreversible")
"""From least to most dangerous; a label may move a call to the right, never to the left."""

PRINCIPAL_KINDS = ("person", "service", "planner")

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_REF = re.compile(r"#/(\$defs|definitions)/([\w.\-]+)\Z")
_UNSAFE_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_OTHER_KEYWORDS = ("allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas")
_MAX_DEPTH = 12


class Contract(Protocol):
    """The part of a tool contract that the gate reads."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def effect(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def keyed_ms(self) -> int | None: ...
    @property
    def fenced(self) -> bool: ...
    @property
    def conditional(self) -> bool: ...
    @property
    def has_probe(self) -> bool: ...
    @property
    def has_verify(self) -> bool: ...
    @property
    def only_from_trusted(self) -> tuple[str, ...]: ...
    @property
    def owner(self) -> str: ...
    @property
    def schema(self) -> Mapping[str, Any]: ...


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


_STRING = Shape(cedar={"type": "String"}, python=str)
_LONG = Shape(cedar={"type": "Long"}, python=Annotated[int, msgspec.Meta(ge=_LONG_MIN, le=_LONG_MAX)])
_BOOL = Shape(cedar={"type": "Boolean"}, python=bool)
_TEXT = Shape(cedar={"type": "String"}, python=Text)
_WORDS = Shape(cedar={"type": "Set", "element": {"type": "String"}}, python=tuple[str, ...])


def _record(attributes: Mapping[str, tuple[Shape, bool]]) -> Shape:
    return Shape(
        cedar={
            "type": "Record",
            "attributes": {
                name: {**shape.cedar, "required": not optional} for name, (shape, optional) in attributes.items()
            },
        },
        python=None,
        fields={n: Field(shape=s, slot=n, optional=o) for n, (s, o) in attributes.items()},
    )


PRINCIPAL = _record(
    {
        "name": (_STRING, False),
        "kind": (Shape(cedar={"type": "String"}, python=str, words=PRINCIPAL_KINDS), False),
        "groups": (_WORDS, False),
    }
)
RESOURCE = _record({"name": (_STRING, False), "kind": (_STRING, False)})


def context_shape(args: Shape) -> Shape:
    """Everything under `context`, for a tool whose arguments have the shape `args`."""
    return _record(
        {
            "args": (args, False),
            "tool": (_STRING, False),
            "contract_version": (_STRING, False),
            "owner": (_STRING, False),
            "effect_class": (Shape(cedar={"type": "String"}, python=str, words=EFFECT_CLASSES), False),
            "keyed": (_BOOL, False),
            "fenced": (_BOOL, False),
            "conditional": (_BOOL, False),
            "has_probe": (_BOOL, False),
            "has_verify": (_BOOL, False),
            "proved": (_BOOL, False),
            "untrusted_args": (_WORDS, False),
            "environment": (_STRING, False),
            "tenant": (_STRING, False),
            "purpose": (_STRING, False),
            "generation": (_LONG, False),
            "attempt": (_LONG, False),
            "approved": (_BOOL, False),
            "cost_minor": (_LONG, True),
            "currency": (_STRING, True),
            "minutes_to_deadline": (_LONG, True),
        }
    )


def constants(contract: Contract) -> dict[str, Any]:
    """The attributes of `context` that are fixed by the contract and cannot vary between its calls."""
    return {
        "tool": contract.name,
        "contract_version": contract.version,
        "owner": contract.owner,
        "keyed": contract.keyed_ms is not None,
        "fenced": contract.fenced,
        "conditional": contract.conditional,
        "has_probe": contract.has_probe,
        "has_verify": contract.has_verify,
        "untrusted_args": sorted(contract.only_from_trusted),
    }


def cedar_schema(contracts: Iterable[Contract]) -> dict[str, Any]:
    """The Cedar schema, in Cedar's JSON form, with one action per contract.

    JSON and not Cedar text, because tool and argument names come from strangers and are only ever data here.
    """
    actions = {
        contract.name: {
            "appliesTo": {
                "principalTypes": ["Principal"],
                "resourceTypes": ["Target"],
                "context": context_shape(args_shape(contract)).cedar,
            }
        }
        for contract in sorted(contracts, key=lambda c: c.name)
    }
    entities = {"Principal": {"shape": PRINCIPAL.cedar}, "Target": {"shape": RESOURCE.cedar}}
    return {"": {"entityTypes": entities, "actions": actions}}


def args_shape(contract: Contract) -> Shape:
    """The shape of one tool's arguments; always a record, possibly an empty one."""
    return _object(contract.schema, contract.schema, ())


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
    kind = node.get("type")
    if kind is None and "enum" in node:
        kind = _kind_of_words(node["enum"])
    shape = _TEXT
    if kind == "string":
        words = node.get("enum", ())
        closed = tuple(words) if words and all(isinstance(w, str) for w in words) else ()
        shape = Shape(cedar={"type": "String"}, python=str, words=closed)
    elif kind == "integer":
        shape = _LONG
    elif kind == "boolean":
        shape = _BOOL
    elif kind == "array" and isinstance(node.get("items"), Mapping) and "prefixItems" not in node:
        element, gaps = _shape(node["items"], root, (*seen, ""))
        if not gaps:
            shape = Shape(cedar={"type": "Set", "element": element.cedar}, python=tuple[element.python, ...])
    elif kind == "object" and _is_closed_record(node):
        shape = _object(node, root, (*seen, ""))
    return shape, nullable and shape is not _TEXT


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


def _is_closed_record(node: Mapping[str, Any]) -> bool:
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
            continue  # `__entity` and its kin mean something to Cedar's JSON; the others cannot be matched safely
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
