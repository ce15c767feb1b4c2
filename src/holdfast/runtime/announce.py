"""Tell a webhook that a request waits, or that a saga, a drift or a dead letter needs a person: after it is on disk,
beside the work, signed, and again until it is taken.

What is posted names the request, or what needs a person (:mod:`.needed`), and never an argument's value; it follows the
Standard Webhooks form (``webhook-id``, ``webhook-timestamp``, ``webhook-signature``), so that known libraries check it.
Promises that nothing waits for a webhook: no effect, no answer, no caller. Each of them is posted until it is taken, a
bounded number of times while this process lives; what came of it is an entry of its run, and the next process posts
what was not taken.

Does NOT promise that it is posted once (``webhook-id`` names it: drop what you know), nor that anybody reads it.
A redirect is not followed, and an answer's body is not read: a webhook answers nothing that matters here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import hmac
import http.client
import ipaddress
import os
import socket
import ssl
import time
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from holdfast.kernel.canon import encode
from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.errors import BadConfig
from holdfast.kernel.guard import Fact, Guard
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.kernel.ports import Seen
from holdfast.runtime.needed import Message, needed

SECRET = "HOLDFAST_ANNOUNCE_SECRET"  # noqa: S105  # the name of the variable
LEAST_SECRET = 16
ANNOUNCED = "announced:"
"""The scope of the fact that says what came of telling about a request: ``delivered`` or ``undelivered``."""

LOOK_EVERY_S = 1.0
TIMEOUT_S = 5.0
WHOLE_S = 10.0
"""One post takes no longer than this, however slowly the other side speaks."""

TRIES = 6
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
AT_ONCE = 4
GONE = 410


class Store(Protocol):
    """What announcing needs of a store."""

    def approvals(self, state: str | None = None, limit: int = ...) -> list[Approval]:
        """Requests that are on disk."""
        ...

    def approval(self, approval: str) -> Approval | None:
        """One request."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = ...) -> list[AnyDocument]:
        """Documents in a lane that are due by then."""
        ...

    def read_now(self, effect: str) -> Seen:
        """One effect."""
        ...

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        ...

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def now_ms(self) -> int:
        """Store time."""
        ...

    async def commit(self, change: Change) -> Verdict:
        """One durable commit."""
        ...


class Hook(NamedTuple):
    """Where to post. ``secret`` signs; it never travels."""

    secure: bool
    host: str
    port: int | None
    path: str
    secret: bytes


class Pace(NamedTuple):
    """How often and how long; tests are in a hurry."""

    look_every_s: float = LOOK_EVERY_S
    timeout_s: float = TIMEOUT_S
    whole_s: float = WHOLE_S
    tries: int = TRIES
    first_pause_s: float = FIRST_PAUSE_S


def hook_of(url: str, secret: str | None = None) -> Hook:
    """A webhook's address, and the secret (default: of the environment). Raises BadConfig for what cannot be safe."""
    secret = os.environ.get(SECRET, "") if secret is None else secret
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _bad(f"{url} is no address: {error}") from None
    if parts.scheme not in ("https", "http") or not host or parts.username is not None or parts.fragment:
        raise _bad("it is an https address with a host, without a user name and without a fragment")
    if parts.scheme == "http" and not _here(host):
        raise _bad("plain http would tell everybody on the way; only this very machine is spoken to so")
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise _bad(f"${SECRET} begins with whsec_ and is no base64 after it") from None
    if len(key) < LEAST_SECRET:
        raise _bad(f"${SECRET} holds no secret of {LEAST_SECRET} bytes or more, with which to sign what is told")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Hook(parts.scheme == "https", host, port, path, key)


def said(approval: Approval, view: Effect) -> dict[str, Any]:
    """What is posted: what waits for whom, and no value of any argument but what the target's name holds."""
    return {
        "type": "request.waiting",
        "request": approval.id,
        "effect": view.id,
        "run": view.run,
        "tool": view.tool,
        "target": view.resource,
        "environment": view.environment,
        "class": view.effect_class.value,
        "digest": approval.digest,
        "expires_ms": approval.expires_ms,
        "group": approval.group,
        "quorum": approval.quorum,
        "command": f"holdfast approval show {approval.id}",
    }


def signature(secret: bytes, identifier: str, at_s: int, body: bytes) -> str:
    """The value of ``webhook-signature`` (Standard Webhooks 1.0): base64 of HMAC-SHA256 over ``id.time.body``."""
    signed = f"{identifier}.{at_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


