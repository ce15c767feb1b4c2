"""Sagas as declared: what each step must say, what is refused, and what two of them differ in; and the next act."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast.kernel import declared, sagas
from holdfast.kernel.documents import Saga, SagaStep, decode, encode
from holdfast.kernel.errors import BadSaga
from holdfast.kernel.model import Contract, Effect, EffectClass, State
from holdfast.runtime.saga.declare import recorded

CONTRACTS = {
    name: Contract(name=name, effect=effect, resource="r:{n}", has_undo=has_undo)
    for name, effect, has_undo in (
        ("look", EffectClass.READ, False),
        ("label", EffectClass.IDEMPOTENT, False),
        ("book", EffectClass.COMPENSABLE, True),
        ("hold", EffectClass.COMPENSABLE, False),
        ("pay", EffectClass.IRREVERSIBLE, False),
    )
}


def step(name: str, tool: str, kind: str, **more: object) -> hf.Step:
    """A step that calls a tool."""
    return hf.Step(name, hf.Call(tool, {"n": name}), kind=kind, **more)  # type: ignore[arg-type]


def made(*steps: hf.Step, owner: str = "desk") -> Saga:
    """The record that these steps begin as."""
    return recorded(hf.Saga("trip", steps, owner), "ru_1", CONTRACTS, 1)[0]


def why(*steps: hf.Step) -> str:
    """What is wrong with these steps."""
    with pytest.raises(BadSaga) as refused:
        made(*steps)
    return "; ".join(refused.value.problems)


@pytest.mark.req("1.9a", mutant="saga-claims-less")
@pytest.mark.parametrize(("tool", "kind"), [("pay", "compensable"), ("pay", "reversible"), ("book", "reversible")])
def test_a_step_never_claims_to_be_milder_than_the_contract_of_its_tool(tool: str, kind: str) -> None:
    """What cannot be taken back by its contract is not called compensable by a saga."""
    assert f"it is called {kind}" in why(step("a", tool, kind, undo=hf.Call("label", {"n": "a"})))


@pytest.mark.req("1.9a", mutant="saga-claims-less")
@pytest.mark.parametrize("tool", ["hold", "label"])
def test_what_may_have_to_be_offset_says_what_offsets_it(tool: str) -> None:
    """A compensable step has the undo of its tool or one of its own, or is not begun."""
    assert "nothing offsets it" in why(step("a", tool, "compensable"))
    assert made(step("a", tool, "compensable", undo=hf.Call("label", {"n": "a"}))).steps[0].undo["tool"] == "label"
    assert made(step("a", "book", "compensable")).steps[0].undo == {"by": "tool"}
    assert made(step("a", "look", "reversible")).steps[0].name == "a"


@pytest.mark.req(
    "1.9a", mutant=None, reason="where a boundary lies is a plain rule; the life of a saga is mutated elsewhere"
)
def test_nothing_that_stays_stands_before_the_boundary() -> None:
    """The first irreversible step is the boundary where none is named, and none stands before a named one."""
    assert made(step("a", "book", "compensable"), step("b", "pay", "irreversible")).boundary == 1
    assert made(step("a", "book", "compensable")).boundary == -1
    wrong = (step("a", "pay", "irreversible"), step("b", "book", "compensable", boundary=True))
    assert "stands before the boundary" in why(*wrong)
    twice = (step("a", "book", "compensable", boundary=True), step("b", "book", "compensable", boundary=True))
    assert "two steps are its boundary" in why(*twice)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    """Names, classes, tools and references: one refusal has them all."""
    said = why(
        step("a b", "book", "compensable"),
        step("c", "nowhere", "compensable"),
        step("c", "book", "sometimes"),
        hf.Step("d", hf.Call("book", {"n": {"$result": "e.id"}})),
    )
    for part in ("'a b'", "no tool named nowhere", "two steps are called c", "'sometimes'", "takes from e"):
        assert part in said


@pytest.mark.req("1.9a", mutant="saga-differs-unseen")
def test_other_steps_under_a_recorded_name_are_told_apart() -> None:
    """Another order, call, class, owner or person to tell is a difference that is named."""
    base = (step("a", "book", "compensable", tell=("ann",)), step("b", "pay", "irreversible"))
    one = made(*base)
    assert declared.differences(one, made(*base)) == ()
    others = {
        "its steps are a, b, not b, a": (base[1], step("a", "pay", "irreversible")),
        "step a: tell": (step("a", "book", "compensable", tell=("bob",)), base[1]),
        "step b: tries": (base[0], step("b", "pay", "irreversible", tries=9)),
        "step a: declared": (hf.Step("a", hf.Call("book", {"n": "z"}), tell=("ann",)), base[1]),
    }
    for said, steps in others.items():
        assert said in declared.differences(one, made(*steps))
    assert declared.differences(one, made(*base, owner="bob"))[0].startswith("its owner is desk")


def test_a_saga_is_the_same_from_plain_data() -> None:
    """A table for each step says what a program says, and what means nothing is refused by its name."""
    data = {
        "name": "trip",
        "owner": "desk",
        "steps": [
            {
                "name": "a",
                "tool": "book",
                "args": {"n": "a"},
                "tell": ["ann"],
                "undo": {"tool": "label", "args": {"n": "x"}},
            },
            {"name": "b", "tool": "pay", "args": {"n": {"$result": "a.id"}}, "kind": "irreversible", "boundary": True},
        ],
    }
    told = hf.Step("a", hf.Call("book", {"n": "a"}), tell=("ann",), undo=hf.Call("label", {"n": "x"}))
    same = made(told, hf.Step("b", hf.Call("pay", {"n": {"$result": "a.id"}}), kind="irreversible", boundary=True))
    assert recorded(hf.Saga.of(data), "ru_1", CONTRACTS, 1)[0] == same
    assert decode(encode(same)) == same
    with pytest.raises(BadSaga, match="colour"):
        hf.Saga.of({"name": "x", "steps": [{"name": "a", "tool": "book", "colour": "red"}]})
    with pytest.raises(BadSaga, match="has no tool"):
        hf.Saga.of({"name": "x", "steps": [{"name": "a"}]})


def test_what_a_call_takes_from_results_is_filled_in_and_what_is_missing_is_named() -> None:
    """A reference is a step and a path through objects and lists."""
    found = {"a": {"ids": [7, 8], "of": {"x": "y"}}}
    assert declared.filled({"n": [{"$result": "a.ids.1"}], "m": {"$result": "a.of"}}, found) == {
        "n": [8],
        "m": {"x": "y"},
    }
    with pytest.raises(KeyError, match=r"a\.no"):
        declared.filled({"$result": "a.no"}, found)


def effect(name: str, state: State, **more: object) -> Effect:
    """An effect as a saga sees it."""
    bare = Effect(
        id=name, tenant="main", environment="prod", run="ru_1", purpose="p", tool="book", contract="v",
        effect_class=EffectClass.COMPENSABLE, key=name, identity=name, generation=1, args={}, args_digest="",
        resource="r", principal="agent", state=state,
    )  # fmt: skip
    return msgspec.structs.replace(bare, **more)


def saga(*states: State, state: str = "forward", boundary: int = -1) -> tuple[Saga, dict[str, Effect]]:
    """A saga with a step for each effect in these states, and one that is not begun."""
    steps = [SagaStep(name=f"s{n}", effect=f"ef_{n}", tried=1, undo={"by": "tool"}) for n, _ in enumerate(states)]
    present = {f"ef_{n}": effect(f"ef_{n}", now) for n, now in enumerate(states)}
    bare = Saga(id="ru_1/trip", run="ru_1", name="trip", state=state, boundary=boundary)
    return replace(bare, steps=(*steps, SagaStep(name="last"))), present


@pytest.mark.parametrize("state", sorted(State))
def test_no_state_of_an_effect_leaves_a_saga_without_an_act_or_takes_a_doubt_for_anything(state: State) -> None:
    """In whatever state its last effect is, forward, back or when its run has ended, something is to be done."""
    for direction in ("forward", "compensating"):
        for boundary in (-1, 0):
            one, present = saga(State.VERIFIED, state, state=direction, boundary=boundary)
            for over in ("", "the run is stopped"):
                act = sagas.next_act(one, present, over=over)
                assert act is not None
                if state in (State.UNKNOWN, State.PENDING, State.DISPATCHED):
                    assert act.what in (sagas.CARRY, sagas.HOLD)
                    assert act.step == 1


def test_a_failure_turns_back_before_the_boundary_and_ends_after_it() -> None:
    """The same refusal means another act on either side of the boundary."""
    one, present = saga(State.COMMITTED, State.REFUSED)
    assert sagas.next_act(one, present)[:2] == (sagas.TURN, 1)
    past, present = saga(State.COMMITTED, State.REFUSED, boundary=0)
    act = sagas.next_act(past, present)
    assert act is not None
    assert (act.what, act.end) == (sagas.END, "partly compensated")


def test_what_somebody_offset_in_between_is_no_step_that_is_there() -> None:
    """A saga is not completed over a step that was compensated by hand meanwhile."""
    one, present = saga(State.COMPENSATED, State.VERIFIED)
    whole = replace(one, steps=one.steps[:2])
    act = sagas.next_act(whole, present)
    assert act is not None
    assert (act.what, act.step) == (sagas.TURN, 0)


def test_what_is_offset_starts_with_the_last_step_that_is_there() -> None:
    """Back from the third step, the second is offset before the first."""
    one, present = saga(State.VERIFIED, State.COMMITTED, State.FAILED, state="compensating")
    assert sagas.next_act(one, present)[:2] == (sagas.OFFSET, 1)
