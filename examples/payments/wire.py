"""The payment service on the wire: HTTP and JSON in front of the books, with the switches between them.

Decides what a request means (400 when it means nothing), which switches hit it, and when and whether the
answer goes out. The order is fixed: outage before anything, then latency, then the work, then whatever
happens to the reply. So a send-by may pass during latency, and a lost reply is always the reply to work
that is already on disk.

Promises: one write per answer on kept-alive connections; 503 says that nothing was done.

Does not promise: to be a web server for strangers. It has no TLS, no authentication, and listens on the
loopback address.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from . import switches as weather
from .books import Answer, Books, Ignoring, Order, canonical, refused

if TYPE_CHECKING:
    from .switches import Switch, Switches

BODY_MAX_BYTES = 1_000_000
PAGE_MAX = 1_000
KINDS = {
    ("POST", "refunds"): weather.CHANGES,
    ("POST", "payouts"): weather.CHANGES,
    ("POST", "fences"): weather.FENCES,
    ("GET", "refunds"): weather.LOOKUPS,
    ("GET", "payouts"): weather.LOOKUPS,
    ("GET", "invoices"): weather.LOOKUPS,
}


class MeaninglessError(ValueError):
    """The request cannot be understood; nothing was done."""


class Outside(ThreadingHTTPServer):
    """The listening side: one thread for each connection, and a way to refuse connections for a while."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], books: Books, switches: Switches) -> None:
        """Bind and listen; requests are answered once `serve_forever` runs."""
        self.books = books
        self.switches = switches
        self.pause_ms = 0
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service who we are, as HTTPServer does; it may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that a refusing service can also hang up."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about a client that left, which is its right; show everything else on stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def refuse(self, for_ms: int, *, spare: socket.socket) -> None:
        """Stop listening and hang up on everybody but `spare`; returns when connections are refused."""
        self.pause_ms = for_ms
        self.shutdown()
        self.server_close()
        with self._open_lock:
            others = self._open - {spare}
        for connection in others:
            # One that is gone already is what was wanted.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection: requests come one after the other until either side closes."""

    protocol_version = "HTTP/1.1"
    server_version = "payments/1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Buffered, so that status, headers and body leave in one write.
    server: Outside

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the standard library's
        """Say nothing: the books are the record."""

    def do_GET(self) -> None:
        """Serve a request."""
        self._serve()

    do_POST = do_GET  # noqa: N815 -- the standard library looks for this name
    do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        parts = [unquote(part) for part in path.split("/") if part]
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            body = self._body()
            kind = KINDS.get((self.command, parts[0] if parts else ""), weather.CONTROL)
            if self.command == "POST" and parts == ["invoices"]:
                kind = weather.CONTROL
            hit = self.server.switches.take(kind, self._subject(body, asked))
            if "outage" in hit:
                self._reply(refused(503, "unavailable", "The service is down for maintenance; nothing was done."))
                return
            if "latency_ms" in hit:
                time.sleep(hit["latency_ms"].value / 1000)
            if kind == weather.CHANGES and parts[1:] == []:
                self._change(self._order(parts[0].removesuffix("s"), body), hit)
            else:
                books = hit["stale_replica"].attached if "stale_replica" in hit else self.server.books
                self._spoil_or_reply(self._answer(books, parts, asked, body), hit)
        except MeaninglessError as problem:
            self._reply(refused(400, "bad_request", f"{problem} Nothing was done."))

    # ---- what is asked ---------------------------------------------------------------------------

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit() or int(length) > BODY_MAX_BYTES:
            self.close_connection = True  # What follows on this connection cannot be told from a body.
            raise MeaninglessError("A body needs a Content-Length of at most 1,000,000.")
        raw = self.rfile.read(int(length))
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            raise MeaninglessError("The body is not JSON.") from None
        if not isinstance(body, dict):
            raise MeaninglessError("The body is not a JSON object.")
        return body

    def _subject(self, body: dict[str, Any], asked: dict[str, str]) -> str:
        """Describe the request in the line that a switch's `match` is looked for in."""
        key = self.headers.get("Idempotency-Key") or asked.get("key", "")
        invoice = body.get("invoice_id") or body.get("resource") or asked.get("invoice_id", "")
        return f"{self.command} {self.path} key={key} invoice={invoice}"

    def _order(self, kind: str, body: dict[str, Any]) -> Order:
        if unknown := set(body) - {"invoice_id", "amount", "note"}:
            raise MeaninglessError(f"A {kind} has no {', '.join(sorted(unknown))}.")
        note = body.get("note", "")
        if not isinstance(note, str):
            raise MeaninglessError("`note` is not a text.")
        return Order(
            kind=kind,
            invoice_id=text(body, "invoice_id"),
            amount=number(body, "amount", at_least=1),
            note=note,
            key=self.headers.get("Idempotency-Key") or None,
            fence=self._number_header("Fence-Token"),
            send_by_ms=self._number_header("Send-By"),
            if_match=self._number_header("If-Match"),
            client=self.headers.get("User-Agent", ""),
        )

    def _number_header(self, name: str) -> int | None:
        value = self.headers.get(name)
        if value is None:
            return None
        bare = value.strip().strip('"')
        if not (bare.isascii() and bare.isdigit() and int(bare) < 2**63):
            raise MeaninglessError(f"{name} is not a whole number.")
        return int(bare)

    # ---- what is done ----------------------------------------------------------------------------

    def _change(self, order: Order, hit: dict[str, Switch]) -> None:
        books = self.server.books
        ignoring = Ignoring(key="ignore_key" in hit, fence="ignore_fence" in hit)

        def work(source: str) -> Answer:
            answer = books.act(order, source=source, ignoring=ignoring)
            if "duplicate" in hit and answer.status < 300:
                everything = Ignoring(key=True, fence=True, limit=True)
                books.act(replace(order, if_match=None, send_by_ms=None), source="duplicate", ignoring=everything)
            return answer

        if "act_late" in hit:
            self.server.switches.hold(lambda: work("late"), hit["act_late"].value)
            self._hang_up()
            return
        self._spoil_or_reply(work("request"), hit)

    def _answer(self, books: Books, parts: list[str], asked: dict[str, str], body: dict[str, Any]) -> Answer:
        match (self.command, parts):
            case ("GET", ["refunds"]):
                return books.refunds(
                    key=asked.get("key"),
                    invoice_id=asked.get("invoice_id"),
                    after=cursor(asked.get("after", "0"), "re_"),
                    limit=max(1, min(PAGE_MAX, cursor(asked.get("limit", "100"), ""))),
                )
            case ("GET", ["invoices", invoice_id]):
                return books.invoice(invoice_id)
            case ("GET", ["payouts"]):
                return books.payouts(key=asked.get("key"))
            case ("GET", ["payouts", operation_id]):
                return books.payout(cursor(operation_id, "op_"))
            case ("GET", ["books"]):
                return books.dump()
            case ("POST", ["fences"]):
                return books.raise_fence(text(body, "resource"), number(body, "token", at_least=0))
            case ("POST", ["invoices"]):
                currency = text({"currency": "EUR", **body}, "currency")
                return books.add_invoice(text(body, "invoice_id"), number(body, "amount", at_least=0), currency)
            case _:
                return self._control(parts, body)

    def _control(self, parts: list[str], body: dict[str, Any]) -> Answer:
        switches = self.server.switches
        match (self.command, parts):
            case ("GET", ["health"]):
                return Answer(200, {"ok": True, "now_ms": switches.now_ms()})
            case ("GET", ["switches"]):
                return Answer(200, switches.view())
            case ("DELETE", ["switches"]):
                switches.clear()
                return Answer(200, switches.view())
            case ("POST", ["switches"]):
                return self._turn_on(body)
            case ("POST", ["late", "release"]):
                return Answer(200, {"released": switches.release()})
            case ("POST", ["clock"]):
                switches.move_clock(number(body, "advance_ms", at_least=0))
                return Answer(200, {"now_ms": switches.now_ms()})
        return refused(404, "no_such_page", f"There is no {self.command} {self.path}.")

    def _turn_on(self, body: dict[str, Any]) -> Answer:
        try:
            switch = weather.parse(body)
        except weather.NotASwitchError as problem:
            raise MeaninglessError(str(problem)) from None
        if switch.name == "outage" and switch.value == "refuse":
            for_ms = number(body, "for_ms", at_least=1)
            # The answer is given when connections are refused already; this one is closed after it.
            self.server.refuse(for_ms, spare=self.connection)
            self.close_connection = True
            return Answer(200, {"refusing_for_ms": for_ms})
        if switch.name == "stale_replica":
            switch.attached = self.server.books.replica()
        self.server.switches.turn_on(switch)
        return Answer(200, self.server.switches.view())

    # ---- what is answered ------------------------------------------------------------------------

    def _spoil_or_reply(self, answer: Answer, hit: dict[str, Switch]) -> None:
        if "work_then_hang" in hit:
            # Nothing more is read here: what arrives is the client closing, or the time is over.
            select.select([self.connection], [], [], hit["work_then_hang"].value / 1000)
            self._hang_up()
        elif "drop_reply" in hit:
            self._hang_up()
        elif "garbage" in hit:
            self._garble(hit["garbage"].value)
        else:
            self._reply(answer)

    def _reply(self, answer: Answer) -> None:
        self._send(answer.status, canonical(answer.body), replayed=answer.replayed)

    def _send(self, status: int, body: bytes, *, replayed: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if replayed:
            self.send_header("Idempotent-Replay", "true")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _garble(self, what: str) -> None:
        if what == "body":
            self._send(200, b'{"refund_id": "re_\xff\xfe')
            return
        self.wfile.write(b"\x16\x03\x01\x00\xee not http\r\n\r\n")
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        with suppress(OSError):  # The client may be faster.
            self.connection.shutdown(socket.SHUT_RDWR)


def text(body: dict[str, Any], name: str) -> str:
    """Read a text that is there and not empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise MeaninglessError(f"`{name}` is not a text.")
    return value


def number(body: dict[str, Any], name: str, *, at_least: int) -> int:
    """Read a whole number that SQLite can hold; true is not a number."""
    value = body.get(name)
    if type(value) is not int or not at_least <= value < 2**63:
        raise MeaninglessError(f"`{name}` is not a whole number from {at_least}.")
    return value


def cursor(value: str, prefix: str) -> int:
    """Read the number out of an id such as re_000007, or a bare number."""
    bare = value.removeprefix(prefix)
    if not (bare.isascii() and bare.isdigit() and int(bare) < 2**63):
        raise MeaninglessError(f"{value!r} is not a position.")
    return int(bare)
