"""A world that is reached over HTTP on the loopback address: real sockets around a world in memory.

| request | what it does |
|---|---|
| ``GET /billing/invoices/in_1`` | the value, with its version as ETag; 404 |
| ``GET /billing/invoices`` | every row of the table by key |
| ``PUT``, ``PATCH``, ``DELETE /billing/invoices/in_1`` | put, merge, remove |
| ``POST /billing`` | an operation: ``{"operation", "changes": [["put", "invoices/in_1", {…}], …], "args", "answer"}`` |
| ``GET /billing?key=K&on=invoices/in_1`` | what was answered to this key |

Key, token and send-by come in the fields that :mod:`holdfast.fences.field` names, the expected state in ``If-Match``
(percent-encoded), who asks in ``Principal``, ``Effect`` and ``Run``. A refusal is 403, 409, 410 or 412 and changed
nothing; 400 could not be read.

Promises that what comes over the wire is judged and logged as in memory, and that a broken connection is a real one:
the server closes it without an answer. A fault that strikes inside (``as_of``, ``halfway``) strikes every request that
arrives while its block lasts, since no thread of a client is known here. Other actors need no wire. Does not speak TLS.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from holdfast.fences import field
from holdfast.harness.world import change as changing
from holdfast.harness.world.change import Change
from holdfast.harness.world.memory import Instant, MemoryWorld
from holdfast.harness.world.services import Denied, Refused, Service, version
from holdfast.harness.world.simulated import HALF, PAST, Half, Past
from holdfast.kernel import canon
from holdfast.kernel.errors import BadValue, TooLarge
from holdfast.tools.fx import Fx

LIMIT_S: Final = 30.0
MAX_BODY_BYTES: Final = 1 << 24
CHANGES: Final = {"PUT": "put", "PATCH": "merge", "DELETE": "remove"}


class Asked(NamedTuple):
    """One request that arrived, reads and refused ones too, and the status of its answer (0: it got none)."""

    method: str
    path: str
    fields: Mapping[str, str]
    status: int


class HttpWorld(MemoryWorld):
    """``HttpWorld(tables=…)``: a tool is given ``world.url``, or uses ``world.service(name)``, which sends requests."""

    kind = "http"
    real = True

    def __init__(self, seed: int = 1, **given: Any) -> None:
        """Listens on a free port from here to ``close``. See :class:`MemoryWorld`."""
        super().__init__(seed, **given)
        self._at: Instant | None = None
        self._half: Half | None = None
        self._asked: list[Asked] = []
        world = self

        class Handler(_Handler):
            outside = world

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="world", daemon=True)
        self._thread.start()

    def service(self, name: str, **rules: Any) -> Service:
        """A service by name, reached over the wire; another actor's is at hand."""
        near = super().service(name, **rules)
        return near if self.acting else Wired(self, name, near)

    def requests(self) -> tuple[Asked, ...]:
        """Every request that has arrived since the world was made; going back does not take them away."""
        return tuple(self._asked)

    @contextmanager
    def as_of(self, at: Instant) -> Iterator[None]:
        """Inside, every request reads an earlier instant."""
        before, self._at = self._at, at
        try:
            yield
        finally:
            self._at = before

    @contextmanager
    def halfway(self, lands: int) -> Iterator[None]:
        """Inside, that many changes of one place land, counted over all requests; then connections end."""
        before, self._half = self._half, Half(self, lands)
        try:
            yield
        finally:
            self._half = before

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def struck(self) -> Iterator[None]:
        """Inside, this thread is struck as every request is now."""
        tokens = PAST.set(Past(self, self._at) if self._at is not None else None), HALF.set(self._half)
        try:
            yield
        finally:
            PAST.reset(tokens[0])
            HALF.reset(tokens[1])

    def at_hand(self, name: str) -> Service:
        """A service by name, without the wire."""
        if self.services and name not in self.services:
            raise KeyError(f"this world has no service {name}; it has {', '.join(sorted(self.services))}")
        return Service(self, name)

    def note(self, asked: Asked) -> None:
        """A request has arrived and was answered."""
        with self._lock:
            self._asked.append(asked)


