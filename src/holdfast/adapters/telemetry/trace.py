"""Which trace a run is, and which span an effect is: worked out from their ids, so that nobody has to remember.

A process that takes over after a kill derives the same ids from the record and so goes on in the same trace. Where a
run was begun under somebody else's span, that context was recorded with its intent (W3C traceparent, carried as data)
and stands above it. Pure. Promises that the ids say nothing about what they were derived from. Does NOT promise that a
span with a derived id is exported once: see the guide.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

CARRIED: Final = "trace"
"""The name under which an intent's entry carries the context that it was begun under."""

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


class Place(NamedTuple):
    """A place in a trace: what is below it has ``span`` as its parent."""

    trace: int
    span: int
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """As the W3C recommendation *Trace Context* writes it."""
        return f"00-{self.trace:032x}-{self.span:016x}-{self.sampled:02x}"


def read(text: object) -> Place | None:
    """The place that a traceparent names; None for anything else, whoever wrote it."""
    found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    trace, span = int(found[1], 16), int(found[2], 16)
    return Place(trace, span, bool(int(found[3], 16) & _SAMPLED)) if trace and span else None


def trace_of(run: str) -> int:
    """The trace of a run that nobody's span stands above."""
    return _derived(16, "trace", run)


def span_of(*parts: str | int) -> int:
    """The span of a run, an effect, an attempt …: the same in every process."""
    return _derived(8, "span", *parts)


def _derived(size: int, *parts: str | int) -> int:
    text = "\n".join(map(str, ("holdfast", *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1
