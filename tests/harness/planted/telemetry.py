"""Defects of telemetry: it says too much, it begins anew where a run goes on, it takes a doubt for an error."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from holdfast.adapters.telemetry import facts, trace, watcher

Put = Callable[[Any, str, Any], None]


def content_by_default(put: Put) -> None:
    """Content is told whether or not somebody asked for it."""
    for name in ("of_run", "of_effect", "of_turn"):
        honest = getattr(facts, name)
        put(facts, name, lambda *given, whole, honest=honest: honest(*given, whole=True))


def new_trace_on_resume(put: Put) -> None:
    """The ids of a trace are drawn anew in each process."""
    assert watcher.trace_of is trace.trace_of
    put(trace, "trace_of", lambda _run: secrets.randbits(128))


def unknown_is_an_error_span(put: Put) -> None:
    """What nobody knows is told as something that went wrong."""
    for name in ("of_reply", "of_lost"):
        honest = getattr(facts, name)

        def wrong(*given: Any, honest: Any = honest) -> facts.Facts:
            told = honest(*given)
            doubt = told.attributes.get("holdfast.outcome") == "unknown"
            return told._replace(status=facts.ERROR) if doubt else told

        put(facts, name, wrong)


PLANT = {
    "content-by-default": content_by_default,
    "new-trace-on-resume": new_trace_on_resume,
    "unknown-is-an-error-span": unknown_is_an_error_span,
}
