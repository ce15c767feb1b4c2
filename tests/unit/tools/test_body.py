"""The door out: who is entered when, what comes back, and what is late."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from holdfast.kernel.answers import Accepted, Ack, Answer, Doubt, NeverLeft, Refusal
from holdfast.kernel.errors import NotOpen
from holdfast.kernel.model import Contract, EffectClass
from holdfast.kernel.ports import Request
from holdfast.tools import Call, DidNotHappen, Fx, Registry, Tool, tool
from holdfast.tools.body import Bodies

NOW_MS = 1_000_000
READ = {"effect": "read", "resource": "books"}


def registry_of(body: Any, **changes: Any) -> Registry:
    if "schema" in changes:
        contract = Contract(name="act", effect=EffectClass.READ, resource="books", schema=changes["schema"])
        return Registry([Tool.from_contract(contract, body=body)])
    return Registry([tool(**READ, name="act", **changes)(body)])


def request(**changes: Any) -> Request:
    fields: dict[str, Any] = {
        "effect": "ef_1",
        "run": "ru_1",
        "tool": "act",
        "args": {},
        "key": "the-key",
        "token": 7,
        "attempt": 2,
        "send_by_ms": NOW_MS + 60_000,
        "timeout_ms": 5_000,
        "expect": "the-state",
        "principal": "anna",
        "environment": "dev",
    }
    return Request(**(fields | changes))


async def sent(body: Any, *, clock: Any = lambda: NOW_MS, late: Any = None, **changes: Any) -> Answer:
    bodies = Bodies(registry_of(body), clock_ms=clock, on_late=late)
    return await bodies.send(request(**changes))


async def test_async_body_runs_on_the_loop_and_plain_body_in_a_thread() -> None:
    """A plain def never blocks the event loop."""

    async def on_loop(fx: Fx) -> bool:
        return threading.current_thread() is threading.main_thread()

    def in_thread(fx: Fx) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await sent(on_loop) == Ack(True)
    assert await sent(in_thread) == Ack(False)


async def test_body_sees_its_attempt_and_nothing_else() -> None:
    """Key, token, deadline and names arrive; no store, registry or door is within reach of the fx."""
    seen: list[Fx] = []

    async def body(fx: Fx) -> None:
        seen.append(fx)

    assert await sent(body) == Ack(None)
    (fx,) = seen
    assert (fx.key, fx.token, fx.attempt, fx.expect) == ("the-key", 7, 2, "the-state")
    assert (fx.effect, fx.run, fx.principal, fx.environment) == ("ef_1", "ru_1", "anna", "dev")
    assert fx.send_by == fx.send_by_ms == NOW_MS + 60_000
    assert {name for name in dir(fx) if not name.startswith("_")} == {
        "key", "token", "send_by", "send_by_ms", "expect", "attempt", "effect", "run", "principal",
        "environment", "remaining_s", "call", "call_sync", "deadline_ms", "trace", "headers",
    }  # fmt: skip
    with pytest.raises(AttributeError):
        fx.key = "another"  # type: ignore[misc]


async def test_unknown_tool_and_unfit_arguments_never_left() -> None:
    """What cannot be entered provably sent nothing."""
    entered: list[str] = []

    async def body(fx: Fx, *, a: int) -> None:
        entered.append("in")

    assert isinstance(await sent(body, tool="atc", args={"a": 1}), NeverLeft)
    assert isinstance(await sent(body, args={"a": "x"}), NeverLeft)
    assert entered == []
    assert await sent(body, args={"a": 1}) == Ack(None)


async def test_body_is_not_entered_after_its_send_by() -> None:
    """The last allowed millisecond is the send-by itself."""
    entered: list[str] = []

    def body(fx: Fx) -> None:
        entered.append("in")

    assert isinstance(await sent(body, send_by_ms=NOW_MS - 1), NeverLeft)
    assert entered == []


@pytest.mark.parametrize("plain", [True, False])
async def test_send_by_is_asked_again_immediately_before_the_first_line(plain: bool) -> None:
    """A pause between preparing and entering is noticed: nothing left."""
    times = iter([NOW_MS, NOW_MS, NOW_MS + 60_001])
    entered: list[str] = []

    def body(fx: Fx) -> None:
        entered.append("in")

    async def on_loop(fx: Fx) -> None:
        entered.append("in")

    reply = await sent(body if plain else on_loop, clock=lambda: next(times))
    assert isinstance(reply, NeverLeft)
    assert "1 ms ago" in reply.why
    assert entered == []


async def test_clock_that_cannot_be_read_enters_nothing() -> None:
    """Without a clock nobody knows whether it is still in time."""
    entered: list[str] = []

    async def body(fx: Fx) -> None:
        entered.append("in")

    def broken() -> int:
        raise RuntimeError("no clock")

    assert isinstance(await sent(body, clock=broken), NeverLeft)
    assert entered == []


async def test_async_body_past_its_limit_is_cancelled_and_doubted() -> None:
    """A timeout says nothing about the outside, and the body does not go on."""
    ended: list[str] = []

    async def body(fx: Fx) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    late: list[Answer] = []
    reply = await sent(body, timeout_ms=20, late=lambda _request, reply: late.append(reply))
    assert isinstance(reply, Doubt)
    assert reply.cause == "timeout"
    assert ended == ["cancelled"]
    assert late == [], "a cancellation that was obeyed is no news"


async def test_send_by_cuts_a_body_off_before_its_timeout() -> None:
    """Bytes leave before the send-by or are aborted."""

    async def body(fx: Fx) -> None:
        assert fx.remaining_s() <= 0.03
        await asyncio.Event().wait()

    reply = await sent(body, send_by_ms=NOW_MS + 30, timeout_ms=600_000)
    assert isinstance(reply, Doubt)
    assert reply.cause == "timeout"


async def test_body_that_ignores_its_cancellation_does_not_hold_the_engine() -> None:
    """It is left behind, and what it answers then is handed on as late."""
    late: list[tuple[Request, Answer]] = []
    release = asyncio.Event()
    told = asyncio.Event()

    async def body(fx: Fx) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "done after all"

    def on_late(request: Request, reply: Answer) -> None:
        late.append((request, reply))
        told.set()

    reply = await sent(body, timeout_ms=10, late=on_late)
    assert isinstance(reply, Doubt)
    assert late == []
    release.set()
    await asyncio.wait_for(told.wait(), 10)
    assert late == [(request(timeout_ms=10), Ack("done after all"))]


async def test_late_reply_of_a_thread_is_handed_on() -> None:
    """A thread cannot be stopped; what it answers after the timeout is evidence."""
    late: list[Answer] = []
    told = asyncio.Event()
    release = threading.Event()

    def body(fx: Fx) -> str:
        release.wait(30)
        return "charged"

    def on_late(_request: Request, reply: Answer) -> None:
        late.append(reply)
        told.set()

    reply = await sent(body, timeout_ms=20, late=on_late)
    assert isinstance(reply, Doubt)
    assert reply.cause == "timeout"
    release.set()
    await asyncio.wait_for(told.wait(), 10)
    assert late == [Ack("charged")]


async def test_hung_threads_hold_up_only_themselves() -> None:
    """When every thread hangs, the next request provably never left; async bodies go on."""
    release = threading.Event()
    entered: list[int] = []

    def hang(fx: Fx, *, n: int) -> None:
        entered.append(n)
        release.wait(30)

    bodies = Bodies(registry_of(hang), clock_ms=lambda: NOW_MS, threads=2)
    replies = await asyncio.gather(*(bodies.send(request(args={"n": n}, timeout_ms=50)) for n in range(3)))
    assert [type(reply) for reply in replies] == [Doubt, Doubt, NeverLeft]
    release.set()
    assert entered == [0, 1]
    assert isinstance(await bodies.send(request(args={"n": 3})), Ack)
    assert entered == [0, 1, 3]
    bodies.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DidNotHappen("declined"), Refusal("declined")),
        (LookupError("no"), Refusal("LookupError: no")),
        (ConnectionResetError("gone"), Doubt("lost_reply", "ConnectionResetError: gone")),
        (SystemExit(3), Doubt("error", "SystemExit: 3")),
        (KeyboardInterrupt(), Doubt("error", "KeyboardInterrupt: ")),
        (ValueError("x"), Doubt("error", "ValueError: x")),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
async def test_whatever_a_body_raises_comes_back_as_a_reply(
    plain: bool, error: BaseException, expected: Answer
) -> None:
    """The door never raises, not even for what would end the process."""

    def in_thread(fx: Fx) -> None:
        raise error

    async def on_loop(fx: Fx) -> None:
        raise error

    registry = registry_of(in_thread if plain else on_loop, did_not_happen=(LookupError,))
    assert await Bodies(registry, clock_ms=lambda: NOW_MS).send(request()) == expected


async def test_body_cancelled_from_within_is_a_doubt() -> None:
    """A body that cancels itself has not cancelled us."""

    async def body(fx: Fx) -> None:
        raise asyncio.CancelledError

    reply = await sent(body)
    assert isinstance(reply, Doubt)
    assert reply.cause == "cancelled"


async def test_cancelling_the_worker_cancels_the_body_and_goes_on() -> None:
    """The cancellation of the surrounding task is not swallowed, and the body does not outlive it."""
    entered = asyncio.Event()
    ended = asyncio.Event()

    async def body(fx: Fx) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(sent(body))
    await asyncio.wait_for(entered.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 10)
    assert ended.is_set()


async def test_cancelling_the_worker_leaves_the_thread_and_hears_it_late() -> None:
    """What a thread did after its worker was cancelled is still evidence."""
    entered = threading.Event()
    release = threading.Event()
    told = asyncio.Event()
    late: list[Answer] = []

    def body(fx: Fx) -> str:
        entered.set()
        release.wait(30)
        return "did it"

    def on_late(_request: Request, reply: Answer) -> None:
        late.append(reply)
        told.set()

    task = asyncio.create_task(sent(body, late=on_late))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.wait_for(told.wait(), 10)
    assert late == [Ack("did it")]


async def test_reply_that_meets_the_cancellation_is_heard_late() -> None:
    """A body that ends in the very moment its worker is cancelled has still said what it did."""
    late: list[Answer] = []
    workers: list[asyncio.Task[Answer]] = []

    async def body(fx: Fx) -> str:
        workers[0].cancel()
        return "did it"

    workers.append(asyncio.create_task(sent(body, late=lambda _request, reply: late.append(reply))))
    with pytest.raises(asyncio.CancelledError):
        await workers[0]
    await asyncio.sleep(0)
    assert late == [Ack("did it")]


async def test_plain_function_that_returns_an_awaitable_is_awaited() -> None:
    """A lambda around a client's coroutine is a body too."""

    async def client() -> str:
        return "ok"

    registry = registry_of(lambda fx: client(), schema={"type": "object", "properties": {}})
    assert await Bodies(registry, clock_ms=lambda: NOW_MS).send(request()) == Ack("ok")


