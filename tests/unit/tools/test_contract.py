"""Contracts: whole or refused, versioned by their content, bound to exactly one resource."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import BadArguments, BadContract
from holdfast.kernel.model import Contract, Cost, EffectClass, Yields
from holdfast.tools.contract import ACTS_WITH, ENFORCED_AT, bind_resource, complete, cost_of, gaps, version_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "invoice_id": {"type": "string"},
        "amount": {"type": "integer"},
        "lines": {"type": "array"},
        "note": {"type": "string", "default": ""},
        "memo": {"type": "string"},
    },
    "required": ["invoice_id", "amount", "lines"],
}
WHOLE = Contract(
    name="refund",
    effect=EffectClass.IRREVERSIBLE,
    resource="invoice:{invoice_id}",
    schema=SCHEMA,
    identity=("invoice_id",),
    volatile=("note",),
    only_from_trusted=("invoice_id", "amount"),
    owner="billing-oncall",
    cost=Cost(argument="amount", currency="EUR"),
    keyed_ms=86_400_000,
    has_probe=True,
)


def but(**changes: Any) -> Contract:
    return msgspec.structs.replace(WHOLE, **changes)


def said(contract: Contract) -> str:
    missing, problems = gaps(contract)
    return " | ".join((*missing, *problems))


def test_whole_contract_gets_its_version_and_honest_defaults() -> None:
    """Completing fills in credentials and enforcement point and the version, and is stable."""
    whole = complete(WHOLE)
    assert (whole.acts_with, whole.enforced_at) == (ACTS_WITH, ENFORCED_AT)
    assert whole.version == version_of(whole)
    assert whole.version.startswith("sha256:")
    assert complete(whole) == whole


def test_completed_schema_is_plain_data_of_its_own() -> None:
    """What was handed in can be changed or be a tuple; the completed schema is neither affected nor one."""
    words: dict[str, Any] = {"type": "string", "enum": ("a", "b")}
    whole = complete(but(schema={**SCHEMA, "properties": {**SCHEMA["properties"], "memo": words}}))
    words["enum"] = ("c",)
    assert whole.schema["properties"]["memo"] == {"type": "string", "enum": ["a", "b"]}


@pytest.mark.req("2.2a", mutant=None, reason="each case leaves out one declaration itself")
@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"effect": ""}, "effect: one of read, idempotent, compensable, irreversible"),
        ({"effect": "dangerous"}, "effect: one of"),
        ({"resource": ""}, "resource: "),
        ({"identity": ()}, "identity: "),
        ({"owner": ""}, "owner: "),
        ({"has_probe": False}, "probe: "),
        ({"has_probe": False, "no_probe": "  "}, "probe: "),
        ({"timeout_ms": 0}, "timeout: 0 ms"),
        ({"effect": EffectClass.COMPENSABLE}, "undo: "),
        ({"conditional": True}, "state: "),
        ({"has_preview": True}, "state: what a preview is compared with"),
    ],
)
def test_contract_without_a_declaration_is_refused_by_name(changes: dict[str, Any], names: str) -> None:
    """Whatever a contract leaves out is named, and the contract is not taken in."""
    assert names in said(but(**changes))
    with pytest.raises(BadContract):
        complete(but(**changes))


@pytest.mark.req("2.2a", mutant=None, reason="the contract of this test leaves out everything itself")
def test_everything_missing_is_named_at_once() -> None:
    """A bare contract is refused once, with all that it lacks and all that is wrong."""
    bare = Contract(name="a b", effect="", resource="", schema={"type": "object"}, timeout_ms=0, volatile=("x",))
    with pytest.raises(BadContract) as caught:
        complete(bare)
    starts = [gap.split(":")[0] for gap in caught.value.missing]
    assert starts == ["effect", "resource", "identity", "owner", "probe"]
    problems = " ".join(caught.value.problems)
    assert all(word in problems for word in ("no tool name", 'no argument "x"', "timeout: 0 ms"))


def test_admitted_lack_of_a_probe_is_enough() -> None:
    """A tool without a probe registers if it says why, and not if it says so and has one."""
    assert said(but(has_probe=False, no_probe="the bank has no look-up")) == ""
    assert "no_probe is given and there is a probe" in said(but(no_probe="none"))


def test_read_needs_neither_identity_nor_owner_nor_probe() -> None:
    """A read changes nothing, so nobody has to answer for what it did; but it has no key either."""
    read = Contract(name="look", effect=EffectClass.READ, resource="books", schema=SCHEMA)
    assert said(read) == ""
    assert "a read has neither key nor undo" in said(msgspec.structs.replace(read, keyed_ms=1_000))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"resource": "invoice:{invoice}"}, 'resource: there is no argument "invoice" (did you mean'),
        ({"resource": "invoice:{memo}"}, "argument memo may be absent"),
        ({"resource": "invoice:{lines}"}, "argument lines is not text"),
        ({"resource": "invoice:{note}"}, "note is volatile"),
        ({"resource": "invoice:{invoice_id"}, "stray brace"),
        ({"resource": "{invoice_id}-{amount}"}, "between two placeholders"),
        ({"resource": "{invoice_id}{amount}"}, "between two placeholders"),
        ({"identity": ("invoice",)}, 'identity: there is no argument "invoice"'),
        ({"identity": ("invoice_id", "note")}, "volatile and identity both name note"),
        ({"identity": ("invoice_id", "invoice_id")}, "identity names an argument twice"),
        ({"identity": "invoice_id"}, "$.identity"),
        ({"only_from_trusted": ("note",)}, "volatile and only_from_trusted both name note"),
        ({"volatile": ("nothing",)}, 'volatile: there is no argument "nothing"'),
        ({"cost": Cost(argument="price", currency="EUR")}, 'cost: there is no argument "price"'),
        (
            {"cost": Cost(argument="invoice_id", currency="EUR")},
            "cost: argument invoice_id is not an integer",
        ),
        ({"cost": Cost(argument="amount", currency="euro")}, "no currency code"),
        ({"volatile": ("note", "amount"), "only_from_trusted": ()}, "cost: amount is volatile"),
        ({"attempts": 0}, "attempts: 0"),
        ({"resends": -1}, "resends: -1"),
        ({"lands_within_ms": -1}, "lands_within: -1 ms"),
        ({"schema": {"type": "array"}}, "the schema must be"),
        ({"schema": {**SCHEMA, "required": ["ghost"]}}, "requires what it does not list: ghost"),
        (
            {"schema": {**SCHEMA, "properties": {"a": {"$ref": "https://example.org/a"}}, "required": []}},
            "the schema was not accepted",
        ),
    ],
)
def test_contradiction_is_refused_by_name(changes: dict[str, Any], names: str) -> None:
    """A contract that contradicts itself or its schema says where."""
    assert names in said(but(**changes))


def test_last_resend_must_be_able_to_land_inside_the_key_window() -> None:
    """All resends, landing and skew fit into the time the key is honoured, to the millisecond."""
    # Three resends: 3 * 10 s of timeouts, pauses of 1, 2 and 4 s; then 120 s to land and 2 s of skew.
    needed_ms = 30_000 + 7_000 + 120_000 + 2_000
    assert said(but(keyed_ms=needed_ms)) == ""
    assert f"take {needed_ms} ms" in said(but(keyed_ms=needed_ms - 1))
    assert said(but(keyed_ms=needed_ms - 1, resends=0)) == ""


@pytest.mark.req("2.2c", mutant=None, reason="each case grows the contract itself")
@pytest.mark.parametrize(
    "changes",
    [
        {"resource": "{invoice_id}"},
        {"description": "Refund anything."},
        {"side_effects": ("mails the customer",)},
        {"schema": {**SCHEMA, "properties": {**SCHEMA["properties"], "to": {"type": "string"}}}},
        {"resends": 2},
    ],
)
def test_grown_contract_is_another_version_and_may_not_claim_the_old_one(changes: dict[str, Any]) -> None:
    """A wider pattern or another argument is another version, refused under the reviewed one."""
    reviewed = complete(WHOLE)
    assert complete(but(**changes)).version != reviewed.version
    with pytest.raises(BadContract) as caught:
        complete(but(**changes, version=reviewed.version))
    assert "it has changed" in caught.value.problems[0]


def test_version_does_not_depend_on_the_order_of_a_schema() -> None:
    """Two schemas with the same content are one version."""
    turned = {key: SCHEMA[key] for key in reversed(SCHEMA)}
    assert complete(but(schema=turned)).version == complete(WHOLE).version


def test_default_is_part_of_the_version() -> None:
    """A default is hashed as if written out, so that a later default is another version."""
    fields = {n: getattr(WHOLE, n) for n in WHOLE.__struct_fields__}
    assert version_of(Contract(**fields)) == version_of(WHOLE)
    assert version_of(but(probes=9)) != version_of(but(probes=8)) == version_of(WHOLE)


# ------------------------------------------------------------------------------------------------ resources


def test_value_cannot_imitate_another_resource() -> None:
    """Separators, braces, slashes and percent signs inside a value are encoded."""
    contract = but(resource="invoice:{invoice_id}:{amount}")
    bound = bind_resource(contract, {"invoice_id": "a:7/{x}%3A~", "amount": 1})
    assert bound == "invoice:a%3A7%2F%7Bx%7D%253A%7E:1"
    assert bind_resource(contract, {"invoice_id": "{amount}", "amount": 2}) == "invoice:%7Bamount%7D:2"
    assert bind_resource(contract, {"invoice_id": "A-b_c.d@e", "amount": 2}) == "invoice:A-b_c.d@e:2"


@given(
    st.tuples(st.text(), st.integers(), st.text()),
    st.tuples(st.text(), st.integers(), st.text()),
)
def test_different_values_never_bind_to_one_resource(one: tuple, other: tuple) -> None:
    """Binding is injective: equal names mean equal values."""
    contract = but(resource="a:{x}:{y}/{z}")
    names = [bind_resource(contract, dict(zip("xyz", values, strict=True))) for values in (one, other)]
    assert (names[0] == names[1]) == (one == other)


@pytest.mark.parametrize("value", [None, 1.5, ["a"], {"a": 1}, "\ud800"])
def test_value_that_names_nothing_binds_no_resource(value: object) -> None:
    """Null, fractions, lists, objects and broken text name no resource."""
    with pytest.raises(BadArguments) as caught:
        bind_resource(WHOLE, {"invoice_id": value})
    assert "invoice_id" in caught.value.problems[0]


# ---------------------------------------------------------------------------------------------------- costs


def test_cost_is_read_from_the_declared_argument() -> None:
    """A call costs what its argument says, in the declared currency; a tool without a cost costs nothing."""
    assert str(cost_of(WHOLE, {"amount": 1200})) == "1200 EUR minor units"
    assert cost_of(but(cost=None), {"amount": 1200}) is None


@pytest.mark.parametrize("amount", [-1, True, 1.0, None, "1", 2**53])
def test_what_is_no_amount_is_no_cost(amount: object) -> None:
    """Negative sums, true, fractions, text and what is beyond exact integers are refused."""
    with pytest.raises(BadArguments) as caught:
        cost_of(WHOLE, {"amount": amount})
    assert "argument amount is the cost" in caught.value.problems[0]


READ = Contract(name="look", effect=EffectClass.READ, resource="invoice:{invoice_id}", schema=SCHEMA)


@pytest.mark.parametrize(
    ("contract", "changes", "problem"),
    [
        (WHOLE, {"yields": Yields()}, "yields: only what a read answers"),
        (READ, {"yields": Yields(item="true")}, 'yields: "true" is none of authoritative'),
        (READ, {"yields": Yields(fresh_for_ms=-1)}, "yields: fresh_for: -1 ms"),
        (READ, {"yields": Yields(about="invoice:{invoiceid}")}, 'no argument "invoiceid" (did you mean invoice_id?)'),
        (READ, {"yields": Yields(about="memo:{memo}")}, "yields: about: argument memo may be absent"),
        (READ, {"yields": Yields(about="memo:{memo")}, "stray brace"),
        (READ, {"yields": Yields(source="a\nb")}, "yields: source has an unprintable character"),
        (READ, {"has_preview": True}, "a read changes nothing that a preview could show"),
        (WHOLE, {"work": "Two Words"}, 'work: "Two Words" is no word'),
        (WHOLE, {"splits": "line"}, 'splits: there is no argument "line" (did you mean lines?)'),
        (WHOLE, {"splits": "memo"}, "splits: argument memo is no list"),
        (WHOLE, {"splits": "lines", "volatile": ("lines",)}, "splits: lines is volatile"),
        (WHOLE, {"instead": "other"}, "instead and not_done belong together"),
        (WHOLE, {"not_done": "the mail"}, "instead and not_done belong together"),
        (WHOLE, {"instead": "refund", "not_done": "the mail"}, "instead names the tool itself"),
        (WHOLE, {"reserve_ms": -1}, "reserve: -1 ms"),
    ],
)
def test_what_a_contract_says_of_its_call_is_refused_where_it_makes_no_sense(
    contract: Contract, changes: dict[str, Any], problem: str
) -> None:
    """What is yielded, split, put off or done instead is checked against the arguments and the class."""
    assert problem in said(msgspec.structs.replace(contract, **changes))


def test_what_a_contract_says_of_its_call_is_taken_where_it_makes_sense() -> None:
    """A read may yield an item about its arguments; a change may be split, and replaced."""
    fresh = Yields(item="authoritative", source="billing", about="invoice:{invoice_id}", fresh_for_ms=300_000)
    assert said(msgspec.structs.replace(READ, yields=fresh)) == ""
    assert said(but(splits="lines", work="slow.mail", instead="hold", not_done="the money", reserve_ms=0)) == ""
