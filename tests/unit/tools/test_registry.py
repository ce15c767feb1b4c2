"""The registry: unique names, complete contracts, frozen content, and calls that fit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.kernel.answers import Absent, CannotTell
from holdfast.kernel.errors import BadArguments, BadContract, TooLarge, UnknownTool
from holdfast.kernel.model import Contract, EffectClass
from holdfast.tools import Call, Fx, Registry, Tool, cost, inside, tool
from holdfast.tools.contract import complete


class Line(msgspec.Struct):
    sku: str
    count: int = 1


def made(name: str = "refund", **changes: Any) -> Tool[..., Any]:
    fields = {
        "effect": "irreversible",
        "resource": "invoice:{invoice_id}",
        "identity": ("invoice_id",),
        "owner": "billing",
        "no_probe": "none",
        "cost": cost("amount", "EUR"),
        "name": name,
    }

    async def body(fx: Fx, *, invoice_id: str, amount: int, lines: list[Line] = []) -> int:  # noqa: B006
        return amount

    return tool(**(fields | changes))(body)


def plain(body: Any, **companions: Any) -> Tool[..., Any]:
    contract = Contract(
        name="plain",
        effect=EffectClass.READ,
        resource="r",
        schema={"type": "object", "properties": {"a": {"type": "integer"}}},
    )
    return Tool.from_contract(contract, body=body, **companions)


def problems(*tools: Tool[..., Any]) -> str:
    with pytest.raises(BadContract) as caught:
        Registry(tools)
    return " | ".join((*caught.value.missing, *caught.value.problems))


def test_registered_contracts_are_complete_and_cannot_be_changed() -> None:
    """Contracts carry their version; neither the mapping nor a tool's own schema reaches them."""
    mine = made()
    registry = Registry([mine, made("other")])
    assert list(registry) == ["refund", "other"]
    assert (len(registry), "other" in registry, "third" in registry) == (2, True, False)
    assert registry.contracts["refund"] == complete(mine.contract)
    mine.contract.schema["properties"]["evil"] = {}
    assert "evil" not in registry.contracts["refund"].schema["properties"]
    with pytest.raises(TypeError):
        registry.contracts["evil"] = registry.contracts["refund"]  # type: ignore[index]


def test_name_taken_twice_is_refused() -> None:
    """Two tools of one name would be told apart by nobody."""
    assert "another tool has this name" in problems(made(), made())


@pytest.mark.req("2.2a", mutant=None, reason="two incomplete tools are registered by the test itself")
def test_all_incomplete_tools_are_named_in_one_error() -> None:
    """A developer sees everything that every tool lacks, at once."""
    said = problems(made("a", owner=""), made("b", resource="", no_probe=""), made("c"))
    assert "a: owner" in said
    assert "b: resource" in said
    assert "b: probe" in said
    assert "c: " not in said


def test_unknown_tool_is_answered_with_the_nearest_name() -> None:
    """A typing error in a tool's name is answered with what was meant."""
    registry = Registry([made(), made("ship")])
    with pytest.raises(UnknownTool) as caught:
        registry.tool("refnud")
    assert (caught.value.nearest, caught.value.known) == ("refund", ("refund", "ship"))
    with pytest.raises(UnknownTool) as caught:
        registry.bind(Call("zzz"))
    assert caught.value.nearest is None


def test_bound_call_holds_what_will_be_recorded() -> None:
    """Arguments with defaults, the resource and the cost."""
    bound = Registry([made()]).bind(Call("refund", {"invoice_id": "a:b", "amount": 5}))
    assert bound.args == {"invoice_id": "a:b", "amount": 5, "lines": []}
    assert bound.resource == "invoice:a%3Ab"
    assert bound.cost is not None
    assert (bound.cost.minor, bound.cost.currency) == (5, "EUR")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"invoice_id": "a"}, BadArguments),
        ({"invoice_id": "a", "amount": -1}, BadArguments),
        ({"invoice_id": "a", "amount": 1, "lines": [{"skuu": "x"}]}, BadArguments),
        ({"invoice_id": "a" * 300_000, "amount": 1}, TooLarge),
    ],
)
def test_call_that_does_not_fit_is_refused(args: dict[str, Any], error: type[Exception]) -> None:
    """Schema, cost and size are judged before anything is recorded."""
    with pytest.raises(error):
        Registry([made()]).bind(Call("refund", args))


def test_body_gets_its_own_types_and_copies() -> None:
    """Recorded JSON becomes what the body is annotated with, and changing it leaves the record alone."""
    tool_ = Registry([made()]).tool("refund")
    recorded = {"invoice_id": "a", "amount": 1, "lines": [{"sku": "x"}]}
    handed = tool_.for_body(recorded)
    assert handed["lines"] == [Line("x", 1)]
    handed["lines"].clear()
    assert recorded["lines"] == [{"sku": "x"}]
    with pytest.raises(BadArguments):
        tool_.for_body({"invoice_id": 7, "amount": 1})
    untyped = Registry([plain(lambda fx, a=None: a)]).tool("plain")
    free: dict[str, Any] = {"a": [1]}
    untyped.for_body(free)["a"].append(2)
    assert free == {"a": [1]}