class Announcer:
    """Implements :class:`holdfast.kernel.ports.TellPort`: whoever tells only wakes it, and never waits."""

    def __init__(self, store: Store, hook: Hook, me: str, pace: Pace = Pace()) -> None:  # noqa: B008  # frozen
        """For one store and one webhook; nothing is posted before :meth:`start`."""
        self._store = store
        self._hook = hook
        self._me = me
        self._pace = pace
        self._task: asyncio.Task[None] | None = None
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._given_up: set[str] = set()
        self._awake = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def tell(self, view: Effect) -> None:
        """Something was recorded; look whether it is a request."""
        if view.state is State.WAITING:
            self._awake.set()

    def start(self) -> None:
        """Begin to look, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """End at once; what was not taken is told by the next process."""
        tasks = [task for task in (self._task, *self._telling.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _too_late(self, approval: Approval) -> bool:
        """Whether the deadline of its run has passed: late work notifies nobody."""
        run = self._store.run(approval.run)
        return run is not None and run.deadline_ms is not None and self._store.now_ms() > run.deadline_ms

    async def _watch(self) -> None:
        """Look at the requests on disk, which other processes and recovery raise too."""
        while True:
            for one in self._messages():
                if one.id not in self._telling and one.id not in self._given_up and self._untold(one.id):
                    task = asyncio.get_running_loop().create_task(self._carry(one))
                    self._telling[one.id] = task
                    task.add_done_callback(functools.partial(self._ended, one.id))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), self._pace.look_every_s)
            self._awake.clear()

    def _messages(self) -> list[Message]:
        """What is on disk and has to be told: requests that can still be answered in time, and what needs a person."""
        # What cannot be sent in time any more is nobody's to answer.
        asked = [approval for approval in self._store.approvals("open") if not self._too_late(approval)]
        found = [Message(a.id, a.run, "approval", functools.partial(self._asked, a)) for a in asked]
        return [*found, *needed(self._store)]

    def _asked(self, approval: Approval) -> dict[str, Any] | None:
        now, view = self._store.approval(approval.id), self._store.read_now(approval.effect).effect
        if now is None or now.state != "open" or view is None or view.state is not State.WAITING:
            return None
        return said(approval, view)

    def _ended(self, request: str, task: asyncio.Task[None]) -> None:
        """One request is through with. What broke here, such as a full disk, breaks nothing else."""
        self._telling.pop(request, None)
        if not task.cancelled() and task.exception() is not None:
            self._given_up.add(request)

    def _untold(self, request: str) -> bool:
        fact = self._store.fact(ANNOUNCED + request)
        return fact is None or fact.value != "delivered"

    async def _carry(self, one: Message) -> None:
        """Post one message until it is taken, answered, or tried often enough."""
        why, pause_s, tries = "", self._pace.first_pause_s, 0
        while tries < self._pace.tries:
            body = one.posts()
            if body is None:
                why = "it was answered before anybody took it"
                break
            tries += 1
            async with self._room:
                why = await self._post(encode(body), one.id)
            if not why:
                return await self._record(one, "delivered", tries, why)
            if why == f"status {GONE}":
                break
            if tries < self._pace.tries:
                await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._given_up.add(one.id)
        return await self._record(one, "undelivered", tries, why)

    async def _post(self, body: bytes, request: str) -> str:
        """One post, in a thread of its own; why it was not taken, or nothing."""
        kind = http.client.HTTPSConnection if self._hook.secure else http.client.HTTPConnection
        line = kind(self._hook.host, self._hook.port, timeout=self._pace.timeout_s)
        at_s = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "holdfast",
            "webhook-id": request,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature(self._hook.secret, request, at_s, body),
        }
        try:
            return await asyncio.wait_for(
                asyncio.to_thread(_sent, line, self._hook.path, body, headers), self._pace.whole_s
            )
        except TimeoutError:
            return f"no answer within {self._pace.whole_s} s"
        finally:
            _hang_up(line)

    async def _record(self, one: Message, value: str, tries: int, why: str) -> None:
        """An entry of the run, and a fact that the next process finds. Of two processes one records."""
        scope = ANNOUNCED + one.id
        fact = self._store.fact(scope)
        body = {one.what: one.id, "told": value, "tries": tries, "host": self._hook.host}
        change = Change(
            run=one.run,
            guard=Guard(epochs=((scope, fact.epoch if fact is not None else 0),)),
            facts=(Fact(scope=scope, value=value, by=self._me, reason=why),),
            notes=(Note(kind="announced", by=self._me, body=body | ({"reason": why} if why else {})),),
        )
        await self._store.commit(change)


def _sent(line: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> str:
    """Post and read the first line of the answer; why it is no yes, or nothing."""
    try:
        line.request("POST", path, body, headers)
        status = line.getresponse().status
    except (OSError, http.client.HTTPException, ssl.SSLError) as error:
        return type(error).__name__
    return "" if 200 <= status < 300 else f"status {status}"


def _hang_up(line: http.client.HTTPConnection) -> None:
    """End the connection from here, so that a thread which still waits for its other end goes on."""
    plug: socket.socket | None = line.sock
    if plug is not None:
        with contextlib.suppress(OSError):
            plug.shutdown(socket.SHUT_RDWR)
    line.close()


def _here(host: str) -> bool:
    """Whether a host is this very machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bad(why: str) -> BadConfig:
    return BadConfig(file="hf.open or holdfast.toml", key="announce", nearest=None, why=why)


class Silent:
    """Tells nobody: the caller holds the outcome, and no webhook is named."""

    async def tell(self, view: Effect) -> None:
        """Nothing to do."""
