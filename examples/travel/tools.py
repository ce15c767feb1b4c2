"""The providers under holdfast: what can be cancelled, what cannot, and how each is found again after a lost reply."""

from __future__ import annotations

from typing import Any

import holdfast as hf
from examples.travel import providers

COMMON: dict[str, Any] = {
    "resource": "{what}:{trip}", "identity": ("what", "trip"), "keyed": "24h", "owner": "travel-desk",
    "lands_within": "1s", "retry_after": "20ms", "did_not_happen": (providers.Refused,),
}  # fmt: skip


@hf.tool(effect="compensable", **COMMON)
def book(fx: hf.Fx, *, what: str, trip: str) -> dict:
    """Book a seat or a room; it can be cancelled."""
    return providers.change(what, trip, fx.key)


@book.undo
def cancel_booking(look: hf.Look) -> hf.Call:
    """The booking's number is in what the provider answered."""
    return cancel(what="cancellation", trip=look.value["id"])


@hf.tool(effect="irreversible", **COMMON)
def send(fx: hf.Fx, *, what: str, trip: str, about: str = "") -> dict:
    """Send money or a message: nobody gives it back."""
    return providers.change(what, trip, fx.key)


@hf.tool(effect="irreversible", **COMMON)
def cancel(fx: hf.Fx, *, what: str, trip: str) -> dict:
    """Cancel a booking by its number."""
    return providers.change(what, trip, fx.key)


@book.probe
@send.probe
@cancel.probe
def is_in_the_books(look: hf.Look) -> hf.Happened | hf.Absent:
    """Each provider finds a change by the key it was made under."""
    answer = providers.find(look.key)
    return hf.Happened(answer) if answer is not None else hf.Absent(why="no line has this key")


@book.verify
@send.verify
@cancel.verify
def stands_in_the_books(look: hf.Look) -> hf.Holds | hf.Differs:
    """Read by key once more, after the answer."""
    return hf.Holds() if providers.find(look.key) is not None else hf.Differs("no line has this key")


TOOLS = [book, send, cancel]
