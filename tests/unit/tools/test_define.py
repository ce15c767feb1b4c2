"""Defining tools: what a signature becomes, what a call is, and what a definition refuses."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest

from holdfast.kernel.answers import Absent, CannotTell, Happened
from holdfast.kernel.errors import BadArguments, BadContract, BadValue
from holdfast.kernel.model import Contract, Cost, EffectClass
from holdfast.tools import Call, Fx, Look, Registry, Tool, cost, tool
from holdfast.tools.arguments import Arguments


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Line(msgspec.Struct):
    sku: str
    count: int = 1


class Address(TypedDict):
    city: str
    zip: NotRequired[str]


@dataclasses.dataclass
class Box:
    width: int


def whole(**changes: Any) -> Any:
    return tool(
        **{
            "effect": "irreversible",
            "resource": "invoice:{invoice_id}",
            "identity": ("invoice_id",),
            "owner": "billing",
            "no_probe": "none",
        }
        | changes
    )


@whole(keyed="24h", timeout="1m30s", cost=cost("amount", "EUR"), volatile=("note",))
async def refund(fx: Fx, *, invoice_id: str, amount: int, note: str = "") -> dict[str, str]:
    """Refund one invoice; amount in cents."""
    return {"key": fx.key, "invoice": invoice_id}


def test_signature_becomes_a_closed_schema() -> None:
    """Arguments, types, defaults and the description come from the function."""
    contract = refund.contract
    assert contract.name == "refund"
    assert contract.description == "Refund one invoice; amount in cents."
    assert contract.schema == {
        "type": "object",
        "properties": {
            "invoice_id": {"type": "string"},
            "amount": {"type": "integer"},
            "note": {"type": "string", "default": ""},
        },
        "required": ["invoice_id", "amount"],
        "additionalProperties": False,
    }


def test_declared_durations_and_cost_become_plain_data() -> None:
    """Durations are milliseconds in the contract, and the cost names its argument."""
    contract = refund.contract
    assert (contract.keyed_ms, contract.timeout_ms, contract.lands_within_ms) == (86_400_000, 90_000, 120_000)
    assert contract.cost == Cost(argument="amount", currency="EUR")


@pytest.mark.parametrize("field", ["keyed", "timeout", "lands_within", "visible_within", "skew"])
def test_malformed_duration_is_refused_where_it_is_written(field: str) -> None:
    """A duration that means nothing raises at once, naming the field."""
    with pytest.raises(BadValue) as caught:
        whole(**{field: "soon"})
    assert caught.value.path == field


def every_type(
    fx: Fx,
    *,
    text: str,
    number: float,
    flag: bool,
    nothing: None,
    free: Any,
    items: list[int],
    table: dict[str, int],
    word: Literal["a", "b"],
    colour: Colour,
    maybe: int | None = None,
    line: Line,
    place: Address,
    box: Box,
    short: Annotated[str, msgspec.Meta(max_length=3)] = "",
) -> None:
    pass


def test_every_supported_annotation_has_a_schema_that_judges() -> None:
    """Each annotation takes in what fits it and refuses what does not."""
    made = whole(resource="x", identity=("text",))(every_type)
    assert made.reading.problems == ()
    check = Arguments("t", made.contract.schema)
    good = {
        "text": "t", "number": 1.5, "flag": True, "nothing": None, "free": [1, {"a": None}], "items": [1],
        "table": {"a": 1}, "word": "a", "colour": "red", "line": {"sku": "s"}, "place": {"city": "c"},
        "box": {"width": 1},
    }  # fmt: skip
    assert check.check(good)["maybe"] is None
    bad = {
        "text": 1, "number": "1", "flag": 1, "nothing": 0, "items": ["a"], "table": {"a": "b"}, "word": "c",
        "colour": "blue", "maybe": "1", "line": {"count": 1}, "place": {"zip": "1"},
        "box": {"width": 1, "x": 2},
        "short": "long",
    }  # fmt: skip
    for name, value in bad.items():
        with pytest.raises(BadArguments):
            check.check({**good, name: value})


def test_key_that_a_nested_type_does_not_know_is_refused() -> None:
    """The body would never see it, so the record must not hold it."""
    made = whole(resource="x", identity=("line",))(takes_line)
    check = Arguments("t", made.contract.schema)
    assert check.check({"line": {"sku": "a"}}) == {"line": {"sku": "a"}}
    with pytest.raises(BadArguments):
        check.check({"line": {"sku": "a", "cuont": 2}})


async def takes_line(fx: Fx, *, line: Line) -> int:
    return line.count


def test_type_made_inside_a_function_is_found() -> None:
    """Annotations are text here; a type that exists only where the decorator stands is resolved there."""

    class Local(msgspec.Struct):
        size: int

    @whole(resource="x", identity=("local",))
    async def grow(fx: Fx, *, local: Local) -> int:
        return local.size

    assert grow.reading is not None
    assert grow.reading.problems == ()
    assert "Local" in grow.contract.schema["$defs"]


def test_what_a_signature_cannot_say_is_named_at_registration() -> None:
    """Every argument without a usable annotation is named, in one error with the rest."""

    def odd(fx, positional, /, bare, thing: complex, *rest: int, gone: Nowhere, **more: int):  # noqa: F821
        pass

    with pytest.raises(BadContract) as caught:
        Registry([whole(resource="x", identity=(), owner="")(odd)])
    problems = " | ".join(caught.value.problems)
    assert "*rest" in problems
    assert "**more" in problems
    assert "positional" in problems
    assert "argument bare has no annotation" in problems
    assert "argument thing has no JSON form" in problems
    assert "annotation of gone cannot be read" in problems
    assert [gap.split(":")[0] for gap in caught.value.missing] == ["identity", "owner"]


def test_body_without_fx_is_refused() -> None:
    """The first parameter is the fx, and it is not an argument of the call."""

    def alone(*, invoice_id: str) -> None:
        pass

    with pytest.raises(BadContract) as caught:
        Registry([whole()(alone)])
    assert "the body takes fx as its first parameter" in caught.value.problems


# ---------------------------------------------------------------------------------------------------- calls


def test_calling_a_tool_builds_a_call_and_runs_nothing() -> None:
    """The result is the tool's name with the arguments as given; defaults are filled in when it is used."""
    assert refund(invoice_id="in_7", amount=1200) == Call("refund", {"invoice_id": "in_7", "amount": 1200})