async def test_undeclared_none_is_a_doubt_and_accepted_is_pending() -> None:
    """A body annotated to return something is not believed when it returns None."""

    async def silent(fx: Fx) -> dict[str, int]:
        return None  # type: ignore[return-value]

    async def maybe(fx: Fx) -> dict[str, int] | None:
        return None

    async def long(fx: Fx) -> Accepted:
        return Accepted("op-1")

    reply = await sent(silent)
    assert isinstance(reply, Doubt)
    assert reply.cause == "unintelligible"
    assert await sent(maybe) == Ack(None)
    assert await sent(long) == Accepted("op-1")


async def test_argument_names_of_a_tool_collide_with_nothing_of_ours() -> None:
    """A tool may call its arguments whatever it likes."""
    names = [
        "threads",
        "function",
        "args",
        "kwargs",
        "late",
        "limit_ms",
        "may_enter",
        "self",
        "request",
        "tool",
    ]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    registry = registry_of(lambda fx, /, **args: sorted(args), schema=schema)
    reply = await Bodies(registry, clock_ms=lambda: NOW_MS).send(request(args=dict.fromkeys(names, 1)))
    assert reply == Ack(sorted(names))


async def test_body_cannot_change_the_recorded_arguments() -> None:
    """A body gets copies; the request, and so the record, stays as it was."""

    async def body(fx: Fx, *, items: list[int]) -> int:
        items.append(99)
        return len(items)

    asked = request(args={"items": [1]})
    assert await Bodies(registry_of(body), clock_ms=lambda: NOW_MS).send(asked) == Ack(2)
    assert asked.args == {"items": [1]}


