"""HTTP: the fields in which a token travels, on both sides, and the answer that says it is stale.

The client sends, with every request that changes something (`headers`):

| field | value | on the service |
|---|---|---|
| ``Fence-Token`` | decimal digits, 0 to 2^63-1, one field line | lower than the highest seen for the resource: 412 |
| ``Idempotency-Key`` | the key of the effect, text without quotes | known: the first answer again |
| ``Send-By`` | milliseconds UTC in decimal digits | passed by the service's clock: refused |

The service answers a stale token with **412 Precondition Failed** and, in the same field ``Fence-Token``, the highest
token that it has seen. By that field the client tells a fence from another precondition (`raise_if_stale`). A request
without a token where one is needed gets 428 Precondition Required (RFC 6585), one that cannot be read 400. The names
follow RFC 9110 §16.3: registered syntax, no ``X-``, end to end, the same whichever version of HTTP carries them.

A service that keeps its data in SQL checks the token in the transaction that writes (`rows.Guards`); one that cannot
stands behind `asgi.Fenced`.

Promises: a field that comes twice, or is not exactly such a number, is refused and never guessed.

Does not promise that a service checks it, nor a clean *did not happen* where something between client and service
repeats requests by itself: an earlier copy may have been carried out. Turn retries of the HTTP client off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from holdfast.fences.door import MAX_TOKEN, Stale
from holdfast.tools.fx import Fx

FENCE_TOKEN: Final = "Fence-Token"  # noqa: S105 - the name of a field; there is nothing secret about a fencing token.
KEY: Final = "Idempotency-Key"
SEND_BY: Final = "Send-By"
PRECONDITION_FAILED: Final = 412
PRECONDITION_REQUIRED: Final = 428
BAD_REQUEST: Final = 400


class Named(Protocol):
    """Fields by name, as every HTTP library has them; a name may come more than once."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """The pairs."""
        ...


Fields = Named | Iterable[tuple[Any, Any]]


def headers(fx: Fx) -> dict[str, str]:
    """The fields of one attempt's requests: key, token, send-by, and the trace where somebody traces."""
    sent = {KEY: fx.key, FENCE_TOKEN: str(fx.token), SEND_BY: str(fx.send_by_ms) if fx.send_by_ms else ""}
    return {name: value for name, value in sent.items() if value} | fx.headers()


def offered(fields: Fields) -> int | None:
    """The token that a request came with; None without one. Raises ValueError, which is a 400: nothing was done.

    `fields` has `items()`, or is pairs of text or bytes as ASGI servers give them.
    """
    # Not every library's fields are a Mapping: those of http.client only look like one.
    named = getattr(fields, "items", None)
    pairs: Any = fields if named is None else named()
    found = [_text(value) for name, value in pairs if _text(name).lower() == FENCE_TOKEN.lower()]
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"{FENCE_TOKEN} came {len(found)} times")
    bare = found[0].strip(" \t")
    # More digits than the largest token has are not converted at all.
    if not (bare.isascii() and bare.isdigit() and len(bare) <= len(str(MAX_TOKEN)) and int(bare) <= MAX_TOKEN):
        raise ValueError(f"{FENCE_TOKEN} is a whole number from 0 to {MAX_TOKEN} in decimal digits")
    return int(bare)


def raise_if_stale(resource: str, token: int, status: int, fields: Fields) -> None:
    """For a client: raise Stale if this answer says that the token is. Other answers are the caller's to judge."""
    if status != PRECONDITION_FAILED:
        return
    try:
        highest = offered(fields)
    except ValueError:
        return  # It is another precondition, or not our service: no proof of anything.
    if highest is not None and highest > token:
        raise Stale(resource, token, highest)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
