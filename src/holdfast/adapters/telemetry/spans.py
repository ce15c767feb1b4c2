"""Spans as the SDK exports them: made when what they tell is over, with start, end and ids given.

Decides nothing about what they say. Promises that making one waits for nobody: it goes into the batch processor's
bounded queue, which drops what is too much, and that letting go is bounded whatever the exporter does. Does NOT promise
that what was made arrives.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from holdfast.adapters.telemetry.facts import ERROR, OK, Facts
from holdfast.adapters.telemetry.names import SCOPE
from holdfast.adapters.telemetry.trace import Place

log = logging.getLogger("holdfast.telemetry")

EXPORT_TIMEOUT_S: Final = 10
"""How long one request to a receiver may take; the exporter's own retries count into it."""

STATUS: Final = {OK: StatusCode.OK, ERROR: StatusCode.ERROR}


class Given(IdGenerator):
    """The ids that the next span is to have."""

    def __init__(self) -> None:
        """None given yet."""
        self.place = Place(1, 1)

    def generate_span_id(self) -> int:
        """The span that was given."""
        return self.place.span

    def generate_trace_id(self) -> int:
        """The trace that was given; asked for a span without a parent."""
        return self.place.trace


class Spans:
    """One pipeline to one exporter, apart from whatever provider the program itself has."""

    def __init__(self, exporter: SpanExporter | None, endpoint: str | None, service: str, ratio: float) -> None:
        """Without an exporter: OTLP over HTTP, to ``endpoint`` or where the environment's OTEL_ variables say."""
        self._lock = threading.Lock()
        self._ids = Given()
        self._sampler = TraceIdRatioBased(ratio)
        exporter = exporter or OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)
        self._processor = BatchSpanProcessor(exporter)
        resource = Resource.create({"service.name": service} if service else {})
        provider = TracerProvider(
            sampler=ParentBased(root=self._sampler), resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer(SCOPE, _version())

    def sampled(self, trace_id: int) -> bool:
        """Whether a trace that begins with us is exported: the same answer in every process of the same ratio."""
        return self._sampler.should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE

    def tell(
        self,
        name: str,
        place: Place,
        parent: Place | None,
        facts: Facts,
        *,
        start_ns: int,
        end_ns: int,
        client: bool = False,
        link: Place | None = None,
    ) -> None:
        """One span, over and done with."""
        with self._lock:
            self._ids.place = place
            span = self._tracer.start_span(
                name,
                context=trace.set_span_in_context(_span(parent)) if parent is not None else _nowhere(),
                kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
                attributes=facts.attributes,
                links=[Link(_context(link))] if link is not None else None,
                start_time=start_ns,
            )
        if facts.status in STATUS:
            span.set_status(Status(STATUS[facts.status]))
        span.end(max(start_ns, end_ns))

    def close(self, within_s: float) -> None:
        """Export what is left within this time, then let go of it; a thread that hangs is left behind."""
        ending = threading.Thread(target=self._end, name="holdfast-telemetry-close", daemon=True)
        ending.start()
        ending.join(within_s)

    def _end(self) -> None:
        try:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - an exporter's end is no trouble of whoever closes.
            log.warning("the exporter raised %s when it was shut down", type(error).__name__)


def here() -> Place | None:
    """The place of the span that is current where this is called."""
    context = trace.get_current_span().get_span_context()
    return Place(context.trace_id, context.span_id, context.trace_flags.sampled) if context.is_valid else None


@contextmanager
def at(place: Place) -> Iterator[None]:
    """As if the span at this place were current, for whoever is called inside: bodies, threads, clients."""
    token = attach(trace.set_span_in_context(_span(place)))
    try:
        yield
    finally:
        detach(token)


def _context(place: Place) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    return SpanContext(place.trace, place.span, is_remote=False, trace_flags=flags)


def _span(place: Place) -> NonRecordingSpan:
    return NonRecordingSpan(_context(place))


def _nowhere() -> Any:
    """A context without a span, whatever is current here."""
    return trace.set_span_in_context(trace.INVALID_SPAN)


def _version() -> str:
    from holdfast import __version__

    return __version__