# -------------------------------------------------------------------------------------------- linked children


async def test_child_call_carries_the_parents_request() -> None:
    """From a coroutine and from a thread alike, the child is proposed for this very attempt."""
    asked: list[tuple[str, int, Call]] = []

    async def child(request: Request, call: Call) -> str:
        asked.append((request.effect, request.attempt, call))
        return "child's outcome"

    async def on_loop(fx: Fx) -> Any:
        return await fx.call(Call("mail", {"to": "x"}))

    def in_thread(fx: Fx) -> Any:
        return fx.call_sync(Call("mail", {"to": "y"}))

    for body in (on_loop, in_thread):
        bodies = Bodies(registry_of(body), clock_ms=lambda: NOW_MS, child=child)
        assert await bodies.send(request()) == Ack("child's outcome")
    assert asked == [("ef_1", 2, Call("mail", {"to": "x"})), ("ef_1", 2, Call("mail", {"to": "y"}))]


async def test_fx_of_an_attempt_that_is_over_makes_no_more_calls() -> None:
    """A body that hid its fx cannot use it after its attempt was given up."""
    kept: list[Fx] = []
    asked: list[Call] = []

    async def child(_request: Request, call: Call) -> None:
        asked.append(call)

    async def body(fx: Fx) -> None:
        kept.append(fx)

    await Bodies(registry_of(body), clock_ms=lambda: NOW_MS, child=child).send(request())
    with pytest.raises(NotOpen):
        await kept[0].call(Call("mail"))
    with pytest.raises(NotOpen):
        await asyncio.to_thread(kept[0].call_sync, Call("mail"))
    assert asked == []


