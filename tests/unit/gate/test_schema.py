"""Contracts as rules see them: JSON Schema to Cedar, names that stay data, values that must match."""

# Rules are quoted on one line, as they are written.

from __future__ import annotations

import json
from typing import Any

import cedarpy
import msgspec
import pytest

from holdfast import gate
from holdfast.gate import cedar_schema
from holdfast.gate.arguments import object_shape, typed
from holdfast.gate.schema import args_shape
from holdfast.kernel.model import Contract, EffectClass
from tests.unit.gate.contracts import CONTRACTS, MadeContract, decide, question

ROOT = {
    "$defs": {
        "Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "Tree": {
            "type": "object",
            "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
        },
    }
}
STRING = {"type": "String"}
LONG = {"type": "Long"}


def one(node: Any) -> Any:
    """The Cedar type of an argument `x` that is required and has this JSON Schema."""
    shape = object_shape({"type": "object", "properties": {"x": node}, "required": ["x"]} | ROOT)
    return shape.cedar["attributes"].get("x")


@pytest.mark.parametrize(
    ("node", "cedar", "required"),
    [
        ({"type": "string"}, STRING, True),
        ({"type": "integer"}, LONG, True),
        ({"type": "boolean"}, {"type": "Boolean"}, True),
        ({"type": "number"}, STRING, True),
        ({"enum": ["a", "b"]}, STRING, True),
        ({"enum": [1, 2]}, LONG, True),
        ({"enum": [1, "a"]}, STRING, True),
        ({"type": ["integer", "null"]}, LONG, False),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, LONG, False),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, STRING, True),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "Set", "element": LONG}, True),
        ({"type": "array", "items": {"type": ["integer", "null"]}}, STRING, True),
        ({"type": "array"}, STRING, True),
        ({"type": "object"}, STRING, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, STRING, True),
        ({"type": "object", "properties": {"a": {}}, "anyOf": [{}]}, STRING, True),
        ({"type": "object", "additionalProperties": False}, {"type": "Record", "attributes": {}}, True),
        (
            {"$ref": "#/$defs/Place"},
            {"type": "Record", "attributes": {"city": STRING | {"required": True}}},
            True,
        ),
        ({"$ref": "https://example.org/schema.json"}, STRING, True),
        ({"$ref": "#/$defs/Absent"}, STRING, True),
        (True, STRING, True),
        ({}, STRING, True),
    ],
)
def test_json_schema_becomes_the_cedar_type_or_text(node: Any, cedar: dict[str, Any], required: bool) -> None:
    """What Cedar can express has its type; everything else is text; what may be null is optional."""
    assert one(node) == cedar | {"required": required}


def test_type_that_contains_itself_ends_as_text() -> None:
    """A recursive schema is followed once and not for ever."""
    kids = one({"$ref": "#/$defs/Tree"})["attributes"]["kids"]
    assert kids == {"type": "Set", "element": STRING, "required": False}


def test_null_and_absent_are_one_to_a_rule() -> None:
    """A nullable argument is absent when null, so `has` answers for both."""
    schema = {"type": "object", "properties": {"to": {"type": ["string", "null"]}}}
    rule = "permit (principal, action, resource) when { context.args has to };"
    tool = MadeContract(schema=schema)
    answers = [decide(rule, question(args=args), tool).answer for args in ({}, {"to": None}, {"to": "x"})]
    assert answers == ["refuse", "refuse", "allow"]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (1.5, "1.5"),
        (1.0, "1"),
        (7, "7"),
        (None, "null"),
        ("x", '"x"'),
        ({"b": 1, "a": [True]}, '{"a":[true],"b":1}'),
    ],
)
def test_inexpressible_value_is_its_canonical_json(value: Any, seen: str) -> None:
    """A rule compares a number, union or free object by its canonical JSON text."""
    tool = MadeContract(schema={"type": "object", "properties": {"x": {}}, "required": ["x"]})
    rule = f"permit (principal, action, resource) when {{ context.args.x == {json.dumps(seen)} }};"
    assert decide(rule, question(args={"x": value}), tool).answer == "allow"
    assert decide(rule, question(args={"x": "other"}), tool).answer == "refuse"


def test_nested_values_reach_the_rule_as_sets_and_records() -> None:
    """Arrays are sets, named objects are records, and both keep their element types."""
    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Place"}, "n": {"type": "array", "items": {"type": "integer"}}},
    }
    rule = (
        'permit (principal, action, resource) when { context.args has at && context.args.at.city == "Bern" && '
        "context.args has n && context.args.n.containsAll([1, 2]) };"
    )
    tool = MadeContract(schema=schema | ROOT)
    assert decide(rule, question(args={"at": {"city": "Bern"}, "n": [2, 1, 2]}), tool).answer == "allow"
    assert decide(rule, question(args={"at": {"city": "Bern", "x": 1}, "n": [2, 1]}), tool).rules == (
        "builtin:unfit-input",
    )


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "__entity", "__extn", "", "\ud800"])
def test_argument_with_an_unwritable_name_is_refused_when_supplied(name: str) -> None:
    """Such an argument is not in the schema, so no rule is fooled by it and no call may carry it."""
    shape = object_shape({"type": "object", "properties": {name: {"type": "string"}, "ok": {"type": "string"}}})
    assert list(shape.fields) == ["ok"]
    typed(shape, {"ok": "x"})
    with pytest.raises((msgspec.ValidationError, UnicodeEncodeError)):
        typed(shape, {"ok": "x", name: "y"})


def test_entity_escape_in_a_value_stays_a_value() -> None:
    """Cedar's JSON escapes for entities and extensions are not honoured inside arguments."""
    tool = MadeContract(schema={"type": "object", "properties": {"x": {}, "s": {"type": "string"}}})
    rule = 'permit (principal, action, resource) when { context.args has x && context.args.x like "*__entity*" };'
    hostile = {"__entity": {"type": "Principal", "id": "root"}}
    assert decide(rule, question(args={"x": hostile}), tool).answer == "allow"
    assert decide(rule, question(args={"s": hostile}), tool).rules == ("builtin:unfit-input",)


def test_schema_has_one_action_per_contract_in_any_order() -> None:
    """The schema is the same for any order of contracts and holds exactly their names as actions."""
    schema = cedar_schema(CONTRACTS)
    assert schema == cedar_schema(reversed(CONTRACTS))
    assert list(schema[""]["actions"]) == ["look", "refund", "tag"]
    cedarpy.Schema.from_json_str(json.dumps(schema))


def test_contract_of_the_kernel_is_a_contract_of_the_gate() -> None:
    """The recorded contract type fits the gate's protocol as it is."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = Contract(name="refund", effect=EffectClass.READ, resource="n:{n}", version="sha256:one", schema=schema)
    rule = 'permit (principal, action, resource) when { context.effect_class == "read" && context.args.n == 1 };'
    assert list(args_shape(tool).fields) == ["n"]
    assert decide(rule, question(args={"n": 1}), tool).answer == "allow"
    assert decide(rule, question(args={"n": 1}, effect_class="irreversible"), tool).answer == "refuse"


def test_public_names_of_the_gate_exist() -> None:
    """Every name that the gate offers can be imported from it."""
    assert [name for name in gate.__all__ if not hasattr(gate, name)] == []
