"""The switches: every way in which this outside can be made to misbehave, on purpose and counted.

Decides which switches apply to a request, and uses up their counts. A switch has a name, an optional value,
an optional number of `times` (without it: until cleared), an optional `match` (a piece of text that must
occur in the request's line, key or invoice, as in `POST /refunds key=k1 invoice=in_7`) and the kind of
request it is `on`.

Promises: a switch with `times` applies to exactly that many matching requests, also when they come at once;
requests to `/switches`, `/books`, `/health` and `POST /invoices` are never disturbed.

Does not promise: that switches, or work held back by `act_late`, outlive the process. They are the weather,
not the books.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CHANGES = "changes"  # POST /refunds, POST /payouts
LOOKUPS = "lookups"  # GET /refunds, /payouts, /invoices
FENCES = "fences"  # POST /fences
ALL = "all"
CONTROL = "control"  # never disturbed

# Name of each switch: what it is on unless told otherwise, and its value unless told otherwise.
KNOWN: dict[str, tuple[str, Any]] = {
    "latency_ms": (ALL, 100),
    "outage": (ALL, "503"),
    "drop_reply": (CHANGES, True),
    "work_then_hang": (CHANGES, 60_000),
    "act_late": (CHANGES, "held"),
    "duplicate": (CHANGES, True),
    "garbage": (CHANGES, "body"),
    "ignore_key": (CHANGES, True),
    "ignore_fence": (CHANGES, True),
    "stale_replica": (LOOKUPS, True),
}
NUMBERS = frozenset({"latency_ms", "work_then_hang"})
WORDS = {"outage": ("503", "refuse"), "garbage": ("body", "wire")}


class NotASwitchError(ValueError):
    """The request to set a switch made no sense; nothing was set."""


@dataclass(kw_only=True)
class Switch:
    """One thing that goes wrong, and how often it still will."""

    name: str
    value: Any
    on: str
    times: int | None = None
    match: str | None = None
    attached: Any = None  # the snapshot that stale_replica answers from
    applied: int = 0

    def applies(self, kind: str, subject: str) -> bool:
        """Tell whether a request of this kind and description is hit."""
        return (self.on in (ALL, kind)) and (self.match is None or self.match in subject)

    def view(self) -> dict[str, Any]:
        """Show the switch as GET /switches does."""
        shown = {
            "value": self.value,
            "on": self.on,
            "times": self.times,
            "match": self.match,
            "applied": self.applied,
        }
        return {"switch": self.name, **shown}


def parse(body: dict[str, Any]) -> Switch:
    """Read `{"switch": name, "value"?, "times"?, "match"?, "on"?}`; raise NotASwitchError otherwise."""
    name = body.get("switch")
    if not isinstance(name, str) or name not in KNOWN:
        raise NotASwitchError(f"There is no switch {name!r}; known: {', '.join(KNOWN)}.")
    if unknown := set(body) - {"switch", "value", "times", "match", "on", "for_ms"}:
        raise NotASwitchError(f"A switch has no {', '.join(sorted(unknown))}.")
    on, value = KNOWN[name]
    given = Switch(
        name=name,
        value=value if body.get("value") is None else body["value"],
        on=on if body.get("on") is None else body["on"],
        times=body.get("times"),
        match=body.get("match"),
    )
    if given.on not in (CHANGES, LOOKUPS, FENCES, ALL):
        raise NotASwitchError(f"{given.on!r} is not changes, lookups, fences or all.")
    if given.times is not None and not (type(given.times) is int and given.times > 0):
        raise NotASwitchError("`times` is a number from 1.")
    if not isinstance(given.match, str | None):
        raise NotASwitchError("`match` is a text.")
    if name in NUMBERS or (name == "act_late" and given.value != "held"):
        if type(given.value) is not int or given.value < 0:
            raise NotASwitchError(f"The value of {name} is a number of milliseconds.")
    elif name in WORDS and given.value not in WORDS[name]:
        raise NotASwitchError(f"The value of {name} is one of {', '.join(WORDS[name])}.")
    return given


class Switches:
    """The switches now set, the clock that can be moved, and the work that is held back."""

    def __init__(self) -> None:
        """Start with everything in order."""
        self._lock = threading.Lock()
        self._set: dict[str, Switch] = {}
        self._late: dict[threading.Thread, threading.Event] = {}
        self._offset_ms = 0

    def now_ms(self) -> int:
        """Tell the service's own time, which tests may move."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    def move_clock(self, by_ms: int) -> None:
        """Let `by_ms` pass at once for all that goes by the service's clock: windows, send-by, payouts."""
        with self._lock:
            self._offset_ms += by_ms

    def turn_on(self, switch: Switch) -> None:
        """Set a switch, in place of the one of the same name."""
        with self._lock:
            self._set[switch.name] = switch

    def clear(self) -> None:
        """Turn everything off. The clock stays where it was moved to, and late work stays late."""
        with self._lock:
            self._set.clear()

    def take(self, kind: str, subject: str) -> dict[str, Switch]:
        """Use up and return the switches that hit this request. In an outage nothing else is used up."""
        if kind == CONTROL:
            return {}
        with self._lock:
            hit = {name: switch for name, switch in self._set.items() if switch.applies(kind, subject)}
            if "outage" in hit:
                hit = {"outage": hit["outage"]}
            for name, switch in hit.items():
                switch.applied += 1
                if switch.times is not None:
                    switch.times -= 1
                    if switch.times == 0:
                        del self._set[name]
            return hit

    def hold(self, work: Callable[[], object], delay_ms: int | str) -> None:
        """Do the work after the delay, or when released; nobody waits for it and nobody hears of it."""
        event = threading.Event()

        def later() -> None:
            event.wait(None if delay_ms == "held" else int(delay_ms) / 1000)
            try:
                work()
            finally:
                with self._lock:
                    self._late.pop(thread, None)

        thread = threading.Thread(target=later, daemon=True, name="late-work")
        with self._lock:
            self._late[thread] = event
        thread.start()

    def release(self) -> int:
        """Let all late work happen now, wait until it has, and return how much there was."""
        with self._lock:
            waiting = dict(self._late)
        for thread, event in waiting.items():
            event.set()
            thread.join()
        return len(waiting)

    def view(self) -> dict[str, Any]:
        """Show what is set."""
        with self._lock:
            shown = [switch.view() for switch in self._set.values()]
            return {"switches": shown, "late": len(self._late), "clock_offset_ms": self._offset_ms}
