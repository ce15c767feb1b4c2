"""The door out: the only place where a tool's body is entered.

Decides the order: known tool, arguments that fit, in time and within their bounds (both asked again immediately
before the first line, links followed), then in; and hands what came back to `replies`. Promises never to raise (save
the cancellation of the task that waits here) and to come back within the smaller of the request's time limit and what
is left until its send-by, so that an async body is aborted before bytes could leave too late. Does NOT promise that
for a plain `def` body, which no one can stop: that is what the token and the outside's own send-by are for. Its late
reply goes to `on_late`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from holdfast.kernel.answers import Doubt, NeverLeft, Reply
from holdfast.kernel.errors import HoldfastError, NotOpen
from holdfast.kernel.ports import Request
from holdfast.tools.call import Call
from holdfast.tools.fx import Fx
from holdfast.tools.plain import as_text
from holdfast.tools.registry import Registered, Registry
from holdfast.tools.replies import reply_of
from holdfast.tools.running import Ending, Threads, run_within

Child = Callable[[Request, Call], Awaitable[Any]]
"""Proposes a linked child effect of the effect in this request and waits for its outcome."""
OnLate = Callable[[Request, Reply], None]
"""Takes a reply that came after its attempt had been given up, on the event loop. Doubts are not reported."""


class Bodies:
    """The body port for the tools of one registry.

    `clock_ms` is the store's clock, callable from any thread. `threads` bounds the plain bodies that run
    (or hang) at once; when all are taken, a request ends as NeverLeft.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        clock_ms: Callable[[], int],
        child: Child | None = None,
        on_late: OnLate | None = None,
        threads: int = 64,
    ) -> None:
        self._registry = registry
        self.clock_ms = clock_ms
        self._child = child
        self._on_late = on_late
        self.threads = Threads(threads, "holdfast-body")
        self._children: set[asyncio.Future[Any]] = set()

    async def send(self, request: Request) -> Reply:
        """Enter the body once and say what came back. Never raises."""
        try:
            tool = self._registry.tool(request.tool)
            args = tool.for_body(request.args)
            left_ms = request.send_by_ms - self.clock_ms()
        except HoldfastError as error:
            return NeverLeft(as_text(error.message))
        except Exception as error:  # noqa: BLE001 - whatever it is, the body was not entered.
            return NeverLeft(as_text(f"the request could not be prepared: {type(error).__name__}: {error}"))
        if why := self._may_not(tool, request):
            return NeverLeft(as_text(why))
        limit_ms = min(request.timeout_ms, left_ms)
        line = _Line(request, self._child, self._children)
        try:
            ending = await run_within(
                limit_ms,
                tool.body,
                (_fx(request, limit_ms, line),),
                args,
                threads=self.threads,
                may_enter=partial(self._may_not, tool, request),
                late=partial(self._late, tool, request),
            )
        finally:
            line.cut()
        return _reply(tool, ending)

    def close(self) -> None:
        """Let idle threads end. One that hangs is left behind, and does not keep the process alive."""
        self.threads.close()

    def _may_not(self, tool: Registered, request: Request) -> str:
        """Why its first line must not run now: asked once before a thread is waited for, and at the door itself."""
        return self._too_late(request) or tool.leads_out(request.args)

    def _too_late(self, request: Request) -> str:
        late_ms = self.clock_ms() - request.send_by_ms
        return f"its send-by had passed {late_ms} ms ago" if late_ms > 0 else ""

    def _late(self, tool: Registered, request: Request, ending: Ending) -> None:
        reply = _reply(tool, ending)
        if self._on_late is not None and not isinstance(reply, Doubt):
            self._on_late(request, reply)


class _Line:
    """What connects one attempt's fx with the engine, until the attempt is over."""

    def __init__(self, request: Request, child: Child | None, children: set[asyncio.Future[Any]]) -> None:
        self._request = request
        self._child = child
        self._children = children

    async def propose(self, call: Call) -> Any:
        """Wait for the child's outcome. As an effect of its own it goes on if its parent is cut off."""
        if self._child is None:
            raise NotOpen(what=f"The attempt of effect {self._request.effect}")
        task = asyncio.ensure_future(self._child(self._request, call))
        self._children.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def cut(self) -> None:
        """The attempt is over, whatever its body still does."""
        self._child = None

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._children.discard(task)
        if not task.cancelled():
            task.exception()  # Read, so that the loop logs nothing: the outcome is in the ledger.


def _fx(request: Request, limit_ms: int, line: _Line) -> Fx:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_ms / 1000
    return Fx(
        key=request.key,
        token=request.token,
        send_by_ms=request.send_by_ms,
        expect=request.expect,
        attempt=request.attempt,
        effect=request.effect,
        run=request.run,
        principal=request.principal,
        environment=request.environment,
        deadline_ms=request.deadline_ms,
        trace=request.trace,
        _child=line.propose,
        _left_s=lambda: end_s - loop.time(),
        _loop=loop,
    )


def _reply(tool: Registered, ending: Ending) -> Reply:
    return reply_of(ending, did_not_happen=tool.did_not_happen, may_return_none=tool.may_return_none)
