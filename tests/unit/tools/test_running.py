"""Running strangers' functions: threads are few, kept, and hold nothing up."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable

from holdfast.tools.running import Ending, NotEntered, Returned, Threads, is_async, run_within

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


def name_of_thread() -> Ending:
    return Returned(threading.current_thread().name)


def test_idle_thread_is_used_again() -> None:
    """One caller after another needs one thread."""
    threads = Threads(4, "reuse")
    names = set()
    for _ in range(20):
        names.add(threads.submit(name_of_thread).result(10))
        # The thread counts itself idle just after it has answered.
        assert threads._idle.acquire(timeout=10)
        threads._idle.release()
    assert names == {Returned("reuse-1")}
    threads.close()


def test_no_more_threads_than_the_limit() -> None:
    """Work beyond the limit waits, can be taken back, and is never run then."""
    threads = Threads(2, "limit")
    release = threading.Event()
    ran: list[int] = []

    def work(number: int) -> Callable[[], Ending]:
        def run() -> Ending:
            ran.append(number)
            release.wait(30)
            return Returned(number)

        return run

    futures = [threads.submit(work(number)) for number in range(4)]
    assert futures[3].cancel()
    release.set()
    assert [future.result(30) for future in futures[:3]] == [Returned(0), Returned(1), Returned(2)]
    assert sorted(ran) == [0, 1, 2]
    threads.close()


def test_threads_end_when_closed_and_never_keep_the_process() -> None:
    """Closing ends idle threads; a hung one is a daemon."""
    threads = Threads(1, "closing")
    found: list[threading.Thread] = []

    def work() -> Ending:
        found.append(threading.current_thread())
        return Returned(None)

    threads.submit(work).result(10)
    threads.close()
    found[0].join(10)
    assert not found[0].is_alive()
    assert found[0].daemon


async def test_context_travels_into_the_thread() -> None:
    """What a tracer set around the call is seen by a plain body."""
    threads = Threads(1, "context")
    WHO.set("anna")
    assert await run_within(5_000, WHO.get, (), {}, threads=threads) == Returned("anna")
    threads.close()


async def test_reason_not_to_enter_keeps_the_function_out() -> None:
    """Whoever may not enter has not run one line."""
    threads = Threads(1, "refused")
    ran: list[int] = []

    async def on_loop() -> None:
        ran.append(1)

    for function in (on_loop, lambda: ran.append(2)):
        ending = await run_within(5_000, function, (), {}, threads=threads, may_enter=lambda: "too late")
        assert ending == NotEntered("too late")
    assert ran == []
    threads.close()


def test_async_functions_are_recognised() -> None:
    """Partials and objects with an async __call__ need no thread; plain ones do."""

    async def body() -> None: ...

    class Client:
        async def __call__(self) -> None: ...

    assert is_async(body)
    assert is_async(functools.partial(body))
    assert is_async(Client())
    assert not is_async(lambda: (body, 1))
    assert not is_async(len)
