"""A receiver of OTLP over HTTP on the loopback interface: takes spans as protobuf, keeps them, and draws their tree.

For looking and for tests; a real one is the OpenTelemetry collector.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

STATUS = ("unset", "ok", "error")


class Span(NamedTuple):
    """One span as it arrived; ids in hexadecimal, ``parent`` empty for the first of a trace."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    status: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: tuple[str, ...]


class Receiver:
    """Everything that arrived, in order: ``raw`` bodies as sent, and the spans in them."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.arrived = threading.Condition()
        self.url = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.arrived:
            self.raw.append(body)
            for of in request.resource_spans:
                self.resources.append(_attributes(of.resource.attributes))
                self.spans += [_span(span) for scope in of.scope_spans for span in scope.spans]
            self.arrived.notify_all()

    def wait_for(self, name: str, limit_s: float = 30) -> Span:
        """The first span of a name, once it is there."""
        with self.arrived:
            found = self.arrived.wait_for(lambda: [s for s in self.spans if s.name == name], limit_s)
        if not found:
            raise TimeoutError(f"no span {name} came; these did: {[span.name for span in self.spans]}")
        return found[0]

    def tree(self) -> list[str]:
        """One line a span, below its parent, in the order of their beginnings."""
        below: dict[str, list[Span]] = defaultdict(list)
        known = {span.id for span in self.spans}
        for span in sorted(self.spans, key=lambda span: span.start_ns):
            below[span.parent if span.parent in known else ""].append(span)

        def lines(of: str, depth: int) -> Iterator[str]:
            for span in below[of]:
                outcome = span.attributes.get("holdfast.outcome") or span.attributes.get("holdfast.answer") or ""
                yield f"{'  ' * depth}{span.name:<{34 - 2 * depth}} {span.status:<6} {outcome}".rstrip()
                yield from lines(span.id, depth + 1)

        return list(lines("", 0))


def _span(span: Any) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        status=STATUS[span.status.code],
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port, for as long as the block lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server.
            """Arrivals are kept, not printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