def test_wrong_call_raises_type_error_early() -> None:
    """Unknown, missing and positional arguments are Python's own errors, before anything is recorded."""
    for args, kwargs in [
        ((), {"invoice_id": "a"}),
        ((), {"invoice_id": "a", "amount": 1, "x": 2}),
        (("a", 1), {}),
    ]:
        with pytest.raises(TypeError):
            refund(*args, **kwargs)
    with pytest.raises(TypeError):
        refund(invoice_id=object(), amount=1)


def test_typed_arguments_become_plain_data() -> None:
    """Structs and enums are written as JSON in the call."""
    made = whole(resource="x", identity=("line",))(takes_line)
    assert made(line=Line("a", 2)).args == {"line": {"sku": "a", "count": 2}}


def test_call_owns_its_arguments() -> None:
    """Whoever built a call cannot change it afterwards, and a call has no settable field."""
    args: dict[str, Any] = {"a": [1]}
    call = Call("t", args)
    args["a"].append(2)
    args["b"] = 1
    assert call.args == {"a": [1]}
    with pytest.raises(AttributeError):
        call.tool = "other"  # type: ignore[misc]


def test_raw_body_is_for_unit_tests() -> None:
    """`.body` is the function itself."""
    import asyncio

    assert asyncio.run(refund.body(Fx(key="k"), invoice_id="i", amount=1)) == {"key": "k", "invoice": "i"}


# ------------------------------------------------------------------------------------------------ companions


def test_companions_are_attached_once_and_show_in_the_contract() -> None:
    """Attaching returns the function unchanged, sets the flag, and refuses a second one."""
    made = whole(no_probe="")(takes_invoice)

    def probe(look: Look, *, invoice_id: str) -> Happened:
        return Happened(invoice_id)

    assert made.contract.has_probe is False
    assert made.probe(probe) is probe
    assert made.contract.has_probe is True
    with pytest.raises(BadContract) as caught:
        made.probe(probe)
    assert "it has a probe already" in caught.value.problems[0]


async def takes_invoice(fx: Fx, *, invoice_id: str) -> None:
    pass


def test_companion_after_registration_is_refused() -> None:
    """The registry would never see it."""
    made = whole()(takes_invoice)
    Registry([made])
    with pytest.raises(BadContract) as caught:
        made.verify(lambda look: CannotTell("x"))
    assert "registered already" in caught.value.problems[0]


def test_same_tool_from_plain_data() -> None:
    """A contract, callables and a JSON Schema make a tool with the same contract as the decorator's."""
    made = whole(no_probe="")(takes_invoice)
    made.probe(lambda look: Absent())
    plain = Tool.from_contract(
        Contract(
            name="takes_invoice",
            effect=EffectClass.IRREVERSIBLE,
            resource="invoice:{invoice_id}",
            schema=made.contract.schema,
            identity=("invoice_id",),
            owner="billing",
        ),
        body=lambda fx, **args: args,
        probe=lambda look: Absent(),
    )
    assert Registry([plain]).contracts == Registry([made]).contracts
    assert plain(invoice_id="a") == Call("takes_invoice", {"invoice_id": "a"})
    for args, kwargs in [(("a",), {}), ((), {}), ((), {"invoice_id": "a", "x": 1})]:
        with pytest.raises(TypeError):
            plain(*args, **kwargs)
