"""What goes wrong between us and a model, as :class:`NoAnswer`: in one word, in words, and whether to ask once more.

Decides what may be transient. Promises that a key never gets into the words, even where a server sends it back, and
that every exception of the libraries below becomes one of these: a provider cannot crash a run.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pydantic_ai import exceptions as gone

from holdfast.adapters.models.reading import clean
from holdfast.runtime.planner import NoAnswer

WHY_CHARS = 300
SHORT_KEY = 6
"""Keys shorter than this are not looked for in texts: too much else would be blotted out."""

AGAIN_STATUSES = frozenset({408, 409, 425, 429})


class Fault(NamedTuple):
    """A cause, whether asking once more can help, and whether the model may have been at work (tokens are used up)."""

    cause: str
    again: bool
    worked: bool


# The first that fits counts: the more precise classes stand first.
KINDS: tuple[tuple[type[Exception], Fault], ...] = (
    (gone.ModelQuotaExceededError, Fault("rejected", again=False, worked=False)),
    (gone.ModelRateLimitError, Fault("rate_limited", again=True, worked=False)),
    (gone.ModelUnavailableError, Fault("overloaded", again=True, worked=False)),
    (gone.ModelServerError, Fault("server_error", again=True, worked=False)),
    (gone.ModelRequestTimeout, Fault("timeout", again=True, worked=True)),
    (gone.ModelTimeoutError, Fault("timeout", again=True, worked=True)),
    (gone.ModelRequestRejectedError, Fault("rejected", again=False, worked=False)),
    (gone.ModelConnectionError, Fault("dropped", again=True, worked=True)),
    (gone.ContentFilterError, Fault("declined", again=False, worked=True)),
)


class Inexact(ValueError):  # noqa: N818  # it says what the body is
    """A body whose JSON can be read in more than one way; reading it on would pick one of them."""


async def exact(response: Any) -> None:
    """Refuse a whole JSON body in which an object names a key twice (RFC 8259 section 4 leaves open which counts).

    A hook on our HTTP clients: the libraries above would silently take the last. Streams carry arguments as text, which
    is read strictly later.
    """
    if response.status_code == 200 and "json" in response.headers.get("content-type", ""):
        try:
            json.loads(await response.aread(), object_pairs_hook=_once)
        except Inexact:
            raise
        except (ValueError, RecursionError):
            return  # what is no JSON at all is named by who reads it


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Inexact("an object in the answer names a key twice; which of them counts is not defined")
    return found


def _inexact(error: BaseException | None) -> Inexact | None:
    """The refusal above, however the libraries have wrapped it."""
    while error is not None and not isinstance(error, Inexact):
        error = error.__cause__ or error.__context__
    return error


def fault_of(error: Exception) -> Fault:
    """What an exception of the layers below means."""
    if _inexact(error) is not None:
        return Fault("unreadable", again=True, worked=True)
    for kind, fault in KINDS:
        if isinstance(error, kind):
            return fault
    if isinstance(error, gone.ModelHTTPError):
        again = error.status_code in AGAIN_STATUSES or error.status_code >= 500
        return Fault("server_error" if again else "rejected", again=again, worked=False)
    if isinstance(error, gone.UserError):
        return Fault("rejected", again=False, worked=False)
    if isinstance(error, gone.ModelAPIError | OSError) or type(error).__module__.startswith(("httpx", "httpcore")):
        return Fault("dropped", again=True, worked=True)
    return Fault("unreadable", again=True, worked=True)


def no_answer(error: Exception, key: str) -> NoAnswer:
    """The exception as a missing answer; ``made`` is left to who asked."""
    fault = fault_of(error)
    retry_after_s = getattr(error, "retry_after", None) or 0
    text = str(_inexact(error) or error) or type(error).__name__
    return NoAnswer(fault.cause, told(text, key), again=fault.again, retry_after_ms=int(retry_after_s * 1000))


def told(text: str, key: str) -> str:
    """Text from outside, on one line, bounded, without the key."""
    if len(key) >= SHORT_KEY:
        text = text.replace(key, "(key)")
    return clean(" ".join(text.split()), WHY_CHARS)
