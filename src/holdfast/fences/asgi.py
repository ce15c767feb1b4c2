"""A small ASGI middleware: requests with a stale token never reach the application.

    app = fences.Fenced(app, folder="/var/lib/settings/fences", resource=lambda scope: scope["path"],
                        may=fences.bearer(os.environ["SETTINGS_SECRET"]))

Decides by method and resource: reading methods (GET, HEAD, OPTIONS, TRACE) and resources for which `resource` gives
None pass untouched; whatever else must carry ``Fence-Token`` (see `field`). The highest token of each resource is kept
in a folder, on disk before the application is entered. ``POST`` to `shut_at` with ``{"resource": …, "token": N}``
shuts a door without any change: that is what a probe does before it looks.

Whoever may bring a token may bring the highest there is, and shut everybody else out for good: before a door is looked
at, ``may(scope)`` says whether this request may. There is no default; 403 means that it may not, and nothing was done.

Promises: requests of one resource are let in one at a time, by all processes that share the folder, and each is held
until the application has returned, so that nothing comes between the comparison and the change. 403, 412, 428, 400 and
503 mean that the application was not entered.

Does not promise anything for work that the application goes on with after it has returned (or after its task was
cancelled), for a websocket, or for other writers of the same data; nor across hosts. Who may read is not its business:
``may`` is not asked about what only reads. A service with one database checks the token in its transaction instead:
`rows.Guards`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from holdfast.fences import sidecar
from holdfast.fences.door import Stale, checked
from holdfast.fences.field import BAD_REQUEST, FENCE_TOKEN, PRECONDITION_FAILED, PRECONDITION_REQUIRED, offered
from holdfast.fences.sidecar import Held, Record
from holdfast.kernel.errors import BadValue

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
May = Callable[[Message], bool | Awaitable[bool]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

READING: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORBIDDEN: Final = 403
UNAVAILABLE: Final = 503
ORDER_BYTES: Final = 4096
"""The longest order to shut a door."""


def bearer(secret: str) -> May:
    """Whether a request brings this secret as ``Authorization: Bearer SECRET``. Raises BadValue for an empty one."""
    if not secret.strip() or not (secret.isascii() and secret.isprintable()):
        raise BadValue(path="secret", why="it is a printable ASCII text that is not empty", value_type="str")
    wanted = f"Bearer {secret}".encode()

    def may(scope: Message) -> bool:
        given = [bytes(value) for name, value in scope["headers"] if bytes(name).lower() == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], wanted)

    return may


class Fenced:
    """The middleware. `resource(scope)` names what a request changes; `may(scope)` says whether its sender may bring
    tokens for it (see :func:`bearer`; an awaitable is awaited); `wait_s` bounds the wait for its turn.
    """

    def __init__(
        self,
        app: App,
        *,
        folder: str | os.PathLike[str],
        resource: Callable[[Message], str | None],
        may: May,
        shut_at: str = "/fences",
        wait_s: float = 10.0,
    ) -> None:
        self._app = app
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._resource = resource
        self._may = may
        self._shut_at = shut_at
        self._wait_s = wait_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or whatever else the server tells the application."""
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] == self._shut_at:
            if await self._lets(scope, send):
                await self._shut(receive, send)
        elif (resource := self._resource(scope)) is None:
            await self._app(scope, receive, send)
        elif await self._lets(scope, send):
            await self._enter(resource, scope, receive, send)

    async def _lets(self, scope: Message, send: Send) -> bool:
        """Whether its sender may bring a token; told so where not. Only a plain True is a yes."""
        said = self._may(scope)
        if inspect.isawaitable(said):
            said = await said
        if said is not True:
            await _say(send, FORBIDDEN, "whoever sent this may bring no token; nothing was done")
        return said is True

    async def _enter(self, resource: str, scope: Message, receive: Receive, send: Send) -> None:
        try:
            token = offered(scope["headers"])
        except ValueError as error:
            await _say(send, BAD_REQUEST, f"{error}; nothing was done")
            return
        if token is None:
            await _say(send, PRECONDITION_REQUIRED, f"{resource} is changed with a {FENCE_TOKEN} only")
            return
        await self._through(resource, token, send, lambda: self._app(scope, receive, send))

    async def _shut(self, receive: Receive, send: Send) -> None:
        try:
            order = json.loads(await _body(receive))
            resource, token = order["resource"], checked(order["token"])
            if not isinstance(resource, str):
                raise TypeError("a resource is a text")  # noqa: TRY301 - read with the rest of the order.
            resource.encode()  # what is no Unicode text is the name of no door
        except (ValueError, KeyError, TypeError, RecursionError, BadValue) as error:
            await _say(send, BAD_REQUEST, f"an order to shut a door has a resource and a token: {error}")
            return

        async def shut() -> None:
            await _say(send, 200, "shut", resource=resource, token=token)

        await self._through(resource, token, send, shut)

    async def _through(self, resource: str, token: int, send: Send, act: Callable[[], Awaitable[None]]) -> None:
        async with self._turn(resource) as held:
            if held is None:
                await _say(send, UNAVAILABLE, f"another request has held {resource} for {self._wait_s} s")
                return
            try:
                held.record.door.refuse(resource, token)
            except Stale as stale:
                await _say(send, PRECONDITION_FAILED, stale.why, highest=stale.highest)
                return
            if token > held.record.door.highest:
                await _saved(held, Record(door=held.record.door.raised(token)))
            await act()

    @asynccontextmanager
    async def _turn(self, resource: str) -> AsyncIterator[Held | None]:
        """The record of a resource, alone with it; None if that is not to be had in time."""
        name = hashlib.sha256(resource.encode()).hexdigest()
        end_s = time.monotonic() + self._wait_s
        while (file := sidecar.take(self._folder / f"{name}.lock")) is None:
            if time.monotonic() >= end_s:
                yield None
                return
            await asyncio.sleep(sidecar.POLL_S)
        try:
            yield Held(self._folder / f"{name}.fence")
        finally:
            os.close(file)


async def _saved(held: Held, record: Record) -> None:
    """Save a record beside the loop. A request that is cancelled meanwhile keeps its turn until that is over: a save
    that came after somebody else's would open the door again.
    """
    saving = asyncio.create_task(asyncio.to_thread(held.save, record))
    try:
        await asyncio.shield(saving)
    except asyncio.CancelledError:
        while not saving.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([saving])
        raise


async def _body(receive: Receive) -> bytes:
    """The whole body of an order. Raises ValueError where it is longer than one can be."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > ORDER_BYTES:
            raise ValueError("the order is too long")
        if not message.get("more_body"):
            return body


async def _say(send: Send, status: int, message: str, *, highest: int | None = None, **facts: Any) -> None:
    body = json.dumps({"message": message, **facts} | ({} if highest is None else {"highest": highest})).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if highest is not None:
        fields.append((FENCE_TOKEN.lower().encode(), str(highest).encode()))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
