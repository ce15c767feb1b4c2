"""A loopback HTTP server with a mind behind it: what is common to both wire formats.

Decides how bytes leave: at once, in pieces, broken off, or not at all for a while. Promises a real socket on 127.0.0.1
with a free port, every request kept, and that it ends with the block. Does not promise to be a model.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer of a mind, before it has a wire format.

    ``calls`` are names with their arguments as text, exactly as they are to be written. ``cut`` breaks the connection
    off after so many bytes of the body; ``stall`` falls silent there instead, until the client leaves. ``raw`` is the
    whole body in place of a rendered one. ``piece`` is how many bytes of arguments one chunk of a stream carries.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = ""
    refusal: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None
    cut: int | None = None
    stall: bool = False
    piece: int = 7
    tokens: tuple[int, int] | None = (100, 20)
    unknown_fields: bool = False
    in_stream_error: bool = False


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request as a mind sees it: the document it is shown, the tools it may name, and the request as it came."""

    number: int
    document: Json
    tools: tuple[str, ...]
    body: Json
    headers: dict[str, str] = field(default_factory=dict)


Mind = Callable[[Question], Turn]
Render = Callable[[Turn, bool], bytes]
"""A turn, and whether it is streamed, as the bytes of a body."""


class Loopback:
    """One running server."""

    def __init__(
        self, mind: Mind, path: str, read: Callable[[Json], tuple[str, tuple[str, ...]]], render: Render
    ) -> None:
        """Answer POSTs of one path; ``read`` takes the document and the names of the tools out of a request."""
        self.mind, self.path, self.read, self.render = mind, path, read, render
        self.questions: list[Question] = []
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Loopback]:
        """Serve until the block is left."""
        self._thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def question(self, body: Json, headers: dict[str, str]) -> Question:
        """Keep a request."""
        shown, tools = self.read(body)
        with self._lock:
            asked = Question(
                number=len(self.questions), document=json.loads(shown), tools=tools, body=body, headers=headers
            )
            self.questions.append(asked)
        return asked

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                """One question, one turn."""
                length = int(self.headers.get("Content-Length", "0"))
                body = json.loads(self.rfile.read(length))
                if self.path.partition("?")[0] != outer.path:
                    self.send_error(404)
                    return
                turn = outer.mind(outer.question(body, {k.lower(): v for k, v in self.headers.items()}))
                with suppress(ConnectionError):
                    self._answer(turn, streamed=bool(body.get("stream")))

            def _answer(self, turn: Turn, *, streamed: bool) -> None:
                data = turn.raw if turn.raw is not None else outer.render(turn, streamed and turn.status == 200)
                streams = streamed and turn.status == 200
                self.send_response(turn.status)
                self.send_header("Content-Type", "text/event-stream" if streams else "application/json")
                for name, value in turn.headers:
                    self.send_header(name, value)
                whole = turn.cut is None and not turn.stall
                if not streams:
                    self.send_header("Content-Length", str(len(data)))
                self.send_header("Connection", "close")
                self.close_connection = True
                self.end_headers()
                self.wfile.write(data if whole else data[: turn.cut or 0])
                self.wfile.flush()
                if turn.stall:
                    outer.over.wait(30)  # half open: neither a byte nor an end

        return Handler


def pieces(text: str, size: int) -> list[str]:
    """A text in pieces of so many characters; at least one."""
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def event(data: Json, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()
