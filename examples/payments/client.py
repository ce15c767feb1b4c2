"""The client library of the payment service, as such a company would ship it: no dependency, usable from
several threads.

Decides which exceptions mean that nothing was done and which leave doubt:

- `Declined`, `Conflict`, `Fenced`, `TooLate`, `Changed`, `NotFound`, `Unavailable`: the service answered
  and did nothing;
- `ConnectionRefused`: no connection came about, so no byte left;
- every other `OSError` (a timeout, a reset, `Unintelligible`): **in doubt**. The change may have happened,
  or may still happen.

Promises: it never sends a request twice. A kept-alive connection that the service has closed is noticed
before it is used again.

Does not promise: to resolve a doubt. Look the key up, or raise the fence and then look it up.
"""

# ruff: noqa: N818 -- These exceptions are answers, and are named after what the service said.

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import suppress
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

Json = dict[str, Any]


class PaymentsError(Exception):
    """The service answered with a refusal and did nothing. `status`, `code` and `body` are its answer."""

    def __init__(self, status: int, body: Json) -> None:
        """Take the message out of the answer."""
        self.status = status
        self.code = str(body.get("error", ""))
        self.body = body
        super().__init__(body.get("message") or f"HTTP {status}")

    def __reduce__(self) -> tuple[type[PaymentsError], tuple[int, Json]]:
        """Travel whole between processes."""
        return type(self), (self.status, self.body)


class BadRequest(PaymentsError):
    """400: the request made no sense."""


class NotFound(PaymentsError):
    """404: there is no such invoice, payout or page."""


class Conflict(PaymentsError):
    """409: the key was used for another request (`body["first"]`), or the invoice exists otherwise."""


class Changed(PaymentsError):
    """409 changed: the invoice no longer has the version that If-Match named."""


class TooLate(PaymentsError):
    """410: the send-by had passed by the service's clock."""


class Fenced(PaymentsError):
    """412: a higher token has been seen for this invoice (`body["highest"]`)."""


class Declined(PaymentsError):
    """422: the amount is more than what remains."""


class Unavailable(PaymentsError):
    """503: the service is down, and says that nothing was done."""


class ConnectionRefused(ConnectionError):
    """No connection came about: the request never left."""


class Unintelligible(OSError):
    """Something answered, but not in a way that tells what was done: in doubt."""


BY_CODE: dict[tuple[int, str], type[PaymentsError]] = {
    (400, "bad_request"): BadRequest,
    (404, "not_found"): NotFound,
    (404, "no_such_page"): NotFound,
    (409, "key_conflict"): Conflict,
    (409, "exists"): Conflict,
    (409, "changed"): Changed,
    (410, "too_late"): TooLate,
    (412, "fenced"): Fenced,
    (422, "declined"): Declined,
    (503, "unavailable"): Unavailable,
}


