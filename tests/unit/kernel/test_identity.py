"""Names that are minted once: what they depend on, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel import identity as names
from holdfast.kernel.model import EffectClass
from tests.unit.kernel.records import CONTRACT

SECRET = b"a secret of these tests"
ARGS = {"order": "A", "amount": 5, "noted": 1}
PAY = replace(CONTRACT, identity=("order",), volatile=("noted",))
READ = replace(PAY, effect=EffectClass.READ, identity=())


def named(contract: Any = PAY, again: str = "", purpose: str = "errand", **args: Any) -> str:
    """The identity of one call."""
    return names.identity(SECRET, "main", "prod", purpose, contract, ARGS | args, again)


def test_an_identity_is_purpose_tool_and_identity_arguments() -> None:
    """Other arguments do not count; another purpose, tool, environment or reason to do it again does."""
    assert named() == named(amount=6) == named(noted=2)
    others = {named(order="B"), named(purpose="another"), named(again="twice"), named(replace(PAY, name="mail"))}
    elsewhere = names.identity(SECRET, "main", "test", "errand", PAY, ARGS, "")
    theirs = names.identity(SECRET, "other", "prod", "errand", PAY, ARGS, "")
    assert len({named(), *others, elsewhere, theirs}) == 7


def test_a_change_without_identity_arguments_is_one_change_a_purpose() -> None:
    """Only a read that declares none is what all its arguments say; the volatile ones never count."""
    once = replace(PAY, identity=())
    assert named(once) == named(once, order="B")
    assert named(READ) != named(READ, amount=6)
    assert named(READ) == named(READ, noted=2)
    declared = replace(READ, identity=("order",))
    assert named(declared) == named(declared, amount=6)


def test_keys_and_ids_are_of_one_generation() -> None:
    """Each generation has a key of its own, and its id begins with what an id begins with."""
    first, second = (names.key(SECRET, named(), n) for n in (1, 2))
    assert first != second
    assert names.effect_id(first) == f"ef_{first[:20]}"
    assert names.attempt_id("ef_12", 3) == "at_12.3"
    assert names.approval_id("ef_12", 3) == "ap_12.3"
    assert names.run_id(SECRET, "in_1", 1) != names.run_id(SECRET, "in_1", 2)
    assert len(names.run_id(SECRET, "in_1", 1)) == len(names.intent_id(SECRET, "main", "prod", "p")) == 23


def test_material_arguments_are_all_but_the_volatile_ones() -> None:
    """Their digest says whether a call was changed; a ruling may have read the others too."""
    digest = names.args_digest(SECRET, PAY, ARGS)
    assert digest == names.args_digest(SECRET, PAY, ARGS | {"noted": 2})
    assert digest != names.args_digest(SECRET, PAY, ARGS | {"amount": 6})
    assert names.inputs_digest(SECRET, ARGS) != names.inputs_digest(SECRET, ARGS | {"noted": 2})
    steady = replace(PAY, volatile=())
    assert names.args_digest(SECRET, steady, ARGS) != names.args_digest(SECRET, steady, ARGS | {"noted": 2})


BOUND: dict[str, Any] = {
    "nonce": "n", "tool": "pay", "contract": "v1", "args": {"order": "A"}, "environment": "prod", "resource": "r",
    "fingerprint": "f", "expects": "pay.verify", "policy": "p1", "generation": 1,
}  # fmt: skip


@pytest.mark.parametrize("part", BOUND)
def test_a_yes_is_bound_to_each_of_its_parts(part: str) -> None:
    """Another nonce, tool, contract, argument, environment, resource, state, check, policy or generation is another."""
    other = {"args": {"order": "B"}, "generation": 2}.get(part, "other")
    assert names.approval_digest(SECRET, **BOUND) != names.approval_digest(SECRET, **(BOUND | {part: other}))
