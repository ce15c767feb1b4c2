"""The door for companions: only what they name goes in, and only what they may say comes out."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from holdfast.kernel import canon
from holdfast.kernel.answers import Absent, CannotTell, Differs, Happened, Holds
from holdfast.kernel.model import Attempt
from holdfast.kernel.ports import Question
from holdfast.tools import Call, Fx, Look, Registry, tool
from holdfast.tools.look import Looks, is_unreadable

ATTEMPT = Attempt(id="at_1.1", number=1, token=5, holder="w", at_ms=1, send_by_ms=2)


def looks(*, timeout: str = "5s", threads: int = 4, **companions: Any) -> Looks:
    @tool(
        effect="irreversible", resource="i:{a}", identity=("a",), owner="o", timeout=timeout, name="act",
        no_probe="" if "probe" in companions else "none",
    )  # fmt: skip
    async def act(fx: Fx, *, a: str, b: list[int] = []) -> None:  # noqa: B006
        pass

    for kind, companion in companions.items():
        getattr(act, kind)(companion)
    return Looks(Registry([act]), threads=threads)


def question(**changes: Any) -> Question:
    fields: dict[str, Any] = {
        "effect": "ef_1",
        "tool": "act",
        "args": {"a": "x", "b": [1]},
        "key": "the-key",
        "token": 9,
        "attempts": (ATTEMPT,),
        "operation": "op",
        "value": {"id": 1},
    }
    return Question(**(fields | changes))


async def test_companion_sees_the_question_and_cannot_change_it() -> None:
    """Key, token, attempts, operation, arguments and value arrive, as copies."""
    seen: list[Look] = []

    async def probe(look: Look) -> Happened:
        seen.append(look)
        look.args["b"].append(2)
        look.value["id"] = 2
        return Happened(None)

    asked = question()
    assert await looks(probe=probe).probe(asked) == Happened(None)
    (look,) = seen
    assert (look.key, look.token, look.attempts, look.operation) == ("the-key", 9, (ATTEMPT,), "op")
    assert asked == question()


async def test_companion_gets_only_the_arguments_it_names() -> None:
    """None, some, or all through **kw."""
    got: list[dict[str, Any]] = []

    def one(look: Look, *, b: list[int], other: int = 5) -> Holds:
        got.append({"b": b, "other": other})
        return Holds()

    def every(look: Look, **args: Any) -> Holds:
        got.append(args)
        return Holds()

    for verify in (lambda look: Holds(), one, every):
        assert await looks(verify=verify).verify(question()) == Holds()
    assert got == [{"b": [1], "other": 5}, {"a": "x", "b": [1]}]


async def test_plain_companion_runs_in_a_thread() -> None:
    """A slow look-up does not stop the event loop."""

    def probe(look: Look) -> Happened:
        return Happened(threading.current_thread() is threading.main_thread())

    assert await looks(probe=probe).probe(question()) == Happened(False)


@pytest.mark.parametrize("answer", [Happened({"id": (1, 2)}), Absent(final=True, why="w"), CannotTell("dunno")])
async def test_probe_answers_pass(answer: Any) -> None:
    """The three answers of a probe arrive as plain data."""
    expected = Happened({"id": [1, 2]}) if isinstance(answer, Happened) else answer
    assert await looks(probe=lambda look: answer).probe(question()) == expected


@pytest.mark.parametrize("answer", [Holds(1), Differs("other amount"), CannotTell("dunno")])
async def test_verify_answers_pass(answer: Any) -> None:
    """The three answers of a verification arrive."""
    assert await looks(verify=lambda look: answer).verify(question()) == answer


@pytest.mark.parametrize("answer", [None, False, {}, [], "absent", Holds(), Differs("x"), Absent])
async def test_wrong_type_from_a_probe_cannot_tell(answer: object) -> None:
    """Nothing falsy, and no answer of another companion, is read as *absent*."""
    found = await looks(probe=lambda look: answer).probe(question())
    assert isinstance(found, CannotTell)
    assert type(answer).__name__ in found.why
    assert "Happened, Absent or CannotTell" in found.why


@pytest.mark.parametrize("answer", [None, True, Happened(1), Absent()])
async def test_wrong_type_from_a_verification_cannot_tell(answer: object) -> None:
    """True is no proof that the world holds what was intended."""
    checked = await looks(verify=lambda look: answer).verify(question())
    assert isinstance(checked, CannotTell)
    assert type(answer).__name__ in checked.why


async def test_truthy_claim_of_finality_is_no_claim() -> None:
    """Only True itself makes an absence final."""
    probe = lambda look: Absent(final="no", why="x")  # noqa: E731
    assert await looks(probe=probe).probe(question()) == Absent(final=False, why="x")


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(1), asyncio.CancelledError(), TimeoutError()])
@pytest.mark.parametrize("plain", [True, False])
async def test_companion_that_raises_cannot_tell(plain: bool, error: BaseException) -> None:
    """An error while looking is never an absence and never a difference."""

    def in_thread(look: Look) -> Any:
        raise error

    async def on_loop(look: Look) -> Any:
        raise error

    companion = in_thread if plain else on_loop
    door = looks(probe=companion, verify=companion)
    for answer in (await door.probe(question()), await door.verify(question())):
        assert isinstance(answer, CannotTell)
        assert type(error).__name__ in answer.why


async def test_companion_past_the_contracts_timeout_cannot_tell() -> None:
    """A look that hangs ends in an answer."""

    async def probe(look: Look) -> Any:
        await asyncio.Event().wait()

    found = await looks(probe=probe, timeout="20ms").probe(question())
    assert found == CannotTell("probe of act did not answer within 20 ms")


async def test_hung_looks_do_not_hold_up_others_for_ever() -> None:
    """With every thread taken, a look is not asked, and says so."""
    release = threading.Event()

    def probe(look: Look) -> Happened:
        release.wait(30)
        return Happened(1)

    door = looks(probe=probe, timeout="30ms", threads=1)
    first, second = await asyncio.gather(door.probe(question()), door.probe(question()))
    release.set()
    assert isinstance(first, CannotTell)
    assert isinstance(second, CannotTell)
    assert "was not asked" in second.why
    door.close()


async def test_found_value_that_cannot_be_recorded_cannot_tell() -> None:
    """A value without an exact form is no evidence."""
    found = await looks(probe=lambda look: Happened(object())).probe(question())
    assert isinstance(found, CannotTell)


async def test_missing_companion_and_unknown_tool_cannot_tell() -> None:
    """Nobody to ask is no answer."""
    door = looks()
    assert await door.probe(question()) == CannotTell("act has no probe")
    assert isinstance(await door.probe(question(tool="atc")), CannotTell)
    assert isinstance(await door.verify(question()), CannotTell)


# ----------------------------------------------------------------------------------------------------- state


async def test_short_state_is_its_canonical_text_and_a_long_one_its_digest() -> None:
    """Equal states are equal texts, whatever the order of their keys."""
    assert await looks(state=lambda look: {"b": 1, "a": (2,)}).state(question()) == '{"a":[2],"b":1}'
    long = {"a": "x" * 3_000}
    assert await looks(state=lambda look: long).state(question()) == canon.digest(canon.encode(long))
    assert await looks(state=lambda look: None).state(question()) == "null"
    assert await looks().state(question()) == ""


@pytest.mark.parametrize("answer", [float("nan"), object(), "\ud800"])
async def test_state_that_cannot_be_read_is_equal_to_no_other(answer: object) -> None:
    """Two blind reads are never taken for an unchanged target."""
    door = looks(state=lambda look: answer)
    first, second = await door.state(question()), await door.state(question())
    assert is_unreadable(first)
    assert is_unreadable(second)
    assert first != second


async def test_state_that_raises_or_belongs_to_no_tool_is_unreadable() -> None:
    """Not readable is neither empty nor a state, and a state that looks like it is none."""

    def state(look: Look) -> Any:
        raise ConnectionError("down")

    assert is_unreadable(await looks(state=state).state(question()))
    assert is_unreadable(await looks().state(question(tool="atc")))
    assert not is_unreadable(await looks(state=lambda look: "!cannot-tell: fake").state(question()))


# --------------------------------------------------------------------------------------------- list and undo


async def test_listing_is_plain_data_and_anything_else_cannot_tell() -> None:
    """A list arrives item by item; what is no list says nothing, least of all that nothing exists."""
    door = looks(list=lambda look, *, a=None: [{"id": 1, "a": a}, {"id": 2}])
    assert await door.list_outside("act") == ({"id": 1, "a": None}, {"id": 2})
    assert await door.list_outside("act", {"a": "x"}) == ({"id": 1, "a": "x"}, {"id": 2})
    for wrong in (None, {}, "ab", 0):
        assert isinstance(await looks(list=lambda look, wrong=wrong: wrong).list_outside("act"), CannotTell)
    assert isinstance(await looks().list_outside("act"), CannotTell)


async def test_undo_gives_a_call() -> None:
    """What offsets an effect is a call like any other; anything else cannot tell."""
    door = looks(undo=lambda look, *, a: Call("charge", {"a": a, "was": look.value["id"]}))
    assert await door.undo(question()) == Call("charge", {"a": "x", "was": 1})
    assert isinstance(await looks(undo=lambda look: {"tool": "charge"}).undo(question()), CannotTell)


async def test_preview_is_the_state_after_the_call_in_the_same_form() -> None:
    """Canonical text as for the state, empty without a companion, and unreadable where it fails."""
    after = looks(state=lambda look, *, a: {"n": 1, "a": a}, preview=lambda look, *, a: {"a": a, "n": 2})
    assert await after.state(question()) == '{"a":"x","n":1}'
    assert await after.preview(question()) == '{"a":"x","n":2}'
    assert await looks(state=lambda look: 1).preview(question()) == ""

    def breaks(look: Look) -> None:
        raise ConnectionError("gone")

    assert is_unreadable(await looks(state=lambda look: 1, preview=breaks).preview(question()))