def test_companion_that_asks_for_what_the_tool_does_not_have_is_refused() -> None:
    """A required keyword of a companion must be an argument; a default or **kw needs none."""
    one = made(no_probe="")
    one.probe(lambda look, *, invoice: Absent())
    assert "probe asks for what the tool does not have: invoice" in problems(one)
    two = made(no_probe="")
    two.probe(lambda look, *, invoice=None, **kw: Absent())
    assert Registry([two]).contracts["refund"].has_probe


def test_companion_without_a_look_is_refused() -> None:
    """A companion's first parameter is the look."""
    one = made()
    one.verify(lambda *, invoice_id: CannotTell("x"))
    assert "verify takes the look as its first parameter" in problems(one)


def test_declared_companion_that_is_not_attached_is_refused() -> None:
    """A contract from plain data cannot claim a probe that nobody gave."""
    contract = msgspec.structs.replace(made(no_probe="").contract, has_probe=True)
    claimed = Tool.from_contract(contract, body=lambda fx, **args: None)
    assert "probe is declared and none is attached" in problems(claimed)


def test_body_from_plain_data_must_take_the_arguments() -> None:
    """Every listed argument is taken by name, nothing else is needed, and no name collides with the fx."""
    assert Registry([plain(lambda fx, a=None: a)]).contracts["plain"].version
    assert "it does not take: a" in problems(plain(lambda fx: None))
    assert "the body takes fx" in problems(plain(lambda *, a: None))
    assert "the schema does not list: b" in problems(plain(lambda fx, a, b: None))
    assert "first parameter: a" in problems(plain(lambda a, **kw: None))
    assert "state's first parameter: a" in problems(plain(lambda fx, a: None, state=lambda a, **kw: None))


@pytest.mark.parametrize("error", [Exception, OSError, TimeoutError, ConnectionError, EOFError, ConnectionResetError])
def test_error_class_that_covers_lost_replies_proves_nothing(error: type[Exception]) -> None:
    """Declaring a timeout or a lost connection as *did not happen* would turn a doubt into a guess."""
    assert "which prove nothing" in problems(made(did_not_happen=(error,)))


def test_error_class_that_proves_absence_may_be_declared() -> None:
    """A refused connection never carried a request; what is no exception class is refused."""
    registry = Registry([made(did_not_happen=(ConnectionRefusedError,))])
    assert registry.tool("refund").did_not_happen == (ConnectionRefusedError,)
    assert "is no exception class" in problems(made(did_not_happen=("Declined",)))


@pytest.mark.req("2.2a", mutant="stand-in-unchecked")
@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (None, "instead: there is no tool hold"),
        ({"effect": "irreversible", "resource": "x", "identity": ("amount",)}, "takes another kind of lines"),
        ({"lines": False}, "hold does not take the argument lines"),
        ({"more": True}, "instead: hold needs reason"),
        ({"bounds": {}}, "hold does not keep the bounds of invoice_id"),
    ],
)
def test_tool_that_is_done_instead_takes_the_same_calls_within_the_same_bounds(
    other: dict[str, Any] | None, problem: str
) -> None:
    """What admission may do instead is another tool of this registry, no worse and no wider, for the very same call."""
    mine = made(instead="hold", not_done="the money", bounds={"invoice_id": inside("/srv")})
    assert problem in problems(mine, *([] if other is None else [stand_in(**other)]))


def stand_in(**changes: Any) -> Tool[..., Any]:
    """A tool called hold, that takes what `made` takes but for what is said."""
    lines: Any = list[int] if "resource" in changes else list[Line]
    fields: dict[str, Any] = {
        "effect": "idempotent", "resource": "hold", "identity": ("invoice_id",), "owner": "billing", "no_probe": "none",
        "name": "hold", "bounds": {"invoice_id": inside("/srv")},
    }  # fmt: skip
    fields |= {name: value for name, value in changes.items() if name in fields}

    async def whole(fx: Fx, *, invoice_id: str, amount: int, lines: lines = []) -> None:  # noqa: B006
        """Hold."""

    async def less(fx: Fx, *, invoice_id: str, amount: int) -> None:
        """Hold."""

    async def more(fx: Fx, *, invoice_id: str, amount: int, reason: str, lines: lines = []) -> None:  # noqa: B006
        """Hold."""

    body = less if "lines" in changes else more if "more" in changes else whole
    return tool(**fields)(body)


def test_worse_tool_does_not_stand_in_and_a_milder_one_does() -> None:
    """A cheaper tool may be milder in class; a worse one is no relief."""
    bounds = {"invoice_id": inside("/srv")}
    Registry([made(instead="hold", not_done="the money", bounds=bounds), stand_in()])
    milder = made(effect="idempotent", instead="hold", not_done="the money", bounds=bounds)
    assert "hold is irreversible, which is worse than idempotent" in problems(milder, stand_in(effect="irreversible"))