class PaymentsClient:
    """Calls one payment service. Threads may share it: no connection is used by two at once."""

    def __init__(self, base_url: str, *, timeout_s: float = 10.0, name: str = "payments-client") -> None:
        """`timeout_s` bounds connecting and each wait for bytes; `name` is written in the service's books."""
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{base_url!r} is not an http:// address")
        self.base_url = base_url
        self.timeout_s = timeout_s
        self._host, self._port, self._name = parts.hostname, parts.port or 80, name
        self._idle: list[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    # ---- money -----------------------------------------------------------------------------------

    def refund(
        self, invoice_id: str, amount: int, *, note: str = "", key: str | None = None,
        fence: int | None = None, send_by_ms: int | None = None, if_match: int | None = None,
        timeout_s: float | None = None,
    ) -> Json:  # fmt: skip
        """Pay `amount` (minor units) back; the answer has refund_id, at_ms, version, `replayed`."""
        body = {"invoice_id": invoice_id, "amount": amount, "note": note}
        return self._call("POST", "/refunds", body, conditions(key, fence, send_by_ms, if_match), timeout_s)

    def payout(
        self, invoice_id: str, amount: int, *, note: str = "", key: str | None = None,
        fence: int | None = None, send_by_ms: int | None = None, if_match: int | None = None,
        timeout_s: float | None = None,
    ) -> Json:  # fmt: skip
        """Start a long operation; the answer has `operation_id` and the status pending."""
        body = {"invoice_id": invoice_id, "amount": amount, "note": note}
        return self._call("POST", "/payouts", body, conditions(key, fence, send_by_ms, if_match), timeout_s)

    def raise_fence(self, resource: str, token: int) -> Json:
        """Let `invoice:<id>` refuse every lower token from now on; Fenced if `token` is too low itself."""
        return self._call("POST", "/fences", {"resource": resource, "token": token})

    # ---- lookups ---------------------------------------------------------------------------------

    def lookup(self, key: str) -> list[Json]:
        """All refunds made under a key: none, one, or (from a broken service) several."""
        found: list[Json] = self._call("GET", "/refunds?" + urlencode({"key": key}))["refunds"]
        return found

    def list_refunds(self, invoice_id: str | None = None, *, after: str | None = None, limit: int = 100) -> Json:
        """One page: `refunds`, and `next`, which is the `after` of the next page or None."""
        asked = {"invoice_id": invoice_id, "after": after, "limit": limit}
        return self._call("GET", "/refunds?" + urlencode({name: it for name, it in asked.items() if it is not None}))

    def invoice(self, invoice_id: str) -> Json:
        """Amount, currency, refunded, remaining and version."""
        return self._call("GET", f"/invoices/{quote(invoice_id, safe='')}")

    def payout_status(self, operation_id: str) -> Json:
        """How a payout stands: `status` is pending, done or declined."""
        return self._call("GET", f"/payouts/{quote(operation_id, safe='')}")

    def lookup_payouts(self, key: str) -> list[Json]:
        """All payouts asked for under a key."""
        found: list[Json] = self._call("GET", "/payouts?" + urlencode({"key": key}))["payouts"]
        return found

    # ---- for tests: set-up, the true books, misbehaviour -----------------------------------------

    def add_invoice(self, invoice_id: str, amount: int, *, currency: str = "EUR") -> Json:
        """Set up an invoice."""
        return self._call("POST", "/invoices", {"invoice_id": invoice_id, "amount": amount, "currency": currency})

    def books(self) -> Json:
        """The service's own books: `changes` is what really happened. No switch disturbs this."""
        return self._call("GET", "/books")

    def switch(
        self, name: str, value: object = None, *, times: int | None = None, match: str | None = None,
        on: str | None = None, for_ms: int | None = None,
    ) -> Json:  # fmt: skip
        """Make the service misbehave; README.md names every switch."""
        body = {"switch": name, "value": value, "times": times, "match": match, "on": on, "for_ms": for_ms}
        return self._call("POST", "/switches", {name: it for name, it in body.items() if it is not None})

    def switches(self) -> Json:
        """What is set, how much late work is held, how far the clock was moved."""
        return self._call("GET", "/switches")

    def clear_switches(self) -> Json:
        """Put everything in order again."""
        return self._call("DELETE", "/switches")

    def release_late(self) -> int:
        """Let late work happen now; returns, when it has, how much there was."""
        return int(self._call("POST", "/late/release")["released"])

    def advance_clock(self, by_ms: int) -> int:
        """Move the service's clock forward; returns its new time in milliseconds UTC."""
        return int(self._call("POST", "/clock", {"advance_ms": by_ms})["now_ms"])

    def now_ms(self) -> int:
        """Tell the service's time in milliseconds UTC."""
        return int(self._call("GET", "/health")["now_ms"])

    def close(self) -> None:
        """Close the connections that are not in use; the client stays usable."""
        while self._idle:
            # Two threads may close at once; whoever comes second finds nothing.
            with suppress(IndexError):
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the wire --------------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, body: Json | None = None, headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Json:  # fmt: skip
        sent = {"User-Agent": self._name, "Content-Type": "application/json", **(headers or {})}
        payload = None if body is None else json.dumps(body).encode()
        connection = self._connection(self.timeout_s if timeout_s is None else timeout_s)
        try:
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            raw = response.read()
        except BaseException as problem:
            connection.close()
            # That the service hung up without a word is an OSError already, though it is both.
            if isinstance(problem, http.client.HTTPException) and not isinstance(problem, OSError):
                raise Unintelligible(f"{method} {path}: the answer is not HTTP ({problem!r})") from problem
            raise
        # The library has closed the socket already if the service said that it would.
        if connection.sock is not None:
            self._idle.append(connection)
        return read_answer(method, path, response, raw)

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """An open connection for one call: an idle one that the service has not closed, or a new one."""
        if self._pid != os.getpid():
            # After a fork the idle connections are the parent's: two processes on one would mix answers.
            self._idle, self._pid = [], os.getpid()
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if still_open(connection.sock):
                    connection.sock.settimeout(timeout_s)
                    return connection
                connection.close()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.connect()
        except OSError as problem:
            connection.close()
            said = f"{self.base_url}: no connection, so nothing was sent ({problem})"
            raise ConnectionRefused(said) from problem
        # A connection is never reopened behind our back: that would be a second send.
        connection.auto_open = 0
        return connection


def still_open(connected: socket.socket) -> bool:
    """Between answers nothing may arrive, so anything there to be read is the end of the connection."""
    # Without a timeout of zero Python itself would wait for bytes; the caller sets the timeout it wants.
    connected.settimeout(0)
    try:
        connected.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def conditions(key: str | None, fence: int | None, send_by_ms: int | None, if_match: int | None) -> dict[str, str]:
    """Write the headers of a change; what is None is not sent."""
    headers = {"Idempotency-Key": key, "Fence-Token": fence, "Send-By": send_by_ms, "If-Match": if_match}
    return {name: str(value) for name, value in headers.items() if value is not None}


def read_answer(method: str, path: str, response: http.client.HTTPResponse, raw: bytes) -> Json:
    """Turn an answer into its body or the exception that it means; what cannot be read is doubt."""
    try:
        body = json.loads(raw)
    except ValueError as problem:
        raise Unintelligible(f"{method} {path}: HTTP {response.status} with a body that is not JSON") from problem
    if not isinstance(body, dict):
        raise Unintelligible(f"{method} {path}: HTTP {response.status} with a body that is not an object")
    if response.status in (200, 201, 202):
        if path in ("/refunds", "/payouts"):
            body["replayed"] = response.headers.get("Idempotent-Replay") == "true"
        return body
    refusal = BY_CODE.get((response.status, str(body.get("error"))))
    if refusal is None:
        # A status without a known code says nothing about what was done.
        raise Unintelligible(f"{method} {path}: HTTP {response.status} {body}")
    raise refusal(response.status, body)
