"""What user code is handed: `Fx` for a body, `Look` for a read-only companion.

Decides what a body can see and reach: its key, token, deadline, attempt and names, and other tools only as
linked child effects through `fx.call`. Promises that neither object offers a store, a registry or a way to
send anything (law L9), and that an `Fx` whose attempt is over makes no more calls. Does NOT promise that a
body uses the key or the token: `holdfast tool prove` finds out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.kernel.errors import NotOpen
from holdfast.kernel.model import Attempt
from holdfast.tools.call import Call


async def _unattached(_call: Call) -> Any:
    raise NotOpen(what="This fx (made by hand, or its attempt is over)")


def _unlimited() -> float:
    return math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Fx:
    """One attempt as its body sees it. A test of a body makes its own: `await refund.body(hf.Fx(key="k"),
    ...)`.

    `key` is the idempotency key and `token` the fencing token to hand to the outside; `send_by_ms` (also
    `send_by`) is the last instant, in milliseconds UTC, at which bytes may leave; `expect` is the state
    fingerprint that a conditional write compares with; `attempt` counts from 1; `deadline_ms` is the run's
    deadline in milliseconds UTC (0: it has none), to hand on to whoever does the work; `trace` is the trace that this
    attempt is part of, as a W3C traceparent (empty: nobody traces).
    """

    key: str = ""
    token: int = 0
    send_by_ms: int = 0
    expect: str = ""
    attempt: int = 1
    effect: str = ""
    run: str = ""
    principal: str = ""
    environment: str = ""
    deadline_ms: int = 0
    trace: str = ""
    _child: Callable[[Call], Awaitable[Any]] = field(default=_unattached, repr=False, compare=False)
    _left_s: Callable[[], float] = field(default=_unlimited, repr=False, compare=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False, compare=False)

    @property
    def send_by(self) -> int:
        """The last instant at which bytes may leave, in milliseconds UTC."""
        return self.send_by_ms

    def remaining_s(self) -> float:
        """Seconds until this attempt is cut off, never negative: a timeout for an HTTP client."""
        return max(0.0, self._left_s())

    def headers(self) -> dict[str, str]:
        """What carries the trace to an HTTP service (or into an MCP request's `_meta`); empty where nobody traces."""
        return {"traceparent": self.trace} if self.trace else {}

    async def call(self, call: Call) -> Any:
        """Propose a linked child effect under the same gate, and wait for its outcome."""
        return await self._child(call)

    def call_sync(self, call: Call) -> Any:
        """The same for a plain `def` body, which runs in a thread of its own."""
        if self._loop is None:
            raise NotOpen(what="This fx (made by hand, or its attempt is over)")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(self.call(call), self._loop).result()
        raise RuntimeError("fx.call_sync would stop the event loop it waits for; write: await fx.call(call)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a probe, state, verify, list or undo is asked about. Its arguments and value are copies.

    `token` is the token of whoever asks, not of an attempt; `attempts` are all dispatches of this key so far;
    `operation` is the id of a long operation; `value` is what the outside acknowledged, where it did.
    """

    key: str = ""
    token: int = 0
    attempts: tuple[Attempt, ...] = ()
    operation: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    value: Any = None
    effect: str = ""
