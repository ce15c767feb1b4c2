"""An event loop in virtual time: whenever nothing is ready it goes to the next timer at once.

Decides when things run, not what they do. Promises that a sleep costs no real time, that equal programs run in equal
order, and that the world's clock is the loop's clock. While something real is at work (:meth:`VirtualLoop.at_work`)
the loop waits for it as any loop does, and time passes as it really did. Does not promise an order among real things.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import selectors
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from holdfast.harness.world.face import Clock

T = TypeVar("T")
STUCK_S = 60.0
"""How long something real may keep the loop waiting before that is called stuck."""


class Stuck(RuntimeError):  # noqa: N818  # it says what is the case
    """Nothing is ready, nothing is due, and nothing real is at work: the play would wait for ever."""


class _Selector(selectors.BaseSelector):
    """What a loop waits with: time passes instead of it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._real = selectors.DefaultSelector()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; time goes on to the next timer if nothing is."""
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
        super().__init__(_Selector(self))
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """The world's time since its beginning, in seconds."""
        return (self.clock.ms - self.clock.start_ms) / 1000

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While the block lasts something real is waited for."""
        self.real += 1
        try:
            yield
        finally:
            self.real -= 1

    def play(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end; what is left over then is dropped without running any further."""
        try:
            return self.run_until_complete(work)
        finally:
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # a killed program does not clean up
            self.close()
