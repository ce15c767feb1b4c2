"""A fault: one thing that goes wrong, at one named point, as data that can be written down and played again.

A point is a wait of the shipped code, named by what waits and not by position: the call (``refund#1``: the first call
of the tool ``refund``; a second generation is ``refund#1.2``), the verb, and the port's method, counted. A fault
strikes where everything that it names fits, at the ``nth`` such wait.

Decides nothing about what a fault does: :mod:`holdfast.harness.faults.inject` does.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec


class Kind(NamedTuple):
    """One kind of fault: the ports' methods at which it can strike, and what happens, in words."""

    name: str
    at: tuple[str, ...]
    says: str


WRITES = ("store.commit", "store.later")
LOOKS = ("look.probe", "look.verify", "look.state")
SENDS = ("body.send",)

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("lost request", SENDS, "the request never arrives, and nobody says so"),
        Kind("refused connection", SENDS, "the request provably does not leave"),
        Kind("lost reply", SENDS, "the work is done and its reply is lost"),
        Kind("timeout after work", SENDS, "the work is done and the reply does not come within the time limit"),
        Kind("late", SENDS, "the request arrives after its sender has given up"),
        Kind("duplicated", SENDS, "the request arrives twice"),
        Kind("denied", SENDS, "the outside says no although it should not"),
        Kind("malformed reply", SENDS, "the work is done and the reply cannot be read"),
        Kind("partial", SENDS, "a part of the work is done, then the connection ends"),
        Kind("stale", LOOKS + SENDS, "a read is answered from an earlier state of the world"),
        Kind("inconsistent", LOOKS, "three reads of one thing do not agree: as it was, as it is, as it was"),
        Kind("cannot tell", LOOKS, "a read gives no answer"),
        Kind("crash before", WRITES + SENDS + LOOKS, "the process dies just before this"),
        Kind("crash after", WRITES + SENDS, "the process dies just after this, and nobody hears of it"),
        Kind("disk full", WRITES, "nothing can be written, until the process is started again"),
        Kind("clock forward", WRITES + SENDS, "the clock of this machine is an hour ahead from here on"),
        Kind("clock back", WRITES + SENDS, "the clock of this machine goes back an hour"),
        Kind("lease stolen", SENDS + LOOKS, "this worker stands still past its lease, and another takes over"),
        Kind("approval expires", WRITES, "so much time passes that an approval or request runs out"),
        Kind("moved", WRITES + SENDS, "another actor changes the target just before this"),
    )
}


NONE: Final = "-"
"""In a fault: that the wait is of no call, or in none of the steps."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault. Empty fields fit anything; ``nth`` counts the waits that fit, from 1; it strikes ``times`` times.

    ``call`` and ``verb`` may be ``-``: a wait of no call, in none of the steps.
    ``at`` is a port's method (``body.send``, ``look.probe``, ``store.commit``); ``verb`` one of the seven, or the name
    of the step in which the wait is. ``by_ms`` is a span for those kinds that have one.
    """

    kind: str
    at: str = ""
    tool: str = ""
    call: str = ""
    verb: str = ""
    nth: int = 1
    times: int = 1
    by_ms: int = 0

    def __str__(self) -> str:
        """The fault in one line, as reports print it."""
        where = " ".join(filter(None, (self.call or self.tool, self.verb, self.at or "its first point")))
        count = f" #{self.nth}" if self.nth > 1 else ""
        more = f" x{self.times}" if self.times > 1 else ""
        return f"{self.kind} at {where}{count}{more}"


class Point(msgspec.Struct, frozen=True):
    """One wait that was passed: the call, its tool, the verb, the port's method, and how many like it came before."""

    call: str
    tool: str
    verb: str
    at: str
    nth: int

    def __str__(self) -> str:
        """As it is printed: ``refund#1 dispatch body.send #1``."""
        return f"{self.call or '-'} {self.verb or '-'} {self.at} #{self.nth}"