async def test_child_goes_on_when_its_parent_is_cut_off() -> None:
    """A child is an effect of its own; the parent's timeout does not tear its verbs apart."""
    release = asyncio.Event()
    done = asyncio.Event()

    async def child(_request: Request, _call: Call) -> None:
        await release.wait()
        done.set()

    async def body(fx: Fx) -> None:
        await fx.call(Call("mail"))

    reply = await Bodies(registry_of(body), clock_ms=lambda: NOW_MS, child=child).send(request(timeout_ms=20))
    assert isinstance(reply, Doubt)
    release.set()
    await asyncio.wait_for(done.wait(), 10)
    assert done.is_set()


async def test_fx_made_by_hand_calls_nothing() -> None:
    """A unit test of a body needs no engine, and gets none by accident."""
    with pytest.raises(NotOpen):
        await Fx(key="k").call(Call("mail"))
    with pytest.raises(NotOpen):
        Fx(key="k").call_sync(Call("mail"))
    assert Fx().remaining_s() == float("inf")


async def test_call_sync_on_the_event_loop_is_refused() -> None:
    """It would wait for the loop that it stops."""

    async def child(_request: Request, _call: Call) -> None:
        raise AssertionError("never proposed")

    async def body(fx: Fx) -> None:
        fx.call_sync(Call("mail"))

    reply = await Bodies(registry_of(body), clock_ms=lambda: NOW_MS, child=child).send(request())
    assert isinstance(reply, Doubt)
    assert "await fx.call(call)" in reply.why
