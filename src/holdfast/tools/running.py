"""Running a stranger's function within a time limit, whether it is async or plain.

Decides nothing about what an ending means; it says which of four endings there was: returned, raised, cut
off, or never entered. Promises to come back by the limit (and a moment for an async function to be
cancelled in), whatever the function does; that a plain function waiting for a free thread past its limit is
provably never entered; and that threads which hang neither block others beyond their number nor keep the
process from ending. Does NOT stop a thread: nothing can. What such a function answers later is handed to
`late`.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final

CANCEL_GRACE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Returned:
    """The function came back with a value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised; also what would end a process or a task, such as SystemExit."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class CutOff:
    """The limit passed while the function was running; a thread may be running still."""


@dataclass(frozen=True, slots=True)
class NotEntered:
    """Not one line of the function ran."""

    why: str


Ending = Returned | Raised | CutOff | NotEntered
_Work = tuple[Callable[[], Ending], Future[Ending]]


class Threads:
    """At most `limit` daemon threads for plain functions, started when they are needed and kept.

    The standard pool is not used because it joins its threads when the interpreter exits: one hung body
    would keep a stopped worker alive for ever.
    """

    def __init__(self, limit: int, name: str) -> None:
        assert limit > 0, "no thread, no answer"
        self._limit = limit
        self._name = name
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], Ending]) -> Future[Ending]:
        """Run `work` on a thread as soon as one is free; until then the future can be cancelled."""
        future: Future[Ending] = Future()
        self._waiting.put((work, future))
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._started < self._limit:
                    self._started += 1
                    name = f"{self._name}-{self._started}"
                    threading.Thread(target=self._serve, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let every thread end after what it is doing now."""
        self._waiting.put(None)

    def _serve(self) -> None:
        while True:
            try:
                item = self._waiting.get_nowait()
            except Empty:
                self._idle.release()
                item = self._waiting.get()
            if item is None:
                self._waiting.put(None)  # For the next thread.
                return
            work, future = item
            if future.set_running_or_notify_cancel():
                future.set_result(work())
            del item, work, future


async def run_within(
    limit_ms: int,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    threads: Threads,
    may_enter: Callable[[], str] = str,
    late: Callable[[Ending], None] | None = None,
) -> Ending:
    """How the function ended. `may_enter` is asked immediately before its first line; a text is why not.

    `late` gets the ending of a function that was cut off, on this event loop. If the task that waits here is
    cancelled, the function is cancelled (a thread is left alone), and the cancellation goes on.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_ms / 1000
    if not is_async(function):
        work = partial(contextvars.copy_context().run, _call, function, args, kwargs, may_enter)
        ending = await _in_thread(end_s, threads.submit(work), late)
        if not (isinstance(ending, Returned) and inspect.isawaitable(ending.value)):
            return ending
        return await _as_task(end_s, _finish(ending.value), late)
    return await _as_task(end_s, _enter(function, args, kwargs, may_enter), late)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it only makes a coroutine, so that no thread is needed."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ counts.
    )


def _permission(may_enter: Callable[[], str]) -> str:
    try:
        return may_enter()
    except Exception as error:  # noqa: BLE001 - a clock that cannot be read is a reason not to enter.
        return f"it could not be told whether it was still in time: {type(error).__name__}"


def _call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    may_enter: Callable[[], str],
) -> Ending:
    if why := _permission(may_enter):
        return NotEntered(why)
    try:
        return Returned(function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - SystemExit in a body is a doubt about its effect, no exit of ours.
        return Raised(error)


async def _enter(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    may_enter: Callable[[], str],
) -> Ending:
    if why := _permission(may_enter):
        return NotEntered(why)
    try:
        return Returned(await function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - as in _call; asyncio would let SystemExit through to the loop.
        return Raised(error)


async def _finish(awaitable: Awaitable[Any]) -> Ending:
    try:
        return Returned(await awaitable)
    except BaseException as error:  # noqa: BLE001 - as in _call.
        return Raised(error)


_LEFT: set[asyncio.Task[Ending]] = set()
"""Tasks that did not end when they were cancelled; the event loop itself would forget them."""


def forget(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Let go of tasks whose loop is closed: they will never end."""
    _LEFT.difference_update(tasks)


async def _as_task(end_s: float, work: Any, late: Callable[[Ending], None] | None) -> Ending:
    loop = asyncio.get_running_loop()
    task: asyncio.Task[Ending] = loop.create_task(work)
    try:
        await _done_or(task, end_s)
        if task.done():
            return _ending(task)
        _leave(task, late)
        # A moment to be cancelled in: nobody should see the limit pass while the function still runs.
        await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
    except asyncio.CancelledError:
        if task not in _LEFT:
            _leave(task, late)
        raise
    return CutOff()


async def _done_or(task: asyncio.Task[Ending], end_s: float) -> None:
    """Wait until the task is done or the time is up; `asyncio.wait` for one task, at half its cost."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_task: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_at(end_s, wake)
    task.add_done_callback(wake)
    try:
        await waiter
    finally:
        timer.cancel()
        task.remove_done_callback(wake)


def _ending(task: asyncio.Task[Ending]) -> Ending:
    return NotEntered("cancelled before it was entered") if task.cancelled() else task.result()


def _leave(task: asyncio.Task[Ending], late: Callable[[Ending], None] | None) -> None:
    def ended(task: asyncio.Task[Ending]) -> None:
        _LEFT.discard(task)
        if late is not None:
            late(_ending(task))

    _LEFT.add(task)
    task.add_done_callback(ended)
    task.cancel()


async def _in_thread(end_s: float, future: Future[Ending], late: Callable[[Ending], None] | None) -> Ending:
    loop = asyncio.get_running_loop()
    waiter = asyncio.wrap_future(future)

    def ended(future: Future[Ending]) -> None:
        if late is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(late, future.result())
            except RuntimeError:
                # The loop closed meanwhile: the process is leaving, and recovery will ask the outside.
                return

    try:
        await asyncio.wait({waiter}, timeout=max(0.0, end_s - loop.time()))
    except asyncio.CancelledError:
        if not future.cancel():
            future.add_done_callback(ended)
        raise
    finally:
        # A thread that ends after the loop was closed would else complain that it cannot wake this waiter.
        waiter.cancel()
    if future.cancel():
        return NotEntered("every thread was busy until the time was up")
    if future.done():
        return future.result()
    future.add_done_callback(ended)
    return CutOff()
