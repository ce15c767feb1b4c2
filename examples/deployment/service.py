"""The deployment service as a process: `python -m examples.deployment.service --books FILE`, or this file by its path.

Decides nothing about rollouts (books.py does); it speaks HTTP, says where, and ends on SIGTERM. It can be told to lose
the reply to the next rollouts after accepting them (`POST /switches {"drop_reply": n}`) or to hang up before it does
anything (`{"hang_up": n}`). Loopback only; no authentication. Only the standard library, nothing of holdfast.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

if not __package__:
    # Started by its path: let this folder, wherever it lies, be a package under its own name.
    _folder = Path(__file__).resolve().parent
    sys.path[:] = [str(_folder.parent), *(entry for entry in sys.path if entry != str(_folder))]
    importlib.import_module(_folder.name)
    __package__ = _folder.name

from .books import Answer, Books, Json, Order


class Outside(ThreadingHTTPServer):
    """The listener with its books and switches."""

    daemon_threads = True

    def __init__(self, port: int, books: Books) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.books = books
        self.lock = threading.Lock()
        self.switches = {"drop_reply": 0, "hang_up": 0}

    def take(self, name: str) -> bool:
        """Use up one rollout of a switch, if it is on."""
        with self.lock:
            on = self.switches[name] > 0
            self.switches[name] -= on
            return on

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes; the second would wait for the first one's ACK.
    server: Outside

    def do_GET(self) -> None:
        self.reply(self.answer({}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        rollout = urlsplit(self.path).path == "/deployments"
        if rollout and self.server.take("hang_up"):
            self.hang_up()
            return
        answer = self.answer(body)
        if rollout and self.server.take("drop_reply"):
            self.hang_up()
        else:
            self.reply(answer)

    def answer(self, body: Json) -> Answer:
        books, address = self.server.books, urlsplit(self.path)
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        match self.command, parts:
            case "POST", ["deployments"]:
                return books.accept(self.order(body))
            case "POST", ["deployments", deployment, "cancel"]:
                return books.cancel(number(deployment))
            case "GET", ["deployments"]:
                return books.under(parse_qs(address.query).get("key", [""])[0])
            case "GET", ["deployments", deployment]:
                return books.deployment(number(deployment))
            case "GET", ["environments", environment]:
                return books.environment(environment)
            case "POST", ["fences"]:
                return books.raise_fence(str(body["environment"]), int(body["token"]))
            case "POST", ["unhealthy"]:
                return books.declare_unhealthy(str(body["version"]))
            case "POST", ["clock"]:
                return books.advance(int(body["advance_ms"]))
            case "POST", ["switches"]:
                with self.server.lock:
                    self.server.switches |= {name: int(times) for name, times in body.items()}
                return Answer(200, {})
            case "GET", ["books"]:
                return books.dump()
        return Answer(404, {"error": "not_found"})

    def order(self, body: Json) -> Order:
        token = self.headers.get("Fence-Token")
        return Order(
            environment=str(body["environment"]),
            version=str(body["version"]),
            key=self.headers.get("Idempotency-Key"),
            token=None if token is None else int(token),
            running=self.headers.get("If-Running"),
        )

    def reply(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        """Close the line without a word."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the parameter is given
        """Say nothing: the books are the record."""


def number(deployment: str) -> int:
    """The number in an id such as dp_7; 0, which no rollout has, for anything else."""
    bare = deployment.removeprefix("dp_")
    return int(bare) if bare.isascii() and bare.isdigit() else 0


def end_with_stdin() -> None:
    """Wait until whoever started us has closed our input, or has died, and end."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Open the books, listen, say where, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rollout-ms", type=int, default=300)
    parser.add_argument("--end-with-stdin", action="store_true")
    options = parser.parse_args()
    books = Books(options.books, options.rollout_ms)
    if options.end_with_stdin:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    with Outside(options.port, books) as outside:
        print(json.dumps({"url": f"http://127.0.0.1:{outside.server_port}", "pid": os.getpid()}), flush=True)
        outside.serve_forever()


if __name__ == "__main__":
    main()