class Wired(Service):
    """A service as its clients see it: every call is a request."""

    def __init__(self, world: HttpWorld, name: str, near: Service) -> None:
        """``near`` is the same service without the wire, for other actors."""
        super().__init__(world, name)
        self._port = world.port
        self._near = near

    def get(self, table: str, key: str) -> Any:
        """A row; None if it is not there."""
        return self._read(_path(self.name, changing.place_of(table, key)))

    def rows(self, table: str) -> dict[str, Any]:
        """Every row of a table by key."""
        return dict(self._read(_path(self.name, table)))

    def version(self, table: str, key: str) -> str:
        """What names the state of one place; empty if it is not there."""
        return version(self.get(table, key))

    def find(self, key: str, *, token: int = 0, on: str = "") -> Any:
        """What was answered to this key; None if nothing was."""
        where = f"{_path(self.name)}?key={quote(key, safe='')}&on={quote(on, safe='')}"
        return self._read(where, {field.FENCE_TOKEN: str(token)} if token else {})

    def do(
        self,
        operation: str,
        *changes: Change,
        fx: Fx | None = None,
        by: str = "",
        args: Mapping[str, Any] | None = None,
        answer: Any = None,
    ) -> Any:
        """One operation as one request."""
        if fx is None:
            return self._near.do(operation, *changes, by=by, args=args, answer=answer)
        asked = {"operation": operation, "changes": changes, "answer": answer}
        body = changing.plain(asked | ({} if args is None else {"args": dict(args)}))
        return self._send("POST", _path(self.name), fields(fx), body)

    def _read(self, path: str, sent: Mapping[str, str] | None = None) -> Any:
        return self._send("GET", path, sent or {}, None)

    def _send(self, method: str, path: str, sent: Mapping[str, str], body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT_S)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, dict(sent) | {"Content-Type": "application/json"})
            reply = connection.getresponse()
            told = json.loads(reply.read() or b"null")
        finally:
            connection.close()
        if reply.status < 300:
            return told
        if reply.status == 404 and told is None:
            return None
        why = str(told["error"])
        if reply.status == 403:
            raise Denied(why)
        if reply.status in {409, 410, 412}:
            raise Refused(why, status=reply.status, floor=int(reply.headers.get(field.FENCE_TOKEN, 0)))
        raise ValueError(why)


def fields(fx: Fx) -> dict[str, str]:
    """The fields of a request that is made for an attempt: those of a fence, and who asks."""
    named = {"Principal": fx.principal, "Effect": fx.effect, "Run": fx.run, "If-Match": fx.expect}
    return field.headers(fx) | {name: quote(value, safe='"') for name, value in named.items() if value}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is its own affair; a defect of the world is shown."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    outside: HttpWorld
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there.
        """The world keeps its own books."""

    def _serve(self) -> None:
        self.close_connection = True
        status, told = 0, None
        more: dict[str, str] = {}
        try:
            status, told, more = self._answer()
        except ConnectionError:
            # Nobody hears what became of it: the connection ends.
            pass
        except Refused as no:
            status, told = no.status, {"error": no.why}
            more = {field.FENCE_TOKEN: str(no.floor)} if no.floor else {}
        except KeyError as error:
            status, told = 404, {"error": str(error.args[0])}
        except (ValueError, TypeError, BadValue, TooLarge) as error:
            status, told = 400, {"error": str(error)}
        self.outside.note(Asked(self.command, self.path, dict(self.headers.items()), status))
        if not status:
            return
        content = json.dumps(told).encode()
        more |= {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"}
        with suppress(OSError):
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST = _serve  # noqa: N815 - the names that they have there.

    def _answer(self) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(self.path)
        name, _, place = unquote(parts.path).removeprefix("/").partition("/")
        # Read before anything is refused: a connection closed on unread bytes may lose its answer.
        body = self._body()
        with self.outside.struck():
            service = self.outside.at_hand(name)
            if self.command == "GET":
                return self._look(service, place, parse_qs(parts.query))
            return 200, self._do(service, place, body), {}

    def _look(self, service: Service, place: str, query: Mapping[str, list[str]]) -> tuple[int, Any, dict[str, str]]:
        if not place:
            token = field.offered(self.headers) or 0
            found = service.find(query.get("key", [""])[0], token=token, on=query.get("on", [""])[0])
        elif "/" not in place:
            found = service.rows(place)
        else:
            found = service.get(*changing.split(place))
        more = {"ETag": f'"{version(found)}"'} if "/" in place and found is not None else {}
        return (404, None, {}) if found is None else (200, found, more)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            raise ValueError(f"a body of {length} bytes is too large: the most are {MAX_BODY_BYTES}")
        return canon.decode(self.rfile.read(length), max_bytes=MAX_BODY_BYTES) if length else None

    def _do(self, service: Service, place: str, body: Any) -> Any:
        if self.command in CHANGES:
            how = CHANGES[self.command]
            return service.do(how, Change(how, place_of(place), body), fx=self._fx())
        if place or not isinstance(body, dict) or not {"operation", "changes"} <= body.keys():
            raise ValueError("an operation is posted to its service, as an object with operation and changes")
        changes = [Change(*one) for one in body["changes"]]
        return service.do(
            str(body["operation"]), *changes, fx=self._fx(), args=body.get("args"), answer=body.get("answer")
        )

    def _fx(self) -> Fx:
        send_by = self.headers.get(field.SEND_BY, "")
        told = {name: unquote(self.headers.get(name, "")) for name in ("Principal", "Effect", "Run", "If-Match")}
        return Fx(
            key=self.headers.get(field.KEY, ""),
            token=field.offered(self.headers) or 0,
            send_by_ms=int(send_by) if send_by else 0,
            expect=told["If-Match"],
            principal=told["Principal"],
            effect=told["Effect"],
            run=told["Run"],
        )


def place_of(place: str) -> str:
    """The place that a path names."""
    return changing.place_of(*changing.split(place))


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part) for part in parts)
