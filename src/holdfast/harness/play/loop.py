"""An event loop in virtual time: whenever nothing is ready it goes to the next timer at once.

Decides when things run, not what they do. Promises that a sleep costs no real time, that equal programs run in equal
order, and that the world's clock is the loop's clock. While something real is at work (:meth:`VirtualLoop.at_work`)
the loop waits for it as any loop does, and time passes as it really did. Nothing that a killed process had begun takes
another step, not even to clean up. A loop that goes round without end is Stuck as one is that has nothing to wait for.
Does not promise an order among real things, and cannot hold back a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import selectors
import time
from collections.abc import Coroutine, Generator, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from holdfast.harness.world.face import Clock
from holdfast.tools.running import forget

T = TypeVar("T")
STUCK_S = 60.0
"""How long something real may keep the loop waiting before that is called stuck."""

MOST_ROUNDS = 500_000
"""How often the loop may look for what is next in one play; a play takes a few hundred."""


class Process(Protocol):
    """What can be killed."""

    @property
    def down(self) -> bool:
        """Whether it was."""
        ...


process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
"""Of which simulated process the running code is a part."""


class Living:
    """A task of a process: it takes its steps for as long as the process is up, and waits for ever from then on."""

    def __init__(self, work: Coroutine[Any, Any, Any], of: Process) -> None:
        """Nothing is done yet."""
        self._work, self._of = work, of

    def __await__(self) -> Generator[Any, Any, Any]:
        """As the work itself; what it waits for is handed on."""
        given: Any = None
        thrown: BaseException | None = None
        while True:
            if self._of.down:
                yield from self._gone()
            try:
                wanted = self._work.send(given) if thrown is None else self._work.throw(thrown)
            except StopIteration as end:
                return end.value
            given, thrown = None, None
            try:
                given = yield wanted
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is the work's
                thrown = error

    def _gone(self) -> Generator[Any, Any, None]:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                yield from asyncio.get_running_loop().create_future()


async def _lived(work: Coroutine[Any, Any, T], of: Process) -> T:
    done: T = await Living(work, of)
    return done


class Stuck(RuntimeError):  # noqa: N818  # it says what is the case
    """Nothing is ready, nothing is due, and nothing real is at work: the play would wait for ever."""


class _Selector(selectors.BaseSelector):
    """What a loop waits with: time passes instead of it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._real = selectors.DefaultSelector()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; time goes on to the next timer if nothing is."""
        self._loop.rounds += 1
        if self._loop.rounds > MOST_ROUNDS:
            raise Stuck(f"something goes round without end: {MOST_ROUNDS} rounds, and nothing came of them")
        if timeout == 0:
            return self._real.select(0) if self._loop.touched else []
        if self._loop.real:
            return self._wait(timeout)
        ready = self._real.select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stuck("nothing is ready and nothing is due")
        self._loop.clock.ms += max(1, math.ceil(timeout * 1000 - 1e-6))
        return []

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        began_s = time.monotonic()
        ready = self._real.select(min(timeout, STUCK_S) if timeout is not None else STUCK_S)
        took_s = time.monotonic() - began_s
        if not ready and timeout is None and took_s >= STUCK_S:
            raise Stuck(f"something real has been at work for {STUCK_S:.0f} s")
        self._loop.clock.ms += int(took_s * 1000) if ready or timeout is None else math.ceil(timeout * 1000 - 1e-6)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """One play's loop over one world's clock."""

    def __init__(self, clock: Clock, *, touched: bool = True) -> None:
        """``touched`` says that sockets or threads may be used at all; a world in memory needs none."""
        self.clock = clock
        self.real = 0
        self.touched = touched
        self.rounds = 0
        self._kept: list[tuple[asyncio.Task[Any], Process | None]] = []
        super().__init__(_Selector(self))
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """The world's time since its beginning, in seconds."""
        return (self.clock.ms - self.clock.start_ms) / 1000

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[T]:
        """A task of the process that asks for it, which goes no further than that process does.

        It is kept until the play ends: what nobody waits for any more must not be cleaned up by the way.
        """
        of = process.get() if context is None else context.get(process)
        work = coro if of is None else _lived(coro, of)
        task = super().create_task(work, name=name, context=context)
        self._kept.append((task, of))
        return task

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While the block lasts something real is waited for."""
        self.real += 1
        try:
            yield
        finally:
            self.real -= 1

    async def left_alone(self, most_s: float) -> None:
        """Let what living processes began and nobody waits for go on for so long: it may still change something."""
        left = [task for task, of in self._kept if of is not None and not of.down and not task.done()]
        if left:
            await asyncio.wait(left, timeout=most_s)

    def play(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end; what is left over then is dropped without running any further."""
        try:
            return self.run_until_complete(work)
        except asyncio.CancelledError:
            raise Stuck(
                "something cancelled the play itself: a tool or planner that cancels tasks not its own"
            ) from None
        finally:
            forget(task for task, _ in self._kept)
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # a killed program does not clean up
            self.close()
